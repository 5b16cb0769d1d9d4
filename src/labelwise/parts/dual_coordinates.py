"""Linear support vector machines of many labels on one sparse matrix: dual coordinate descent, label by label, compiled."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from labelwise.parts.sparse_labels import Ints

Doubles = NDArray[np.float64]


def one_vs_rest_weights(
    x: Any, positive: Any, skipped: Any, C: float, tol: float, max_iter: int, seed: int, size: int
) -> Iterator[tuple[Doubles, int]]:
    """Yield the weights of the labels, some at a time, ``(m, p + 1)`` with the intercept last, and the most passes taken.

    Each label's weights minimise ``|w|^2 / 2 + C sum max(0, 1 - t w.x)^2`` with t of 1 and -1, as scikit-learn's
    ``LinearSVC`` does; the intercept is the weight of a constant feature of 1.

    Parameters
    ----------
    x
        CSR ``(n, p)``.
    positive
        CSC ``(n, L)``: rows of the label are positive, all others negative.
    skipped
        CSC ``(n, L)``: rows that the label's problem leaves out; None leaves none out.
    C, tol, max_iter
        Cost of an error; largest violation of the optimality conditions; most passes.
    seed
        Of the order of rows.
    size
        Labels at a time.

    References
    ----------
    Hsieh, Chang, Lin, Keerthi, Sundararajan: A dual coordinate descent method for large-scale linear SVM. ICML 2008.
    """
    data = x.data.astype(np.float64)
    squares = np.asarray(x.multiply(x).sum(1), dtype=np.float64).ravel() + 1
    arrays = (x.indptr.astype(np.int64), x.indices.astype(np.int64), data, squares)
    n_labels = positive.shape[1]
    solve = partial(_one, arrays, x.shape, positive, skipped, (C, tol, max_iter, seed))
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        for start in range(0, n_labels, size):
            found = list(pool.map(solve, range(start, min(start + size, n_labels))))
            yield np.stack([w for w, _ in found]), max(passes for _, passes in found)


def _one(
    arrays: Any, shape: Any, positive: Any, skipped: Any, how: tuple[float, float, int, int], label: int
) -> tuple[Doubles, int]:
    sign = np.full(shape[0], -1.0)
    sign[_column(positive, label)] = 1.0
    active = np.ones(shape[0], dtype=np.bool_)
    if skipped is not None:
        active[_column(skipped, label)] = False
    C, tol, max_iter, seed = how
    indptr, indices, data, squares = arrays
    rows = np.flatnonzero(active)
    w, passes = _solve(indptr, indices, data, squares, shape[1], sign, rows, C, tol, max_iter, seed + label)
    return w, int(passes)


def _column(matrix: Any, label: int) -> Ints:
    rows: Ints = matrix.indices[matrix.indptr[label] : matrix.indptr[label + 1]]
    return rows


@numba.njit(inline="always")
def _next(state: int) -> int:
    """Step a xorshift generator: the order of rows must not depend on numba's own, which threads share."""
    state ^= (state << 13) & 0x7FFFFFFFFFFFFFFF
    state ^= state >> 7
    state ^= (state << 17) & 0x7FFFFFFFFFFFFFFF
    return state


@numba.njit(nogil=True, cache=True)
def _solve(
    indptr: Ints, indices: Ints, data: Doubles, squares: Doubles, p: int, sign: Doubles, rows: Ints, C: float,
    tol: float, max_iter: int, seed: int,
) -> tuple[Doubles, int]:  # fmt: skip
    """Minimise the dual over one multiplier a row in turn; rows that stay at zero are set aside until the end."""
    w, alpha, ridge = np.zeros(p + 1), np.zeros(len(sign)), 0.5 / C
    kept, state, limit = len(rows), seed * 2654435761 % 2147483647 + 1, np.inf
    passes = 0
    for _ in range(max_iter):
        passes += 1
        highest, lowest = -np.inf, np.inf
        place = 0
        while place < kept:
            state = _next(state)
            other = place + state % (kept - place)
            rows[place], rows[other] = rows[other], rows[place]
            row = rows[place]
            value = w[p]
            for at in range(indptr[row], indptr[row + 1]):
                value += w[indices[at]] * data[at]
            slope = sign[row] * value - 1 + ridge * alpha[row]
            if alpha[row] == 0 and slope > limit:
                kept -= 1
                rows[place], rows[kept] = rows[kept], rows[place]
                continue
            steep = min(slope, 0.0) if alpha[row] == 0 else slope
            highest, lowest = max(highest, steep), min(lowest, steep)
            if abs(steep) > 1e-12:
                new = max(alpha[row] - slope / (squares[row] + ridge), 0.0)
                step = (new - alpha[row]) * sign[row]
                alpha[row] = new
                w[p] += step
                for at in range(indptr[row], indptr[row + 1]):
                    w[indices[at]] += step * data[at]
            place += 1
        if kept == 0 or highest - lowest <= tol:
            if kept == len(rows):
                break
            kept, limit = len(rows), np.inf  # look at all rows once more
            continue
        limit = highest if highest > 0 else np.inf
    return w, passes
