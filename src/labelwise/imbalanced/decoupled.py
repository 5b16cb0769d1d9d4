"""Decoupled training: the representation from all rows alike, the output layer with all classes alike."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from labelwise.base import Card, Count, InputError, NonNegative
from labelwise.batch import class_balanced
from labelwise.learner import MINI_BATCHES, LongTailClassifier
from labelwise.learner.long_tail import linear_head
from labelwise.losses.base import CrossEntropy
from labelwise.training import Batch, Data, Phase, Train

Classifiers = Literal["retrained", "scaled", "normalised"]

FACTOR_LR = 10
"""How much faster factors, which start from 1, are moved than weights, which start near 0."""


class DecoupledTraining(LongTailClassifier):
    """Train the network plainly, then make its output layer anew for classes of equal weight: the features stay.

    The second step trains on batches in which every class is as likely, with the representation fixed: a new output layer
    (``retrained``, cRT), or one factor for each class's score (``scaled``, LWS). Or it trains nothing, and divides each
    class's weights by their length to the power `tau` and leaves the bias out (``normalised``), since weights of large
    classes grow long.

    Parameters
    ----------
    classifier
        ``retrained``, ``scaled`` or ``normalised``.
    classifier_epochs
        Of the second step, each as many rows as the training set has; None takes a third of ``train.epochs``.
    tau
        Power of the length, >= 0: 1 makes all weights equally long, 0 changes nothing but the bias.
    criterion, decide, calibration_share, head
        As in `labelwise.learner.LongTailClassifier`; `criterion` is the loss of the first step, `head` must be ``linear``.

    References
    ----------
    Kang et al.: Decoupling Representation and Classifier for Long-Tailed Recognition. ICLR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> rows = np.r_[0:50, 50:75, 100:110]  # 50, 25 and 10 rows of the three classes
    >>> model = DecoupledTraining(train=Train(epochs=60, batch_size=16), random_state=0).fit(X[rows], y[rows])
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    classifier: Classifiers = "retrained"
    classifier_epochs: Annotated[int, Count] | None = None
    tau: Annotated[float, NonNegative] = 1.0

    card = Card(
        year=2020, kind="learner", handles=frozenset({"imbalance"}), race=True,
        reference="Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {
        "classifier": ["retrained", "scaled", "normalised"],
        "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)],
    }

    def start(self, data: Data) -> None:
        """Put the second output layer behind the first."""
        super().start(data)
        self.second_steps_ = self.steps(data)
        self.net_.head = SecondHead(linear_head(self.net_, "DecoupledTraining"), self.classifier, self.tau)

    def build(self, data: Data) -> None:
        """Make the network; weights that are to be made anew must have a length."""
        if self.head == "cosine":
            raise InputError(
                "DecoupledTraining.head must be 'linear': a cosine layer has no lengths and scales to mend. Use "
                "LongTailClassifier(head='cosine')."
            )
        super().build(data)

    def phases(self) -> list[Phase]:
        """Return the plain phase, and that of the second output layer where it is trained."""
        head = self._second_head()
        plain = Phase(self.loss, [self.net_.get_submodule("features"), head.first], self.train_.epochs)
        if self.classifier == "normalised":
            return [plain]
        epochs = self.classifier_epochs or max(1, self.train_.epochs // 3)
        lr = self.train_.lr * (FACTOR_LR if self.classifier == "scaled" else 1)
        again = Phase(self.balanced_loss, [head.second], epochs, lr, self.even, self.second_steps_)
        return [plain, again]

    def even(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield batches in which every class is as likely."""
        rows = data.labelled.nonzero().squeeze(1)
        for some in class_balanced(rows, data.y[rows], self.train_.batch_size, generator, data.shard):
            yield data.batch(some)

    def training_mode(self, phase: Phase) -> None:
        """In the second phase use the second output layer, and the representation as it predicts."""
        super().training_mode(phase)
        if phase.loss == self.balanced_loss:
            self.net_.eval()
            self._second_head().use_second()

    def balanced_loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the second output layer."""
        value: Tensor = CrossEntropy()(self.net_(batch.x), batch.y, batch.index, batch.weight)
        return value

    def after_training(self) -> None:
        """Leave an ordinary linear output layer."""
        self.net_.head = self._second_head().merged()

    def _second_head(self) -> SecondHead:
        head = self.net_.head
        assert isinstance(head, SecondHead)
        return head


class SecondHead(nn.Module):
    """A trained linear layer and what comes after it: another layer, factors of its scores, or its normalised weights."""

    on: Tensor

    def __init__(self, first: nn.Linear, kind: Classifiers, tau: float) -> None:
        super().__init__()
        self.first, self.kind, self.tau = first, kind, tau
        self.second: nn.Module = Factors(first.out_features)
        if kind == "retrained":
            self.second = deepcopy(first)
            self.second.reset_parameters()
        self.register_buffer("on", torch.tensor(False))

    def use_second(self) -> None:
        """Predict by the second layer from here on."""
        self.on.fill_(True)

    def forward(self, z: Tensor) -> Tensor:
        """Return scores ``(b, K)``."""
        if not self.on:
            return self.first(z)  # type: ignore[no-any-return]
        scores: Tensor = self.second(z if self.kind == "retrained" else self.first(z))
        return scores

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """Return one linear layer that gives the same scores, its weights normalised where that is the method."""
        made = deepcopy(self.second if self.kind == "retrained" and self.on else self.first)
        assert isinstance(made, nn.Linear)
        if self.kind == "normalised":
            made.weight.div_(made.weight.norm(dim=1, keepdim=True).clamp_min(1e-12) ** self.tau)
            if made.bias is not None:
                made.bias.zero_()
        if isinstance(self.second, Factors) and self.on:
            made.weight.mul_(self.second.factor[:, None])
            if made.bias is not None:
                made.bias.mul_(self.second.factor)
        return made


class Factors(nn.Module):
    """One learnt factor for each score, from 1."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(n))

    def forward(self, scores: Tensor) -> Tensor:
        """Return the scores times their factors."""
        return scores * self.factor
