"""One label a row from many votes, for rows whose label is not known otherwise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import UNLABELED
from labelwise.weak.answers import read_votes
from labelwise.weak.held_out import choose


class Aggregated(NamedTuple):
    """Labels made of votes: codes ``(n,)`` (-1 without a vote), their probabilities ``(n,)``, and the model's name."""

    codes: NDArray[np.int64]
    confidence: NDArray[np.float64]
    model: str


def aggregate(votes: Any, known: ArrayLike | None = None) -> Aggregated:
    """Return the most probable class of every row that somebody voted on.

    The label model is the majority vote unless another foretells held-out voters better, see `labelwise.weak.held_out`.

    Parameters
    ----------
    votes
        Class codes ``(n, m)``, -1 where a voter abstained.
    known
        Codes ``(n,)`` of the rows whose class is known, else -1: the voters are judged by them.

    Examples
    --------
    >>> aggregate([[1, 1, 0], [0, 0, -1], [-1, -1, -1]]).codes
    array([ 1,  0, -1])
    """
    answers = read_votes(votes)
    known = np.full(len(answers.tasks), UNLABELED) if known is None else np.asarray(known)
    shared = np.searchsorted(answers.classes, known.clip(0))
    seen = (known != UNLABELED) & np.isin(known, answers.classes)
    model, _ = choose(answers, np.where(seen, shared.clip(0, len(answers.classes) - 1), UNLABELED))
    proba = model.fit(answers).proba_
    voted = answers.ballots.sum(1) > 0
    codes = np.where(voted, np.asarray(answers.classes)[proba.argmax(1)], UNLABELED).astype(np.int64)
    return Aggregated(codes, np.where(voted, proba.max(1), np.nan), type(model).__name__)
