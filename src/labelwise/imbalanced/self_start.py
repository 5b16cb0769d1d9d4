"""A start without labels for a long tail: the encoder learns from inputs alone, then ordinary training."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, InputError, Positive
from labelwise.imbalanced.stages import TwoStages
from labelwise.learner import MINI_BATCHES, Train, row_mean
from labelwise.learner.pretraining import projection, trunk, two_views
from labelwise.training import Batch, Data, Phase

QUARTERS = 4


def turned(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return square pictures ``(b, c, h, h)`` turned by 0, 90, 180 and 270 degrees, ``(4 b, ...)``, and the quarter of each.

    >>> pictures, quarter = turned(torch.arange(4.0).reshape(1, 1, 2, 2))
    >>> pictures[1, 0].tolist(), quarter.tolist()
    ([[1.0, 3.0], [0.0, 2.0]], [0, 1, 2, 3])
    """
    quarter = torch.arange(QUARTERS, device=x.device).repeat_interleave(len(x))
    return torch.cat([torch.rot90(x, k, (2, 3)) for k in range(QUARTERS)]), quarter


class SelfStartClassifier(TwoStages):
    """Train the encoder without labels first, then the whole network on the long tail with any loss.

    1. The network's features learn from all rows, labelled or not, by `task`: to tell by how many quarters a picture was
       turned, or to recognise two random views of one row among those of others (`nt_xent`). No label is
       read, so the long tail biases nothing.
    2. Ordinary training of the whole network from there, with a fresh output layer.

    Differs from the paper: vectors, series and texts have no rotation and start by contrast, in place of MoCo on large
    pictures; rows without a label take part in stage 1.

    Parameters
    ----------
    task
        ``rotation`` (square pictures), ``contrast`` (views of any rows), or ``auto``: the first where it can be.
    start_epochs
        Passes over all rows in stage 1, >= 1.
    temperature
        Of the contrast, > 0.

    References
    ----------
    Yang and Xu, Rethinking the Value of Labels for Improving Class-Imbalanced Learning, NeurIPS 2020 (paper 5). Gidaris,
    Singh and Komodakis, Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> train = Train(epochs=20, batch_size=16)
    >>> model = SelfStartClassifier(start_epochs=10, train=train, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    task: Literal["auto", "rotation", "contrast"] = "auto"
    start_epochs: Annotated[int, Count] = 30
    temperature: Annotated[float, Positive] = 0.5

    card = Card(
        paper=5, year=2020, kind="learner", handles=frozenset({"imbalance"}), race=True,
        reference="Yang and Xu, Rethinking the Value of Labels for Improving Class-Imbalanced Learning, NeurIPS 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {
        "start_epochs": [10, 40],
        "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)],
    }

    def first_epochs(self) -> int:
        """Return the passes of the first stage."""
        return self.start_epochs

    def start(self, data: Data) -> None:
        """Make the layers that only the first stage needs."""
        super().start(data)
        if len(data) < 2:
            raise InputError("X has one sample: recognising a row among others needs at least two.")
        self.features_, width = trunk(self.net_)
        shape = data.x.shape[1:]
        square = self.inputs_.modality == "images" and shape[1] == shape[2]
        if self.task == "rotation" and not square:
            raise InputError(
                f"task='rotation' needs square pictures. Got rows of shape {tuple(shape)}; use task='contrast'."
            )
        self.rotates_ = self.task != "contrast" and square
        self.extra_: nn.Module = nn.Linear(width, QUARTERS) if self.rotates_ else projection(width, layers=2)

    def phases(self) -> list[Phase]:
        """Return the two stages."""
        first = self.rotation if self.rotates_ else self.contrast
        return [
            self.stage(first, [self.features_, self.extra_], self.start_epochs, self.usable_),
            Phase(self.loss, [self.net_], self.train_.epochs),
        ]

    def rotation(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the quarters by which each picture was turned."""
        pictures, quarter = turned(batch.weak)
        value = cross_entropy(self.extra_(self.features_(pictures)), quarter, reduction="none")
        return row_mean(value, None if batch.weight is None else batch.weight.repeat(QUARTERS))

    def contrast(self, batch: Batch) -> Tensor:
        """Return the contrastive loss of two views."""
        return two_views(batch, lambda x: self.extra_(self.features_(x)), self.temperature)
