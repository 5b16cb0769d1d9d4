"""What estimators of label shift share: held-out predictions, the corrected classifier, intervals and the test."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, _safe_indexing, get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Fields, Fraction, InputError, Method, Natural, Range
from labelwise.parts.out_of_fold import out_of_fold_proba, plain_classifier
from labelwise.parts.prior_intervals import PriorInterval, ShiftTest
from labelwise.parts.priors import correct
from labelwise.parts.scaling import Scaling
from labelwise.shift.target_rows import Bools, source_and_target
from labelwise.supervision import encode_classes

Floats = npt.NDArray[np.floating[Any]]
Codes = npt.NDArray[np.integer[Any]]


class Scores(NamedTuple):
    """Held-out probabilities of the labelled source rows with their codes, and of the target rows."""

    source: Floats
    codes: Codes
    target: Floats


class LabelShift(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Carries any classifier's probabilities to the class shares of the target rows; subclasses estimate the shares."""

    estimator: Any = None
    target: Any = None
    cv: Annotated[int, Range(low=2, whole=True)] = 5
    significance: Annotated[float, Fraction] = 0.05
    level: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.9
    n_resamples: Annotated[int, Natural] = 500
    random_state: int | None = None

    @abstractmethod
    def _estimate(self, scores: Scores, rng: np.random.Generator) -> tuple[PriorInterval, ShiftTest]:
        """Shares of the target with their interval, and the test of no shift."""

    def _calibrated(self, proba: Any) -> Any:
        return proba if self.scaling_ is None else self.scaling_(proba)

    def fit(self, X: Any, y: Any, domains: npt.ArrayLike | None = None) -> Self:
        """Fit the classifier on the source rows and estimate the class shares of the target rows.

        Parameters
        ----------
        X
            (n, ...) inputs, whatever ``estimator`` accepts.
        y
            (n,) labels. Without `domains`, unlabelled rows (-1, None, NaN) are the target.
        domains
            (n,) domain of each row: rows of domain ``target`` are the target, labelled or not (their labels are not
            used), labelled rows elsewhere are the source, and other rows are left out.
        """
        self.check_fields()
        X, codes = self._read(X, y)
        source, target = source_and_target(codes, domains, self.target)
        rng = np.random.default_rng(self.random_state)
        scores = self._scores(X, codes, source, target, rng)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        self.source_prior_ = np.bincount(scores.codes, minlength=len(self.classes_)) / len(scores.codes)
        self._settle(scores, rng)
        return self

    def _settle(self, scores: Scores, rng: np.random.Generator) -> None:
        prior = self.source_prior_
        self.scaling_: Scaling | None = None
        interval, self.shift_test_ = PriorInterval(prior, prior, prior, self.level), ShiftTest(0.0, 1.0, 0)
        if len(scores.target):
            interval, self.shift_test_ = self._estimate(scores, rng)
        self.prior_, self.prior_interval_ = interval.prior, np.stack([interval.low, interval.high], axis=1)
        self.corrects_ = self.shift_test_.p_value <= self.significance
        self.ratio_ = self.prior_ / self.source_prior_ if self.corrects_ else np.ones_like(self.prior_)

    def _read(self, X: Any, y: Any) -> tuple[Any, Codes]:
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        if getattr(getattr(X, "dtype", None), "kind", "") == "c":
            raise InputError("Complex data not supported: X must hold real numbers.")
        self.classes_, codes = encode_classes(y)
        X, _ = indexable(X, codes)
        return X, codes

    def _scores(self, X: Any, codes: Codes, source: Bools, target: Bools, rng: np.random.Generator) -> Scores:
        """Fit ``estimator_``, and score every row by a model that did not train on it.

        Target rows are dealt over the same fold models as source rows, so that without a shift both kinds of scores
        have one distribution, whatever the classifier: no overconfidence on training rows, no gap between models of
        different size.
        """
        base = plain_classifier() if self.estimator is None else self.estimator
        if not hasattr(base, "predict_proba"):
            raise InputError(
                f"{type(self).__name__}.estimator must have predict_proba. Got {base!r}: "
                "wrap it in sklearn.calibration.CalibratedClassifierCV."
            )
        used = np.flatnonzero(source | target)
        known = np.where(source, codes, UNLABELED)[used]
        seen, proba = _safe_indexing(X, used), np.empty((len(used), len(self.classes_)))
        if isinstance(base, FrozenEstimator):
            self._check_frozen(base)
            self.estimator_, proba = base, base.predict_proba(seen)
        else:
            rows = np.flatnonzero(source)
            self.estimator_ = clone(base).fit(_safe_indexing(X, rows), self.classes_[codes[rows]])
            if target.any():
                proba = out_of_fold_proba(base, seen, known, len(self.classes_), folds=self.cv, rng=rng)
        labelled = known != UNLABELED
        return Scores(proba[labelled], known[labelled], proba[~labelled])

    def _check_frozen(self, model: FrozenEstimator) -> None:
        if not np.array_equal(np.asarray(model.classes_), self.classes_):
            raise InputError(
                "the frozen estimator and the labelled rows must have the same classes, every one with labelled rows. "
                f"Got {list(model.classes_)[:10]} from the estimator and {list(self.classes_)[:10]} from y."
            )

    def predict_proba(self, X: Any) -> Floats:
        """(n, K) probabilities of ``classes_`` under the target's class shares."""
        check_is_fitted(self)
        proba = self._calibrated(self.estimator_.predict_proba(X))
        return correct(proba, self.source_prior_, self.source_prior_ * self.ratio_)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) most probable class under the target's class shares."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.input_tags = get_tags(self.estimator).input_tags
        else:
            tags.input_tags.sparse = True
        return tags
