"""Means, spreads and ranges of columns, and columns on one scale, by blocks of rows."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelwise.parts.blocks import Block
from labelwise.parts.work import Floats, Rows, Scale, Scaled, Source, Span, Work, inner, parts, read, source_of

Doubles = NDArray[np.float64]

SLICE = 512
"""Rows whose doubles stay in the cache while they are summed."""
SAMPLE = 100_000
"""Rows, drawn at random, that medians are taken of where there are more."""


class Columns(NamedTuple):
    """Mean, standard deviation, least and largest value of every column, (d,) each."""

    mean: Doubles
    deviation: Doubles
    low: Doubles
    high: Doubles

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Columns that do not vary beyond rounding."""
        return np.asarray(self.deviation <= 1e-6 * np.maximum(1e-30, np.abs(self.mean)))


def scale_of(found: Columns) -> Scale:
    """Return the scale that centres columns and divides them by their standard deviation; constant ones become zero."""
    constant = found.constant
    factor = np.where(constant, 0, 1 / np.where(constant, 1, found.deviation))
    return Scale(found.mean.astype(np.float32), factor.astype(np.float32))


def centre_and_scale(X: NDArray[np.floating], axes: int | tuple[int, ...] = 0) -> tuple[Doubles, Doubles]:
    """Return mean and standard deviation over `axes`, which are kept with length 1; the deviation of what is constant is 1.

    Constant means that all values are equal: the deviation computed of them is rounding, and to divide by it would blow up
    whatever differs later.

    >>> centre_and_scale(np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 5.0]], dtype=np.float32))[1].round(3)
    array([[1.   , 1.633]])
    """
    mean = X.mean(axes, keepdims=True, dtype=np.float64)
    deviation = X.std(axes, keepdims=True, dtype=np.float64)
    varies = X.max(axes, keepdims=True) > X.min(axes, keepdims=True)
    return mean, np.where(varies & (deviation > 0), deviation, 1.0)


def columns(X: NDArray[np.floating] | Rows, work: Work | None = None, step: str = "columns") -> Columns:
    """Go once through finite features (n, d) and return what their columns are like.

    Sums are taken block by block in the order of the rows, so that they do not depend on who works on the blocks.

    >>> columns(np.array([[1.0, 5.0], [3.0, 5.0]])).deviation
    array([1., 0.])
    """
    source, n = source_of(X), len(X)
    pivot = read(source, 0, 1)[0]
    work = work or Work()
    blocks = list(work.map(step, partial(_column_sums, source, pivot), parts(n)))
    first, second = (np.sum([block[name] for block in blocks], axis=0) / n for name in ("sum", "square"))
    low = np.min([block["low"] for block in blocks], axis=0).astype(np.float64)
    high = np.max([block["high"] for block in blocks], axis=0).astype(np.float64)
    deviation = np.where(low == high, 0.0, np.sqrt(np.maximum(second - first**2, 0)))
    return Columns(pivot + first, deviation, low, high)


def _column_sums(source: Source, pivot: Floats, span: Span) -> Block:
    """Return sums of differences from the first row and of their squares: no digits are lost to a large mean."""
    d = len(pivot)
    first, second = np.zeros(d), np.zeros(d)
    low, high = np.full(d, np.inf, np.float32), np.full(d, -np.inf, np.float32)
    for start, stop in inner(span):
        block = read(source, start, stop)
        low, high = np.minimum(low, block.min(0)), np.maximum(high, block.max(0))
        for row in range(0, len(block), SLICE):
            gap = block[row : row + SLICE].astype(np.float64)
            gap -= pivot
            ones = np.ones(len(gap))
            first += ones @ gap
            second += ones @ np.square(gap, out=gap)
    return {"sum": first, "square": second, "low": low, "high": high}


def on_one_scale(X: NDArray[np.floating] | Rows, found: Columns) -> Floats | Rows:
    """Return all rows on the scale of their columns; those of a file when they are read."""
    scale = scale_of(found)
    return Rows(Scaled(X.store, scale)) if isinstance(X, Rows) else scale(X)


def medians(X: NDArray[np.floating], rng: np.random.Generator) -> Doubles:
    """Return the median of the finite cells of every column, 0 where there is none; of at most `SAMPLE` rows."""
    rows = np.arange(len(X)) if len(X) <= SAMPLE else np.sort(rng.choice(len(X), SAMPLE, replace=False))
    found = np.zeros(X.shape[1])
    for column in range(X.shape[1]):
        cells = X[rows, column].astype(np.float32)
        cells = cells[np.isfinite(cells)]
        found[column] = np.median(cells) if len(cells) else 0.0
    return found
