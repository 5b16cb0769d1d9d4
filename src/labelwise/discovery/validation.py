"""Choosing settings without a label of any new class: hide some known classes and try to find them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from labelwise.base import UNLABELED, Estimate, InputError
from labelwise.display import html_of
from labelwise.parts.matching import matched_accuracy
from labelwise.supervision import encode_classes

Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class HiddenClassResult:
    """How well each setting finds known classes whose labels were hidden.

    Attributes
    ----------
    settings
        As given.
    scores
        ``(settings, folds)``: accuracy on the rows of hidden classes.
    best
        The setting with the highest mean.
    """

    settings: list[dict[str, Any]]
    scores: NDArray[np.float64]
    best: dict[str, Any]

    def estimate(self, setting: int) -> Estimate:
        """Return the mean score of a setting with its 90 % t interval over folds (too narrow: folds share rows)."""
        from scipy.stats import t

        values = self.scores[setting]
        if len(values) < 2:
            return Estimate(float(values.mean()), 0.0, 1.0)
        half = float(t.ppf(0.95, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        return Estimate(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)

    def __str__(self) -> str:
        rows = [f"{setting}: {self.estimate(at)}" for at, setting in enumerate(self.settings)]
        return "accuracy on hidden known classes\n" + "\n".join(rows) + f"\nbest: {self.best}"

    def _repr_html_(self) -> str:
        return html_of(self)


def hidden_class_validation(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    settings: Sequence[Mapping[str, Any]],
    *,
    folds: int = 3,
    share: float = 0.3,
    random_state: int | None = None,
) -> HiddenClassResult:
    """Score settings of a discovery method by k folds over known classes (paper 216).

    In each fold the labels of some known classes are hidden, and those rows are the pool; rows that had no label are left
    out. The estimator is told how many classes were hidden unless its ``n_new_classes`` is ``auto``.

    Parameters
    ----------
    estimator
        A `Discovery`; cloned for every fit.
    X, y
        Rows and classes ``(n,)``, -1 or None where unknown.
    settings
        Dictionaries of parameters to compare.
    folds
        Most folds; each hides at least two classes (one alone would be found by any clustering) and leaves two known.
    share
        Share of the remaining classes' rows that joins the pool where ``unlabelled="mixed"``.
    random_state
        Seed of the folds.

    References
    ----------
    Troisemaine et al., A Practical Approach to Novel Class Discovery in Tabular Data, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from labelwise.discovery import NCDKMeans
    >>> X, y = load_digits(return_X_y=True)
    >>> given = np.where((y < 6) & (np.arange(len(y)) < 500), y, -1)
    >>> found = hidden_class_validation(NCDKMeans(n_new_classes=2, random_state=0), X, given, [{"starts": 1}, {}])
    >>> found.scores.shape
    (2, 3)
    """
    classes, codes = encode_classes(y)
    if len(classes) < 4:
        raise InputError(f"y has {len(classes)} known classes: hiding two of them must leave two, so four are needed.")
    rng = np.random.default_rng(random_state)
    groups = np.array_split(rng.permutation(len(classes)), min(folds, len(classes) // 2))
    rows = np.flatnonzero(codes != UNLABELED)
    X, truth = take(X, rows), codes[rows]
    tasks = [(np.isin(truth, group), rng.random(len(truth)) < share) for group in groups]
    scores = np.array([[_score(clone(estimator).set_params(**s), X, truth, *task) for task in tasks] for s in settings])
    return HiddenClassResult([dict(s) for s in settings], scores, dict(settings[int(scores.mean(1).argmax())]))


def _score(model: Any, X: Any, truth: Ints, hidden: Bools, joins: Bools) -> float:
    """Return the accuracy on the rows of hidden classes, with one matching over the whole pool."""
    pool = hidden | joins if model.unlabelled == "mixed" else hidden
    if model.n_new_classes != "auto":
        model.set_params(n_new_classes=len(np.unique(truth[hidden])))
    model.fit(X, np.where(pool, UNLABELED, truth))
    return matched_accuracy(truth[pool], model.labels_[pool], np.unique(truth[~hidden])).new


def take(X: Any, rows: Ints) -> Any:
    """Return some rows of an array or a list."""
    return [X[row] for row in rows] if isinstance(X, list) else np.asarray(X)[rows]
