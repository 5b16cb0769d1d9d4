"""Rows that are copies, or nearly copies, of each other."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from labelwise.base import Card, Count, Fields, Fraction, Method
from labelwise.diagnostics.outliers import dimension, rejected
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.neighbours import Neighbours, neighbours
from labelwise.parts.row_hashes import equal_rows, first_equal, text_hashes
from labelwise.parts.work import Rows, Work

Indices = NDArray[np.int64]
SAMPLE = 20_000
"""Rows from which the probability of copies by chance is estimated."""


class DuplicateResult(NamedTuple):
    """What `NearDuplicates` finds.

    Attributes
    ----------
    group
        Number of the group of copies each row belongs to, -1 for a row without copies, (n,).
    exact
        Whether a row has an exact copy, (n,).
    distance
        Distance to the nearest copy, (n,); infinite for a row without copies.
    by_chance
        Number of pairs of equal rows to be expected among rows with independent columns: above 0.1 nothing is grouped,
        because equal rows are then no copies (few columns with few values).
    """

    group: Indices
    exact: NDArray[np.bool_]
    distance: NDArray[np.float64]
    by_chance: float

    @property
    def extra(self) -> NDArray[np.bool_]:
        """Rows that could go: all of each group but its first."""
        first = np.zeros(len(self.group), dtype=bool)
        first[np.unique(self.group, return_index=True)[1]] = True
        return (self.group >= 0) & ~first

    def _repr_html_(self) -> str:
        return html_of(self)


class NearDuplicates(Method, Fields):
    """Groups of rows that are exact copies (by hash), equal texts, or nearer than chance brings rows.

    Near means both: nearer than `closeness` times the median distance of nearest neighbours, and improbable. In m
    dimensions of even density (d_1 / d_k)^m is the least of k - 1 uniform numbers; so the ratio of the nearest to the
    k-th distance has a known law whatever the density, and the false discovery rate of near copies is held at `rate`.

    Parameters
    ----------
    closeness
        Largest distance of near copies, relative to the median distance to the nearest neighbour.
    rate
        Share of the rows with near copies that may have them by chance.
    k
        Neighbours looked at.

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(300, 8))
    >>> Z[100] = Z[5]
    >>> Z[200] = Z[6] + 0.001
    >>> found = NearDuplicates().measure(Z)
    >>> np.flatnonzero(found.group >= 0), np.flatnonzero(found.exact)
    (array([  5,   6, 100, 200]), array([  5, 100]))
    """

    closeness: Annotated[float, Fraction] = 0.3
    rate: Annotated[float, Fraction] = 0.05
    k: Annotated[int, Count] = 10

    card = Card(
        kind="diagnostic",
        handles=frozenset({"duplicates"}),
        supervision=frozenset(),
        task="any",
        cost="seconds",
    )

    def measure(
        self,
        Z: ArrayLike | Rows,
        *,
        graph: Neighbours | None = None,
        texts: ArrayLike | None = None,
        wording: Indices | None = None,
        work: Work | None = None,
    ) -> DuplicateResult:
        """Group the rows of `Z`.

        Parameters
        ----------
        Z
            Embeddings (n, d), in memory or rows of a file.
        graph
            Euclidean neighbours made before.
        texts
            The rows' texts (n,).
        wording
            In the stead of texts, the number of the first row with the same text (n,).
        work
            What works on the blocks of rows.
        """
        self.check_fields()
        rows = as_embeddings(Z)
        graph = neighbours(rows, self.k, metric="euclidean") if graph is None else graph
        chance, own = chance_pairs(rows), np.arange(len(rows))
        same = equal_rows(rows, work) if chance <= 0.1 else own
        links = [_links(same), self._near(graph) if chance <= 0.1 else _no_links()]
        if texts is not None:
            wording = equal_texts(texts)
        if wording is not None:
            links.append(_links(wording))
            same = np.minimum(same, wording)
        group = _groups(np.concatenate(links), len(rows))
        exact = np.bincount(same, minlength=len(rows))[same] > 1
        distance = np.where(exact, 0.0, np.where(group >= 0, graph.distances[:, 0].astype(np.float64), np.inf))
        return DuplicateResult(group, exact, distance, chance)

    def _near(self, graph: Neighbours) -> Indices:
        """Return linked pairs (p, 2) of near copies."""
        nearest, last = (np.asarray(graph.distances[:, place], dtype=np.float64) for place in (0, -1))
        k, m = graph.distances.shape[1], dimension(graph.distances)
        ratio = np.divide(nearest, last, out=np.zeros(len(last)), where=last > 0)
        chance = -np.expm1((k - 1) * np.log1p(-np.minimum(ratio**m, 1 - 1e-12)))
        near = np.flatnonzero(rejected(chance, self.rate) & (nearest <= self.closeness * np.median(nearest)))
        if not len(near):
            return _no_links()
        reach = min(self.closeness * float(np.median(nearest)), float(nearest[near].max()))
        row, place = np.nonzero(np.asarray(graph.distances[near], dtype=np.float64) <= reach)
        return np.stack([near[row], np.asarray(graph.indices[near])[row, place]], 1)


def _links(first: Indices) -> Indices:
    """Return the pairs (p, 2) of rows and the first rows that they equal."""
    rows = np.flatnonzero(first != np.arange(len(first)))
    return np.stack([rows, first[rows]], 1)


def _no_links() -> Indices:
    return np.empty((0, 2), dtype=np.int64)


def _groups(links: Indices, n: int) -> Indices:
    """Number the connected sets of at least two rows, in the order of their first rows; -1 for single rows."""
    joined = sparse.coo_matrix((np.ones(len(links), dtype=bool), (links[:, 0], links[:, 1])), (n, n))
    label = connected_components(joined, directed=False)[1]
    several = np.bincount(label)[label] > 1
    group = np.full(n, -1, dtype=np.int64)
    if several.any():
        _, first, number = np.unique(label[several], return_index=True, return_inverse=True)
        group[several] = np.argsort(np.argsort(first))[number]
    return group


def equal_texts(texts: ArrayLike) -> Indices:
    """Return for every text the number of the first equal one, (n,); case, punctuation and spaces do not count.

    >>> equal_texts(["Hello, world", "hello  world!", None, None, ""])
    array([0, 0, 2, 3, 4])
    """
    return first_equal(text_hashes(np.asarray(texts, dtype=object)))


def chance_pairs(rows: NDArray[np.floating[Any]] | Rows) -> float:
    """Return how many pairs of equal rows there would be among all if columns were independent."""
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    pairs = len(rows) * (len(rows) - 1) / 2
    for column in sample.T:
        counts = np.unique(column, return_counts=True)[1]
        # unbiased, so that a column of different values cannot make copies by chance
        pairs *= max(0.0, float((counts * (counts - 1.0)).sum()) / (len(sample) * (len(sample) - 1.0)))
        if pairs < 1e-6:
            return 0.0
    return pairs
