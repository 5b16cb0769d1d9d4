"""How good is each annotator?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from labelwise.weak.answers import Answers, Floats
from labelwise.weak.dawid_skene import EqualCoin
from labelwise.weak.held_out import choose
from labelwise.weak.label_model import LabelModel
from labelwise.weak.majority import MajorityVote

if TYPE_CHECKING:
    import pandas as pd


def annotator_quality(votes: Any, gold: ArrayLike | None = None, *, model: LabelModel | None = None) -> pd.DataFrame:
    """Return how often each annotator is right, with an interval, and how often others agree with them.

    Parameters
    ----------
    votes : integers or text of shape (n, m), or `Answers`
        Labels given by m annotators; -1 or None where there is none.
    gold : array of shape (n,), optional
        True labels where they are known, else -1 or None.
    model
        Label model that infers the true classes; by default the one that foretells held-out voters best, as in
        `VoteClassifier`.

    Returns
    -------
    DataFrame
        A row for each annotator: ``annotator``, ``answered`` (answers given), ``accuracy``, ``low`` and ``high`` (its
        90 % interval), ``agreement`` (mean share of the other annotators of a row who gave the same answer; NaN if
        there never was another).

    Examples
    --------
    >>> votes = [[0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1], [1, 1, -1]]
    >>> annotator_quality(votes)[["annotator", "answered", "agreement"]]
       annotator  answered  agreement
    0          0         6       0.75
    1          1         6       0.75
    2          2         5       0.40
    """
    import pandas as pd

    answers, fitted = judged(votes, gold, model)
    quality = np.array(fitted.worker_quality_)
    return pd.DataFrame({
        "annotator": answers.workers,
        "answered": np.bincount(answers.worker, minlength=len(answers.workers)),
        "accuracy": quality[:, 0],
        "low": quality[:, 1],
        "high": quality[:, 2],
        "agreement": agreement_with_others(answers),
    })  # fmt: skip


def judged(votes: Any, gold: ArrayLike | None, model: LabelModel | None) -> tuple[Answers, LabelModel]:
    """Return the answers, and a label model fitted on them: the given one, or the one that is chosen."""
    answers, known = MajorityVote()._start(votes, gold)
    model = model or choose(answers, known)[0]
    # a majority's shares contain the annotator's own vote; as a model of equal voters they are probabilities
    model = EqualCoin() if isinstance(model, MajorityVote) else clone(model)
    return answers, model.fit(votes, gold)


def agreement_with_others(answers: Answers) -> Floats:
    """Mean share of the other annotators on a row who gave the same answer, (m,); NaN if there never was another."""
    m = len(answers.workers)
    others = answers.ballots.sum(1)[answers.task] - 1
    same = answers.ballots[answers.task, answers.label] - 1
    met = others > 0
    agreed = np.bincount(answers.worker[met], same[met] / others[met], minlength=m)
    rows = np.bincount(answers.worker[met], minlength=m)
    return np.asarray(np.divide(agreed, rows, out=np.full(m, np.nan), where=rows > 0))
