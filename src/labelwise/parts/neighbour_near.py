"""The cells to look through for the neighbours of each cell's rows, and the rows in fewer directions to look at.

A row is compared with those of near cells, which costs as many multiplications as rows have columns. Where a few directions
hold nearly all of the rows' length, rows are compared in these, and only the best of them in all columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelwise.parts.neighbour_cells import Cells, Raw
from labelwise.parts.neighbour_kernels import half_norms
from labelwise.parts.work import Held, Span, Store, Work, inner, parts

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

MOST = 2**16
"""Rows that are looked at for a row, about, before an approximate search gives up what is still missing."""
PRODUCTS = 2**23
"""Multiplications for a row, about, before it does."""
SHARE = 0.95
"""Part of the rows' squared length that fewer directions must hold."""
SAMPLE = 20
"""Rows a column that the directions are fitted to."""
LEAST = 64
"""Columns from which on fewer directions save more than they cost."""
SLACK = 8
"""Neighbours kept beyond k while scanning in float32, so that rounding cannot decide who is among the k."""
MORE = 3
"""Times as many candidates are kept while scanning in fewer directions."""


class Asked(NamedTuple):
    """What is searched for.

    Attributes
    ----------
    k
        Neighbours a row.
    recall
        What the lower end of the 90 % interval of the sampled recall must reach.
    whole
        Compare all rows: the exact result, whatever it costs.
    unit
        Rows are unit vectors, and a distance is 1 - cosine.
    seed
        Chooses samples.
    """

    k: int
    recall: float
    whole: bool
    unit: bool
    seed: int

    def enough(self, share: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether shares of true neighbours found, a row a sampled row, are high enough, column by column."""
        low = share.mean(0) - 1.28 * share.std(0) / math.sqrt(len(share))
        return np.asarray(low >= self.recall)


class Near(NamedTuple):
    """Cells, and for each the cells to search.

    Attributes
    ----------
    rows, numbers, ends
        As in `Cells`.
    near
        The cells to search, the nearest (the cell itself) first, int32 (C, W).
    thin
        The rows in fewer directions, float32 (n, r + 1), the last column the length of what they leave out; None: there
        are no such directions.
    """

    rows: Raw
    numbers: Store
    ends: Indices
    near: Store
    thin: Store | None = None

    def opened(self) -> Near:
        """Return the same with the files open, for many reads."""
        thin = None if self.thin is None else Held(self.thin.open())
        return self._replace(rows=self.rows._replace(store=Held(self.rows.store.open())), thin=thin)

    def span(self, cell: int) -> Span:
        """Return where the rows of a cell lie."""
        return (int(self.ends[cell - 1]) if cell else 0), int(self.ends[cell])

    def cell(self, places: NDArray[Any]) -> Indices:
        """Return the cells of some places."""
        return np.asarray(np.searchsorted(self.ends, places, side="right"), dtype=np.int64)

    def gathered(self, store: Store, cells: NDArray[Any]) -> NDArray[Any]:
        """Return what is stored of the rows of some cells, one cell after the other."""
        stored = store.open()
        return np.concatenate([stored[slice(*self.span(int(cell)))] for cell in cells])

    def read(self, cells: NDArray[Any]) -> Floats:
        """Return the rows of some cells."""
        return self.rows.form(self.gathered(self.rows.store, cells))

    def places(self, cells: NDArray[Any]) -> Indices:
        """Return where the rows of some cells lie among the sorted rows."""
        return np.concatenate([np.arange(*self.span(int(cell))) for cell in cells])


Nearest = Callable[[Floats, int], Indices]


def near_cells(cells: Cells, asked: Asked, work: Work, nearest: Nearest) -> Near:
    """Return the cells to search for each, by distance of their means; `nearest` finds near means."""
    thin = thinned(cells.rows, (int(cells.ends[-1]), cells.means.shape[1]), asked.seed, work)
    most = most_rows(cells.means.shape[1] if thin is None else thin.open().shape[1])
    near = work.shared("near", ranked(cells, asked.k, most, nearest))
    return Near(cells.rows, cells.numbers, cells.ends, near, thin)


def most_rows(width: int) -> int:
    """Return how many rows of so many columns are looked at for one."""
    return min(MOST, PRODUCTS // width)


def ranked(cells: Cells, k: int, most: int, nearest: Nearest) -> NDArray[np.int32]:
    """Return for every cell the cells to search: about `most` rows, and more than k."""
    number = len(cells.ends)
    sizes = np.diff(cells.ends, prepend=0)
    ranks = ranks_of(most, cells.ends)
    own = np.arange(number)[:, None]
    while True:
        others = nearest(cells.means, ranks - 1) if ranks > 1 else np.empty((number, 0), np.int64)
        near = np.concatenate([own, others], axis=1).astype(np.int32)
        if ranks == number or sizes[near].sum(1).min() > k:
            return near
        ranks = min(number, 4 * ranks)


def ranks_of(most: int, ends: Indices) -> int:
    """Return how many cells hold about `most` rows."""
    return min(len(ends), max(8, math.ceil(most * len(ends) / int(ends[-1]))))


def thinned(rows: Raw, shape: tuple[int, int], seed: int, work: Work) -> Store | None:
    """Return rows in the fewest directions that hold `SHARE` of their squared length, None where half the columns do not."""
    n, d = shape
    if d < LEAST:
        return None
    rng = np.random.default_rng([seed, 2])
    some = np.sort(rng.choice(n, min(n, SAMPLE * d), replace=False, shuffle=False))
    Z = rows.form(rows.store.open()[some]).astype(np.float64)
    held, axes = np.linalg.eigh(Z.T @ Z)
    number = 1 + int(np.searchsorted(np.cumsum(held[::-1]), SHARE * held.sum()))
    number = min(d, 8 * math.ceil((number + 1) / 8) - 1)  # with the last column whole vectors of the processor
    if 2 * (number + 1) > d:
        return None
    basis = np.ascontiguousarray(axes[:, ::-1][:, :number], dtype=np.float32)
    return work.filled("thin", (n, number + 1), np.float32, partial(_project, rows, basis), parts(n))


def _project(rows: Raw, basis: Floats, out: Store, span: Span) -> None:
    target = out.open("r+")
    for start, stop in inner(span):
        Z = rows.read(start, stop)
        target[start:stop, :-1] = Z @ basis
        left = half_norms(Z) - half_norms(target[start:stop, :-1])
        target[start:stop, -1] = np.sqrt(2 * np.maximum(left, 0))


def candidates(k: int) -> int:
    """Return how many rows are kept of those compared in fewer directions."""
    return MORE * (k + SLACK)


def asking(thin: Floats) -> Floats:
    """Return thin rows as others are compared with them.

    What two rows leave out is taken to be at right angles: x . z is the product of their directions, and |z|^2 is whole.
    """
    query = thin.copy()
    query[:, -1] = 0
    return query
