"""Where a model errs more than elsewhere: slices of the rows, compared with the rest, and corrected for their number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from labelwise.advice.statistics import holm
from labelwise.base import Estimate
from labelwise.parts import interval

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]

LEAST = 20
"""Fewest rows of a slice, and of the rest: with fewer nothing could stand out."""
SAME = 0.6
"""Slices that share more than this part of their rows (Jaccard) tell the same; the stronger one is kept."""


@dataclass(frozen=True)
class Slice:
    """Rows that have one thing in common: the column it is read from (or "class", "text length"), and its value."""

    column: str
    value: str
    rows: Bools


@dataclass(frozen=True)
class Weakness:
    """A slice with its error, that of all other rows, and the difference with its interval."""

    slice: Slice
    support: int
    error: Estimate
    elsewhere: float
    difference: Estimate
    p_value: float
    adjusted_p: float = 1.0

    @property
    def weight(self) -> float:
        """Errors that the slice surely has beyond what its size explains."""
        return self.support * self.difference.low


def weak_slices(
    error: ArrayLike, slices: Iterable[Slice], *, level: float = 0.9, most: int = 8, each: int = 3
) -> tuple[list[Weakness], int]:
    """Return the slices whose error is larger than elsewhere beyond chance, and how many were looked at.

    Every slice is compared with all other rows by a one-sided test (Fisher's exact one for errors of 0 and 1, Welch's t
    for sizes of errors), and Holm's correction holds the chance of naming any slice wrongly to ``1 - level``.

    Parameters
    ----------
    error
        Error of every row ``(n,)``: 0 or 1, or its size, from predictions of models that have not seen the row.
    slices
        Slices with masks ``(n,)``; those with fewer than 20 rows in or outside are left out.
    level
        Confidence of the choice and of the intervals.
    most, each
        Most slices to return, and most of one column.

    Examples
    --------
    >>> error = np.r_[np.ones(40), np.zeros(160)]
    >>> dark, even = np.arange(200) < 50, np.arange(200) % 2 == 0
    >>> found, looked = weak_slices(error, [Slice("light", "dark", dark), Slice("row", "even", even)])
    >>> [weakness.slice.value for weakness in found], looked
    (['dark'], 2)
    """
    e = np.asarray(error, dtype=np.float64)
    binary = bool(np.isin(e, (0, 1)).all())
    told = [s for s in slices if LEAST <= s.rows.sum() <= len(e) - LEAST]
    if not told:
        return [], 0
    looked = [_compared(e, s, binary, level) for s in told]
    adjusted = holm([w.p_value for w in looked])
    found = [replace(w, adjusted_p=float(q)) for w, q in zip(looked, adjusted, strict=True)]
    surely = sorted((w for w in found if w.adjusted_p < 1 - level and w.weight > 0), key=lambda w: -w.weight)
    return _different(surely, most, each), len(told)


def _compared(e: Doubles, found: Slice, binary: bool, level: float) -> Weakness:
    inside, outside = e[found.rows], e[~found.rows]
    error = interval.share(inside.sum(), len(inside), level) if binary else mean_of(inside, level)
    difference, p = _shares(inside, outside, level) if binary else _means(inside, outside, level)
    return Weakness(found, len(inside), error, float(outside.mean()), difference, p)


def _shares(inside: Doubles, outside: Doubles, level: float) -> tuple[Estimate, float]:
    """Return the difference of two shares with Newcombe's interval, and Fisher's one-sided p-value."""
    (a, m), (b, n) = (inside.sum(), len(inside)), (outside.sum(), len(outside))
    p = float(stats.hypergeom.sf(a - 1, m + n, a + b, m))
    one, two = (stats.binomtest(int(k), size).proportion_ci(level, "wilson") for k, size in ((a, m), (b, n)))
    x, y = a / m, b / n
    low = (x - y) - float(np.hypot(x - one.low, two.high - y))
    high = (x - y) + float(np.hypot(one.high - x, y - two.low))
    return Estimate(float(x - y), low, high, level), p


def _means(inside: Doubles, outside: Doubles, level: float) -> tuple[Estimate, float]:
    """Return the difference of two means with Welch's interval and one-sided p-value."""
    if np.ptp(inside) == np.ptp(outside) == 0:
        gap = float(inside[0] - outside[0])
        return Estimate(gap, gap, gap, level), 1.0
    test = stats.ttest_ind(inside, outside, equal_var=False, alternative="greater")
    ends = stats.ttest_ind(inside, outside, equal_var=False).confidence_interval(level)
    return Estimate(float(inside.mean() - outside.mean()), float(ends.low), float(ends.high), level), float(test.pvalue)


def mean_of(values: Doubles, level: float = 0.9) -> Estimate:
    """Return the mean of at least two values with its t interval."""
    mean, half = float(values.mean()), float(stats.t.ppf(0.5 + level / 2, len(values) - 1) * stats.sem(values))
    return Estimate(mean, mean - half, mean + half, level)


def _different(ordered: Sequence[Weakness], most: int, each: int) -> list[Weakness]:
    """Keep the strongest of slices that share most of their rows, and few of any one column."""
    kept: list[Weakness] = []
    for weakness in ordered:
        same = [k for k in kept if k.slice.column == weakness.slice.column]
        if len(same) < each and all(_overlap(k.slice.rows, weakness.slice.rows) <= SAME for k in kept):
            kept.append(weakness)
        if len(kept) == most:
            break
    return kept


def _overlap(one: Bools, two: Bools) -> float:
    return float((one & two).sum() / max(int((one | two).sum()), 1))


def sources(error: ArrayLike, source: ArrayLike, *, level: float = 0.9, most: int = 30) -> list[dict[str, Any]]:
    """Return the mean of `error` by source with its interval, the sources with most rows first.

    Parameters
    ----------
    error
        Error of every row ``(n,)``, 0 or 1, or its size.
    source
        Source of every row ``(n,)``; None where it is not known.
    level, most
        Confidence of the intervals; most sources to return.

    Examples
    --------
    >>> sources([1, 0, 0, 0, 1, 1], ["a", "a", "a", "a", "b", "b"])[0]["support"]
    4
    """
    e, names = np.asarray(error, dtype=np.float64), np.asarray(source, dtype=object)
    binary = bool(np.isin(e, (0, 1)).all())
    known = [name for name in dict.fromkeys(names.tolist()) if name is not None and name == name]
    told = sorted(((str(name), e[names == name]) for name in known), key=lambda pair: -len(pair[1]))
    return [
        {"source": name, "support": len(rows), **_told(rows, binary, level)} for name, rows in told[:most] if len(rows)
    ]


def _told(rows: Doubles, binary: bool, level: float) -> dict[str, Any]:
    if binary:
        return interval.share(rows.sum(), len(rows), level)._asdict()
    if len(rows) < 2:
        return {"value": float(rows.mean()), "low": None, "high": None, "level": level}
    return mean_of(rows, level)._asdict()
