"""Hyper-parameters by successive halving: many settings on few folds, then fewer settings on more."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

from labelwise.advice.splits import Split

Pair = tuple[float, float]
"""A score, and a finer one that decides between equal scores."""
WORST: Pair = (-math.inf, -math.inf)
FIRST_RUNG_ROWS = 200
"""Settings are first compared on as many folds as hold this many rows to score."""


def rungs(settings: int, splits: list[Split]) -> list[tuple[int, int, int]]:
    """Return (settings alive, first fold, end) of each rung; none where there is nothing to choose.

    Each rung halves the settings, and scores those left on as many further folds as were used up to then.
    """
    if settings < 2 or not splits:
        return []
    fold_rows = max(1, sum(len(split.test) for split in splits) // len(splits))
    stop = min(len(splits), math.ceil(FIRST_RUNG_ROWS / fold_rows))
    steps, alive, start = [], settings, 0
    while alive > 1 and start < len(splits):
        steps.append((alive, start, stop))
        alive, start, stop = math.ceil(alive / 2), stop, min(2 * stop, len(splits))
    return steps


def rows_to_fit(settings: int, splits: list[Split]) -> int:
    """Return the number of training rows of all fits that `halve` makes."""
    return sum(
        alive * sum(len(split.train) for split in splits[start:stop]) for alive, start, stop in rungs(settings, splits)
    )


class OutOfTimeError(Exception):
    """Raised by a score function to end the halving with what is known."""


def halve(settings: int, splits: list[Split], score: Callable[[int, Split], Pair]) -> dict[int, list[Pair]]:
    """Return the scores of each setting, by its number; the better ones were scored on more folds.

    If `score` raises `OutOfTimeError`, the scores up to then are returned.

    Examples
    --------
    >>> import numpy as np
    >>> splits = [Split(np.arange(9), np.arange(300))] * 4
    >>> {i: len(s) for i, s in halve(4, splits, lambda i, split: (float(i), 0.0)).items()}
    {0: 1, 1: 1, 2: 2, 3: 2}
    """
    scores: dict[int, list[Pair]] = {i: [] for i in range(settings)}
    with suppress(OutOfTimeError):
        for alive, start, stop in rungs(settings, splits):
            best = sorted(scores, key=lambda i: (len(scores[i]), mean(scores[i])), reverse=True)[:alive]
            for i in sorted(best):
                scores[i] += [score(i, split) for split in splits[start:stop]]
    return scores


def mean(scores: list[Pair]) -> Pair:
    """Return the mean of both scores; the worst there can be where there are none."""
    if not scores:
        return WORST
    return sum(s for s, _ in scores) / len(scores), sum(f for _, f in scores) / len(scores)


def best_of(scores: dict[int, list[Pair]]) -> int:
    """Return the setting that went furthest, and among those the one with the best mean; the first of equals."""
    return max(scores, key=lambda i: (len(scores[i]), mean(scores[i]), -i))
