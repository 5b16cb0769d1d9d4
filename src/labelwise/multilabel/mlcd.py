"""MLCD: a representation without labels, by telling apart the several clusters that each row is near to."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import TransformerMixin
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize
from sklearn.utils import check_array, check_random_state
from torch import Tensor

from labelwise.base import Card, Count, InputError, Range
from labelwise.learner import Learner, started
from labelwise.losses.base import Loss
from labelwise.losses.mlcd import MLCD
from labelwise.nets.base import check_network
from labelwise.nets.heads import CosineHead
from labelwise.training import Batch, Data

ROWS_A_CLUSTER = 30
"""Rows for one cluster where their number is not given."""


def nearest_clusters(Z: ArrayLike, clusters: int, positives: int, seed: int = 0) -> NDArray[np.int8]:
    """Return 1 for the `positives` clusters whose centres are nearest to each row, else 0, ``(n, clusters)``.

    Rows of `Z` ``(n, p)`` are scaled to length one; one k-means, and cosines to its centres.
    """
    unit = normalize(np.asarray(Z, dtype=np.float64))
    centres = normalize(KMeans(clusters, n_init=1, random_state=seed).fit(unit).cluster_centers_)
    near = np.argpartition(-(unit @ centres.T), min(positives, clusters - 1) - 1, axis=1)[:, :positives]
    labels = np.zeros((len(unit), clusters), dtype=np.int8)
    np.put_along_axis(labels, near, 1, axis=1)
    return labels


class MLCDPretraining(TransformerMixin, Learner):  # type: ignore[misc]
    """Learn a representation without labels: each row has the several clusters it is nearest to as its labels.

    Embeddings at hand are clustered once; a network is then trained on X to give each row a large cosine with the
    prototypes of its clusters and a small one with a random share of the others (`labelwise.losses.MLCD`). `transform`
    returns the network's features, of length one. Labels are not used.

    Differs from the paper: one cluster for some 30 rows in place of 400; the scale, of which its text says nothing, is 16.

    Parameters
    ----------
    criterion
        Loss of cosines and clusters. ``MLCD(scale=16, joint=True)`` with one positive is the ordinary softmax.
    clusters
        How many, >= 2; None takes one for 30 rows, at least twice `positives`.
    positives
        Nearest clusters that are a row's labels, >= 1, fewer than the clusters.
    negatives
        Share of a row's other clusters that a step draws as negatives, in (0, 1].

    Attributes
    ----------
    labels_ : the rows' clusters, 1 or 0, int8 ``(n, clusters)``.

    References
    ----------
    Multi-label Cluster Discrimination for Visual Representation Learning, 2024 (paper 47).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from labelwise.learner import Train
    >>> X = load_digits().data[:300]
    >>> MLCDPretraining(train=Train(epochs=3), random_state=0).fit(X).transform(X).shape
    (300, 256)
    """

    criterion: Loss = MLCD(scale=16.0)
    clusters: Annotated[int, Range(low=2, whole=True)] | None = None
    positives: Annotated[int, Count] = 8
    negatives: Annotated[float, Range(low=0, high=1, low_open=True)] = 0.1

    card = Card(
        paper=47, year=2024, kind="learner", handles=frozenset({"representation"}), task="any", supervision=frozenset(),
        reference="Multi-label Cluster Discrimination for Visual Representation Learning, 2024.",
        apart="It learns a representation from rows alone and predicts nothing.",
    )  # fmt: skip
    tune = {"positives": [1, 4, 8, 16], "negatives": [0.1, 0.3, 1.0]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return data for the checks: digits, whose labels are not read."""
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        return {"X": X[:300] / 16, "y": y[:300], "X_test": X[300:400] / 16, "y_test": y[300:400], "features": False}

    def fit(self, X: Any, y: Any = None, embeddings: ArrayLike | None = None) -> Self:  # type: ignore[override]
        """Cluster the embeddings and train on rows `X`.

        Parameters
        ----------
        X
            Rows of any modality.
        y
            Not used.
        embeddings
            ``(n, p)``, of any other model; None clusters X itself, which must then be numbers.

        Raises
        ------
        InputError, ValueError
            For fields out of range, embeddings that do not fit the rows, fewer rows than clusters.
        """
        self.check_fields()
        name = "X" if embeddings is None else "embeddings"
        if embeddings is None:
            plain: Any = X if issparse(X) else check_array(X, dtype=np.float64, allow_nd=True, input_name="X")
            embeddings = plain.reshape(len(plain), -1) if plain.ndim > 2 else plain
        Z = check_array(embeddings, dtype=np.float64, input_name=name)
        if len(Z) != len(X):
            raise InputError(f"embeddings has {len(Z)} rows but X has {len(X)}: give one embedding per row.")
        count = max(2 * self.positives, len(Z) // ROWS_A_CLUSTER) if self.clusters is None else self.clusters
        if not self.positives < count <= len(Z):
            raise InputError(
                f"{type(self).__name__} needs positives < clusters <= rows. Got positives={self.positives}, "
                f"{count} clusters, {len(Z)} rows: give fewer of them."
            )
        self.labels_ = nearest_clusters(
            Z, count, self.positives, check_random_state(self.random_state).randint(2**31 - 1)
        )
        return super().fit(X, self.labels_)

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Return the clusters; every row has some."""
        labels = np.asarray(y)
        return labels, np.ones(len(labels), dtype=bool), labels.shape[1]

    def build(self, data: Data) -> None:
        """Make the network, its output layer the clusters' prototypes."""
        super().build(data)
        net = check_network(self.net_, type(self).__name__)
        net.head = CosineHead(net.head.in_features, self.n_outputs_)

    def start(self, data: Data) -> None:
        """Start the criterion."""
        self.criterion_ = started(self.criterion, data, self.n_outputs_)

    def loss(self, batch: Batch) -> Tensor:
        """Return the criterion of the positives and a random share of the negatives."""
        dropped = (batch.y == 0) & (torch.rand(batch.y.shape, device=batch.y.device) >= self.negatives)
        value: Tensor = self.criterion_(self.net_(batch.x), batch.y.masked_fill(dropped, -1), batch.index)
        return value

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return minus the criterion of all clusters."""
        return -float(self.criterion_(scores, y, torch.arange(len(y))))

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return the representation of rows, ``(n, width)``, each of length one."""
        return np.asarray(F.normalize(torch.as_tensor(self.features(X)), dim=1).numpy())
