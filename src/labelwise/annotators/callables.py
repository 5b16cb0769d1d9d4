"""Any function as an annotator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from labelwise.annotators.base import Answer
from labelwise.base import Fields, InputError, NonNegative


class Ask(Fields):
    """Asks a function of your own about each item: a rule, a model, a client of a language model.

    Parameters
    ----------
    function
        ``function(item)`` returns a label, None to abstain, a pair of label and confidence, or an `Answer`.
    classes
        Labels it may give; None: any.
    cost
        Of each call whose function does not return an `Answer`, >= 0.

    Examples
    --------
    >>> parity = Ask(function=lambda number: ("even", 0.9) if number % 2 == 0 else "odd")
    >>> parity.annotate([4, 7])[0]
    Answer(label='even', confidence=0.9, cost=0.0, text='')
    """

    function: Callable[[Any], Any]
    classes: Sequence[Any] | None = None
    cost: Annotated[float, NonNegative] = 0.0

    def annotate(self, items: Sequence[Any]) -> list[Answer]:
        """Return an answer for each item."""
        self.check_fields()
        return [self._answer(item, row) for row, item in enumerate(items)]

    def _answer(self, item: Any, row: int) -> Answer:
        answer = as_answer(self.function(item), self.cost, row)
        if answer.label is not None and self.classes is not None and answer.label not in self.classes:
            known = ", ".join(map(repr, self.classes))
            raise InputError(f"Ask.function gave {answer.label!r} for item {row}. Labels are {known}, or None.")
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
