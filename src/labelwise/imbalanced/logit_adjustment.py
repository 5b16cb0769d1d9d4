"""Post-hoc logit adjustment: calibrated probabilities of any classifier, and decisions for the measure one cares about."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.utils import Tags, _safe_indexing, get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Card, Fields, InputError, Method, Range
from labelwise.parts.class_counts import prior
from labelwise.parts.out_of_fold import out_of_fold_proba, plain_classifier
from labelwise.parts.recalibration import Recalibration
from labelwise.supervision import encode_classes

Doubles = NDArray[np.float64]
Codes = NDArray[np.integer[Any]]

LEAST = 1e-12
"""What a probability of zero counts as in a logarithm."""
POWERS = np.round(np.arange(-0.5, 2.01, 0.05), 2)
"""Powers of the class shares that are tried."""


class LogitAdjustment(Method, MetaEstimatorMixin, ClassifierMixin, Fields):  # type: ignore[misc]
    """Calibrate any classifier for the training shares, and decide by ``p / share^tau``, with tau found for a measure.

    Out-of-fold probabilities of the labelled rows serve twice: to recalibrate (so that weights or resampling
    inside the classifier are made good), and to find the `tau` under which the decisions ``argmax p_k /
    share_k^tau`` score best. 0 is the most probable class, 1 is best for balanced accuracy where the probabilities are
    right. For two classes that is a threshold on p; for more, one threshold each, tied together by the shares, so that the
    few rows of rare classes need not settle them one by one. With `costs` the class of least expected cost is decided,
    which needs no tau.

    Parameters
    ----------
    estimator
        Any classifier with ``predict_proba``; None takes logistic regression on scaled features.
    metric
        What decisions are for: ``balanced accuracy`` or ``macro F1``.
    costs
        ``(K, K)`` cost of predicting column j where row i is true, classes in sorted order; used in place of `metric`.
    tau
        A number, or ``auto`` to find it.
    cv
        Folds of the held-out predictions.
    random_state
        Seed of the folds.

    Attributes
    ----------
    tau_ : the power used; None with costs.
    calibration_ : the `labelwise.parts.recalibration.Recalibration` of the logarithms of the classifier's probabilities.
    class_prior_ : class shares of the labelled rows (K,).
    estimator_, classes_ : the classifier fitted on all labelled rows, and its classes.

    References
    ----------
    Menon et al.: Long-tail learning via logit adjustment. ICLR 2021.
    Elkan: The Foundations of Cost-Sensitive Learning. IJCAI 2001.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> rows = np.r_[np.flatnonzero(y == 1), np.flatnonzero(y == 0)[:20]]
    >>> model = LogitAdjustment(random_state=0).fit(X[rows], y[rows])
    >>> bool(model.score(X, y) > model.estimator_.score(X, y))
    True
    """

    estimator: Any = None
    metric: Literal["balanced accuracy", "macro F1"] = "balanced accuracy"
    costs: Any = None
    tau: Annotated[float, Range(low=-10, high=10)] | Literal["auto"] = "auto"
    cv: Annotated[int, Range(low=2, whole=True)] = 5
    random_state: int | None = None

    card = Card(
        year=2021, kind="post-hoc", handles=frozenset({"imbalance"}), race=True,
        reference="Menon et al., Long-tail learning via logit adjustment, ICLR 2021.",
    )  # fmt: skip
    tune = {"metric": ["balanced accuracy", "macro F1"]}

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the classifier, recalibrate it and find the decision rule on held-out predictions.

        Parameters
        ----------
        X
            ``(n, ...)`` inputs, whatever ``estimator`` accepts.
        y
            ``(n,)`` labels; unlabelled rows (-1, None, NaN) are left out.

        Raises
        ------
        InputError
            For fields out of range, an estimator without ``predict_proba``, or costs that do not fit the classes.
        """
        self.check_fields()
        base = plain_classifier() if self.estimator is None else self.estimator
        if not hasattr(base, "predict_proba"):
            raise InputError(f"LogitAdjustment.estimator must have predict_proba. Got {base!r}.")
        X, codes = self._read(X, y)
        n_classes = len(self.classes_)
        self.costs_ = None if self.costs is None else read_costs(self.costs, n_classes)
        self.estimator_ = clone(base).fit(X, self.classes_[codes])
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        rng = np.random.default_rng(self.random_state)
        proba = out_of_fold_proba(base, X, codes, n_classes, folds=self.cv, rng=rng)
        self.class_prior_ = prior(np.bincount(codes, minlength=n_classes))
        self.calibration_ = Recalibration.fit(_logs(proba), codes, self.class_prior_)
        self.tau_ = self._tau(self.calibration_(_logs(proba)), codes)
        return self

    def predict_proba(self, X: Any) -> Doubles:
        """Return probabilities ``(n, K)``, calibrated for the training rows' class shares."""
        check_is_fitted(self, "calibration_")
        return self.calibration_(_logs(self.estimator_.predict_proba(X)))

    def decision_proba(self, X: Any) -> Doubles:
        """Return rows ``(n, K)`` that sum to 1 and whose largest entry is the class that `predict` says."""
        return self._decided(self.predict_proba(X), self.tau_)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return a class a row, shape ``(n,)``, decided for the measure or the costs."""
        best = self.decision_proba(X).argmax(1)
        return np.asarray(self.classes_[best])

    def _read(self, X: Any, y: Any) -> tuple[Any, Codes]:
        if getattr(getattr(X, "dtype", None), "kind", "") == "c":
            raise InputError("Complex data not supported: X must hold real numbers.")
        self.classes_, codes = encode_classes(y)
        X, _ = indexable(X, codes)
        labelled = np.flatnonzero(codes != UNLABELED)
        return _safe_indexing(X, labelled), codes[labelled]

    def _tau(self, proba: Doubles, codes: Codes) -> float | None:
        """Return the power whose decisions score best; of equals, the one nearest to 1 for recall, to 0 for F1."""
        if self.costs_ is not None:
            return None
        if self.tau != "auto":
            return float(self.tau)
        recall = self.metric == "balanced accuracy"
        found = []
        for power in POWERS:
            guess = self._decided(proba, power).argmax(1)
            value = (
                balanced_accuracy_score(codes, guess)
                if recall
                else f1_score(codes, guess, average="macro", zero_division=0)
            )
            found.append((round(float(value), 10), -abs(power - float(recall)), float(power)))
        return max(found)[2]

    def _decided(self, proba: Doubles, tau: float | None) -> Doubles:
        if self.costs_ is not None:
            spared = self.costs_.max() - proba @ self.costs_ + LEAST
            return np.asarray(spared / spared.sum(1, keepdims=True))
        p = proba / self.class_prior_ ** (tau or 0.0)
        return np.asarray(p / p.sum(1, keepdims=True))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.input_tags = get_tags(self.estimator).input_tags
        else:
            tags.input_tags.sparse = True
        return tags


def read_costs(costs: Any, n_classes: int) -> Doubles:
    """Return costs as an array ``(K, K)``, or raise `InputError`."""
    found = np.asarray(costs, dtype=np.float64)
    if found.shape != (n_classes, n_classes) or not np.isfinite(found).all():
        raise InputError(
            f"costs must be finite, shape ({n_classes}, {n_classes}): row the true class, column the predicted one. "
            f"Got shape {found.shape}."
        )
    if (found.diagonal() > found.min(1)).any():
        row = int((found.diagonal() > found.min(1)).argmax())
        raise InputError(
            f"costs: being right about class {row} costs {found[row, row]:g}, being wrong {found[row].min():g}. "
            "The diagonal must be the smallest of its row."
        )
    return found


def _logs(proba: Any) -> Doubles:
    return np.asarray(np.log(np.maximum(np.asarray(proba, dtype=np.float64), LEAST)))
