"""The nearest rows of every row: all pairs of blocks, or the cells that lie near a row's own cell.

What is scored first is the rows of the same cell, then those of the cell with the nearest mean, and so on. How far to go
is read off a sample of rows whose true neighbours are known from one pass over everything: the first rank up to which the
cells hold enough of them. At most `MOST` rows are scored for one, so that the cost stays proportional to the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelwise.parts.blocks import Block, Engine, spans
from labelwise.parts.neighbour_cells import BLOCK, Cells, Raw
from labelwise.parts.neighbour_kernels import (
    half_norms,
    keep_by_column,
    keep_by_row,
    keep_scores,
    squared_distances,
)
from labelwise.parts.work import Held, Span, Store, Work, inner, parts

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

SLACK = 8
"""Neighbours kept beyond k while scanning in float32, so that rounding cannot decide who is among the k."""
QUERIES = 500
"""Rows whose exact neighbours are found to measure the recall."""
MOST = 2**16
"""Rows that are scored for a row, about, before an approximate search gives up what is still missing."""
GROUP = 8192
"""Most rows of the cells that one task searches for."""
GROUPS = 64
"""Least number of tasks, where there are rows enough."""


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

    def enough(self, share: Floats | NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether shares of true neighbours found, a row a sampled row, are high enough, column by column."""
        low = share.mean(0) - 1.28 * share.std(0) / math.sqrt(len(share))
        return np.asarray(low >= self.recall)


class Found(NamedTuple):
    """Distances and row numbers of neighbours (n, k), where they are stored, and the measured recall."""

    distances: Store
    indices: Store
    recall: float


class Near(NamedTuple):
    """Cells, and for each the cells to search, the nearest (itself) first: int32 (C, W), where it is stored."""

    rows: Raw
    numbers: Store
    ends: Indices
    near: Store

    def opened(self) -> Near:
        """Return the same with the file of the rows open, for many reads."""
        return self._replace(rows=self.rows._replace(store=Held(self.rows.store.open())))

    def span(self, cell: int) -> Span:
        """Return where the rows of a cell lie."""
        return (int(self.ends[cell - 1]) if cell else 0), int(self.ends[cell])

    def read(self, cells: Indices) -> Floats:
        """Return the rows of some cells, one cell after the other."""
        stored = self.rows.store.open()
        return self.rows.form(np.concatenate([stored[slice(*self.span(int(cell)))] for cell in cells]))

    def places(self, cells: Indices) -> Indices:
        """Return where the rows of some cells lie among the sorted rows."""
        return np.concatenate([np.arange(*self.span(int(cell))) for cell in cells])


def all_pairs(Z: Floats, m: int, block: int, engine: Engine) -> Indices:
    """Return the `m` nearest other rows of each row, every pair of rows scored once.

    One thread a product beats many threads a product, and a row is written by one thread at a time. What is kept does
    not depend on who comes first: among equal scores the lower row number wins.
    """
    scores, indices = empty(len(Z), m)
    half, cuts = half_norms(Z), spans(len(Z), block)
    locks = {start: Lock() for start, _ in cuts}

    def work(piece: tuple[Span, Span]) -> None:
        (a, a_end), (b, b_end) = piece
        product = Z[a:a_end] @ Z[b:b_end].T
        with locks[a]:
            keep_by_row(product, half, a, b, scores, indices)
        if a != b:
            with locks[b]:
                keep_by_column(product, half, a, b, scores, indices)

    pairs = [(p, q) for i, p in enumerate(cuts) for q in cuts[i:]]
    pairs.sort(key=lambda pair: (pair[1][0] - pair[0][0], pair[0]))  # tasks that follow each other touch different rows
    for _ in engine.map(work, pairs):
        pass
    return indices


def empty(n: int, m: int) -> tuple[Floats, Indices]:
    """Return lists of candidates without any."""
    return np.full((n, m), -np.inf, dtype=np.float32), np.full((n, m), -1, dtype=np.int64)


def settled(
    Z: Floats, candidates: Indices, numbers: Indices | None, unit: bool, engine: Engine | None = None
) -> tuple[Floats, Indices]:  # fmt: skip
    """Sort candidates, rows of Z, by recomputed distance, then by number; missing ones (-1) are infinitely far.

    Candidates are those of the first rows of Z. `numbers` says which row each of Z is; None: its place.
    """
    square = np.full(candidates.shape, np.inf)
    if engine is None:
        squared_distances(Z, candidates, square, 0, len(candidates))
    else:
        for _ in engine.map(lambda s: squared_distances(Z, candidates, square, *s), spans(len(candidates), BLOCK)):
            pass
    distance = (square / 2 if unit else np.sqrt(square)).astype(np.float32)
    named = candidates if numbers is None else np.where(candidates >= 0, numbers[candidates], -1)
    order = np.lexsort((named, distance), axis=1)
    return np.take_along_axis(distance, order, 1), np.take_along_axis(named, order, 1)


Nearest = Callable[[Floats, int], Indices]


def search(cells: Cells, asked: Asked, work: Work, nearest: Nearest) -> Found:
    """Return the nearest rows of every row among those of near cells; `nearest` finds near means."""
    n = int(cells.ends[-1])
    ranks = ranked(cells, asked.k, nearest)
    near = Near(cells.rows, cells.numbers, cells.ends, work.shared("near", ranks))
    width, reached = wide_enough(near, ranks, asked, work)
    distances, indices = (
        work.array(name, (n, asked.k), kind) for name, kind in (("distances", np.float32), ("indices", np.int64))
    )
    groups = grouped(cells.ends, min(GROUP, max(1, n // GROUPS)))
    for _ in work.map("indices", partial(_fill, near, width, asked, distances, indices), groups):
        pass
    return Found(distances, indices, reached)


def ranked(cells: Cells, k: int, nearest: Nearest) -> NDArray[np.int32]:
    """Return for every cell the cells to search, by distance of their means: about `MOST` rows, and more than k."""
    number = len(cells.ends)
    sizes = np.diff(cells.ends, prepend=0)
    ranks = min(number, max(8, math.ceil(MOST * number / cells.ends[-1])))
    own = np.arange(number)[:, None]
    while True:
        others = nearest(cells.means, ranks - 1) if ranks > 1 else np.empty((number, 0), np.int64)
        near = np.concatenate([own, others], axis=1).astype(np.int32)
        if ranks == number or sizes[near].sum(1).min() > k:
            return near
        ranks = min(number, 4 * ranks)


def grouped(ends: Indices, rows: int) -> list[Span]:
    """Cut the cells into spans of cells with about `rows` rows together.

    >>> grouped(np.array([3, 5, 9, 12]), 5)
    [(0, 2), (2, 3), (3, 4)]
    """
    task = (ends - 1) // rows
    cuts = np.r_[0, np.flatnonzero(np.diff(task)) + 1, len(ends)].tolist()
    return list(pairwise(cuts))


def _fill(near: Near, width: int, asked: Asked, distances: Store, indices: Store, span: Span) -> Block:
    """Find the neighbours of the rows of some cells and write them into their places."""
    near, order, ranks = near.opened(), near.numbers.open(), near.near.open()
    told, named = distances.open("r+"), indices.open("r+")
    for cell in range(*span):
        around = ranks[cell, :width]
        start, stop = near.span(cell)
        numbers = order[near.places(around)]
        told[numbers[: stop - start]], named[numbers[: stop - start]] = _of_cell(
            near.read(around), stop - start, numbers, asked.k, asked.unit
        )
    return {}


def _of_cell(Z: Floats, count: int, numbers: Indices, k: int, unit: bool) -> tuple[Floats, Indices]:
    """Return distances and numbers of the `k` nearest among all of Z to its first `count` rows."""
    scores, kept = empty(count, min(k + SLACK, len(Z) - 1))
    half = half_norms(Z)
    for start, stop in spans(len(Z), BLOCK):
        keep_by_row(Z[:count] @ Z[start:stop].T, half, 0, start, scores, kept)
    found, named = settled(Z, kept, numbers, unit)
    return found[:, :k], named[:, :k]


def wide_enough(near: Near, ranks: NDArray[np.int32], asked: Asked, work: Work) -> tuple[int, float]:
    """Return how many near cells to search for a sampled recall that is high enough, and that recall."""
    n, k = int(near.ends[-1]), asked.k
    rng = np.random.default_rng([asked.seed, 1])
    places = np.sort(rng.choice(n, min(QUERIES, n), replace=False, shuffle=False))
    bar = kth_scores(near.rows, places, n, k, work)
    least = 1 + int((np.diff(near.ends, prepend=0)[ranks].cumsum(1).min(0) <= k).sum())
    hits, low, high = np.zeros((len(places), 0)), 0, 8
    while True:
        some = [(low, high, part) for part in np.array_split(np.arange(len(places)), 16)]
        new = list(work.engine.map(partial(_hits, near, places, bar), some))
        hits = np.concatenate([hits, np.concatenate(new)], axis=1)
        share = np.minimum(hits.cumsum(1), k) / k
        sure = asked.enough(share)
        sure[: min(least, len(sure)) - 1] = False
        if sure.any() or high >= ranks.shape[1]:
            width = 1 + int(sure.argmax()) if sure.any() else hits.shape[1]
            return width, float(share.mean(0)[width - 1])
        low, high = high, min(2 * high, ranks.shape[1])


def kth_scores(rows: Raw, places: Indices, n: int, k: int, work: Work) -> Floats:
    """Return the score of the k-th best other row of the rows at `places`, a rounding error below."""
    queries = rows.form(rows.store.open()[places])
    found = work.map("truth", partial(_best_scores, rows, places, queries, k), parts(n))
    best = np.sort(np.concatenate([block["scores"] for block in found], axis=1), axis=1)[:, -k]
    return np.asarray(best - np.float32(1e-5) * (np.abs(best) + half_norms(queries)), dtype=np.float32)


def _best_scores(rows: Raw, places: Indices, queries: Floats, k: int, span: Span) -> Block:
    """Return the `k` best scores of the queries among the rows of a span, the row itself left out."""
    best, _ = empty(len(queries), k)
    for start, stop in (cut for block in inner(span) for cut in spans_of(block)):
        Z = rows.read(start, stop)
        scores = queries @ Z.T - half_norms(Z)
        own = np.flatnonzero((places >= start) & (places < stop))
        scores[own, places[own] - start] = -np.inf
        keep_scores(scores, best)
    return {"scores": best}


def spans_of(span: Span) -> list[Span]:
    """Cut a span into blocks of one product."""
    return [(span[0] + start, span[0] + stop) for start, stop in spans(span[1] - span[0], BLOCK)]


def _hits(near: Near, places: Indices, bar: Floats, part: tuple[int, int, Indices]) -> NDArray[np.float64]:
    """Return how many true neighbours of some sampled rows lie in each of the ranks from low to high."""
    low, high, some = part
    near, ranks = near.opened(), near.near.open()[:, low:high]
    counts = np.zeros((len(some), ranks.shape[1]))
    for i, query in enumerate(some):
        place = int(places[query])
        around = ranks[int(np.searchsorted(near.ends, place, side="right"))]
        where, Z = near.places(around), near.read(around)
        scores = Z @ near.rows.read(place, place + 1)[0] - half_norms(Z)
        hit = (scores >= bar[query]) & (where != place)
        sizes = [stop - start for start, stop in (near.span(int(cell)) for cell in around)]
        counts[i] = np.bincount(np.repeat(np.arange(len(around)), sizes), hit, minlength=len(around))
    return counts
