"""Exact withdrawal by training again without the rows."""

from __future__ import annotations

import time
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import _check_sample_weight, validate_data

from labelwise.base import Card, Fields, InputError, Method
from labelwise.inputs import Inputs
from labelwise.learner import Learner
from labelwise.supervision import encode_classes
from labelwise.supervision.arrays import to_numpy
from labelwise.unlearning.base import Withdrawal, forget_mask
from labelwise.unlearning.certificate import taken
from labelwise.unlearning.steps import RANDOM_BATCHES


class Exact(Withdrawal):
    """What exact withdrawals share: reading rows that can be taken apart, and the estimator to train."""

    estimator: Any

    def held(self, X: Any, y: Any) -> tuple[Any, NDArray[Any]]:
        """Return rows that can be taken by number, and their labels; raise for missing or disagreeing ones."""
        if isinstance(self.unfitted(), Learner):
            Inputs(self, False).fit(X, y)  # raises for what no learner reads, wherever the row then goes
        elif y is None:
            validate_data(self, X, None)  # raises the standard message
        if isinstance(X, (list, tuple)) and len(X) and isinstance(X[0], str):
            rows: Any = list(X)
        else:
            rows = X if hasattr(X, "iloc") or sparse.issparse(X) else np.asarray(X)
        labels, _ = to_numpy(y, "y")
        n_rows = rows.shape[0] if hasattr(rows, "shape") else len(rows)
        if len(labels) != n_rows:
            raise InputError(f"X has {n_rows} rows but y has {len(labels)}: give one target per row.")
        return rows, labels

    def unfitted(self) -> Any:
        """Return a new estimator."""
        if self.estimator is not None and not (
            isinstance(self.estimator, BaseEstimator) and hasattr(self.estimator, "fit")
        ):
            raise InputError(
                f"{type(self).__name__}.estimator must be an estimator of labelwise or scikit-learn. "
                f"Got {type(self.estimator).__name__}."
            )
        return type(self).default() if self.estimator is None else clone(self.estimator)

    def weights(self, sample_weight: Any, rows: Any) -> NDArray[np.float64] | None:
        """Return the weights ``(n,)``, or None; raise for others."""
        return (
            None if sample_weight is None else np.asarray(_check_sample_weight(sample_weight, rows, dtype=np.float64))
        )

    def took(self, model: Any) -> None:
        """Take over what a fitted model says of its features."""
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))


class Retrain(Exact, Method, Fields):
    """Train again without the rows: always right, and what every other method is measured against.

    Parameters
    ----------
    estimator
        Any estimator of labelwise or scikit-learn, fitted or not; None takes `labelwise.learner.Classifier`. A copy of it is
        fitted.
    random_state
        Seed of the new fit, where the estimator has one; None keeps the estimator's.

    References
    ----------
    Exact unlearning: the definition that the others approximate.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> after = Retrain(estimator=LogisticRegression(max_iter=500)).fit(X, y, forget=y == 0)
    >>> after.classes_
    array([1, 2])
    """

    estimator: Any = None
    random_state: int | None = None

    card = Card(
        reference="Exact unlearning: training without the rows.", kind="estimator", handles=frozenset({"forgetting"}),
        needs=frozenset({"forget"}), task="any", expected_failed_checks=RANDOM_BATCHES,
        apart="It removes rows from a model that is fitted already.",
    )  # fmt: skip

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, forget: ArrayLike | None = None
    ) -> Self:
        """Fit a new estimator on the rows of `X` that `forget` does not mark; `seconds_` tells how long it took.

        Parameters
        ----------
        X, y
            All rows, in the estimator's own form.
        sample_weight
            Weights ``(n,)``, for estimators that take them.
        forget
            Boolean mask ``(n,)``; None keeps every row.

        Raises
        ------
        InputError
            When the mask does not fit the rows or marks all of them, or X and y disagree.
        """
        self.check_fields()
        self.__dict__.pop("model_", None)
        started = time.perf_counter()
        rows, labels = self.held(X, y)
        kept = ~forget_mask(forget, len(labels))
        if self.of_classes() and labels.ndim == 1:
            encode_classes(labels, least=0)  # raises for labels that are none, in forgotten rows too
        model = self.unfitted()
        if self.random_state is not None and "random_state" in model.get_params(deep=False):
            model.set_params(random_state=self.random_state)
        weight = self.weights(sample_weight, rows)
        beside = {} if weight is None else {"sample_weight": weight[kept]}
        self.model_ = model.fit(taken(rows, kept), labels[kept], **beside)
        self.took(self.model_)
        if hasattr(self.model_, "classes_"):
            self.classes_ = self.model_.classes_
        self.seconds_ = time.perf_counter() - started
        return self
