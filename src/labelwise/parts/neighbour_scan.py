"""The nearest rows of every row: all pairs of blocks, or the cells that lie near a row's own cell.

What is scored first is the rows of the same cell, then those of the cell with the nearest mean, and so on, as far as a
sample of rows whose true neighbours are known says.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelwise.parts.blocks import Block, Engine, spans
from labelwise.parts.neighbour_cells import BLOCK, Cells
from labelwise.parts.neighbour_kernels import half_norms, keep_by_column, keep_by_row, squared_distances
from labelwise.parts.neighbour_near import SLACK, Asked, Near, Nearest, asking, candidates, near_cells
from labelwise.parts.neighbour_sample import reach
from labelwise.parts.work import Span, Store, Work

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

GROUP = 8192
"""Most rows of the cells that one task searches for."""
GROUPS = 64
"""Least number of tasks, where there are rows enough."""


class Found(NamedTuple):
    """Distances and row numbers of neighbours (n, k), where they are stored, and the measured recall."""

    distances: Store
    indices: Store
    recall: float


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


def search(cells: Cells, asked: Asked, work: Work, nearest: Nearest) -> Found:
    """Return the nearest rows of every row among those of near cells; `nearest` finds near means."""
    n = int(cells.ends[-1])
    near, width, reached = reach(near_cells(cells, asked, work, nearest), asked, work)
    distances, indices = (
        work.array(name, (n, asked.k), kind) for name, kind in (("distances", np.float32), ("indices", np.int64))
    )
    groups = grouped(cells.ends, min(GROUP, max(1, n // GROUPS)))
    for _ in work.map("indices", partial(_fill, near, width, asked, distances, indices), groups):
        pass
    return Found(distances, indices, reached)


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
        start, stop = near.span(cell)
        found = _of_cell(near, ranks[cell, :width], stop - start, order, asked)
        told[order[start:stop]], named[order[start:stop]] = (part[:, : asked.k] for part in found)
    return {}


def _of_cell(
    near: Near, around: NDArray[np.int32], count: int, order: Indices, asked: Asked
) -> tuple[Floats, Indices]:  # fmt: skip
    """Return distances and numbers of the nearest rows, best first, to the `count` rows of the first of some cells."""
    numbers = order[near.places(around)]
    if near.thin is None:
        Z = near.read(around)
        return settled(Z, _scanned(Z[:count], Z, asked.k + SLACK), numbers, asked.unit)
    thin = near.gathered(near.thin, around)
    kept = _scanned(asking(thin[:count]), thin, candidates(asked.k))
    some = np.union1d(np.arange(count), kept)
    Z = near.rows.form(near.rows.store.open()[near.places(around)[some]])
    return settled(Z, np.searchsorted(some, kept), numbers[some], asked.unit)


def _scanned(queries: Floats, Z: Floats, m: int) -> Indices:
    """Return the `m` nearest rows of Z to the queries, which are its first rows, themselves left out."""
    scores, kept = empty(len(queries), min(m, len(Z) - 1))
    half = half_norms(Z)
    for start, stop in spans(len(Z), BLOCK):
        keep_by_row(queries @ Z[start:stop].T, half, 0, start, scores, kept)
    return kept
