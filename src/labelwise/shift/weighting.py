"""Importance weighting: source rows weighted by how much more often rows like them occur in the target."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags, _safe_indexing, get_tags, indexable
from sklearn.utils.validation import check_is_fitted, validate_data

from labelwise.base import Card, Fields, Fraction, InputError, Method, Range
from labelwise.parts.density_ratio import effective_size, held_out_odds, overlap_size, rulsif
from labelwise.parts.out_of_fold import fit_codes, plain_classifier, predict_all, takes_weights
from labelwise.parts.two_samples import DomainResult, compare
from labelwise.shift.target_rows import Bools, source_and_target
from labelwise.supervision import encode_classes

Doubles = npt.NDArray[np.float64]
LEAST, LEAST_SHARE = 30, 0.05
"""Weighted rows worth fewer than this, or a smaller share of themselves, are too few to train on."""


class ImportanceWeighting(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Fit a classifier on source rows weighted by ``p_target(x) / p_source(x)``: correction of covariate shift.

    Under covariate shift the inputs are others in the target and ``p(y | x)`` is the same. Then the weighted training loss
    estimates the loss in the target. It helps a model too simple for all of the input space, which must choose where to be
    right, and costs rows: the effective size says how many are left. The weights are raised to a power, cut at `clip` times
    their mean, and used only where a test finds that the inputs differ.

    Parameters
    ----------
    estimator
        Any classifier with ``predict_proba`` that takes ``sample_weight``. Default: logistic regression on scaled features.
    target
        Domain of the target rows, when ``fit`` is given ``domains``.
    ratio
        How the density ratio is estimated: ``classifier``, the calibrated held-out odds of `discriminator`; or ``rulsif``,
        least squares with Gaussian kernels, for dense numbers.
    discriminator
        Classifier that tells target rows from source rows. Default: logistic regression on scaled features.
    flatten
        Power of the weights, in [0, 1]: 1 is the ratio itself, 0 no weighting.
    least
        Smallest share of themselves that the weighted source rows must be worth, in [0, 1]: the power is lowered until they
        are. Without this a few rows can carry all weight; 0 never lowers it.
    clip
        Largest weight, in mean weights, >= 1.
    cv
        Folds of the held-out discriminator.
    significance
        Weigh only where the test of "the inputs are the same" has a p-value of at most this; 1 always weighs.
    level
        Confidence of the AUC's interval.
    random_state
        Seed of folds and kernels.

    Attributes
    ----------
    weights_ : (n_source,) weights of the source rows, mean one; ones if not significant.
    power_ : the power of the ratios that was used; 0 if not significant.
    effective_size_, effective_share_ : rows that the weighted ones are worth, and their share.
    shift_test_ : AUC of telling source and target rows apart, with its interval, and the p-value.
    corrects_ : whether the test found a shift.
    estimator_, classes_ : the classifier fitted on the source, and its classes.

    References
    ----------
    Hidetoshi Shimodaira: Improving predictive inference under covariate shift by weighting the log-likelihood function.
    Journal of Statistical Planning and Inference 2000.

    Examples
    --------
    >>> from labelwise.data.synthetic import covariate_shift
    >>> moved = covariate_shift(800, 800, drift=1.5, random_state=0)
    >>> y = np.where(moved.domains == 0, moved.y, -1)
    >>> model = ImportanceWeighting(random_state=0).fit(moved.X, y)
    >>> model.corrects_, bool(100 < model.effective_size_ < 500)
    (True, True)
    """

    estimator: Any = None
    target: Any = None
    ratio: Literal["classifier", "rulsif"] = "classifier"
    discriminator: Any = None
    flatten: Annotated[float, Fraction] = 1.0
    least: Annotated[float, Fraction] = 0.1
    clip: Annotated[float, Range(low=1)] = 20.0
    cv: Annotated[int, Range(low=2, whole=True)] = 5
    significance: Annotated[float, Fraction] = 0.05
    level: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.9
    random_state: int | None = None

    card = Card(
        year=2000, kind="post-hoc", handles=frozenset({"covariate shift"}), needs=frozenset({"target rows"}), cost="light",
        reference="Shimodaira: Improving predictive inference under covariate shift by weighting the log-likelihood. 2000.",
        apart="It fits a model to other rows than those it is validated on; folds of the source cannot show its gain.",
    )  # fmt: skip
    tune = {"flatten": [0.5, 1.0], "ratio": ["classifier", "rulsif"]}

    def fit(self, X: Any, y: Any, domains: npt.ArrayLike | None = None) -> Self:
        """Weigh the source rows and fit the classifier on them.

        Parameters
        ----------
        X
            (n, ...) inputs, whatever ``estimator`` and ``discriminator`` accept.
        y
            (n,) labels. Without `domains`, unlabelled rows (-1, None, NaN) are the target.
        domains
            (n,) domain of each row: rows of domain ``target`` are the target, labelled or not (their labels are not
            used), labelled rows elsewhere are the source, and other rows are left out.
        """
        self.check_fields()
        if y is None:
            raise InputError("ImportanceWeighting requires y to be passed, but the target y is None.")
        if getattr(getattr(X, "dtype", None), "kind", "") == "c":
            raise InputError("Complex data not supported: X must hold real numbers.")
        base = plain_classifier() if self.estimator is None else self.estimator
        self._check_estimator(base)
        self.classes_, codes = encode_classes(y)
        X, _ = indexable(X, codes)
        source, target = source_and_target(codes, domains, self.target)
        self._weigh(X, source, target)
        model_X, model_codes = _safe_indexing(X, np.flatnonzero(source)), codes[source]
        self.estimator_ = fit_codes(base, model_X, model_codes, self.weights_ if self.corrects_ else None)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return self

    def _check_estimator(self, base: Any) -> None:
        if not (hasattr(base, "predict_proba") and takes_weights(base)):
            raise InputError(
                f"ImportanceWeighting.estimator must have predict_proba and take sample_weight. Got {base!r}: choose "
                "another classifier, for example sklearn.linear_model.LogisticRegression()."
            )

    def _weigh(self, X: Any, source: Bools, target: Bools) -> None:
        n_source, n_target = int(source.sum()), int(target.sum())
        self.shift_test_: DomainResult | None = None
        self.weights_, self.corrects_ = np.ones(n_source), False
        self.effective_size_, self.effective_share_, self.power_ = float(n_source), 1.0, 0.0
        if min(n_source, n_target) < self.cv:
            return
        rng, used = np.random.default_rng(self.random_state), np.flatnonzero(source | target)
        rows, is_target = _safe_indexing(X, used), target[used]
        probe = plain_classifier() if self.discriminator is None else self.discriminator
        scores, odds = held_out_odds(probe, rows, is_target, self.cv, rng)
        found = compare(scores[~is_target], scores[is_target], self.level)
        self.shift_test_, self.corrects_ = found, found.p_value <= self.significance
        if self.corrects_:
            raw = odds[~is_target] if self.ratio == "classifier" else self._least_squares(rows, is_target, rng)
            self._settle(raw, overlap_size(odds, is_target))

    def _least_squares(self, rows: Any, is_target: Bools, rng: np.random.Generator) -> Doubles:
        Z = StandardScaler().fit_transform(validate_data(self, rows, dtype=np.float64, reset=True))
        return rulsif(Z[~is_target], Z[is_target], rng=rng)

    def _settle(self, raw: Doubles, alike: float) -> None:
        """Set the weights, and warn where few rows are like the target."""
        self.power_ = self._power(raw)
        self.weights_ = self._weights(raw, self.power_)
        self.effective_size_ = effective_size(self.weights_)
        self.effective_share_ = self.effective_size_ / len(raw)
        worth = min(alike, self.effective_size_)
        if worth < max(LEAST, LEAST_SHARE * len(raw)):
            warnings.warn(
                f"ImportanceWeighting: the {len(raw)} source rows are worth {worth:.0f} once weighted: few "
                "of them look like the target. Lower `flatten`, or label some target rows.",
                stacklevel=5,
            )

    def _weights(self, raw: Doubles, power: float) -> Doubles:
        """Return the ratios to a power, cut, with mean one."""
        logs = power * np.log(np.maximum(raw, 1e-12))
        weights = np.exp(logs - logs.max())
        weights = np.minimum(weights / weights.mean(), self.clip)
        return np.asarray(weights / weights.mean())

    def _power(self, raw: Doubles) -> float:
        """Return the largest power, up to `flatten`, at which the rows are worth enough: by halving the interval."""
        low, high = 0.0, self.flatten
        if effective_size(self._weights(raw, high)) >= self.least * len(raw):
            return high
        for _ in range(20):
            middle = (low + high) / 2
            enough = effective_size(self._weights(raw, middle)) >= self.least * len(raw)
            low, high = (middle, high) if enough else (low, middle)
        return low

    def predict_proba(self, X: Any) -> Doubles:
        """(n, K) probabilities of ``classes_``."""
        check_is_fitted(self)
        return predict_all(self.estimator_, X, len(self.classes_))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) most probable class."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.input_tags = get_tags(self.estimator).input_tags
        else:
            tags.input_tags.sparse = True
        return tags
