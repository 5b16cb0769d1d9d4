"""Rows that are copies, or nearly copies, of each other."""

from __future__ import annotations

import hashlib
import re
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
        self, Z: ArrayLike, *, graph: Neighbours | None = None, texts: ArrayLike | None = None
    ) -> DuplicateResult:
        """Group the rows of `Z` (n, d); `graph`: Euclidean neighbours made before; `texts`: the rows' texts (n,)."""
        self.check_fields()
        rows = as_embeddings(Z)
        graph = neighbours(rows, self.k, metric="euclidean") if graph is None else graph
        chance = chance_pairs(rows)
        same = equal_rows(rows) if chance <= 0.1 else np.arange(len(rows))
        links = [np.stack([np.arange(len(rows)), same], 1), self._near(graph) if chance <= 0.1 else _no_links()]
        if texts is not None:
            wording = equal_texts(texts)
            links.append(np.stack([np.arange(len(rows)), wording], 1))
            same = np.minimum(same, wording)
        group = _groups(np.concatenate(links), len(rows))
        exact = np.bincount(same, minlength=len(rows))[same] > 1
        distance = np.where(exact, 0.0, np.where(group >= 0, graph.distances[:, 0].astype(np.float64), np.inf))
        return DuplicateResult(group, exact, distance, chance)

    def _near(self, graph: Neighbours) -> Indices:
        """Return linked pairs (p, 2) of near copies."""
        distances = graph.distances.astype(np.float64)
        nearest, last = distances[:, 0], distances[:, -1]
        k, m = distances.shape[1], dimension(distances)
        ratio = np.divide(nearest, last, out=np.zeros(len(last)), where=last > 0)
        chance = -np.expm1((k - 1) * np.log1p(-np.minimum(ratio**m, 1 - 1e-12)))
        near = rejected(chance, self.rate) & (nearest <= self.closeness * np.median(nearest))
        if not near.any():
            return _no_links()
        reach = min(self.closeness * float(np.median(nearest)), float(nearest[near].max()))
        row, place = np.nonzero((distances <= reach) & near[:, None])
        return np.stack([row, graph.indices[row, place]], 1)


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


def equal_rows(rows: NDArray[np.floating[Any]]) -> Indices:
    """Return for every row the number of the first row equal to it, (n,), by a 128-bit hash."""
    zero = rows.dtype.type(0)  # adding it makes -0.0 equal to 0.0
    return _first_seen(hashlib.blake2b((row + zero).tobytes(), digest_size=16).digest() for row in rows)


def equal_texts(texts: ArrayLike) -> Indices:
    """Return for every text the number of the first equal one, (n,); case, punctuation and spaces do not count.

    >>> equal_texts(["Hello, world", "hello  world!", None, None, ""])
    array([0, 0, 2, 3, 4])
    """
    plain = [
        re.sub(r"\W+", " ", text.casefold()).strip() if isinstance(text, str) else "" for text in np.asarray(texts)
    ]
    return _first_seen(text or number for number, text in enumerate(plain))


def _first_seen(keys: Any) -> Indices:
    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(key, number) for number, key in enumerate(keys)], dtype=np.int64)


def chance_pairs(rows: NDArray[np.floating[Any]]) -> float:
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
