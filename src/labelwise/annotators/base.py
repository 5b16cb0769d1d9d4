"""What an annotator is: anything that gives items labels, or abstains, with a confidence and a cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labelwise.base import UNLABELED, InputError


class Answer(NamedTuple):
    """What an annotator says of one item.

    Attributes
    ----------
    label
        A class label; None where the annotator abstains.
    confidence
        Between 0 and 1; 1 from annotators that give none, 0 where they abstain.
    cost
        What this answer cost, in the annotator's own unit (money, tokens, calls), >= 0.
    text
        What was said word for word, or why there is no label.
    """

    label: Any = None
    confidence: float = 1.0
    cost: float = 0.0
    text: str = ""

    @property
    def abstained(self) -> bool:
        """Whether there is no label."""
        return self.label is None


@runtime_checkable
class Annotator(Protocol):
    """Anything that labels items: rules, people, a small model, a language model on a server."""

    def annotate(self, items: Sequence[Any]) -> list[Answer]:
        """Return one `Answer` for each item, in the same order.

        An item that comes several times in one call may get other answers the second time; the same call made again
        with the same seed gives the same answers.
        """
        ...


def ask(annotator: Annotator, items: Sequence[Any]) -> list[Answer]:
    """Return the answers of an annotator, after checking that they are what the protocol says.

    Raises
    ------
    InputError
        For an object without ``annotate``, a wrong number of answers, or an answer that is none.
    """
    name = type(annotator).__name__
    if not isinstance(annotator, Annotator):
        raise InputError(f"annotator must have a method annotate(items) -> list of Answer. Got {name}.")
    answers = list(annotator.annotate(items))
    if len(answers) != len(items):
        raise InputError(f"{name}.annotate gave {len(answers)} answers for {len(items)} items: one each is needed.")
    for row, answer in enumerate(answers):
        if not isinstance(answer, Answer) or not 0 <= answer.confidence <= 1:
            raise InputError(
                f"{name}.annotate must give Answers with a confidence in [0, 1]. Got {answer!r} in row {row}."
            )
    return answers


def labels(answers: Sequence[Answer]) -> NDArray[Any]:
    """Return the labels of answers ``(n,)`` as a ``y``: integers with -1, else objects with None, where they abstain."""
    given = [answer.label for answer in answers]
    if all(isinstance(label, int | np.integer) and not isinstance(label, bool) for label in given if label is not None):
        return np.array([UNLABELED if label is None else int(label) for label in given], dtype=np.int64)
    column = np.empty(len(given), dtype=object)
    column[:] = given
    return column


def confidences(answers: Sequence[Answer]) -> NDArray[np.float64]:
    """Return the confidences of answers ``(n,)``, 0 where they abstain."""
    return np.array([0.0 if answer.abstained else answer.confidence for answer in answers], dtype=np.float64)


def votes(annotators: Sequence[Annotator], items: Sequence[Any], least: float = 0.0) -> NDArray[Any]:
    """Return the labels that several annotators give the same items, as a matrix for the label models.

    Parameters
    ----------
    annotators
        One column each.
    items
        What they are asked about, n of them.
    least
        Answers with less confidence than this count as abstentions, in [0, 1].

    Returns
    -------
    array of shape (n, m)
        Integers with -1 where an annotator abstains; objects with None when labels are not integers.

    Raises
    ------
    InputError
        Without annotators, or when one breaks the protocol.

    Examples
    --------
    >>> from labelwise.annotators import Ask, Keywords
    >>> spam = Keywords(rules={"spam": ["free", "win"]})
    >>> short = Ask(function=lambda text: "ham" if len(text) > 20 else None)
    >>> votes([spam, short], ["Win a free phone", "See you at the station at six"])
    array([['spam', None],
           [None, 'ham']], dtype=object)
    """
    if not annotators:
        raise InputError("annotators is empty: at least one is needed.")
    said = [answer for one in annotators for answer in ask(one, items)]
    sure = [answer if answer.confidence >= least else answer._replace(label=None) for answer in said]
    return labels(sure).reshape(len(annotators), len(items)).T
