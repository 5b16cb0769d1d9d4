"""The k nearest neighbours of every row, exactly or with a measured recall, without an n by n matrix.

Both searches are one procedure. Rows lie in cells; for a pair of cells one matrix product scores all their pairs of
rows, and a scan keeps the best of every row, on both sides of the product. *Exact* takes every pair of cells (so half
of the products of a plain blocked search). *Approximate* makes the cells by k-means (faiss) and takes pairs of near
cells, nearest first, until the recall on a sample of rows whose exact neighbours are known is shown to be high enough.

Measured in one thread on 20,000 x 384 float32, k = 10: exact 2.8 s (faiss IndexFlat 4.0 s), approximate at recall 0.96
to 0.99 1.2 s (faiss IVF 2.4 s, HNSW 6 to 9 s with its construction).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Literal, NamedTuple

import faiss
import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from labelwise.base import InputError

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Metric = Literal["cosine", "euclidean"]
Span = tuple[int, int]

SLACK = 8
"""Neighbours kept beyond k while scanning in float32, so that rounding cannot decide who is among the k."""
BLOCK = 2048
"""Most rows of a cell that enter one product; the block of scores then stays in the cache."""
EXACT_WORK = 4e11
"""``exact="auto"`` means exact up to this many multiplications, n * n * d: a few seconds on two cores."""
CELL = 256
"""Least mean size of a cell of the approximate search: smaller products waste the processor."""
CHUNK = 64
"""Scores that are compared with the worst kept one before any of them is looked at."""
QUERIES = 500
"""Rows whose exact neighbours are found to measure the recall."""


class Neighbours(NamedTuple):
    """Neighbours of every row, the nearest first, the row itself left out.

    Attributes
    ----------
    distances
        float32 (n, k), ascending.
    indices
        int64 (n, k).
    recall
        Share of the true neighbours found, measured on a sample; 1.0 when exact.
    """

    distances: Floats
    indices: Indices
    recall: float


class _Best(NamedTuple):
    """The best candidates of every row so far, scores descending: what a scan improves."""

    scores: Floats
    indices: Indices


def neighbours(
    X: ArrayLike,
    k: int,
    *,
    metric: Metric = "cosine",
    exact: bool | Literal["auto"] = "auto",
    recall: float = 0.95,
    block: int = BLOCK,
    rng: np.random.Generator | None = None,
) -> Neighbours:
    """Return the `k` nearest other rows of every row.

    Distances are recomputed in double precision from differences of rows, so identical rows are at distance exactly 0,
    and results do not depend on `block`. Equally distant neighbours come by row number; which of them are kept is
    arbitrary only where more than k + 8 rows are equally far up to rounding.

    Parameters
    ----------
    X
        Finite numbers (n, d), n > k.
    k
        Neighbours a row, at least 1.
    metric
        ``cosine``: 1 - cosine similarity, in [0, 2] (a zero row is at distance 0.5 of every other); ``euclidean``.
    exact
        ``"auto"``: exact while n * n * d is at most `EXACT_WORK`.
    recall
        What an approximate search must reach: more cells are searched until the lower end of the 90 % interval of
        the sampled recall is at least this, in (0, 1].
    block
        Most rows in one matrix product: a matter of memory and speed only.
    rng
        Chooses the k-means sample and the rows that measure the recall.

    Returns
    -------
    Neighbours
        ``distances``, ``indices`` and ``recall``.

    Examples
    --------
    >>> found = neighbours([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0]], 1, metric="cosine")
    >>> found.indices.ravel(), found.distances.ravel()
    (array([1, 0, 0]), array([0., 0., 1.], dtype=float32))
    """
    Z = _prepare(X, k, metric)
    rng = rng or np.random.default_rng(0)
    n, d = Z.shape
    if exact is True or (exact == "auto" and n * n * d <= EXACT_WORK) or n <= 4 * (k + SLACK):
        best, reached = _exact(Z, min(k + SLACK, n - 1), block), 1.0
    else:
        best, reached = _approximate(Z, min(k + SLACK, n - 1), k, recall, block, rng)
    distances, indices = _settle(Z, best.indices, metric == "cosine")
    return Neighbours(distances[:, :k].copy(), indices[:, :k].copy(), reached)


def _prepare(X: ArrayLike, k: int, metric: str) -> Floats:
    """Check the input; return unit rows for cosine, centred rows for euclidean (centring keeps products small)."""
    Z = np.asarray(X, dtype=np.float32)
    if Z.ndim != 2 or len(Z) < 2:
        raise InputError(f"X must be numbers of shape (n, d) with at least 2 rows. Got shape {Z.shape}.")
    if not 1 <= k < len(Z):
        raise InputError(f"k must be from 1 to {len(Z) - 1}, the number of other rows. Got {k}.")
    finite = np.isfinite(Z).all(axis=1)
    if not finite.all():
        raise InputError(f"X must be finite. Row {int(finite.argmin())} is not.")
    if metric == "euclidean":
        centred: Floats = Z - Z.mean(0, dtype=np.float64).astype(np.float32)
        return centred
    if metric != "cosine":
        raise InputError(f"metric must be 'cosine' or 'euclidean'. Got {metric!r}.")
    norm = np.sqrt(2 * _half_norms(Z))
    unit: Floats = (Z / np.where(norm > 0, norm, 1)[:, None]).astype(np.float32, copy=False)
    return unit


def _exact(Z: Floats, m: int, block: int) -> _Best:
    best = _empty(len(Z), m)
    _scan(Z, best, _pieces([(0, 0)], np.array([len(Z)]), block))
    return best


def _approximate(
    Z: Floats, m: int, k: int, recall: float, block: int, rng: np.random.Generator
) -> tuple[_Best, float]:  # fmt: skip
    """Search pairs of near cells, ever more of them, until the sampled recall is high enough."""
    n = len(Z)
    sample = rng.choice(n, min(QUERIES, n), replace=False)
    worst = _true_scores(Z, sample, k)
    order, ends = _cells(Z, rng)
    rows = Z[order]
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    nearest, best = _near_cells(rows, ends), _empty(n, m)
    done: set[tuple[int, int]] = set()
    width, reached, low = 4, 0.0, 0.0
    while low < recall and len(done) < len(ends) * (len(ends) + 1) // 2:
        new = {(min(a, b), max(a, b)) for a, near in enumerate(nearest) for b in near[:width].tolist()} - done
        done |= new
        _scan(rows, best, _pieces(sorted(new), ends, block))
        hits = (best.scores[place[sample], :k] >= worst[:, None]).mean(1)
        reached, low = float(hits.mean()), float(hits.mean() - 1.28 * hits.std() / math.sqrt(len(hits)))
        width = math.ceil(width * 1.5)
    return _Best(best.scores[place], order[best.indices[place]]), reached


def _true_scores(Z: Floats, sample: Indices, k: int) -> Floats:
    """Return the score of the k-th best other row of the sampled rows, a rounding error below."""
    half = _half_norms(Z)
    kth: Floats = np.empty(len(sample), dtype=np.float32)
    step = max(1, 2**25 // len(Z))
    for start in range(0, len(sample), step):
        some = sample[start : start + step]
        scores = Z[some] @ Z.T - half
        scores[np.arange(len(some)), some] = -np.inf
        kth[start : start + step] = np.partition(scores, -k, axis=1)[:, -k]
    return kth - np.float32(1e-5) * (np.abs(kth) + half[sample])


def _cells(Z: Floats, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Return the row numbers sorted by k-means cell, and where each (non-empty) cell ends."""
    size = max(CELL, math.isqrt(len(Z)))
    cells = max(2, len(Z) // size)
    means = faiss.Kmeans(
        Z.shape[1], cells, niter=6, max_points_per_centroid=64, min_points_per_centroid=1, seed=int(rng.integers(2**31))
    )
    means.train(Z)
    _, cell = means.index.search(Z, 1)
    order = np.argsort(cell[:, 0], kind="stable")
    sizes = np.bincount(cell[:, 0], minlength=cells)
    return order, np.cumsum(sizes[sizes > 0])


def _near_cells(rows: Floats, ends: Indices) -> Indices:
    """Return for every cell all cells, the nearest (itself) first, by squared distance of their means."""
    starts = np.r_[0, ends[:-1]]
    means = np.add.reduceat(rows, starts, axis=0) / (ends - starts)[:, None]
    square = (means**2).sum(1)
    distance = square[:, None] + square - 2 * means @ means.T
    np.fill_diagonal(distance, -np.inf)
    return np.argsort(distance, axis=1, kind="stable")


def _pieces(pairs: Iterable[tuple[int, int]], ends: Indices, block: int) -> list[tuple[Span, Span]]:
    """Return pairs of row ranges, large cells cut into blocks; neighbouring tasks of the list touch different rows."""
    starts = np.r_[0, ends[:-1]]
    pieces = []
    for a, b in pairs:
        left, right = (_cut(int(starts[c]), int(ends[c]), block) for c in (a, b))
        pieces += [(p, q) for i, p in enumerate(left) for q in (left[i:] if a == b else right)]
    return sorted(pieces, key=lambda piece: (piece[1][0] - piece[0][0], piece[0]))


def _cut(start: int, end: int, block: int) -> list[tuple[int, int]]:
    return [(first, min(first + block, end)) for first in range(start, end, block)]


def _half_norms(Z: Floats) -> Floats:
    """Return |z|^2 / 2: the nearest row to x has the largest x . z - |z|^2 / 2."""
    half: Floats = (np.einsum("ij,ij->i", Z, Z, dtype=np.float64) / 2).astype(np.float32)
    return half


def _empty(n: int, m: int) -> _Best:
    return _Best(np.full((n, m), -np.inf, dtype=np.float32), np.full((n, m), -1, dtype=np.int64))


def _scan(Z: Floats, best: _Best, pieces: list[tuple[Span, Span]]) -> None:
    """Score every pair of rows of every pair of ranges once, and keep the best of both rows.

    One thread a product beats many threads a product, and a row is written by one thread at a time. What is kept does
    not depend on who comes first: among equal scores the lower row number wins.
    """
    half = _half_norms(Z)
    locks = {start: Lock() for pair in pieces for start, _ in pair}

    def work(piece: tuple[Span, Span]) -> None:
        (a, a_end), (b, b_end) = piece
        product = Z[a:a_end] @ Z[b:b_end].T
        with locks[a]:
            _keep_by_row(product, half, a, b, best.scores, best.indices)
        if a != b:
            with locks[b]:
                _keep_by_column(product, half, a, b, best.scores, best.indices)

    _in_threads(work, pieces)


def _in_threads(work: Callable[[Any], None], tasks: Sequence[Any]) -> None:
    pool = ThreadPoolExecutor(numba.get_num_threads())
    with threadpool_limits(1):
        try:
            deque(pool.map(work, tasks), maxlen=0)
        finally:
            pool.shutdown(cancel_futures=True)


@numba.njit(inline="always")
def _insert(scores: Floats, indices: Indices, score: float, index: int) -> None:
    """Put a candidate into its place of a list, best first, equal ones by row number; the last one falls out."""
    p = len(scores) - 1
    if scores[p] == score and indices[p] < index:
        return
    while p > 0 and (scores[p - 1] < score or (scores[p - 1] == score and indices[p - 1] > index)):
        scores[p], indices[p] = scores[p - 1], indices[p - 1]
        p -= 1
    scores[p], indices[p] = score, index


@numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"})
def _keep_by_row(product: Floats, half: Floats, a: int, b: int, scores: Floats, indices: Indices) -> None:
    """Offer every column to its row. A chunk without a candidate, nearly every one, costs one vectorised maximum."""
    height, width = product.shape
    for r in range(height):
        row = a + r
        for start in range(0, width, CHUNK):
            stop, top = min(start + CHUNK, width), np.float32(-np.inf)
            for c in range(start, stop):
                top = max(top, product[r, c] - half[b + c])
            if top >= scores[row, -1]:
                for c in range(start, stop):
                    score = product[r, c] - half[b + c]
                    if score >= scores[row, -1] and b + c != row:
                        _insert(scores[row], indices[row], score, b + c)


@numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"})
def _keep_by_column(product: Floats, half: Floats, a: int, b: int, scores: Floats, indices: Indices) -> None:
    """Offer every row to its column, a chunk of columns at a time, read row by row."""
    height, width = product.shape
    for start in range(0, width, CHUNK):
        stop = min(start + CHUNK, width)
        bar = scores[b + start : b + stop, -1].copy()
        for r in range(height):
            shift, top = half[a + r], np.float32(-np.inf)
            for c in range(stop - start):
                top = max(top, product[r, start + c] - shift - bar[c])
            if top >= 0:
                for c in range(stop - start):
                    score = product[r, start + c] - shift
                    if score >= bar[c]:
                        _insert(scores[b + start + c], indices[b + start + c], score, a + r)
                        bar[c] = scores[b + start + c, -1]


@numba.njit(nogil=True, cache=True)
def _squared_distances(Z: Floats, indices: Indices, square: NDArray[np.float64], first: int, end: int) -> None:
    """Fill in squared distances to the listed rows, in double precision."""
    for row in range(first, end):
        for p in range(indices.shape[1]):
            other = indices[row, p]
            if other >= 0:
                total = 0.0
                for c in range(Z.shape[1]):
                    gap = np.float64(Z[row, c]) - np.float64(Z[other, c])
                    total += gap * gap
                square[row, p] = total


def _settle(Z: Floats, candidates: Indices, cosine: bool) -> tuple[Floats, Indices]:
    """Sort the candidates by recomputed distance, then by row number; missing ones (-1) are infinitely far."""
    square = np.full(candidates.shape, np.inf)
    _in_threads(lambda part: _squared_distances(Z, candidates, square, *part), _cut(0, len(Z), BLOCK))
    distance = (square / 2 if cosine else np.sqrt(square)).astype(np.float32)
    order = np.lexsort((candidates, distance), axis=1)
    return np.take_along_axis(distance, order, 1), np.take_along_axis(candidates, order, 1)
