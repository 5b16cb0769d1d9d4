"""Probabilities for every row from models that have not seen it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import has_fit_parameter

from labelwise.base import UNLABELED, InputError

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


def plain_classifier() -> Pipeline:
    """Return logistic regression on scaled features; the scaling keeps sparse features sparse."""
    return make_pipeline(MaxAbsScaler(), LogisticRegression(max_iter=1000))


def stratified_folds(codes: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """Deal the rows of every class over the folds as evenly as possible, (n,); ``UNLABELED`` counts as a class.

    Classes with fewer rows than folds are allowed, and the folds differ by at most one row.

    >>> rng = np.random.default_rng(0)
    >>> np.bincount(stratified_folds(np.array([0, 0, 0, 1, 1, 1, 2]), 3, rng))
    array([3, 2, 2])
    """
    shuffled = rng.permutation(len(codes))
    by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
    fold = np.empty(len(codes), np.int64)
    fold[by_class] = np.arange(len(codes)) % folds
    return fold


def takes_weights(estimator: Any) -> bool:
    """Whether `estimator`, or the last step of a pipeline, can be fitted with ``sample_weight``."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return bool(has_fit_parameter(last, "sample_weight"))


def fit_codes(estimator: Any, X: Any, codes: Ints, sample_weight: Floats | None = None) -> Any:
    """Fit a clone of `estimator` on class codes; where only one class is left, a model that always predicts it.

    Rows of weight zero are left out, so that they do not reach the parts of a pipeline that take no weights.
    """
    if sample_weight is not None and not sample_weight.all():
        kept = np.flatnonzero(sample_weight)
        X, codes, sample_weight = _safe_indexing(X, kept), codes[kept], sample_weight[kept]
    if len(np.unique(codes)) < 2:
        return DummyClassifier(strategy="prior").fit(np.zeros((len(codes), 1)), codes)
    model = clone(estimator)
    if sample_weight is None:
        return model.fit(X, codes)
    if not takes_weights(model):
        raise InputError(
            f"sample_weight cannot be used: {type(model).__name__}.fit does not take it. Leave it out, or choose an "
            "estimator that does."
        )
    if isinstance(model, Pipeline):
        return model.fit(X, codes, **{f"{model.steps[-1][0]}__sample_weight": sample_weight})
    return model.fit(X, codes, sample_weight=sample_weight)


def predict_all(model: Any, X: Any, n_classes: int) -> Floats:
    """Return probabilities for all `n_classes` codes, (n, K), with zeros for the classes that `model` never saw."""
    found = np.asarray(model.predict_proba(X))
    proba = np.zeros((len(found), n_classes), found.dtype)
    proba[:, model.classes_] = found
    return proba


def out_of_fold_proba(
    estimator: Any,
    X: Any,
    codes: Ints,
    n_classes: int,
    *,
    folds: int = 5,
    sample_weight: Floats | None = None,
    rng: np.random.Generator | None = None,
) -> Floats:
    """Return class probabilities for every row of `X`, each from a clone fitted on the labelled rows of other folds.

    Parameters
    ----------
    estimator
        A scikit-learn classifier with ``predict_proba``; it is cloned, never changed.
    X : array or sparse matrix of shape (n, d)
        Features.
    codes : integers of shape (n,)
        Class codes, ``UNLABELED`` where there is none; such rows are predicted but not trained on.
    n_classes
        Number of columns of the result.
    folds
        Number of folds, lowered to the number of labelled rows if there are fewer.
    sample_weight : floats of shape (n,), optional
        Passed to the fits.
    rng
        Draws the folds.

    Returns
    -------
    floats of shape (n, K)
    """
    labelled = codes != UNLABELED
    folds = min(folds, int(labelled.sum()))
    fold = stratified_folds(codes, folds, rng or np.random.default_rng())
    proba = np.zeros((len(codes), n_classes))
    for number in range(folds):
        train, test = np.flatnonzero(labelled & (fold != number)), np.flatnonzero(fold == number)
        weight = None if sample_weight is None else sample_weight[train]
        model = fit_codes(estimator, _safe_indexing(X, train), codes[train], weight)
        proba[test] = predict_all(model, _safe_indexing(X, test), n_classes)
    return proba
