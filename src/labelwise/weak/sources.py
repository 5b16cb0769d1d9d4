"""What each source of votes is worth: how often it speaks, how often it is right, and whether it only repeats another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from labelwise.base import UNLABELED, InputError, Range
from labelwise.weak.annotators import agreement_with_others, judged
from labelwise.weak.answers import Answers, AnyArray, Floats
from labelwise.weak.copies import copies
from labelwise.weak.held_out import ENOUGH_GOLD
from labelwise.weak.label_model import LabelModel, accuracies, jeffreys

if TYPE_CHECKING:
    import pandas as pd


def source_report(
    votes: Any, gold: ArrayLike | None = None, *, model: LabelModel | None = None, by_class: bool = False,
    level: float = 0.9,
) -> pd.DataFrame:  # fmt: skip
    """Return coverage and accuracy of each source of votes, with intervals; print it.

    Accuracy is that of the answers given: a rule that speaks seldom is not wrong where it is silent. With true labels for
    at least 50 rows it is counted on these rows. Else the true classes are inferred by a label model: the intervals count
    the doubt that it has, but take the model for granted, and it can be wrong about a rule. Label fifty rows at random.

    Parameters
    ----------
    votes : integers or text of shape (n, m), a frame, or `Answers`
        Votes of m sources (annotators, labelling functions, prompts); -1 or None where there is none. A frame's columns
        name the sources.
    gold : array of shape (n,), optional
        True labels where they are known, else -1 or None.
    model
        Label model that infers the true classes; by default the one that foretells held-out voters best, as in
        `VoteClassifier`.
    by_class
        A row for each source and class it voted for, as a rule for one class may be good and another bad; accuracy is
        then the share of these votes that are right.
    level
        Confidence of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        ``source``; ``says`` (the class, with `by_class`); ``answered``, votes given; ``coverage``, the share of rows with
        such a vote, and its interval ``coverage_low`` to ``coverage_high``; ``judged``, votes that the accuracy is counted
        on; ``accuracy``, ``low``, ``high``; ``agreement``, mean share of the other sources on a row that said the same
        (without `by_class`); ``same_as``, the first source that says nearly the same on all rows, or an empty text.

    Raises
    ------
    InputError
        No vote at all, or `level` outside (0, 1).

    Examples
    --------
    >>> votes = [[0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1], [1, 1, -1]]
    >>> source_report(votes)[["source", "answered", "coverage", "agreement", "same_as"]].round(2)
      source  answered  coverage  agreement same_as
    0      0         6      1.00       0.75
    1      1         6      1.00       0.75       0
    2      2         5      0.83       0.40
    """
    import pandas as pd

    if level not in Range(low=0, high=1, low_open=True, high_open=True):
        raise InputError(f"level must be a number in (0, 1), such as 0.9. Got {level!r}.")
    answers, fitted = judged(votes, gold, model)
    right = fitted.proba_[answers.task, answers.label]
    known = fitted._known(gold, len(answers.tasks)) != UNLABELED
    if known.sum() >= ENOUGH_GOLD:
        right[~known[answers.task]] = np.nan
    names = _names(votes, answers)
    if by_class:
        return _by_class(answers, right, names, level)
    return pd.DataFrame({
        "source": names,
        **_shares(answers, right, answers.worker, len(names), level),
        "agreement": agreement_with_others(answers),
        "same_as": _same_as(answers, names),
    })  # fmt: skip


def _by_class(answers: Answers, right: Floats, names: AnyArray, level: float) -> pd.DataFrame:
    import pandas as pd

    k = len(answers.classes)
    table = pd.DataFrame({
        "source": np.repeat(names, k),
        "says": np.tile(answers.classes, len(names)),
        **_shares(answers, right, answers.worker * k + answers.label, len(names) * k, level),
    })  # fmt: skip
    return table[table["answered"] > 0].reset_index(drop=True)


def _shares(answers: Answers, right: Floats, group: Any, n_groups: int, level: float) -> dict[str, Any]:
    """Columns of coverage and accuracy, one entry a group of answers."""
    n = len(answers.tasks)
    answered = np.bincount(group, minlength=n_groups)
    low, high = jeffreys(answered.astype(float), np.full(n_groups, float(n)), level)
    told = np.isfinite(right)
    accuracy, worst, best = accuracies(right[told], group[told], n_groups, level)
    return {
        "answered": answered, "coverage": answered / n, "coverage_low": low, "coverage_high": high,
        "judged": np.bincount(group[told], minlength=n_groups), "accuracy": accuracy, "low": worst, "high": best,
    }  # fmt: skip


def _names(votes: Any, answers: Answers) -> AnyArray:
    named = getattr(votes, "columns", None)
    return np.asarray(answers.workers if named is None else named).astype(str)


def _same_as(answers: Answers, names: AnyArray) -> list[str]:
    group = copies(answers)
    first = np.unique(group, return_index=True)[1][group]
    return [str(names[i]) if i != j else "" for j, i in enumerate(first)]
