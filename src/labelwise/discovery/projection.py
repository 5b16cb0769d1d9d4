"""PBN, projection-based novel class discovery in tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from labelwise.base import UNLABELED, Card, Count, Fraction, InputError
from labelwise.discovery.base import Discovery, closed_trial, cluster
from labelwise.discovery.kmeans import REFERENCE
from labelwise.learner import ClassLearner
from labelwise.nets.base import Network
from labelwise.supervision import encode_classes
from labelwise.training import Batch, Data, Phase, Train, shuffled


class Unit(nn.Module):
    """Scales rows to length 1."""

    def forward(self, z: Tensor) -> Tensor:
        """Return ``z / |z|``; rows of zeros stay."""
        return F.normalize(z, dim=1)


def _layers(sizes: list[int], dropout: float) -> list[nn.Module]:
    """Return linear layers from size to size with ReLU, batch norm and dropout between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.BatchNorm1d(after), nn.Dropout(dropout)]
    return [*layers, nn.Linear(sizes[-2], sizes[-1])]


class ProjectionNet(Network):
    """Encoder to a latent space of rows of length 1, and a linear classifier of the known classes on it."""

    def __init__(self, inputs: int, outputs: int, latent: int, dropout: float = 0.0) -> None:
        super().__init__(inputs=inputs, outputs=outputs, latent=latent, dropout=dropout)
        self.features = nn.Sequential(*_layers(sizes_of(inputs, latent), dropout), Unit())
        self.head = nn.Linear(latent, outputs)


def sizes_of(inputs: int, latent: int) -> list[int]:
    """Return the widths of the encoder's layers: all, three quarters, half of the inputs, then the latent space.

    Hidden layers have 64 units at least.

    >>> sizes_of(200, 10)
    [200, 150, 100, 10]
    """
    return [inputs, max(64, 3 * inputs // 4), max(64, inputs // 2), latent]


class ProjectionBasedDiscovery(Discovery, ClassLearner):
    """PBN: k-means in a latent space that classifies the known classes and reconstructs every row.

    ``loss = weight * CE(head(z), y) over labelled rows + (1 - weight) * mean over all rows of |decoder(z) - x|^2`` with z of
    length 1. The classifier shapes the space by what tells classes apart, the decoder keeps what only new classes need.
    ``weight=1`` is the paper's baseline without decoder.

    Differs from the paper: semi-supervised k-means in the latent space, so that ``unlabelled="mixed"`` works; the squared
    error is divided by the number of columns, so that `weight` means the same for wide and narrow tables; a batch of one
    row, left over at the end of an epoch, is skipped.

    Parameters
    ----------
    weight
        Of the classification part, in [0, 1].
    latent
        Width of the latent space; None takes half as many as there are columns, at least 10.
    dropout
        Of hidden layers, in [0, 1).
    starts
        Seedings of k-means, >= 1.

    References
    ----------
    Troisemaine, Lemaire, Gosselin, Reiffers-Masson, Flocon-Cholet, Vaton: A Practical Approach to Novel Class Discovery in
    Tabular Data, 2023 (paper 216).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Train
    >>> X, y = load_iris(return_X_y=True)
    >>> given = np.where((y == 0) | (np.arange(150) % 2 == 0), -1, y)
    >>> model = ProjectionBasedDiscovery(n_new_classes=1, train=Train(epochs=20), random_state=0).fit(X, given)
    >>> model.predict(X[:3])
    array([3, 3, 3])
    """

    weight: Annotated[float, Fraction] = 0.3
    latent: Annotated[int, Count] | None = None
    dropout: Annotated[float, Fraction] = 0.1
    starts: Annotated[int, Count] = 10

    card = Card(
        paper=216, year=2023, kind="learner", handles=frozenset({"unseen classes"}), reference=REFERENCE, cost="light",
        apart="It finds classes that nobody has labelled, and a race can only score classes that have labels.",
    )  # fmt: skip
    tune = {
        "weight": [0.1, 0.3, 0.6], "dropout": [0.0, 0.2],
        "train": [Train(lr=lr, epochs=60) for lr in (1e-3, 5e-3)],
    }  # fmt: skip

    @classmethod
    def trial(cls) -> dict[str, object]:
        """Return what the common checks fit."""
        return closed_trial()

    def build(self, data: Data) -> None:
        """Make the encoder with its classifier, unless the user gave one."""
        if self.net != "auto" or self.inputs_.modality != "vectors":
            super().build(data)
            return
        inputs = int(self.inputs_.shape[0])
        latent = max(10, inputs // 2) if self.latent is None else self.latent
        self.net_: Any = ProjectionNet(inputs, self.n_outputs_, latent, self.dropout)

    def start(self, data: Data) -> None:
        """Make the decoder, the encoder's mirror image."""
        if data.x.ndim != 2 or data.x.is_floating_point() is False:
            raise InputError(f"X must be features (n, d) for this method. Got rows of shape {tuple(data.x.shape[1:])}.")
        width = self._latents(data.x[:1]).shape[1]
        self.decoder_ = nn.Sequential(*_layers(sizes_of(data.x.shape[1], width)[::-1], self.dropout))

    def phases(self) -> list[Phase]:
        """Return one phase that moves encoder, classifier and decoder."""
        return [Phase(self.loss, [self.net_, self.decoder_], self.train_.epochs)]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield all rows in random order, labelled and not."""
        rows = torch.arange(len(data), device=data.x.device)
        for part in shuffled(rows, max(2, self.train_.batch_size), generator, data.shard):
            if len(part) > 1:
                yield data.batch(part)

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil((len(data) - 1) / max(2, self.train_.batch_size))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the two parts."""
        z = self.net_.features(batch.x)
        labelled = batch.y != UNLABELED
        classify = F.cross_entropy(self.net_.head(z[labelled]), batch.y[labelled], reduction="sum")
        rebuild = F.mse_loss(self.decoder_(z), batch.x)
        known = labelled.sum().clamp_min(1)
        return {"classify": self.weight * classify / known, "rebuild": (1 - self.weight) * rebuild}

    def fit(self, X: Any, y: ArrayLike) -> Self:  # type: ignore[override]
        """Train on rows `X` (n, d) with classes `y` (n,), -1 or None where unknown; then cluster the latent rows."""
        super().fit(X, y)
        codes, Z = encode_classes(y)[1], self.embed(X)
        rng = np.random.default_rng(self.seed_)
        n_new = self.new_classes(Z, codes, rng)
        self.settle(Z, codes, cluster(Z, codes, n_new, rng, self.unlabelled, starts=self.starts))
        return self

    def embed(self, X: Any) -> NDArray[np.float64]:
        """Return the latent rows ``(n, latent)``, of length 1."""
        return self.features(X)

    @torch.no_grad()
    def _latents(self, x: Tensor) -> Tensor:
        return self._forward(x, self.net_.features)
