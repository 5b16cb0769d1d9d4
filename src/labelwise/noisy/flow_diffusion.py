"""Label-weighted flow diffusion: the cluster around a node of a graph whose node labels are noisy (de Luca et al. 2024)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Self

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from labelwise.base import Card, Count, Fields, Fraction, InputError, Method, Positive
from labelwise.supervision import encode_classes

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FIRST_MASS, GROWTH = 4.0, 1.5
"""The first source mass tried, in sinks of the seed, and the factor from one to the next."""


class Edges(NamedTuple):
    """A graph as the kernels read it: CSR parts, a label for each node (-1 unknown), the weight of disagreement."""

    indptr: NDArray[Any]
    indices: NDArray[Any]
    weights: Doubles
    labels: Ints
    disagree: float
    unit_sinks: bool


class Flow(NamedTuple):
    """Potentials x (n,), mass at rest (n,), the nodes with mass in the order they were reached, and pushes made."""

    x: Doubles
    mass: Doubles
    touched: Ints
    pushes: int


class LabelWeightedDiffusion(Method, Fields):
    """Find the cluster around a seed node by spreading mass along edges, which pass less between unlike labels.

    An edge keeps its weight where the labels of its ends agree (or one is unknown) and is multiplied by `disagree` where
    they differ. Mass put on the seed spreads until no node holds more than its sink ``T``: the solution of
    ``min_{x >= 0} x'Lx / 2 + x'(T - source)`` with the Laplacian L of these weights. It is found by pushes: a node with
    mass ``m_i > T_i`` raises ``x_i`` by ``(m_i - T_i) / d_i`` and passes ``(m_i - T_i) w_ij / d_i`` to each neighbour.
    Only nodes that get mass are ever looked at. The cluster is the set of nodes of largest x with the least conductance.

    Differs from the paper: conductance of the sweep is that of the weighted graph; without a `mass` the source grows by
    halves from four sinks of the seed to half of what its component holds, and the cluster of least conductance is kept.

    Parameters
    ----------
    disagree
        Factor of an edge between unlike labels; 1 ignores the labels, 0 trusts them wholly. 0.01 to 0.1 are alike.
    mass
        Source mass; with sinks of a node's degree, two to five times the expected cluster's volume. None: see above;
        this may visit half of the seed's component.
    sink
        ``degree``: a node holds as much as the weights of its edges (labels left aside); ``unit``: 1.
    tol
        A node may keep at most this share of its sink too much.
    max_pushes
        Pushes a mass, after which a warning is given.

    Attributes
    ----------
    cluster_ : int array (k,)
        Nodes of the cluster, ascending.
    conductance_ : float
        Of the cluster in the weighted graph: weight of the edges that leave it over its volume (or that of the rest).
    x_ : float array (n,)
        Potentials; 0 for nodes that never were too full.
    mass_at_rest_ : float array (n,)
        Where the mass lies in the end.
    touched_ : int array
        Nodes that got mass: what the search has seen of the graph, apart from their neighbours.
    source_ : float
        The source mass used.
    n_pushes_ : int

    References
    ----------
    Artur Back de Luca, Kimon Fountoulakis, Shenghao Yang: Local Graph Clustering with Noisy Labels. ICLR 2024.

    Examples
    --------
    >>> two_triangles = np.zeros((6, 6))
    >>> for i, j in [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (4, 5)]:
    ...     two_triangles[i, j] = two_triangles[j, i] = 1
    >>> LabelWeightedDiffusion(mass=9.0).fit(two_triangles, labels=[1, 1, 1, 0, 0, 0], seed=0).cluster_
    array([0, 1, 2])
    """

    disagree: Annotated[float, Fraction] = 0.05
    mass: Annotated[float, Positive] | None = None
    sink: Literal["degree", "unit"] = "degree"
    tol: Annotated[float, Positive] = 1e-3
    max_pushes: Annotated[int, Count] = 50_000_000

    card = Card(
        paper=245, year=2024, kind="estimator", handles=frozenset({"noise"}), supervision=frozenset(),
        needs=frozenset({"graph"}), task="any", cost="seconds",
        reference="Back de Luca, Fountoulakis, Yang: Local Graph Clustering with Noisy Labels. ICLR 2024.",
        apart="It finds one cluster in a graph, not a class for every row.",
    )  # fmt: skip
    tune = {"disagree": [0.01, 0.05, 0.1, 1.0]}

    def fit(self, graph: Any, labels: ArrayLike | None = None, *, seed: int) -> Self:
        """Spread the mass from `seed` and cut the cluster.

        Parameters
        ----------
        graph
            Symmetric adjacency (n, n) with weights >= 0, sparse or dense. Self-loops are ignored.
        labels
            Noisy node labels (n,), usually 1 in and 0 out of the cluster; any classes do. -1, None, NaN: unknown. Without
            labels it is plain flow diffusion.
        seed
            The node, 0 to n - 1, whose cluster is looked for.

        Raises
        ------
        InputError
            A graph that is not square, symmetric and non-negative, labels of another length, a seed that is no node, or
            more mass than the sinks of its component hold.
        """
        self.check_fields()
        adjacency = read_graph(graph)
        self.n_nodes_ = adjacency.shape[0]
        codes = _node_labels(labels, self.n_nodes_)
        node = _node(seed, self.n_nodes_)
        weights = np.ascontiguousarray(adjacency.data, dtype=np.float64)
        edges = Edges(
            adjacency.indptr, adjacency.indices, weights, codes, float(self.disagree), self.sink == "unit"
        )  # fmt: skip
        total, self.conductance_ = _volume(edges), np.inf
        for mass in self._masses(edges, node):
            flow = self._diffuse(edges, node, mass)
            cluster, conductance = sweep_cut(edges, flow, total)
            if conductance < self.conductance_ or not hasattr(self, "cluster_"):
                self.cluster_, self.conductance_, self.source_ = cluster, conductance, mass
                self.x_, self.mass_at_rest_, self.touched_, self.n_pushes_ = flow
        return self

    def _masses(self, edges: Edges, seed: int) -> Iterator[float]:
        """Yield the source masses to try; the seed's component must hold them."""
        self.__dict__.pop("cluster_", None)
        needed = np.inf if self.mass is None else float(self.mass)
        capacity = _capacity(edges, seed, needed)
        if capacity == 0 or (self.mass is not None and capacity < needed):
            raise InputError(
                f"mass={self.mass}: the nodes that node {seed} reaches hold only {capacity:g}. Give less mass, or a seed "
                "with a larger component (with disagree=0, edges between unlike labels connect nothing)."
            )
        if self.mass is not None:
            yield needed
            return
        mass = min(FIRST_MASS * _sink(edges, seed), capacity / 2)
        while mass <= capacity / 2:
            yield mass
            mass *= GROWTH

    def _diffuse(self, edges: Edges, seed: int, mass: float) -> Flow:
        flow = Flow(*_push(edges, seed, mass, self.tol, self.max_pushes))
        if flow.pushes >= self.max_pushes:
            warnings.warn(
                f"the mass {mass:g} had not settled after {self.max_pushes} pushes: raise max_pushes or tol, or lower mass.",
                ConvergenceWarning, stacklevel=3,
            )  # fmt: skip
        return flow

    def predict(self, nodes: ArrayLike | None = None) -> Ints:
        """Return 1 for each of the `nodes` (k,) in the cluster, else 0; by default for all n nodes."""
        check_is_fitted(self)
        inside = np.zeros(self.n_nodes_, dtype=np.int64)
        inside[self.cluster_] = 1
        if nodes is None:
            return inside
        asked = np.asarray(nodes)
        if asked.dtype.kind not in "iu" or (asked < 0).any() or (asked >= self.n_nodes_).any():
            raise InputError(f"nodes must be whole numbers from 0 to {self.n_nodes_ - 1}. Got {asked!r}.")
        return np.asarray(inside[asked])

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return a ring of eight cliques with a few labels flipped, for the common checks."""
        block: Any = sparse.block_diag([np.ones((6, 6)) - np.eye(6)] * 8, format="lil")
        for i in range(8):
            block[6 * i, (6 * i + 7) % 48] = block[(6 * i + 7) % 48, 6 * i] = 1
        inside = np.arange(48) < 6
        labels = np.where(np.arange(48) % 11 == 4, ~inside, inside).astype(np.int64)
        return {
            "X": block.tocsr(), "y": labels, "fit": {"seed": 1}, "features": False,
            "X_test": np.arange(48), "y_test": inside.astype(np.int64),
        }  # fmt: skip


def read_graph(graph: Any) -> Any:
    """Return the adjacency as CSR without explicit duplicates; refuse what is no undirected graph."""
    if not sparse.issparse(graph):
        graph = np.asarray(graph)
        if graph.dtype.kind not in "biuf" or graph.ndim != 2:
            raise InputError(f"graph must be a numeric matrix (n, n). Got {graph.dtype} of shape {graph.shape}.")
    if graph.shape[0] != graph.shape[1] or graph.shape[0] == 0:
        raise InputError(f"graph must be square, one row and one column a node. Got shape {graph.shape}.")
    adjacency = sparse.csr_array(graph).astype(np.float64)
    if not adjacency.has_canonical_format:
        adjacency.sum_duplicates()
    wrong = ~(np.isfinite(adjacency.data) & (adjacency.data >= 0))
    if wrong.any():
        row, column = _place(adjacency, int(wrong.argmax()))
        raise InputError(
            f"graph must have finite weights >= 0. Edge ({row}, {column}) weighs {adjacency.data[wrong][0]}."
        )
    _check_symmetric(adjacency)
    return adjacency


def _check_symmetric(adjacency: Any) -> None:
    other = adjacency.T.tocsr()
    gap = abs(adjacency - other).tocsr()
    wrong = gap.data > 1e-9 * max(1.0, float(adjacency.data.max(initial=0.0)))
    if wrong.any():
        row, column = _place(gap, int(wrong.argmax()))
        raise InputError(
            f"graph must be symmetric: edge ({row}, {column}) weighs {adjacency[row, column]:g}, but ({column}, {row}) "
            f"weighs {other[row, column]:g}. Pass graph + graph.T or graph.maximum(graph.T) to make edges undirected."
        )


def _place(matrix: Any, stored: int) -> tuple[int, int]:
    return int(np.searchsorted(matrix.indptr, stored, side="right")) - 1, int(matrix.indices[stored])


def _node_labels(labels: ArrayLike | None, n: int) -> Ints:
    if labels is None:
        return np.full(n, -1, dtype=np.int64)
    codes = encode_classes(labels, name="labels", least=0)[1]
    if len(codes) != n:
        raise InputError(f"labels must have one entry a node: {n}. Got {len(codes)}.")
    return np.asarray(codes, dtype=np.int64)


def _node(seed: Any, n: int) -> int:
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < n:
        raise InputError(f"seed must be a node: a whole number from 0 to {n - 1}. Got {seed!r}.")
    return int(seed)


def sweep_cut(edges: Edges, flow: Flow, total: float) -> tuple[Ints, float]:
    """Return the nodes of largest potential, as many as give the least conductance, ascending, and that conductance.

    The seed alone is the cluster where no node was too full.
    """
    nodes = flow.touched[flow.x[flow.touched] > 0]
    nodes = nodes if len(nodes) else flow.touched[:1]
    order = nodes[np.lexsort((nodes, -flow.x[nodes]))]
    conductance = _sweep(edges, order, total)
    best = int(conductance.argmin())
    return np.sort(order[: best + 1]), float(conductance[best])


# -- kernels


@numba.njit(inline="always")
def _weight(edges: Edges, i: int, p: int) -> float:
    """Return the weight of the p-th stored edge, which leaves node i; 0 for a self-loop."""
    j = edges.indices[p]
    if j == i:
        return 0.0
    a, b = edges.labels[i], edges.labels[j]
    factor = 1.0 if a == b or a == -1 or b == -1 else edges.disagree
    return float(factor * edges.weights[p])


@numba.njit(cache=True)
def _degree(edges: Edges, i: int) -> float:
    total = 0.0
    for p in range(edges.indptr[i], edges.indptr[i + 1]):
        total += _weight(edges, i, p)
    return total


@numba.njit(cache=True)
def _sink(edges: Edges, i: int) -> float:
    """Return what node i holds at rest: 1, or its edges' weights whatever the labels."""
    if edges.unit_sinks:
        return 1.0
    total = 0.0
    for p in range(edges.indptr[i], edges.indptr[i + 1]):
        if edges.indices[p] != i:
            total += edges.weights[p]
    return total


@numba.njit(cache=True)
def _volume(edges: Edges) -> float:
    total = 0.0
    for i in range(len(edges.indptr) - 1):
        total += _degree(edges, i)
    return total


@numba.njit(cache=True)
def _capacity(edges: Edges, seed: int, needed: float) -> float:
    """Add up the sinks that mass from the seed can reach, breadth first, until `needed` is there."""
    n = len(edges.indptr) - 1
    queue, seen = np.empty(n, np.int64), np.zeros(n, np.bool_)
    queue[0], seen[seed] = seed, True
    first, last, total = 0, 1, 0.0
    while first < last and total < needed:
        i = queue[first]
        first += 1
        total += _sink(edges, i)
        for p in range(edges.indptr[i], edges.indptr[i + 1]):
            j = edges.indices[p]
            if not seen[j] and _weight(edges, i, p) > 0:
                seen[j] = True
                queue[last] = j
                last += 1
    return total


@numba.njit(cache=True)
def _push(
    edges: Edges, seed: int, source: float, tol: float, max_pushes: int
) -> tuple[Doubles, Doubles, Ints, int]:  # fmt: skip
    """Push the excess of one node at a time, first come first served, until no node is too full.

    The arrays have a cell a node, but only cells of nodes with mass are ever written: memory that is never touched
    costs nothing.
    """
    n = len(edges.indptr) - 1
    x, mass = np.zeros(n), np.zeros(n)
    sink, degree = np.zeros(n), np.zeros(n)
    queue, waiting, touched = np.empty(n, np.int64), np.zeros(n, np.bool_), np.empty(n, np.int64)
    mass[seed], sink[seed], degree[seed] = source, _sink(edges, seed), _degree(edges, seed)
    queue[0], touched[0], waiting[seed] = seed, seed, True
    first, length, reached, pushes = 0, 1, 1, 0
    while length > 0 and pushes < max_pushes:
        i = queue[first]
        first, length, waiting[i] = (first + 1) % n, length - 1, False
        excess = mass[i] - sink[i]
        if excess <= tol * sink[i]:
            continue
        pushes += 1
        mass[i] = sink[i]
        x[i] += excess / degree[i]
        for p in range(edges.indptr[i], edges.indptr[i + 1]):
            w = _weight(edges, i, p)
            if w == 0.0:
                continue
            j = edges.indices[p]
            if degree[j] == 0.0:
                sink[j], degree[j] = _sink(edges, j), _degree(edges, j)
                touched[reached] = j
                reached += 1
            mass[j] += excess * w / degree[i]
            if not waiting[j] and mass[j] - sink[j] > tol * sink[j]:
                queue[(first + length) % n] = j
                length, waiting[j] = length + 1, True
    return x, mass, touched[:reached].copy(), pushes


@numba.njit(cache=True)
def _sweep(edges: Edges, order: Ints, total: float) -> Doubles:
    """Return the conductance (k,) of the first 1, 2, ..., k nodes of `order`; infinite where there is no other side."""
    inside = np.zeros(len(edges.indptr) - 1, np.bool_)
    conductance = np.full(len(order), np.inf)
    cut, volume = 0.0, 0.0
    for step in range(len(order)):
        i = order[step]
        for p in range(edges.indptr[i], edges.indptr[i + 1]):
            w = _weight(edges, i, p)
            volume += w
            cut += -w if inside[edges.indices[p]] else w
        inside[i] = True
        smaller = min(volume, total - volume)
        if smaller > 1e-12 * total:
            conductance[step] = max(cut, 0.0) / smaller
    return conductance
