"""An annotator that knows the truth and errs on difficult items: for tests, and for planning what labels will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from labelwise.annotators.base import Answer
from labelwise.base import Fields, Fraction, InputError, Natural, NonNegative


class Simulated(Fields):
    """Answers with the truth, less often for difficult items, and says how sure it is.

    Items are row numbers of `truth`. The item of difficulty d is answered rightly with probability
    ``easy + d * (hard - easy)``, and not at all with probability ``d * abstain``; a wrong answer is any other class.

    Parameters
    ----------
    truth
        Labels ``(n,)``.
    difficulty
        Of each row ``(n,)`` in [0, 1]; None: all are in the middle, 0.5.
    easy, hard
        Accuracy at difficulty 0 and 1, in [0, 1].
    abstain
        Share of the items of difficulty 1 that it leaves out, in [0, 1].
    spread
        Standard deviation of the noise in the confidence, which is otherwise the true probability of being right.
    cost
        Of every answer, abstentions too.
    seed
        Of the answers. They depend on seed and item alone, and on how often the item came before in the same call.

    Examples
    --------
    >>> annotator = Simulated(truth=["cat", "dog", "dog"], difficulty=[0, 0.5, 1], seed=3)
    >>> [answer.label for answer in annotator.annotate([0, 1, 2])]
    ['cat', 'dog', 'cat']
    """

    truth: Any
    difficulty: Any = None
    easy: Annotated[float, Fraction] = 0.95
    hard: Annotated[float, Fraction] = 0.5
    abstain: Annotated[float, Fraction] = 0.0
    spread: Annotated[float, NonNegative] = 0.05
    cost: Annotated[float, NonNegative] = 1.0
    seed: Annotated[int, Natural] = 0

    def annotate(self, items: Sequence[Any]) -> list[Answer]:
        """Return an answer for each row number in `items`."""
        self.check_fields()
        truth = np.asarray(self.truth)
        difficulty = np.full(len(truth), 0.5) if self.difficulty is None else np.asarray(self.difficulty, float)
        if difficulty.shape != truth.shape or truth.ndim != 1 or not ((difficulty >= 0) & (difficulty <= 1)).all():
            raise InputError(
                "Simulated.truth and .difficulty must be columns of one length, difficulties between 0 and 1. "
                f"Got shapes {truth.shape} and {difficulty.shape}."
            )
        classes, codes = np.unique(truth, return_inverse=True)
        came: Counter[int] = Counter()
        answers = []
        for item in items:
            row = self._row(item, len(truth))
            rng = np.random.default_rng([self.seed, row, came[row]])
            came[row] += 1
            answers.append(self._answer(rng, classes, int(codes[row]), float(difficulty[row])))
        return answers

    def _row(self, item: Any, n: int) -> int:
        if not isinstance(item, int | np.integer) or not 0 <= item < n:
            raise InputError(f"Simulated answers for row numbers from 0 to {n - 1}. Got {item!r}.")
        return int(item)

    def _answer(self, rng: np.random.Generator, classes: Any, code: int, difficulty: float) -> Answer:
        right = self.easy + difficulty * (self.hard - self.easy)
        silent, hit, noise, shift = rng.random(), rng.random(), rng.normal(), rng.random()
        if silent < difficulty * self.abstain:
            return Answer(None, 0.0, self.cost)
        if hit >= right and len(classes) > 1:
            code = (code + 1 + int(shift * (len(classes) - 1))) % len(classes)
        confidence = float(np.clip(right + self.spread * noise, 0.0, 1.0))
        return Answer(classes[code].item(), confidence, self.cost, str(classes[code]))
