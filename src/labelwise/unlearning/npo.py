"""Negative preference optimisation (Zhang et al. 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import Card, InputError, Positive
from labelwise.losses.forgetting import dpo, npo
from labelwise.training import Batch, Phase
from labelwise.unlearning.steps import APART, RANDOM_BATCHES, Stepwise


class NPO(Stepwise):
    """Make the labels of forgotten rows less likely, ever more slowly: gradient ascent that ends by itself.

    ``(2 / beta) mean log(1 + (p / p_before)^beta)`` of the forgotten rows' labels, plus what holds the kept ones. The
    gradient is that of gradient ascent at the start, and fades once a row is much less likely than before.

    For real targets the likelihood is that of a normal error of the targets' own spread.

    Parameters
    ----------
    beta
        > 0; small is close to gradient ascent. The authors use 0.1 beside a retain term, and 1 without.
    prefer
        ``nothing``: NPO; ``second``: the class that the model before found most likely after the label is preferred to it
        (direct preference optimisation), for classes only.

    References
    ----------
    Zhang et al., Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning, COLM 2024
    (paper 217). The loss alone is `labelwise.losses.forgetting.npo`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_digits(return_X_y=True)
    >>> model = Classifier(train=Train(epochs=15), random_state=0).fit(X, y)
    >>> after = NPO(estimator=model, random_state=0).fit(X, y, forget=y == 3)
    >>> bool(after.score(X[y == 3], y[y == 3]) < 0.5 < after.score(X[y != 3], y[y != 3]))
    True
    """

    beta: Annotated[float, Positive] = 0.1
    prefer: Literal["nothing", "second"] = "nothing"

    card = Card(
        paper=217, year=2024, kind="learner", handles=frozenset({"forgetting"}), needs=frozenset({"forget"}), task="any",
        reference="Zhang et al., Negative Preference Optimization, COLM 2024.",
        expected_failed_checks=RANDOM_BATCHES, apart=APART,
    )  # fmt: skip
    tune = {"beta": [0.1, 0.5, 1.0], "lr": [3e-4, 1e-3, 3e-3]}

    def stages(self) -> list[Phase]:
        """Take `forget_steps` steps of the whole network."""
        if self.prefer == "second" and not self.of_classes():
            raise InputError(
                "NPO.prefer='second' asks for classes, but the estimator predicts real targets. Use 'nothing'."
            )
        return super().stages()

    def forgetting(self, batch: Batch) -> Tensor:
        """Return the loss of the forgotten rows that have a label."""
        known = batch.y >= 0 if self.of_classes() else batch.y.isfinite().any(1)
        now, before = self.likelihood(batch)
        losses = npo(now, before, self.beta) if self.prefer == "nothing" else self.preferred(batch, now, before)
        return (known * losses).sum() / known.sum().clamp_min(1)

    def preferred(self, batch: Batch, now: Tensor, before: Tensor) -> Tensor:
        """Return the loss that prefers the second class, one value per row."""
        with torch.no_grad():
            scores = self.origin_(batch.x)
            labels = one_hot(batch.y.clamp_min(0), scores.shape[1]) > 0
            second = scores.masked_fill(labels, -torch.inf).argmax(1)
            other0 = -cross_entropy(scores, second, reduction="none")
        other = -cross_entropy(self.net_(batch.x), second, reduction="none")
        return dpo(now, before, other, other0, self.beta)
