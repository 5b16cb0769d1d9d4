"""Scores of several labels per row, with the part that each row has in them; unknown labels (-1) count on no side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


def mean_average_precision(y: Labels, proba: Floats, _: Any = None) -> float:
    """Return the mean over labels of the average precision; labels without a known positive and negative are left out.

    >>> mean_average_precision(np.array([[1], [0], [1], [0]]), np.array([[0.9], [0.8], [0.7], [0.1]])).__round__(4)
    0.8333
    """
    found = [value for value, _ in _by_label(y, proba)]
    return float(np.mean(found)) if found else 0.0


def average_precision_rows(y: Labels, proba: Floats, _: Any = None) -> Doubles:
    """Return the linear part of each row in `mean_average_precision`, (n,); their mean is the score."""
    parts = _by_label(y, proba)
    if not parts:
        return np.zeros(len(y))
    score = float(np.mean([value for value, _ in parts]))
    return np.asarray(score + len(y) * np.mean([slope for _, slope in parts], axis=0))


def _by_label(y: Labels, proba: Floats) -> list[tuple[float, Doubles]]:
    found = []
    for label in range(y.shape[1]):
        known = np.flatnonzero(y[:, label] >= 0)
        positive = y[known, label] == 1
        if 0 < positive.sum() < len(known):
            value, slope = _average_precision(positive, proba[known, label])
            every = np.zeros(len(y))
            every[known] = slope
            found.append((value, every))
    return found


def _average_precision(positive: NDArray[np.bool_], score: Floats) -> tuple[float, Floats]:
    """Return the average precision, and its derivative by the weight of each row.

    With weights w it is ``sum_i w_i p_i / sum_i w_i`` over positives i, where the precision ``p_i = A_i / B_i`` compares
    the weight of positives, and of all rows, that score as high as i or higher. A row moves its own term, and ``A`` and
    ``B`` of every positive that does not score higher than it.
    """
    order = np.argsort(-score, kind="stable")
    s, hit = score[order], positive[order].astype(np.float64)
    last = np.searchsorted(-s, -s, side="right") - 1  # equal scores are one step
    above, size = np.cumsum(hit)[last], last + 1.0
    precision, total = above / size, hit.sum()
    value = float((hit * precision).sum() / total)
    first = np.searchsorted(-s, -s, side="left")
    gained, lost = (_from(hit * x)[first] for x in (1 / size, precision / size))
    slope = np.empty(len(s))
    slope[order] = (hit * (precision - value + gained) - lost) / total
    return value, slope


def _from(values: Doubles) -> Doubles:
    """Return the sum of the values from each place on."""
    return np.cumsum(values[::-1])[::-1]


def macro_f1(y: Labels, proba: Floats, _: Any = None) -> float:
    """Return the mean F1 of labels said where the probability exceeds one half; labels without a positive are left out."""
    hits, sizes = _margins(y, proba)
    kept = (y == 1).any(axis=0)
    return float(np.mean(2 * hits[kept] / sizes[kept])) if kept.any() else 0.0


def f1_rows(y: Labels, proba: Floats, _: Any = None) -> Doubles:
    """Return the linear part of each row in `macro_f1`, (n,)."""
    hits, sizes = _margins(y, proba)
    kept = (y == 1).any(axis=0)
    if not kept.any():
        return np.zeros(len(y))
    said, true = (proba > 0.5) & (y >= 0), y == 1
    f1 = 2 * hits[kept] / sizes[kept]
    slope = (2 * (said & true)[:, kept] - f1 * (said.astype(int) + true)[:, kept]) / sizes[kept]
    return np.asarray(f1.mean() + len(y) * slope.mean(axis=1))


def _margins(y: Labels, proba: Floats) -> tuple[Doubles, Doubles]:
    said, true = (proba > 0.5) & (y >= 0), y == 1
    return (said & true).sum(axis=0) * 1.0, (said.sum(axis=0) + true.sum(axis=0)) * 1.0


def log_rows(y: Labels, proba: Floats, _: Any = None) -> Doubles:
    """Return the mean log probability of what is known of each row, (n,); 0 where nothing is."""
    p = np.clip(proba.astype(np.float64), 1e-7, 1 - 1e-7)
    known = y >= 0
    each = np.where(y == 1, np.log(p), np.log1p(-p)) * known
    return np.asarray(each.sum(axis=1) / np.maximum(known.sum(axis=1), 1))


def log_loss(y: Labels, proba: Floats, _: Any = None) -> float:
    """Return minus the mean over rows of the mean binary log loss of known labels."""
    return float(log_rows(y, proba).mean())
