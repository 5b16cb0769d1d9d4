"""The average of two models, which is itself a candidate of every race."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from labelwise.base import Card, Fields, Fraction, InputError, Method
from labelwise.baselines import Baseline, BaselineRegressor, MultiLabelBaseline
from labelwise.supervision import encode_classes


class Average(Fields):
    """What the two blends share: fitting both models and averaging what they say."""

    first: Any = None
    second: Any = None
    share: Annotated[float, Fraction] = 0.5

    def _fit_both(self, X: Any, y: Any) -> None:
        self.check_fields()
        if self.first is None or self.second is None:
            self._validate(X, y)
        self.first_ = clone(self._default() if self.first is None else self.first).fit(X, y)
        self.second_ = clone(self._default() if self.second is None else self.second).fit(X, y)

    def _validate(self, X: Any, y: Any) -> None:
        validate_data(self, X, "no_validation" if y is None else y)

    def _default(self) -> Any:
        raise NotImplementedError


class Blend(Method, ClassifierMixin, Average):  # type: ignore[misc]
    """Average of the probabilities of two classifiers: often better than both, and seldom worse than the worse one.

    Parameters
    ----------
    first, second
        Classifiers with ``predict_proba``; None stands for a linear `Baseline`.
    share
        Weight of the first, between 0 and 1.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> blend = Blend(first=GaussianNB()).fit([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1])
    >>> blend.predict([[0.5], [4.5]]).tolist()
    [0, 1]
    """

    card = Card(kind="estimator", cost="light", reference="Averaging of class probabilities")

    def fit(self, X: Any, y: Any) -> Self:
        """Fit both classifiers on all rows; what they do with unlabelled ones is theirs to say."""
        self._fit_both(X, y)
        self.classes_ = encode_classes(y)[0]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the weighted mean of the two models' probabilities, (n, K)."""
        check_is_fitted(self)
        first, second = (proba_of(model, X, self.classes_) for model in (self.first_, self.second_))
        return np.asarray(self.share * first + (1 - self.share) * second)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the highest mean probability."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _default(self) -> Any:
        return Baseline(family="linear", draws=1)


class BlendRegressor(Method, RegressorMixin, Average):  # type: ignore[misc]
    """Average of the predictions of two regressors.

    Parameters
    ----------
    first, second
        Regressors; None stands for a linear `BaselineRegressor`.
    share
        Weight of the first, between 0 and 1.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> blend = BlendRegressor(first=DummyRegressor()).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    >>> blend.predict([[1.0]]).round(3).tolist()
    [1.0]
    """

    card = Card(
        kind="estimator", cost="light", supervision=frozenset({"real"}), task="regression",
        reference="Averaging of predictions",
    )  # fmt: skip

    def fit(self, X: Any, y: Any) -> Self:
        """Fit both regressors on all rows."""
        self._fit_both(X, y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the weighted mean of the two models' predictions."""
        check_is_fitted(self)
        return np.asarray(self.share * self.first_.predict(X) + (1 - self.share) * self.second_.predict(X))

    def _default(self) -> Any:
        return BaselineRegressor(family="linear", draws=1)


class BlendMultiLabel(Method, ClassifierMixin, Average):  # type: ignore[misc]
    """Average of the probabilities of two models of several labels per row.

    Parameters
    ----------
    first, second
        Models with ``predict_proba`` (n, L); None stands for a linear `MultiLabelBaseline`.
    share
        Weight of the first, between 0 and 1.

    Examples
    --------
    >>> X, y = [[0.0], [1.0], [4.0], [5.0]], [[0, 1], [0, 1], [1, 0], [1, -1]]
    >>> BlendMultiLabel().fit(X, y).predict([[0.5], [4.5]]).tolist()
    [[0, 1], [1, 0]]
    """

    card = Card(
        kind="estimator", cost="light", supervision=frozenset({"multilabel"}), task="multi-label",
        reference="Averaging of probabilities",
    )  # fmt: skip

    def fit(self, X: Any, y: Any) -> Self:
        """Fit both models on all rows; `y` (n, L) holds 1 (yes), 0 (no) and -1 (unknown)."""
        self._fit_both(X, y)
        self.classes_ = np.arange(np.shape(y)[1])
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the weighted mean of the two models' probabilities, (n, L)."""
        check_is_fitted(self)
        first, second = (np.asarray(model.predict_proba(X)) for model in (self.first_, self.second_))
        return np.asarray(self.share * first + (1 - self.share) * second)

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 where the mean probability exceeds one half, (n, L)."""
        return np.asarray((self.predict_proba(X) > 0.5).astype(np.int64))

    def _validate(self, X: Any, y: Any) -> None:
        validate_data(self, X, y, multi_output=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags

    def _default(self) -> Any:
        return MultiLabelBaseline(family="linear", draws=1)


def proba_of(model: Any, X: Any, classes: np.ndarray | None, decisions: bool = False) -> np.ndarray:
    """Return the model's probabilities with one column for each of the sorted `classes`, zero where it knows none.

    With `decisions` those of its ``decision_proba``, by which it predicts; as they are where `classes` is None, of several
    labels a row.
    """
    proba = np.asarray((model.decision_proba if decisions else model.predict_proba)(X))
    if classes is None:
        return proba
    known = np.asarray(model.classes_)
    column = np.minimum(np.searchsorted(classes, known), len(classes) - 1)
    if len(known) != proba.shape[1] or not np.array_equal(classes[column], known):
        raise InputError(
            f"{type(model).__name__}.classes_ is {known.tolist()}, but the classes are {classes.tolist()}."
        )
    full = np.zeros((len(proba), len(classes)), dtype=proba.dtype)
    full[:, column] = proba
    return full
