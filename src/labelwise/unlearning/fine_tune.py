"""Going on with training on the kept rows alone."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from labelwise.base import Card, Count, Fraction, InputError, NonNegative, Positive
from labelwise.training import Data, Phase
from labelwise.unlearning.base import Unlearner, fresh
from labelwise.unlearning.steps import APART, RANDOM_BATCHES


class FineTune(Unlearner):
    """Go on training on the kept rows alone, and let the others fade.

    With `shrink` below 1 the weights are first shrunk, and mixed with newly drawn ones: what single rows left in them goes
    faster than what all rows taught. At ``shrink=0, noise=1`` it is retraining, for as many epochs as are given.

    Parameters
    ----------
    epochs
        Passes over the kept rows that have a label, >= 1.
    lr
        Peak learning rate, > 0; None takes that of `train`.
    shrink
        Share of the old weights that stays, in [0, 1]; 1 is plain fine-tuning.
    noise
        How much of newly drawn weights is added, >= 0.

    References
    ----------
    The usual baseline of unlearning; shrinking and perturbing: Ash and Adams, On Warm-Starting Neural Network Training,
    NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_digits(return_X_y=True)
    >>> model = Classifier(train=Train(epochs=15), random_state=0).fit(X, y)
    >>> after = FineTune(estimator=model, epochs=3, shrink=0.3, noise=0.1, random_state=0).fit(X, y, forget=y == 3)
    >>> bool(after.score(X[y == 3], y[y == 3]) < 0.5 < after.score(X[y != 3], y[y != 3]))
    True
    """

    epochs: Annotated[int, Count] = 3
    lr: Annotated[float, Positive] | None = None
    shrink: Annotated[float, Fraction] = 1.0
    noise: Annotated[float, NonNegative] = 0.0

    card = Card(
        year=2020, kind="learner", handles=frozenset({"forgetting"}), needs=frozenset({"forget"}), task="any",
        reference="Shrinking: Ash and Adams, On Warm-Starting Neural Network Training, NeurIPS 2020.",
        expected_failed_checks=RANDOM_BATCHES, apart=APART,
    )  # fmt: skip
    tune = {"shrink": [1.0, 0.6, 0.3], "epochs": [1, 3, 10]}

    def start(self, data: Data) -> None:
        """Shrink the weights, and add some of newly drawn ones."""
        super().start(data)
        if self.forget_.any() and (self.shrink < 1 or self.noise > 0):
            shrink_and_perturb(self.net_, fresh(self.net_), self.shrink, self.noise)

    def stages(self) -> list[Phase]:
        """Train the whole network on the kept rows that have a label."""
        if not self.taught_.any():
            raise InputError("y has no label among the kept rows: there is nothing to train on. Label some of them.")
        steps = self.passes(self.epochs, self.taught_)
        return [Phase(self.supervised, [self.net_], 1, self.lr, self.rows_of(self.taught_, steps), steps)]


@torch.no_grad()
def shrink_and_perturb(net: nn.Module, drawn: nn.Module, shrink: float, noise: float) -> None:
    """Set every weight to ``shrink * weight + noise * newly drawn weight``."""
    for old, new in zip(net.parameters(), drawn.parameters(), strict=True):
        old.mul_(shrink).add_(new, alpha=noise)
