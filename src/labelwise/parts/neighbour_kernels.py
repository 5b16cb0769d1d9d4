"""Loops of the search for neighbours: which scores of a block are kept, and distances in double precision.

A row x is near z when ``x . z - |z|^2 / 2`` is large; `half` holds ``|z|^2 / 2``.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

CHUNK = 64
"""Scores that are compared with the worst kept one before any of them is looked at."""


def half_norms(Z: Floats) -> Floats:
    """Return |z|^2 / 2: the nearest row to x has the largest x . z - |z|^2 / 2."""
    half = np.empty(len(Z), dtype=np.float32)
    _half_norms(Z, half)
    return half


@numba.njit(nogil=True, cache=True, fastmath={"nsz", "reassoc"})
def _half_norms(Z: Floats, half: Floats) -> None:
    for row in range(Z.shape[0]):
        total = 0.0
        for c in range(Z.shape[1]):
            total += np.float64(Z[row, c]) * np.float64(Z[row, c])
        half[row] = total / 2


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
def keep_by_row(product: Floats, half: Floats, a: int, b: int, scores: Floats, indices: Indices) -> None:
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
def keep_by_column(product: Floats, half: Floats, a: int, b: int, scores: Floats, indices: Indices) -> None:
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
def keep_scores(scores: Floats, first: int, best: Floats, places: Indices) -> None:
    """Merge every row of `scores`, of the rows from `first` on, into the best of it, descending, and where these are."""
    for r in range(len(scores)):
        for c in range(scores.shape[1]):
            score = scores[r, c]
            if score > best[r, -1]:
                _insert(best[r], places[r], score, first + c)


@numba.njit(nogil=True, cache=True)
def squared_distances(Z: Floats, indices: Indices, square: NDArray[np.float64], first: int, end: int) -> None:
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
