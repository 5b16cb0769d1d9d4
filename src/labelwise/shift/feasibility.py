"""W2PGNN: is it worth pre-training a graph network on these graphs? How near their generators come to the downstream's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.cluster import KMeans

from labelwise.base import Card, Count, Estimate, Fields, InputError, Method, Natural, Positive, Range, require
from labelwise.display import html_of
from labelwise.parts.interval import spread
from labelwise.parts.threads import one_thread

Doubles = npt.NDArray[np.float64]
STATISTICS = ("mean degree", "spread of degrees", "density", "clustering", "transitivity", "assortativity")
MOMENTS = (0.9, 0.99)


@dataclass(frozen=True)
class FeasibilityResult:
    """What `W2PGNN` finds.

    Attributes
    ----------
    feasibility
        Minus the squared Gromov-Wasserstein distance of the downstream graphon and the nearest mixture of the bases; at
        most 0. The interval is over resampled downstream graphs.
    weights
        Basis to its share in the nearest mixture.
    distances
        Basis to its own distance.
    even
        Feasibility of the even mixture, without optimising.
    """

    feasibility: Estimate
    weights: dict[str, float]
    distances: dict[str, float]
    even: float

    def __str__(self) -> str:
        best = max(self.weights, key=lambda name: self.weights[name])
        return f"feasibility {self.feasibility}, nearest {best} ({self.weights[best]:.0%})"

    def _repr_html_(self) -> str:
        return html_of(self)


class W2PGNN(Method, Fields):
    """Feasibility of pre-training on graphs: can a mixture of their generators make the downstream graphs?

    A set of graphs is described by its graphon, the mean adjacency of nodes sorted by degree, at a resolution of `size`
    steps. The pre-training sets give basis graphons B_j; their mixture ``sum_j softmax(a)_j B_j`` is brought as near as it
    gets to the downstream graphon in entropic Gromov-Wasserstein distance, which does not care how nodes are matched. The
    nearer, the likelier pre-training helps; the weights say which sets it should take. Graphs alone are used, no labels.
    Nodes are sorted by degree, so that groups of equal degrees are hardly seen.

    Differs from the paper: each graph is resized before averaging, where the paper pads all to the largest; the gradient is
    that at the plan found; fewer statistics of topology; the interval.

    Parameters
    ----------
    basis
        ``domain``: one basis a set; ``integrated``: one of all graphs; ``topology``: k-means clusters of graphs by six
        statistics.
    clusters
        Clusters of the ``topology`` basis, >= 1.
    size
        Resolution of a graphon, >= 1.
    epsilon
        Weight of the plan's entropy, in parts of the largest squared entry, > 0; large blurs what is matched with what.
    steps
        Steps of Adam on a, >= 0; 0 leaves the even mixture.
    lr
        Its learning rate, > 0.
    draws
        Resampled downstream sets behind the interval.
    level
        Confidence of the interval.
    random_state
        Seed of clusters and draws.

    References
    ----------
    Yuxuan Cao, Jiarong Xu, Carl Yang, Jiaan Wang, Yunchao Zhang, Chunping Wang, Lei Chen, Yang Yang: When to Pre-Train Graph
    Neural Networks? From Data Generation Perspective! KDD 2023 (paper 157).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> def graph(p_in, p_out, n=40):  # two groups of nodes
    ...     p = np.where(np.equal.outer(np.arange(n) % 4 == 0, np.arange(n) % 4 == 0), p_in, p_out)
    ...     upper = np.triu(rng.random((n, n)) < p, 1)
    ...     return upper + upper.T
    >>> sets = {"random": [graph(0.3, 0.3) for _ in range(5)], "groups": [graph(0.6, 0.05) for _ in range(5)]}
    >>> found = W2PGNN(size=16, steps=20, draws=5, random_state=0).measure(sets, [graph(0.6, 0.05) for _ in range(5)])
    >>> max(found.weights, key=found.weights.get), found.distances["groups"] < found.distances["random"]
    ('groups', True)
    """

    basis: Literal["domain", "integrated", "topology"] = "domain"
    clusters: Annotated[int, Count] = 5
    size: Annotated[int, Count] = 32
    epsilon: Annotated[float, Positive] = 0.01
    steps: Annotated[int, Natural] = 40
    lr: Annotated[float, Positive] = 0.05
    draws: Annotated[int, Natural] = 20
    level: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.9
    random_state: int | None = None

    card = Card(
        paper=157, year=2023, kind="diagnostic", handles=frozenset({"representation", "few labels"}),
        supervision=frozenset(), task="any", cost="seconds", requires=frozenset({"POT"}),
        reference="Cao et al.: When to Pre-Train Graph Neural Networks? From Data Generation Perspective! KDD 2023.",
    )  # fmt: skip

    def measure(self, pretraining: Mapping[str, Sequence[Any]], downstream: Sequence[Any]) -> FeasibilityResult:
        """Compare pre-training graphs with downstream graphs.

        Parameters
        ----------
        pretraining
            Name of each set to its graphs, adjacency matrices (n, n), dense or sparse, of any sizes; entries that are not
            zero are edges. Of one large graph take ego networks.
        downstream
            Graphs of the task, likewise.
        """
        self.check_fields()
        if not pretraining:
            raise InputError("pretraining is empty: give at least one named set of graphs.")
        sets = {name: _graphs(graphs, f"pretraining[{name!r}]") for name, graphs in pretraining.items()}
        rng, aims = np.random.default_rng(self.random_state), _graphs(downstream, "downstream")
        bases = {name: graphon(graphs, self.size) for name, graphs in self._bases(sets, rng).items()}
        each, stack = [graphon([graph], self.size) for graph in aims], np.stack(list(bases.values()))
        with one_thread():
            aim = np.mean(each, axis=0)
            weights = self._nearest(stack, aim)
            value = self._distance(np.tensordot(weights, stack, 1), aim)[0]
            drawn = [
                np.mean([each[i] for i in rng.integers(len(each), size=len(each))], axis=0) for _ in range(self.draws)
            ]
            again = [-self._distance(np.tensordot(weights, stack, 1), other)[0] for other in drawn]
            alone = {name: self._distance(basis, aim)[0] for name, basis in bases.items()}
            even = -self._distance(stack.mean(0), aim)[0]
        found = spread(-value, again, self.level) if again else Estimate(-value, -np.inf, 0.0, self.level)
        found = found._replace(low=min(found.low, -value), high=min(0.0, max(found.high, -value)))
        return FeasibilityResult(found, dict(zip(bases, weights.tolist(), strict=True)), alone, even)

    def _bases(self, sets: dict[str, list[Doubles]], rng: np.random.Generator) -> dict[str, list[Doubles]]:
        if self.basis == "domain":
            return sets
        graphs = [graph for part in sets.values() for graph in part]
        if self.basis == "integrated":
            return {"all": graphs}
        rows = np.array([topology(graph) for graph in graphs])
        rows = (rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-9)
        count = min(self.clusters, len(np.unique(rows.round(9), axis=0)))
        labels = KMeans(count, n_init=5, random_state=int(rng.integers(2**31))).fit_predict(rows)
        return {
            f"topology {k}": [g for g, label in zip(graphs, labels, strict=True) if label == k] for k in range(count)
        }

    def _distance(self, mixed: Doubles, aim: Doubles, start: Doubles | None = None) -> tuple[float, Doubles, Doubles]:
        """Return the squared distance of two graphons, its gradient with respect to the first, and the plan they are at."""
        even = np.full(self.size, 1 / self.size)
        gromov = require("ot.gromov", extra="graphs", why="W2PGNN")
        epsilon = self.epsilon * max(float(mixed.max()), float(aim.max()), 1e-6) ** 2
        plan = gromov.entropic_gromov_wasserstein(
            mixed, aim, even, even, "square_loss", epsilon=epsilon, G0=np.diag(even) if start is None else start,
            max_iter=30, tol=1e-6, numItermax=200, warn=False,
        )  # fmt: skip
        joined = plan @ aim @ plan.T
        rows, columns = plan.sum(1), plan.sum(0)
        value = rows @ mixed**2 @ rows + columns @ aim**2 @ columns - 2 * float((mixed * joined).sum())
        return max(0.0, float(value)), 2 * (mixed * np.outer(rows, rows) - joined), plan

    def _nearest(self, bases: Doubles, aim: Doubles) -> Doubles:
        """Return the weights of the mixture nearest to `aim`, by Adam."""
        a, mean, square = np.zeros((3, len(bases)))
        best, least, plan = np.full(len(bases), 1 / len(bases)), np.inf, None
        for step in range(1, self.steps + 1 if len(bases) > 1 else 1):
            weights = softmax(a)
            value, slope, plan = self._distance(np.tensordot(weights, bases, 1), aim, plan)
            if value < least:
                best, least = weights, value
            along = (bases * slope).sum((1, 2))
            gradient = weights * (along - weights @ along)
            mean = MOMENTS[0] * mean + (1 - MOMENTS[0]) * gradient
            square = MOMENTS[1] * square + (1 - MOMENTS[1]) * gradient**2
            rate = np.sqrt(square / (1 - MOMENTS[1] ** step)) + 1e-12
            a = a - self.lr * mean / (1 - MOMENTS[0] ** step) / rate
        return best


def _graphs(graphs: Sequence[Any], name: str) -> list[Doubles]:
    """Check adjacency matrices, and return them as 0 and 1 without loops, both directions alike."""
    if len(graphs) == 0:
        raise InputError(f"{name} holds no graph.")
    made = []
    for i, given in enumerate(graphs):
        array = np.asarray(given.toarray() if hasattr(given, "toarray") else given)
        if array.ndim != 2 or array.shape[0] != array.shape[1] or len(array) < 2:
            raise InputError(f"{name}[{i}] must be a square adjacency matrix of two nodes or more. Got {array.shape}.")
        edges = (array != 0) | (array != 0).T
        np.fill_diagonal(edges, False)
        made.append(edges.astype(np.float64))
    return made


def graphon(graphs: Sequence[Doubles], size: int) -> Doubles:
    """Return the mean adjacency (size, size) of graphs whose nodes are sorted by degree, high ones first.

    >>> star = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0]])
    >>> graphon([star], 3)
    array([[0., 1., 1.],
           [1., 0., 0.],
           [1., 0., 0.]])
    """
    total = np.zeros((size, size))
    for graph in graphs:
        order = np.argsort(-graph.sum(0), kind="stable")
        ends, cuts = np.arange(len(graph) + 1) / len(graph), np.arange(size + 1) / size
        over = np.minimum(ends[None, 1:], cuts[1:, None]) - np.maximum(ends[None, :-1], cuts[:-1, None])
        part = np.maximum(over, 0) * size  # which part of each step a node covers
        total += part @ graph[np.ix_(order, order)] @ part.T
    return total / len(graphs)


def topology(graph: Doubles) -> Doubles:
    """Return the `STATISTICS` of a graph."""
    n, degree = len(graph), graph.sum(0)
    paths, triangles = degree * (degree - 1), np.einsum("ij,ji->i", graph @ graph, graph)
    local = np.divide(triangles, paths, out=np.zeros(n), where=paths > 0)
    first, second = np.nonzero(graph)
    alike = np.corrcoef(degree[first], degree[second])[0, 1] if len(first) and np.ptp(degree[first]) > 0 else 0.0
    return np.array([
        degree.mean(), degree.std(), graph.sum() / (n * (n - 1)), local.mean(),
        triangles.sum() / max(1.0, paths.sum()), alike,
    ])  # fmt: skip
