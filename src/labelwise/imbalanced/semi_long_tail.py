"""Unlabelled rows for a long tail: label them with a first model, train again from scratch on all."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Annotated, Any

import torch
from torch import Tensor

from labelwise.base import UNLABELED, Card, Count, NonNegative
from labelwise.imbalanced.stages import TwoStages
from labelwise.learner import MINI_BATCHES, Train, evaluating, started
from labelwise.learner.template import in_blocks
from labelwise.losses.base import CrossEntropy, Loss
from labelwise.training import Batch, Batches, Data, Phase


class SemiLongTailClassifier(TwoStages):
    """Label the rows without a label by a first model, then train from scratch on all rows with any loss.

    1. A first network is trained on the labelled rows by `first`.
    2. Every row without a label gets that network's most probable class, however unsure it is.
    3. A fresh network is trained on all rows: ``criterion(labelled) + weight * criterion(pool)``, as a weighted mean. The
       class counts that the criterion hears are those of labels and pseudo-labels together.

    The pool helps most where it holds the rare classes: as its own tail grows longer, the gain shrinks. Without rows to
    label this is `LongTailClassifier`.

    Differs from the paper: rows are held out for the recalibration, and neither network sees their labels.

    Parameters
    ----------
    first
        Loss of the first network.
    weight
        Of a pseudo-labelled row beside a labelled one, >= 0.
    label_epochs
        Passes over the labelled rows for the first network, >= 1; None takes ``train.epochs``.

    Attributes
    ----------
    first_ : the network that labelled the pool.
    targets_ : class codes that the second network was trained on (n,); -1 for rows held out for the recalibration.

    References
    ----------
    Yang and Xu, Rethinking the Value of Labels for Improving Class-Imbalanced Learning, NeurIPS 2020 (paper 5).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 5 == 0, y, -1)
    >>> model = SemiLongTailClassifier(train=Train(epochs=30, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    first: Loss = CrossEntropy()
    weight: Annotated[float, NonNegative] = 1.0
    label_epochs: Annotated[int, Count] | None = None

    card = Card(
        paper=5, year=2020, kind="learner", handles=frozenset({"imbalance", "few labels"}), race=True,
        reference="Yang and Xu, Rethinking the Value of Labels for Improving Class-Imbalanced Learning, NeurIPS 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)], "weight": [0.5, 1.0]}

    def first_epochs(self) -> int:
        """Return the passes of the first stage."""
        return self.label_epochs or self.train_.epochs

    def start(self, data: Data) -> None:
        """Copy the fresh network for the first stage, and start its loss."""
        super().start(data)
        self.first_ = deepcopy(self.net_)
        self.first_criterion_ = started(self.first, data, self.n_outputs_)
        self.known_ = data.labelled.clone()
        self.targets_ = torch.where(self.known_, data.y, UNLABELED)

    def phases(self) -> list[Phase]:
        """Return the two stages; the second one begins by labelling the pool."""
        first = self.stage(self.teach, [self.first_], self.first_epochs(), self.known_)
        second = self.stage(self.loss, [self.net_], self.train_.epochs, self.usable_)
        return [first, replace(second, batches=self._after_labelling(second.batches))]

    def _after_labelling(self, batches: Any) -> Batches:
        def everything(data: Data, generator: torch.Generator) -> Iterator[Batch]:
            if self.epochs_done_ == 0:
                self.label_pool(data)
            yield from batches(data, generator)

        return everything

    @torch.no_grad()
    def label_pool(self, data: Data) -> None:
        """Give rows without a label the first network's class, and tell the criterion the counts of all."""
        pool = (self.usable_ & ~self.known_).nonzero().squeeze(1)
        if len(pool):
            with evaluating(self.first_):
                self.targets_ = self.targets_.index_copy(0, pool, in_blocks(self.first_, data.x[pool]).argmax(1))
        fresh = deepcopy(self.criterion).bind(len(data), self.n_outputs_).count(self.targets_[self.usable_])
        self.criterion_ = fresh.to(data.x.device)

    def teach(self, batch: Batch) -> Tensor:
        """Return the first network's loss on labelled rows."""
        value: Tensor = self.first_criterion_(self.first_(batch.x), batch.y, batch.index, batch.weight)
        return value

    def loss(self, batch: Batch) -> Tensor:
        """Return the criterion of labels and pseudo-labels."""
        share = torch.where(self.known_[batch.index], 1.0, self.weight)
        weight = share if batch.weight is None else share * batch.weight
        value: Tensor = self.criterion_(self.net_(batch.x), self.targets_[batch.index], batch.index, weight)
        return value

    def epoch_end(self) -> None:
        """Tell each stage's loss how much of it has passed."""
        super().epoch_end()
        if self.epochs_done_ <= 0:
            self.first_criterion_.advance(1 + float(self.epochs_done_) / self.first_epochs())
