"""From probabilities of labels to decisions: a threshold a label, chosen on entries whose truth is known.

Unknown entries (-1) count on neither side. A label with few known positives says little about its own threshold, so that its
threshold is drawn towards the one that serves all labels together.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError

Doubles = NDArray[np.float64]

Goal = Literal["f1", "micro f1", "cost"]


def label_thresholds(
    proba: ArrayLike,
    y: ArrayLike,
    goal: Goal = "f1",
    *,
    costs: tuple[float, float] = (1.0, 1.0),
    shrinkage: float = 10.0,
) -> Doubles:
    """Return thresholds ``(L,)``: say yes where ``proba >= threshold``.

    Parameters
    ----------
    proba
        Probabilities or any scores in [0, 1], ``(n, L)``, of rows that the model was not trained on.
    y
        1 yes, 0 no, -1 unknown, ``(n, L)``.
    goal
        ``f1``: each label's F1 is the largest that a threshold can reach; ``micro f1``: one threshold for all labels, of
        largest F1 over all entries; ``cost``: each label's mistakes cost least.
    costs
        Of a wrong yes and of a wrong no, > 0, for ``cost``.
    shrinkage
        Known positives, >= 0, that the threshold of all labels counts for beside a label's own: with as many positives as
        this the result is half way between. A label without a known positive takes the threshold of all.

    Examples
    --------
    >>> proba, y = [[0.9, 0.5], [0.4, 0.3], [0.3, 0.2], [0.1, 0.1]], [[1, 1], [1, -1], [0, 0], [0, 0]]
    >>> label_thresholds(proba, y, shrinkage=0).round(2).tolist()
    [0.35, 0.35]
    >>> label_thresholds(proba, y, "cost", costs=(9, 1), shrinkage=0).round(2).tolist()
    [0.35, 0.35]
    """
    p, truth = _read(proba, y)
    if min(costs) <= 0 or shrinkage < 0 or goal not in ("f1", "micro f1", "cost"):
        raise InputError(
            "label_thresholds needs goal 'f1', 'micro f1' or 'cost', costs > 0 and shrinkage >= 0. "
            f"Got {goal!r}, {costs}, {shrinkage}."
        )
    together = _best(p.reshape(-1, 1), truth.reshape(-1, 1), goal, costs)[0]
    if goal == "micro f1":
        return np.full(p.shape[1], together)
    own, size = _best(p, truth, goal, costs), (truth == 1).sum(0)
    share = np.divide(size, size + shrinkage, out=np.zeros(len(own)), where=size > 0)
    return np.asarray(share * own + (1 - share) * together)


def _best(p: Doubles, truth: NDArray[Any], goal: Goal, costs: tuple[float, float]) -> Doubles:
    """Return each column's best threshold; 1/2, or what the costs ask of true probabilities, without a known positive."""
    order = np.argsort(np.where(truth >= 0, -p, np.inf), axis=0, kind="stable")
    s, y = np.take_along_axis(p, order, 0), np.take_along_axis(truth, order, 0)
    known, told = y >= 0, np.arange(1, len(y) + 1)[:, None]
    hit, positives = (y == 1).cumsum(0), (y == 1).sum(0)
    if goal == "cost":
        value = -(costs[0] * (told - hit) + costs[1] * (positives - hit))
    else:
        value = 2 * hit / (told + positives)
    lower = np.vstack([np.where(known[1:], s[1:], 0.0), np.zeros((1, p.shape[1]))])
    last_of_equals = (lower < s) | ~np.vstack([known[1:], np.zeros((1, p.shape[1]), bool)])
    value = np.where(known & last_of_equals, value, -np.inf)
    at = value.argmax(0)
    column = np.arange(p.shape[1])
    middle = (s[at, column] + lower[at, column]) / 2
    best = np.where(middle > lower[at, column], middle, s[at, column])
    if goal == "cost":  # to say yes nowhere is a choice too
        best = np.where(value[at, column] >= -costs[1] * positives, best, 1.0)
        return np.asarray(np.where(positives > 0, best, costs[0] / sum(costs)))
    return np.asarray(np.where(positives > 0, best, 0.5))


def _read(proba: ArrayLike, y: ArrayLike) -> tuple[Doubles, NDArray[Any]]:
    p, truth = np.asarray(proba, dtype=np.float64), np.asarray(y)
    if p.ndim != 2 or p.shape != truth.shape or not len(p):
        raise InputError(f"proba and y must both have shape (n, L), n >= 1. Got {p.shape} and {truth.shape}.")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError(
            f"proba must be in [0, 1]. Row {int(((p < 0) | (p > 1) | np.isnan(p)).any(1).argmax())} is not."
        )
    if not np.isin(truth, (-1, 0, 1)).all():
        raise InputError(f"y must hold 1, 0 or -1. Row {int((~np.isin(truth, (-1, 0, 1))).any(1).argmax())} does not.")
    return p, truth
