"""Hyper-parameters by successive halving: many settings on few folds, then fewer settings on more."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    """Return the number of training rows of all fits of a halving."""
    return sum(
        alive * sum(len(split.train) for split in splits[start:stop]) for alive, start, stop in rungs(settings, splits)
    )


class Halving:
    """The scores of each setting, by its number, as they come in; the better ones are scored on more folds.

    `batch` names what is to be scored next, pairs of setting and split; it is empty in the end.

    Examples
    --------
    >>> import numpy as np
    >>> halving = Halving(4, [Split(np.arange(9), np.arange(300))] * 4)
    >>> while halving.batch:
    ...     halving.tell([(float(i), 0.0) for i, _ in halving.batch])
    >>> {i: len(s) for i, s in halving.scores.items()}
    {0: 1, 1: 1, 2: 2, 3: 2}
    """

    def __init__(self, settings: int, splits: list[Split]) -> None:
        self.scores: dict[int, list[Pair]] = {i: [] for i in range(settings)}
        self._splits, self._rungs = splits, rungs(settings, splits)
        self.batch = self._next()

    def tell(self, answers: Sequence[Pair | None]) -> None:
        """Take the scores of the batch, in its order; None where there was no time.

        A later rung that is not complete does not count: it would favour the settings that were scored first.
        """
        complete = None not in answers
        if complete or not any(self.scores.values()):
            for (i, _), pair in zip(self.batch, answers, strict=True):
                self.scores[i] += [] if pair is None else [pair]
        self.batch = self._next() if complete else []

    def _next(self) -> list[tuple[int, Split]]:
        if not self._rungs:
            return []
        alive, start, stop = self._rungs.pop(0)
        best = sorted(self.scores, key=lambda i: (len(self.scores[i]), mean(self.scores[i])), reverse=True)[:alive]
        return [(i, split) for i in sorted(best) for split in self._splits[start:stop]]


def mean(scores: list[Pair]) -> Pair:
    """Return the mean of both scores; the worst there can be where there are none."""
    if not scores:
        return WORST
    return sum(s for s, _ in scores) / len(scores), sum(f for _, f in scores) / len(scores)


def best_of(scores: dict[int, list[Pair]]) -> int:
    """Return the setting that went furthest, and among those the one with the best mean; the first of equals."""
    return max(scores, key=lambda i: (len(scores[i]), mean(scores[i]), -i))
