"""Small groups of rows set apart from all others along one direction: how they are sought, tested and described."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Fold = tuple[Indices, Floats, int]

STARTS, ITERATIONS, SEARCHED = 60, 8, 5000
"""Rows from which directions are sought for every size of group, steps of each search, and rows that are searched."""
FEWEST = 5
"""Rows of a half that are a group."""
LARGEST = 0.1
"""Share of the pool above which a group is no hidden part of it any more."""
TESTED = 3
"""Directions of each kind and half that are taken to the other half."""
LEAST_SCATTER = 0.1
"""Scatter of a group (see `Group`) below which its rows are copies of each other, which is another finding."""


# -- columns: too many of them are summed with random signs into fewer


def fold(d: int, width: int, rng: np.random.Generator) -> Fold:
    """Return for every column which sum it goes to and its sign, and the number of sums."""
    if d <= width:
        return np.arange(d), np.ones(d, dtype=np.float32), d
    return rng.permutation(d) % width, rng.choice(np.array([-1, 1], dtype=np.float32), d), width


def folded(rows: Floats, plan: Fold) -> Floats:
    """Return the sums of columns."""
    target, sign, width = plan
    if width == rows.shape[1]:
        return rows
    order = np.argsort(target, kind="stable")
    cuts = np.searchsorted(target[order], np.arange(width))
    sums: Floats = np.add.reduceat(rows[:, order] * sign[order], cuts, axis=1)
    return sums


def unfolded(weights: Floats, plan: Fold) -> Floats:
    """Return the weights of columns that weights of their sums amount to."""
    back: Floats = weights[plan[0]] * plan[1]
    return back


def whitening(rows: Floats) -> tuple[Floats, Floats]:
    """Return the mean and the map to uncorrelated coordinates of variance 1; directions without any spread are left out."""
    mean = rows.mean(0, dtype=np.float64)
    values, axes = np.linalg.eigh(np.atleast_2d(np.cov(rows - mean, rowvar=False)))
    kept = values > 1e-6 * max(values.max(), 1e-30)
    return mean.astype(np.float32), (axes[:, kept] / np.sqrt(values[kept])).astype(np.float32)


# -- directions


def _unit(W: Floats) -> Floats:
    scaled: Floats = W / np.maximum(np.linalg.norm(W, axis=0), 1e-12)
    return scaled


def sought(Z: Floats, rng: np.random.Generator) -> Floats:
    """Return directions (d, m) whose k highest projections are highest on average, from random rows and for several k.

    A step takes the k rows that project highest and turns to their mean; the mean of the k highest never falls. Rows are
    shortened to twice the median length first, so that no single row is a direction.
    """
    n, length = len(Z), np.maximum(np.linalg.norm(Z, axis=1), 1e-12)
    Z = (Z * np.minimum(1, 2 * np.median(length) / length)[:, None]).astype(np.float32)
    found = []
    for k in sorted({max(8, round(part * n)) for part in (0.001, 0.005, 0.02, 0.05)}):
        W = _unit(Z[rng.choice(n, min(n, STARTS), replace=False)].T)
        for _ in range(ITERATIONS):
            top = np.argpartition(-(Z @ W), min(k, n - 1), axis=0)[:k]
            W = _unit(np.stack([Z[column].mean(0) for column in top.T], axis=1))
        found.append(W)
    return np.hstack(found)


def spectral(rows: Floats, white: Floats, pseudo: Indices, rng: np.random.Generator) -> Floats:
    """Return, in whitened coordinates, both ends of the widest direction of every pseudo-class (d, m)."""
    found = []
    for code in np.unique(pseudo):
        own = rows[pseudo == code]
        own = own - own.mean(0)
        v = rng.standard_normal(size=(rows.shape[1],)).astype(np.float32)
        for _ in range(3 * ITERATIONS):
            v = _unit(own.T @ (own @ v))
        found.append(_unit(white.T @ v / np.maximum((white**2).sum(0), 1e-30)))
    return np.stack([*found, *(-w for w in found)], axis=1)


# -- gaps


def gap(projected: Floats) -> tuple[float, float, float]:
    """Return how striking the widest gap among the highest projections is, and its ends.

    With k rows above a gap, spread over a width, a steadily thinning tail has ``k log(1 + gap / width)`` about
    exponentially distributed.
    """
    most = max(FEWEST + 1, int(LARGEST * len(projected)))
    high = np.sort(projected.astype(np.float64))[::-1][: most + 1]
    k = np.arange(FEWEST, len(high))
    width = np.maximum(high[0] - high[k - 1], 1e-9)
    striking = k * np.log1p((high[k - 1] - high[k]) / width)
    best = int(striking.argmax())
    return float(striking[best]), float(high[k[best]]), float(high[k[best] - 1])


def best(Z: Floats, W: Floats) -> list[Floats]:
    """Return the few most striking directions that differ from each other and are no copies of one row."""
    projected = Z @ W
    gaps = [gap(column) for column in projected.T]
    chosen: list[Floats] = []
    for number in np.argsort([-striking for striking, _, _ in gaps]):
        own = Z[projected[:, number] > (gaps[number][1] + gaps[number][2]) / 2]
        if all(abs(W[:, number] @ w) < 0.8 for w in chosen) and own.var(0).mean() >= LEAST_SCATTER:
            chosen.append(W[:, number])
        if len(chosen) == TESTED:
            break
    return chosen


def gap_p_value(projected: Floats, low: float, high: float) -> float:
    """Return the chance of so few fresh rows in the middle of the gap, given how many lie there or above.

    Where the density falls with distance, the gap has at least its share, by width, of the rows beyond its start.
    """
    start, end = low + 0.1 * (high - low), high - 0.1 * (high - low)
    within, above = int(((projected > start) & (projected < end)).sum()), int((projected >= end).sum())
    if above < FEWEST:
        return 1.0
    part = (end - start) / max(float(projected.max()) - start, 1e-12)
    return float(binom.cdf(within, within + above, min(1.0, part)))


def traits(
    rows: Floats, group: Indices, others: Indices, Z: Floats, rng: np.random.Generator
) -> tuple[Indices, float, float, Floats]:
    """Return the columns that are moved alike, constancy, scatter and movement of a group (see `Group`).

    Columns of two values do not count when the group has one of them: that rows share several rare categories or gaps is
    common in tables.
    """
    if len(group) < FEWEST or len(others) < FEWEST:
        return np.empty(0, dtype=np.int64), 0.0, 0.0, np.zeros(rows.shape[1], dtype=np.float32)
    moved = _moved(rows[rng.permutation(group)[:100]], rows[rng.permutation(others)[:3000]])
    spread = rows[others].std(0) + 1e-6 * rows.std() + 1e-30
    mean = moved.mean(0)
    alike = (np.abs(mean) > 3 * moved.std(0)) & (np.abs(mean) > 2 * spread)
    alike[alike] = [not _indicates(rows[group, c], rows[others, c]) for c in np.flatnonzero(alike)]
    energy = (mean / spread) ** 2
    scatter = float((Z[group] - Z[group].mean(0)).astype(np.float64).var(0).mean())
    return np.flatnonzero(alike), float(energy[alike].sum() / max(float(energy.sum()), 1e-30)), scatter, mean


def _indicates(group: Floats, others: Floats) -> bool:
    """Whether a column takes two values among ordinary rows, and the group no third one."""
    usual = np.unique(others)
    return len(usual) == 2 and bool(np.isin(group, usual).all())


def _moved(group: Floats, others: Floats) -> Floats:
    """Return the difference of each row to the mean of its five nearest ordinary rows."""
    nearest = np.argpartition((others**2).sum(1) - 2 * group @ others.T, 4, axis=1)[:, :5]
    difference: Floats = group - others[nearest].mean(1)
    return difference
