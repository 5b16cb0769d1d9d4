"""SP2OT: clusters of very different sizes by pseudo-labels from partial, semantic optimal transport."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import ClusterMixin
from sklearn.datasets import load_iris
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from labelwise.base import Card, Count, InputError, NonNegative, Positive, Range
from labelwise.learner import Learner, Train, row_mean
from labelwise.nets.heads import CosineHead
from labelwise.parts.matching import hungarian_accuracy
from labelwise.parts.memory import Queue
from labelwise.parts.transport import Potentials, semantic_transport
from labelwise.training import Batch, Data, Phase, shuffled

TOL, ROUNDS = 1e-3, 5
"""How far a step's transport is solved: it starts from the last step's potentials, and the next step goes on from here."""


def progress(share: float, first: float) -> float:
    """Return the mass moved when `share` of training has passed: `first` at the start, 1 at the end, a sigmoid between.

    >>> round(progress(0.0, 0.1), 3), round(progress(0.5, 0.1), 3), progress(1.0, 0.1)
    (0.106, 0.358, 1.0)
    """
    return first + (1 - first) * math.exp(-5 * (1 - share) ** 2)


def neighbour_similarity(features: NDArray[Any], neighbours: int) -> sparse.csr_matrix:
    """Return ``exp(-|f_i - f_j|^2 / (8 d))`` to each row's nearest other rows, sparse (n, n); zero elsewhere.

    Parameters
    ----------
    features
        ``(n, d)``, of about unit variance a column.
    neighbours
        So many a row, fewer where there are not so many others.
    """
    n, width = features.shape
    count = min(neighbours, n - 1)
    if count < 1:
        return sparse.csr_matrix((n, n))
    distance, index = NearestNeighbors(n_neighbors=count).fit(features).kneighbors()
    value = np.exp(-(distance**2) / (8 * width))
    return sparse.csr_matrix((value.ravel(), index.ravel(), np.arange(0, n * count + 1, count)), shape=(n, n))


class SP2OT(ClusterMixin, Learner):  # type: ignore[misc]
    """Cluster rows into groups of very different sizes: a network learns from transported pseudo-labels.

    In every step the negative log probabilities of the last `memory` rows are the costs of a transport of rows to clusters
    (`labelwise.parts.transport.semantic_transport`): only a share rho of the rows is moved, the surest ones; cluster sizes
    are drawn towards equality at the price `size_price`; similar rows are drawn to one cluster. ``n Q`` of one view of a
    row is the target of the other view, and its sum the row's weight. rho grows from `first_mass` to 1, and the pull of
    similar rows fades with ``1 - rho``.

    Differs from the paper: similarities are between the standardised rows themselves, which should be embeddings;
    `smoothness` is per row, so that it does not depend on the size of the memory; the cosines are divided by a
    `temperature`.

    Parameters
    ----------
    n_clusters
        Most clusters, >= 1; some may stay empty.
    epsilon
        Weight of the plan's entropy, > 0.
    size_price
        Price of unequal sizes, >= 0: small allows more imbalance.
    smoothness
        Pull of similar rows at the start, >= 0; 0 is progressive partial transport (P2OT).
    neighbours
        Similar rows kept for each row, >= 1.
    first_mass
        Share of rows moved at the start, in (0, 1].
    memory
        Rows whose probabilities enter the transport, those of the step among them, >= 1.
    temperature
        Divides the cosines of features and cluster vectors, > 0.

    Attributes
    ----------
    labels_ : cluster of every row (n,), 0 .. the number of clusters found - 1.
    clusters_ : the outputs of the network that hold rows, in the order of the labels.

    References
    ----------
    SP2OT: Semantic-Regularized Progressive Partial Optimal Transport for Imbalanced Clustering (paper 241).

    Examples
    --------
    >>> from labelwise.data.synthetic import blobs
    >>> drawn = blobs(300, 3, 6, prior=[0.7, 0.2, 0.1], separation=6.0, random_state=0)
    >>> found = SP2OT(n_clusters=3, train=Train(epochs=20, batch_size=64), random_state=0).fit_predict(drawn.X)
    >>> bool(hungarian_accuracy(drawn.y, found) > 0.8)
    True
    """

    n_clusters: Annotated[int, Count] = 8
    epsilon: Annotated[float, Positive] = 0.1
    size_price: Annotated[float, NonNegative] = 1.0
    smoothness: Annotated[float, NonNegative] = 0.2
    neighbours: Annotated[int, Count] = 20
    first_mass: Annotated[float, Range(low=0, high=1, low_open=True)] = 0.1
    memory: Annotated[int, Count] = 5120
    temperature: Annotated[float, Positive] = 0.1

    card = Card(
        paper=241, year=2024, kind="learner", handles=frozenset({"imbalance", "representation"}),
        supervision=frozenset(), cost="light", apart="It clusters rows without labels and predicts no class.",
        reference="SP2OT: Semantic-Regularized Progressive Partial Optimal Transport for Imbalanced Clustering, 2024.",
    )  # fmt: skip
    tune = {
        "size_price": [0.5, 1.0],
        "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (20, 50)],
    }

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return the data of the common checks: iris without its labels."""
        X, y = load_iris(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(X))
        X, y = (X[order] - X.mean(0)) / X.std(0), y[order]
        score = lambda model, X, y: hungarian_accuracy(y, model.predict(X))  # noqa: E731
        return {
            "X": X[:105], "y": None, "X_test": X[105:], "y_test": y[105:], "score": score, "features": False,
            "fields": {"n_clusters": 3}, "floor": 0.55,
        }  # fmt: skip

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:  # type: ignore[override]
        """Cluster the rows of `X`.

        Parameters
        ----------
        X
            Vectors ``(n, d)``, best embeddings; pictures and series too, whose similarities are those of their values.
        y
            Ignored.
        sample_weight
            Weights of rows in the network's loss ``(n,)``, >= 0; the transport does not know them.
        """
        rows = len(X) if isinstance(X, list | tuple) else int(np.shape(X)[0])
        super().fit(X, np.zeros(rows), sample_weight)
        scores = self.outputs(X)
        self.clusters_, self.labels_ = np.unique(scores.argmax(1), return_inverse=True)
        del self._similar, self._ends
        return self

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Return as many outputs as clusters: there are no targets."""
        n = len(np.asarray(y))
        return np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool), self.n_clusters

    def _hold_out(self, data: Data) -> tuple[Data, Data | None]:
        if self.train_.validation:
            raise InputError("SP2OT.train must have validation=0: there are no labels to stop early by.")
        if self.n_clusters > len(data):
            raise InputError(f"n_clusters is {self.n_clusters}, but n_samples={len(data)}: give fewer clusters.")
        return data, None

    def build(self, data: Data) -> None:
        """Make the network, with cluster vectors as its output layer."""
        super().build(data)
        net: Any = self.net_
        net.head = CosineHead(net.head.in_features, self.n_clusters)

    def start(self, data: Data) -> None:
        """Find each row's neighbours, and make an empty memory for each of the two views."""
        self._ends: list[Potentials | None] = [None, None]
        self._similar = neighbour_similarity(data.x.flatten(1).cpu().double().numpy(), self.neighbours)
        size = min(self.memory, len(data))
        self.memory_ = torch.nn.ModuleList(Queue(size, self.n_clusters) for _ in range(2))
        self.remembered_ = Queue(size, 1)
        self.passed_ = torch.zeros((), dtype=torch.double)
        self.step_ = 1 / max(1, self.steps(data) * self.train_.epochs)

    def phases(self) -> list[Phase]:
        """Return one stage that moves the network by `loss`."""
        return [Phase(self.loss, [self.net_], self.train_.epochs)]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield all rows once, in random order."""
        everything = torch.arange(len(data), device=data.x.device)
        for rows in shuffled(everything, self.train_.batch_size, generator, data.shard):
            yield data.batch(rows)

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of each view against the transported target of the other."""
        views = batch.views
        assert views is not None
        first, second = (self.net_(view) / self.temperature for view in (views.strong(batch.x), views.strong(batch.x)))
        index = batch.index[:, None].double()
        targets = [
            self.targets(view, scores.detach().log_softmax(1), index) for view, scores in enumerate((first, second))
        ]
        self.remembered_.push(index)
        value = -(targets[1] * first.log_softmax(1) + targets[0] * second.log_softmax(1)).sum(1) / 2
        return row_mean(value, batch.weight)

    @torch.no_grad()
    def targets(self, number: int, log_p: Tensor, index: Tensor) -> Tensor:
        """Return ``n Q`` of a step's rows, transported together with those remembered; and remember the step."""
        memory: Any = self.memory_[number]
        keep = max(0, memory.size - len(log_p))
        old, rows = _newest(memory, keep), _newest(self.remembered_, keep)
        fresh = ~torch.isin(rows[:, 0], index[:, 0])
        cost = torch.cat([log_p, old[fresh]]).neg().double().cpu().numpy()
        chosen = torch.cat([index, rows[fresh]])[:, 0].long().cpu().numpy()
        mass = progress(float(self.passed_), self.first_mass)
        pull = self.smoothness * (1 - mass)
        similar = self._similar[chosen][:, chosen] if pull else self._similar[:0, :0]
        plan, self._ends[number] = semantic_transport(
            cost, similar, mass, pull, self.epsilon, self.size_price, start=self._ends[number], tol=TOL, rounds=ROUNDS
        )
        memory.push(log_p)
        return torch.as_tensor(len(cost) * plan[: len(log_p)], dtype=log_p.dtype, device=log_p.device)

    def step_end(self) -> None:
        """Let the moved mass grow."""
        self.passed_ = (self.passed_ + self.step_).clamp(max=1.0)

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return the mean confidence; nothing is stopped early by it."""
        return float(scores.softmax(1).max(1).values.mean())

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the nearest of the clusters found for new rows (n,)."""
        check_is_fitted(self, "clusters_")
        return np.asarray(self.outputs(X)[:, self.clusters_].argmax(1))


def _newest(queue: Queue, count: int) -> Tensor:
    """Return the last `count` rows that a queue was given."""
    filled = queue.filled
    start = int(queue.count) % queue.size if len(filled) == queue.size else 0
    ordered = torch.cat([filled[start:], filled[:start]])
    return ordered[max(0, len(ordered) - count) :]
