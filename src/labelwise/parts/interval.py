"""Intervals for shares, ratios of counts and resampled numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, f, norm, rankdata

from labelwise.base import Estimate


def exactly(value: float) -> Estimate:
    """Return a number that is counted, not estimated: an interval of no width at confidence 1."""
    return Estimate(float(value), float(value), float(value), 1.0)


def share(count: float, total: float, level: float = 0.9) -> Estimate:
    """Return `count` of `total` with its Jeffreys interval, which stays sensible at 0 and at all.

    >>> print(share(5, 100))
    0.05 [0.0231, 0.0958]
    """
    if total <= 0:
        return Estimate(math.nan, 0.0, 1.0, level)
    tail = (1 - level) / 2
    low = 0.0 if count <= 0 else beta.ppf(tail, count + 0.5, total - count + 0.5)
    high = 1.0 if count >= total else beta.ppf(1 - tail, count + 0.5, total - count + 0.5)
    return Estimate(count / total, float(low), float(high), level)


def ratio(more: float, fewer: float, level: float = 0.9) -> Estimate:
    """Return the ratio of two counts with the exact interval for the odds of a share (infinite at `fewer` = 0).

    >>> print(ratio(100, 10))
    10 [5.7, 18.9]
    """
    tail = (1 - level) / 2
    value = more / fewer if fewer else math.inf
    low = 0.0 if not more else more / (fewer + 1) * float(f.ppf(tail, 2 * more, 2 * (fewer + 1)))
    high = math.inf if not fewer else (more + 1) / fewer * float(f.ppf(1 - tail, 2 * (more + 1), 2 * fewer))
    return Estimate(value, low, high, level)


def spread(value: float, draws: ArrayLike, level: float = 0.9) -> Estimate:
    """Return `value` with the central `level` of its resampled `draws` as interval."""
    tail = 50 * (1 - level)
    low, high = np.percentile(np.asarray(draws, dtype=float), [tail, 100 - tail])
    return Estimate(float(value), float(low), float(high), level)


def auc(low: ArrayLike, high: ArrayLike, level: float = 0.9) -> Estimate:
    """Return the chance that one of `high` (n,) exceeds one of `low` (m,), ties half, with DeLong's interval.

    >>> print(auc([0, 1, 2, 3], [2, 3, 4, 5]))
    0.875 [0.669, 1]
    """
    below, above = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    m, n = len(below), len(above)
    ranks = rankdata(np.concatenate([below, above]))
    beaten = 1 - (ranks[:m] - rankdata(below)) / n  # share of the high ones above each low one
    beats = (ranks[m:] - rankdata(above)) / m
    variance = sum(part.var(ddof=1) / len(part) if len(part) > 1 else 0.25 for part in (beaten, beats))
    reach = float(norm.ppf(0.5 + level / 2)) * max(math.sqrt(variance), 0.5 / math.sqrt(m * n))
    value = float(beats.mean())
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), level)
