"""Any function as an annotator."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from labelwise.annotators.asking import Asker, Job
from labelwise.annotators.base import Answer
from labelwise.annotators.journal import Kept, key_of
from labelwise.annotators.spending import Spending
from labelwise.base import Count, Fields, InputError, NonNegative


class Ask(Fields):
    """Asks a function of your own about each item: a rule, a model, a client of a language model.

    Parameters
    ----------
    function
        ``function(item)`` returns a label, None to abstain, a pair of label and confidence, or an `Answer`.
    classes
        Labels it may give; None: any.
    cost
        Of each call whose function does not return an `Answer`, >= 0; and the most that a call is expected to cost.
    spending
        A purse; a call is made only if `cost` still fits. None: no limit.
    keep
        File where answers are kept, one line each, so that what `function` said is not asked again after it failed.
        Labels must then be text or numbers; take another file for another function.
    workers
        Calls under way at the same time, >= 1.

    Examples
    --------
    >>> parity = Ask(function=lambda number: ("even", 0.9) if number % 2 == 0 else "odd")
    >>> parity.annotate([4, 7])[0]
    Answer(label='even', confidence=0.9, cost=0.0, text='')
    """

    function: Callable[[Any], Any]
    classes: Sequence[Any] | None = None
    cost: Annotated[float, NonNegative] = 0.0
    spending: Spending | None = None
    keep: str | Path | None = None
    workers: Annotated[int, Count] = 1

    def annotate(self, items: Sequence[Any]) -> list[Answer]:
        """Return an answer for each item; an error of the function is passed on, and what it said before is kept."""
        self.check_fields()
        came: Counter[str] = Counter()
        jobs = []
        for row, item in enumerate(items):
            name = key_of(item)
            jobs.append(Job(f"{name}-{came[name]}", partial(self._ask, item, row)))
            came[name] += 1
        given = Asker(Kept(self.keep), self.spending).run(jobs, self.workers)
        return [answer for answer in given if answer is not None]

    def _ask(self, item: Any, row: int, asker: Asker) -> Answer:
        def once() -> tuple[Answer, float]:
            answer = as_answer(self.function(item), self.cost, row)
            return answer, answer.cost

        answer: Answer = asker.call(self.cost, once)[0]
        if answer.label is not None and self.classes is not None and answer.label not in self.classes:
            known = ", ".join(map(repr, self.classes))
            raise InputError(f"Ask.function gave {answer.label!r} for item {row}. Labels are {known}, or None.")
        if self.keep is not None and not isinstance(answer.label, str | int | float | None):
            raise InputError(f"Ask.keep needs labels of text or numbers. Got {answer.label!r} for item {row}.")
        return answer


def as_answer(said: Any, cost: float, row: int) -> Answer:
    """Read what a user's function returned for item `row`."""
    if isinstance(said, Answer):
        return said
    label, confidence = said if isinstance(said, tuple) and len(said) == 2 else (said, 1.0)
    if label is None or (isinstance(label, float) and math.isnan(label)):
        return Answer(None, 0.0, cost)
    try:
        sure = float(confidence)
    except (TypeError, ValueError):
        sure = math.nan
    if not 0 <= sure <= 1:
        raise InputError(f"Ask.function must give confidences between 0 and 1. Got {confidence!r} for item {row}.")
    return Answer(label, sure, cost)
