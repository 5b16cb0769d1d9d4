"""Predictions for source and target rows by models that saw neither: what makes their comparison fair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from labelwise.base import InputError

Floats = npt.NDArray[np.floating[Any]]
Codes = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Scores:
    """Held-out probabilities of the labelled source rows with their codes, and of the target rows."""

    source: Floats
    codes: Codes
    target: Floats


def folds(codes: Codes, n_folds: int, rng: np.random.Generator) -> Codes:
    """Deal the rows of each class over the folds; -1 for a class of one row, which cannot be held out."""
    fold = np.empty(len(codes), dtype=np.int64)
    start = 0
    for k in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == k))
        fold[rows] = (start + np.arange(len(rows))) % n_folds if len(rows) > 1 else -1
        start += len(rows)
    return fold


def _proba(model: Any, X: Any, rows: npt.NDArray[np.intp]) -> Floats:
    proba: Floats = np.asarray(model.predict_proba(_safe_indexing(X, rows)))
    return proba


def cross_fit(
    model: Any,
    X: Any,
    codes: Codes,
    source: npt.NDArray[np.bool_],
    target: npt.NDArray[np.bool_],
    classes: npt.NDArray[Any],
    cv: int,
    rng: np.random.Generator,
) -> tuple[Any, Scores]:
    """Fit `model` on all source rows; score every row by a model of one fold that did not train on it.

    Target rows are dealt over the same fold models as source rows, so that without a shift both kinds of scores have
    one distribution, whatever the model: no training-set overconfidence, and no gap between models of different size.
    """
    rows, pool = np.flatnonzero(source), np.flatnonzero(target)
    labels = classes[codes]
    model.fit(_safe_indexing(X, rows), labels[rows])
    if not len(pool):
        return model, Scores(np.empty((0, len(classes))), codes[rows], np.empty((0, len(classes))))
    fold = folds(codes[rows], cv, rng)
    turn = np.resize(np.unique(fold[fold >= 0]), len(pool)) if (fold >= 0).any() else np.full(len(pool), -1)
    turn = rng.permutation(turn)
    held, aimed = np.empty((len(rows), len(classes))), np.empty((len(pool), len(classes)))
    for k in np.unique(np.concatenate([fold, turn])):
        kept = rows[fold != k]
        part = model if k < 0 else clone(model).fit(_safe_indexing(X, kept), labels[kept])
        for scores, here, which in ((held, rows, fold), (aimed, pool, turn)):
            if (which == k).any():
                scores[which == k] = _proba(part, X, here[which == k])
    return model, Scores(held, codes[rows], aimed)


def frozen_scores(
    model: Any,
    X: Any,
    codes: Codes,
    source: npt.NDArray[np.bool_],
    target: npt.NDArray[np.bool_],
    classes: npt.NDArray[Any],
) -> Scores:
    """Scores of a fitted model, whose training rows must not be among these."""
    if not np.array_equal(np.asarray(model.classes_), classes):
        raise InputError(
            "the frozen estimator and the labelled rows must have the same classes, each class with a labelled row. "
            f"Got {list(model.classes_)[:10]} from the estimator and {list(classes)[:10]} from y."
        )
    rows, pool = np.flatnonzero(source), np.flatnonzero(target)
    empty = np.empty((0, len(classes)))
    return Scores(_proba(model, X, rows), codes[rows], _proba(model, X, pool) if len(pool) else empty)
