"""Gaussian naive Bayes with one variance a feature: the generative probe of frozen features."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from labelwise.base import UNLABELED, Card, Fields, InputError, Method, Positive
from labelwise.parts.blocks import row_blocks
from labelwise.rows import checked_rows
from labelwise.supervision import encode_classes

Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]


class SharedVarianceNB(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Gaussian naive Bayes whose classes share one variance a feature, so that it is linear and needs few labels.

    ``argmax_k log prior_k - sum_j (x_j - mean_kj)^2 / (2 v_j)`` with ``v_j = sum_k prior_k v_kj``, the variances within
    the classes weighted by the priors. The generative pair of logistic regression: it reaches its own best error with
    O(log d) rows for d features, where logistic regression needs O(d). Rows without a label are ignored.

    Parameters
    ----------
    epsilon
        Added to each variance.

    Attributes
    ----------
    classes_, class_count_ : (K,) classes and the weight of the rows seen in each.
    theta_ : (K, d) class means.
    var_ : (d,) shared variances.
    class_prior_ : (K,) shares of the classes.

    References
    ----------
    Zheng, Wu, Bao, Cao, Li, Zhu: Revisiting discriminative vs. generative classifiers: theory and implications. ICML 2023.
    Ng, Jordan: On discriminative vs. generative classifiers. NeurIPS 2001.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> SharedVarianceNB().fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.9
    True
    """

    epsilon: Annotated[float, Positive] = 1e-9

    card = Card(
        paper=6,
        year=2023,
        reference="Zheng et al.: Revisiting discriminative vs. generative classifiers. ICML 2023.",
        kind="estimator",
        handles=frozenset({"few labels", "representation"}),
        cost="seconds",
        race=True,
    )

    def fit(self, X: Any, y: Any, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fit on the labelled rows of X (n, d); y (n,) holds -1, None or NaN where there is no label."""
        self.check_fields()
        self._forget()
        return self._read(X, y, None, sample_weight)

    def partial_fit(
        self, X: Any, y: Any, classes: npt.ArrayLike | None = None, sample_weight: npt.ArrayLike | None = None
    ) -> Self:
        """Add rows to what was fitted; the result is that of one fit on all rows.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes
            (K,) all classes there will be: needed in the first call.
        """
        self.check_fields()
        if classes is None and not hasattr(self, "classes_"):
            raise InputError("partial_fit needs classes= in its first call: all classes that later calls will bring.")
        if classes is not None and not hasattr(self, "classes_"):
            self.classes_ = np.unique(np.asarray(classes))
        elif classes is not None and not np.array_equal(np.unique(np.asarray(classes)), self.classes_):
            raise InputError(f"classes must be those of the first call, {self.classes_.tolist()[:10]}. Got {classes}.")
        return self._read(X, y, self.classes_, sample_weight)

    def _forget(self) -> None:
        for name in ("classes_", "class_count_", "theta_", "squares_"):
            if hasattr(self, name):
                delattr(self, name)

    def _read(self, X: Any, y: Any, classes: Any, sample_weight: Any) -> Self:
        first = not hasattr(self, "theta_")
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X = checked_rows(self, X, reset=first, dtype=[np.float64, np.float32])
        codes = self._codes(y, classes)
        if len(codes) != len(X):
            raise InputError(f"X and y have inconsistent numbers of samples: {len(X)} rows in X and {len(codes)} in y.")
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        kept = (codes != UNLABELED) & (weight > 0)
        if first:
            n_classes = len(self.classes_)
            self.class_count_, self.theta_ = np.zeros(n_classes), np.zeros((n_classes, X.shape[1]))
            self.squares_ = np.zeros((n_classes, X.shape[1]))
        for rows in row_blocks(X):
            inside = kept[rows]
            if inside.any():
                self._add(X[rows][inside].astype(np.float64), codes[rows][inside], weight[rows][inside])
        self._settle()
        return self

    def _codes(self, y: Any, classes: Any) -> Codes:
        if classes is None:
            self.classes_, codes = encode_classes(y)
            return codes
        found, codes = encode_classes(y, least=0)
        if not np.isin(found, classes).all():
            unknown = found[~np.isin(found, classes)][0]
            raise InputError(f"y holds {unknown!r}, which is not one of the classes {classes.tolist()[:10]}.")
        known = codes != UNLABELED
        codes = codes.copy()
        codes[known] = np.searchsorted(classes, found)[codes[known]]
        return codes

    def _add(self, X: Doubles, codes: Codes, weight: Doubles) -> None:
        """Merge counts, means and squared deviations of more rows into those of the rows before (Chan et al. 1979)."""
        n_classes = len(self.classes_)
        member = sparse.csr_array((weight, (codes, np.arange(len(codes)))), shape=(n_classes, len(codes)))
        count: Doubles = np.asarray(member.sum(axis=1))
        share = np.maximum(count, np.finfo(float).tiny)[:, None]
        mean = member @ X / share
        squares = member @ (X - mean[codes]) ** 2
        total = np.maximum(self.class_count_ + count, np.finfo(float).tiny)[:, None]
        step = mean - self.theta_
        self.squares_ += squares + step**2 * self.class_count_[:, None] * count[:, None] / total
        self.theta_ += step * count[:, None] / total
        self.class_count_ = self.class_count_ + count

    def _settle(self) -> None:
        total = self.class_count_.sum()
        if not total:
            raise InputError("y has no labelled row of positive weight: label some rows.")
        self.class_prior_ = self.class_count_ / total
        self.var_ = self.squares_.sum(axis=0) / total + self.epsilon
        self.center_ = self.class_prior_ @ self.theta_
        means = self.theta_ - self.center_
        self.coef_ = means / self.var_
        with np.errstate(divide="ignore"):
            self.intercept_ = np.log(self.class_prior_) - (means * self.coef_).sum(axis=1) / 2

    def _joint(self, X: Any) -> Doubles:
        check_is_fitted(self)
        X = checked_rows(self, X, reset=False, dtype=[np.float64, np.float32])
        return np.asarray((X - self.center_) @ self.coef_.T + self.intercept_)

    def predict_proba(self, X: Any) -> Doubles:
        """(n, K) posterior probabilities of ``classes_``."""
        return np.asarray(softmax(self._joint(X), axis=1))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) most probable class."""
        best = self._joint(X).argmax(axis=1)
        return np.asarray(self.classes_[best])
