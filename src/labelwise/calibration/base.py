"""What post-hoc calibrators share: held-out scores of any classifier, wrong labels, and the calibrated classifier."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, _safe_indexing, get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Fields, InputError, Method, Range
from labelwise.calibration.maps import Kind, Likelihood, ScoreMap, kind_of, read_logits
from labelwise.calibration.measure import columns_of
from labelwise.calibration.noise import estimate_noise
from labelwise.parts.calibration_measures import Codes, Doubles
from labelwise.parts.noise_matrix import NoiseMatrix
from labelwise.parts.out_of_fold import out_of_fold_proba, plain_classifier
from labelwise.supervision import encode_classes


def read_labelled(
    scores: ArrayLike, y: ArrayLike, classes: ArrayLike | None
) -> tuple[NDArray[Any], Codes, NDArray[Any]]:
    """Return the labelled rows of scores ``(n, K)``, their codes, and the classes of the columns."""
    found, labels = np.asarray(scores), np.asarray(y)
    if found.ndim != 2:
        read_logits(found, "logits")
    names = np.arange(found.shape[1]) if classes is None else np.asarray(classes)
    if len(names) != found.shape[1]:
        raise InputError(f"classes has {len(names)} entries, but scores have {found.shape[1]} columns.")
    if labels.shape != (len(found),):
        raise InputError(f"y must hold one label a row, shape ({len(found)},). Got shape {labels.shape}.")
    kept = labels != UNLABELED if classes is None else np.ones(len(labels), bool)
    if not kept.any():
        raise InputError("y: every label is missing. Some rows need a label to calibrate on.")
    codes = columns_of(np.where(kept, labels, names[0]), names)
    return (found, codes, names) if kept.all() else (found[kept], codes[kept], names)


class Wrapper(Method, MetaEstimatorMixin, ClassifierMixin, Fields):  # type: ignore[misc]
    """A classifier around any classifier, settled on held-out rows; unlabelled rows are left out."""

    estimator: Any = None
    cv: Annotated[int, Range(low=2, whole=True)] = 5
    random_state: int | None = None

    def _read(self, X: Any, y: Any) -> tuple[Any, Codes]:
        """Return the labelled rows and their codes, and set ``classes_``."""
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        if getattr(getattr(X, "dtype", None), "kind", "") == "c":
            raise InputError("Complex data not supported: X must hold real numbers.")
        self.classes_, codes = encode_classes(y)
        X, _ = indexable(X, codes)
        labelled = np.flatnonzero(codes != UNLABELED)
        return (X, codes) if len(labelled) == len(codes) else (_safe_indexing(X, labelled), codes[labelled])

    def _base(self) -> Any:
        base = plain_classifier() if self.estimator is None else self.estimator
        if not hasattr(base, "predict_proba"):
            raise InputError(
                f"{type(self).__name__}.estimator must have predict_proba. Got {base!r}. A classifier with decision "
                "scores alone can be calibrated on those by TemperatureScaling.fit_scores."
            )
        if isinstance(base, FrozenEstimator) and not np.array_equal(np.asarray(base.classes_), self.classes_):
            raise InputError(
                "the frozen estimator and y must have the same classes. "
                f"Got {list(base.classes_)[:10]} from the estimator and {list(self.classes_)[:10]} from y."
            )
        return base

    def _fit_estimator(self, base: Any, X: Any, codes: Codes) -> None:
        self.estimator_ = base if isinstance(base, FrozenEstimator) else clone(base).fit(X, self.classes_[codes])
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))

    def predict_proba(self, X: Any) -> Doubles:
        """Return calibrated probabilities of ``classes_``, ``(n, K)``, float64."""
        raise NotImplementedError

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row, ``(n,)``."""
        winners = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[winners])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.input_tags = get_tags(self.estimator).input_tags
        else:
            tags.input_tags.sparse = True
        return tags


class Calibrator(Wrapper):
    """A map from scores to probabilities, fitted by the likelihood of held-out labels; subclasses say which map.

    Works around a classifier (`fit`, `predict_proba`) and on scores alone (`fit_scores`, `transform_scores`).
    """

    noise: NoiseMatrix | Literal["auto"] | None = None

    preserves_argmax: ClassVar[bool] = False
    """Whether every row keeps its most probable class, and so the classifier its accuracy."""

    @abstractmethod
    def _fit_map(self, likelihood: Likelihood) -> ScoreMap:
        """Return the map of the greatest likelihood."""

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the classifier, and the map to predictions for rows that it was not trained on.

        Parameters
        ----------
        X
            ``(n, ...)`` inputs, whatever ``estimator`` accepts.
        y
            ``(n,)`` labels; unlabelled rows (-1, None, NaN) are left out.
        """
        self.check_fields()
        X, codes = self._read(X, y)
        base = self._base()
        self._fit_estimator(base, X, codes)
        if isinstance(base, FrozenEstimator):
            proba = np.asarray(base.predict_proba(X))
        else:
            rng = np.random.default_rng(self.random_state)
            proba = out_of_fold_proba(base, X, codes, len(self.classes_), folds=self.cv, rng=rng)
        return self._settle(proba, codes, "proba")

    def fit_scores(self, scores: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Fit the map to scores of rows that the classifier was not trained on; no classifier is needed.

        Parameters
        ----------
        scores
            Logits or probabilities ``(n, K)`` of any floating type. Rows that all sum to one are probabilities.
        y
            Labels ``(n,)``: codes 0 .. K-1, or any labels with `classes`. Rows of code -1 are left out.
        classes
            ``(K,)`` labels of the columns.
        """
        self.check_fields()
        found, codes, self.classes_ = read_labelled(scores, y, classes)
        return self._settle(found, codes, kind_of(found))

    def _settle(self, scores: NDArray[Any], codes: Codes, kind: Kind) -> Self:
        self.scores_are_: Kind = kind
        logits, self.floor_ = read_logits(scores, kind)
        self.noise_ = self._noise(logits, codes)
        self.map_ = self._fit_map(Likelihood(logits, codes, None if self.noise_ is None else self.noise_.matrix))
        return self

    def _noise(self, logits: Doubles, codes: Codes) -> NoiseMatrix | None:
        if self.noise == "auto":
            return estimate_noise(logits, codes)
        if self.noise is not None and self.noise.n_classes != logits.shape[1]:
            raise InputError(
                f"noise is a matrix of {self.noise.n_classes} classes, but there are {logits.shape[1]}: "
                f"{self.classes_.tolist()[:10]}."
            )
        return self.noise

    def transform_scores(self, scores: ArrayLike) -> Doubles:
        """Return calibrated probabilities ``(n, K)``, float64, of scores like those given to the fit."""
        check_is_fitted(self, "map_")
        logits, _ = read_logits(scores, self.scores_are_, self.floor_)
        if logits.shape[1] != len(self.classes_):
            raise InputError(f"scores have {logits.shape[1]} columns, but the map was fitted to {len(self.classes_)}.")
        return self.map_(logits)

    def predict_proba(self, X: Any) -> Doubles:
        """Return calibrated probabilities of ``classes_``, ``(n, K)``, float64."""
        check_is_fitted(self, "estimator_")
        return self.transform_scores(self.estimator_.predict_proba(X))
