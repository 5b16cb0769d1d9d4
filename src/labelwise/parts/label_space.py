"""Label spaces with geometry: a distance matrix, a graph, a taxonomy or embeddings, asked for distances from K labels.

No N x N matrix is made of N labels: distances are computed from the observed labels only, (K, N) float32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial.distance import cdist

from labelwise.base import InputError
from labelwise.parts.metric import check_finite, check_metric

Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]

CHUNK = 64
"""Sources whose float64 distances are held at once."""

DEEP = 2000
"""In a tree of more levels, a search from each source is quicker than a pass over the levels."""


class LabelSpace(ABC):
    """`n_labels` labels, numbered from 0, and the distances among them."""

    n_labels: int

    @abstractmethod
    def distances(self, sources: Ints) -> Singles:
        """(K, N) distances from each of the `sources` to every label."""

    @abstractmethod
    def nearest(self, sources: Ints) -> npt.NDArray[np.floating[Any]]:
        """(N,) distance of every label to the nearest of the `sources`."""


class Matrix(LabelSpace):
    """Distances given as numbers.

    Parameters
    ----------
    matrix
        (N, N) distances among all labels, or (K, N) from some of them.
    sources
        (K,) labels that the rows belong to. Default: 0 to K - 1.
    """

    def __init__(self, matrix: npt.ArrayLike, sources: npt.ArrayLike | None = None) -> None:
        self.matrix = check_finite(matrix)
        n_rows, self.n_labels = self.matrix.shape
        self.row = np.full(max(self.n_labels, n_rows), -1)
        self.row[np.arange(n_rows) if sources is None else np.asarray(sources)] = np.arange(n_rows)

    def check(self) -> None:
        """Raise `InputError` with the place if the rows are no metric, see `labelwise.parts.metric.check_metric`."""
        sources = np.empty(len(self.matrix), dtype=np.int64)
        sources[self.row[self.row >= 0]] = np.flatnonzero(self.row >= 0)
        check_metric(self.matrix, sources, accept="For any costs of mistakes pass metric=False.")

    def distances(self, sources: Ints) -> Singles:
        """(K, N) rows of the matrix."""
        rows = self.row[sources]
        if (rows < 0).any():
            raise InputError(
                f"distances has no row for label {sources[int((rows < 0).argmax())]}: give (N, N) distances, or a graph."
            )
        return np.asarray(self.matrix[rows], dtype=np.float32)

    def nearest(self, sources: Ints) -> npt.NDArray[np.floating[Any]]:
        """(N,) distance to the nearest of those sources that have a row."""
        rows = self.row[sources]
        return np.asarray(self.matrix[rows[rows >= 0]].min(axis=0))


class Euclidean(LabelSpace):
    """Euclidean distances between label embeddings (N, p): the metric when none is given from outside."""

    def __init__(self, embeddings: npt.ArrayLike) -> None:
        self.embeddings = np.asarray(embeddings, dtype=np.float64)
        if self.embeddings.ndim != 2 or not self.embeddings.size or not np.isfinite(self.embeddings).all():
            raise InputError(
                f"embeddings must be a finite (N, p) array, one row a label. Got shape {self.embeddings.shape}."
            )
        self.n_labels = len(self.embeddings)

    def distances(self, sources: Ints) -> Singles:
        """(K, N) distances of the sources' embeddings to all."""
        return _in_chunks(sources, self.n_labels, lambda part: cdist(self.embeddings[part], self.embeddings))

    def nearest(self, sources: Ints) -> npt.NDArray[np.floating[Any]]:
        """(N,) distance to the nearest source."""
        near = np.full(self.n_labels, np.inf)
        for start in range(0, len(sources), CHUNK):
            part = cdist(self.embeddings[sources[start : start + CHUNK]], self.embeddings)
            np.minimum(near, part.min(axis=0), out=near)
        return near


class Graph(LabelSpace):
    """Shortest paths in a connected undirected graph; on a tree in one pass over its levels.

    Parameters
    ----------
    adjacency
        (M, M) sparse matrix of positive edge lengths; one direction is enough, and of two lengths the larger counts.
    n_labels
        The first so many nodes are labels; the others only connect. Default: all.
    """

    def __init__(self, adjacency: Any, n_labels: int | None = None) -> None:
        graph = sparse.csr_array(adjacency, dtype=np.float64)
        if graph.shape[0] != graph.shape[1]:
            raise InputError(f"the label graph must be a square sparse matrix. Got shape {graph.shape}.")
        graph.setdiag(0)
        graph.eliminate_zeros()
        good = np.isfinite(graph.data) & (graph.data > 0)
        if not good.all():
            edge = sparse.coo_array(graph)
            at = int(good.argmin())
            raise InputError(
                "the label graph must have positive, finite edge lengths. "
                f"Got {edge.data[at]:g} between labels {edge.row[at]} and {edge.col[at]}."
            )
        self.graph = sparse.csr_array(graph.maximum(graph.T))
        _check_connected(self.graph)
        n_nodes = self.graph.shape[0]
        self.n_labels = n_nodes if n_labels is None else n_labels
        self.is_tree = bool(self.graph.nnz == 2 * (n_nodes - 1))
        if self.is_tree:
            self._root()

    def _root(self) -> None:
        """Order the nodes from node 0 outwards: `parent`, edge `length` to it, and `levels` of equal depth."""
        order, parent = csgraph.breadth_first_order(self.graph, 0, directed=False)
        parent[0] = 0
        depth = [0] * len(order)
        for node, above in zip(order[1:].tolist(), parent[order[1:]].tolist(), strict=True):
            depth[node] = depth[above] + 1
        self.depth, self.parent = np.array(depth), parent
        self.levels = np.split(order, np.flatnonzero(np.diff(self.depth[order])) + 1)
        self.length = np.zeros(len(order))
        edge = sparse.coo_array(self.graph)
        up = (parent[edge.row] == edge.col) & (edge.row != 0)
        self.length[edge.row[up]] = edge.data[up]

    def distances(self, sources: Ints) -> Singles:
        """(K, N) lengths of shortest paths."""
        if self.is_tree and len(self.levels) < DEEP:
            return self._tree_distances(sources)
        return _in_chunks(
            sources,
            self.n_labels,
            lambda part: csgraph.dijkstra(self.graph, directed=False, indices=part)[:, : self.n_labels],
        )

    def _tree_distances(self, sources: Ints) -> Singles:
        """From the root down: an edge leads away from a source, unless it lies on the source's way to the root."""
        distance = np.empty((len(self.parent), len(sources)), dtype=np.float32)
        at = [np.asarray(sources)]  # where each source's way to the root stands, from the deepest level up
        for level in range(len(self.levels) - 1, 0, -1):
            at.append(np.where(self.depth[at[-1]] >= level, self.parent[at[-1]], at[-1]))
        distance[0] = self._depths()[sources]
        for level, (nodes, way) in enumerate(zip(self.levels[1:], at[-2::-1], strict=True), start=1):
            distance[nodes] = distance[self.parent[nodes]] + self.length[nodes, None].astype(np.float32)
            column = np.flatnonzero(self.depth[way] == level)
            node = way[column]
            distance[node, column] = distance[self.parent[node], column] - self.length[node]
        return distance[: self.n_labels].T

    def _depths(self) -> npt.NDArray[np.float64]:
        total = np.zeros(len(self.parent))
        for nodes in self.levels[1:]:
            total[nodes] = total[self.parent[nodes]] + self.length[nodes]
        return total

    def nearest(self, sources: Ints) -> npt.NDArray[np.floating[Any]]:
        """(N,) length of the shortest path to any source."""
        near = csgraph.dijkstra(self.graph, directed=False, indices=sources, min_only=True)
        return np.asarray(near[: self.n_labels])

    def between(self, sources: Ints) -> Bools:
        """(N,) labels on the paths between `sources`, which are among them; only on a tree."""
        observed = np.zeros(len(self.parent), dtype=np.int64)
        observed[sources] = 1
        below, branches = observed.copy(), np.zeros(len(self.parent), dtype=np.int64)
        for nodes in self.levels[:0:-1]:
            np.add.at(below, self.parent[nodes], below[nodes])
            np.add.at(branches, self.parent[nodes], below[nodes] > 0)
        branches += below < observed.sum()
        found: Bools = (observed > 0) | (branches >= 2)
        return found[: self.n_labels]


def _check_connected(graph: Any) -> None:
    parts, member = csgraph.connected_components(graph, directed=False)
    if parts > 1:
        first = np.sort(np.unique(member, return_index=True)[1])
        sizes = np.bincount(member)[member[first]]
        told = [f"label {label} (with {size - 1} more)" for label, size in zip(first[:5], sizes[:5], strict=True)]
        raise InputError(
            f"the label graph falls into {parts} parts: label {first[1]} cannot be reached from label 0. The parts hold "
            f"{', '.join(told)}{', ...' if parts > 5 else ''}. Connect them by edges."
        )


def _in_chunks(sources: Ints, n_labels: int, work: Any) -> Singles:
    found = np.empty((len(sources), n_labels), dtype=np.float32)
    for start in range(0, len(sources), CHUNK):
        found[start : start + CHUNK] = work(sources[start : start + CHUNK])
    return found


def taxonomy(parents: npt.ArrayLike) -> Graph:
    """Tree of labels from the number of each label's parent, -1 for a root; several roots meet one step further up.

    >>> taxonomy([-1, 0, 0, 1]).distances(np.array([3]))
    array([[2., 1., 3., 0.]], dtype=float32)
    """
    above = np.asarray(parents)
    if above.ndim != 1 or not above.size or above.dtype.kind not in "iu":
        raise InputError(f"a taxonomy must be a list of N parents, whole numbers. Got shape {above.shape}.")
    n_labels = len(above)
    bad = np.flatnonzero((above >= n_labels) | (above < -1))
    if bad.size:
        raise InputError(f"parents must be -1 or below {n_labels}. Got {above[bad[0]]} for label {bad[0]}.")
    _check_no_cycle(above)
    roots = above == -1
    shared = int(roots.sum() > 1)
    child = np.flatnonzero(~roots | bool(shared))
    above = np.where(roots, n_labels, above)[child]
    size = n_labels + shared
    return Graph(sparse.coo_array((np.ones(len(child)), (child, above)), shape=(size, size)), n_labels)


def _check_no_cycle(above: Ints) -> None:
    """Follow all labels so many steps up that only those on or below a cycle are still on the way."""
    top = len(above)
    jump = np.append(np.where(above < 0, top, above), top)
    for _ in range(top.bit_length()):
        jump = jump[jump]
    caught = np.flatnonzero(jump[:top] < top)
    if not caught.size:
        return
    way = [int(jump[caught[0]])]
    while int(above[way[-1]]) != way[0]:
        way.append(int(above[way[-1]]))
    if len(way) == 1:
        raise InputError(f"parents must form a tree, but label {way[0]} is its own parent. Give -1 for a root.")
    start = way.index(min(way))
    way = [*way[start:], *way[:start], way[start]]
    told = " -> ".join(map(str, way if len(way) <= 12 else [*way[:10], "...", way[-1]]))
    raise InputError(
        f"parents must form a tree, but these {len(way) - 1} labels are a cycle, each the child of the next: {told}. "
        "Give one of them another parent, or -1 for a root."
    )


def edges(pairs: Sequence[tuple[Any, ...]]) -> Graph:
    """Graph of labels from ``(a, b)`` or ``(a, b, length)`` tuples of label numbers.

    >>> edges([(0, 1), (1, 2, 2.5)]).distances(np.array([0]))
    array([[0. , 1. , 3.5]], dtype=float32)
    """
    bad = [pair for pair in pairs if len(pair) not in (2, 3) or min(pair[:2]) < 0]
    if bad or not pairs:
        raise InputError(
            f"an edge must be (label, label) or (label, label, length). Got {bad[0] if bad else 'no edge'}."
        )
    ends = np.array([pair[:2] for pair in pairs], dtype=np.int64)
    length = np.array([pair[2] if len(pair) == 3 else 1.0 for pair in pairs], dtype=np.float64)
    if not (length > 0).all():
        raise InputError(f"edge lengths must be positive. Got {pairs[int((length > 0).argmin())]}.")
    size = int(ends.max()) + 1
    adjacency = sparse.dok_array((size, size))
    for (a, b), one in zip(ends.tolist(), length.tolist(), strict=True):
        adjacency[a, b] = one
    return Graph(adjacency)


def label_space(distances: Any, *, metric: bool = True) -> LabelSpace:
    """Read what describes a label space: a (K, N) array, a sparse graph, a list of edge tuples, a list of parents.

    An (N, N) array that is not a metric is refused unless `metric` is False; one of (K, N) can be judged only where it is
    known which labels its rows belong to (`Matrix.check`).
    """
    if isinstance(distances, LabelSpace):
        return distances
    if sparse.issparse(distances):
        return Graph(distances)
    if isinstance(distances, list) and distances and all(isinstance(pair, tuple) for pair in distances):
        return edges(distances)
    if np.ndim(distances) == 1:
        return taxonomy(distances)
    space = Matrix(distances)
    if metric and len(space.matrix) == space.n_labels:
        space.check()
    return space
