"""Generative or discriminative probe of frozen features: which, and from how many labels on the other."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, InputError, Method, Positive, Range
from labelwise.baselines.naive_bayes import SharedVarianceNB
from labelwise.parts.out_of_fold import fit_codes, predict_all, stratified_folds
from labelwise.parts.threads import one_thread
from labelwise.rows import checked_rows
from labelwise.supervision import encode_classes

Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]

PROBES = ("naive Bayes", "logistic regression")


class LearningCurves(NamedTuple):
    """Test errors of both probes: ``sizes`` (S,) training rows, each error (repeats, S)."""

    sizes: Codes
    naive_bayes: Doubles
    logistic: Doubles


class AutoProbe(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Naive Bayes or logistic regression, whichever has the lower cross-validated error, and where they cross.

    Learning curves of both on nested draws of the labelled rows give the crossing point m*: with fewer labels the
    generative probe wins, with more the discriminative one. Rows without a label are ignored.

    Parameters
    ----------
    cv
        Folds of the comparison.
    repeats
        Draws behind the learning curves.
    n_sizes
        Points of a learning curve.
    strength
        Inverse L2 penalty ``C`` of the logistic regression, on features scaled to [0, 1].
    level
        Confidence level of the crossing point's interval.
    random_state
        Seed of folds and draws.

    Attributes
    ----------
    errors_ : dict of the two cross-validated errors.
    chosen_ : the probe used by `predict`, one of ``naive Bayes`` and ``logistic regression``.
    learning_curves_ : `LearningCurves`.
    crossing_ : `Estimate` of m*, or None where the curves do not cross within the labels there are.
    advice_ : what that means, in one sentence.
    model_ : the chosen probe, fitted on all labelled rows.

    References
    ----------
    Zheng, Wu, Bao, Cao, Li, Zhu: Revisiting discriminative vs. generative classifiers: theory and implications. ICML 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> probe = AutoProbe(random_state=0).fit(X, y)
    >>> probe.score(X, y) > 0.95
    True
    >>> probe.learning_curves_.sizes[0]
    np.int64(6)
    """

    cv: Annotated[int, Range(low=2, whole=True)] = 5
    repeats: Annotated[int, Count] = 5
    n_sizes: Annotated[int, Range(low=2, whole=True)] = 6
    strength: Annotated[float, Positive] = 1.0
    level: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.9
    random_state: int | None = None

    card = Card(
        paper=6,
        year=2023,
        reference="Zheng et al.: Revisiting discriminative vs. generative classifiers. ICML 2023.",
        kind="estimator",
        handles=frozenset({"few labels", "representation"}),
        cost="light",
        race=True,
    )

    def fit(self, X: Any, y: Any) -> Self:
        """Compare both probes on the labelled rows of X (n, d), and fit the better one."""
        self.check_fields()
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X = checked_rows(self, X, dtype=[np.float64, np.float32])
        self.classes_, codes = encode_classes(y)
        if len(codes) != len(X):
            raise InputError(f"X and y have inconsistent numbers of samples: {len(X)} rows in X and {len(codes)} in y.")
        labelled = codes != UNLABELED
        X, codes = X[labelled], codes[labelled]
        rng = np.random.default_rng(self.random_state)
        with one_thread():
            self._compare(X, codes, rng)
        return self

    def _compare(self, X: Any, codes: Codes, rng: np.random.Generator) -> None:
        fold = stratified_folds(codes, min(self.cv, len(codes)), rng)
        errors = [self._errors(X, codes, fold != k, fold == k) * (fold == k).mean() for k in np.unique(fold)]
        self.errors_ = dict(zip(PROBES, np.sum(errors, axis=0).tolist(), strict=True))
        self.chosen_ = min(PROBES, key=lambda name: self.errors_[name])
        self.model_ = fit_codes(self._probes()[PROBES.index(self.chosen_)], X, codes)
        self.learning_curves_ = self._curves(X, codes, rng)
        self.crossing_ = crossing(self.learning_curves_, self.level, rng)
        self.advice_ = self._advice()

    def _probes(self) -> tuple[Any, Any]:
        logistic = LogisticRegression(C=self.strength, max_iter=1000)
        return SharedVarianceNB(), make_pipeline(MinMaxScaler(), logistic)

    def _errors(self, X: Any, codes: Codes, train: Any, test: Any) -> Doubles:
        """Test errors of both probes fitted on the rows `train`."""
        return np.array([
            (predict_all(fit_codes(probe, X[train], codes[train]), X[test], len(self.classes_)).argmax(1) != codes[test])
            .mean()
            for probe in self._probes()
        ])  # fmt: skip

    def _curves(self, X: Any, codes: Codes, rng: np.random.Generator) -> LearningCurves:
        """Errors on a quarter of the rows, after training on growing, nested parts of the rest."""
        n_test = max(1, len(codes) // 4)
        largest, n_classes = len(codes) - n_test, len(self.classes_)
        sizes = np.unique(np.geomspace(min(2 * n_classes, largest), largest, self.n_sizes).astype(np.int64))
        errors = np.empty((self.repeats, len(sizes), 2))
        for repeat in range(self.repeats):
            order = interleaved(codes, rng)
            test, rest = order[-n_test:], order[:-n_test]
            errors[repeat] = [self._errors(X, codes, rest[:size], test) for size in sizes]
        return LearningCurves(sizes, errors[..., 0], errors[..., 1])

    def _advice(self) -> str:
        sizes, bayes, logistic = self.learning_curves_
        if self.crossing_ is not None:
            return (
                f"Naive Bayes is ahead below about {self.crossing_.value:.0f} labels "
                f"[{self.crossing_.low:.0f}, {self.crossing_.high:.0f}], logistic regression above."
            )
        ahead, behind = PROBES if bayes.mean() <= logistic.mean() else PROBES[::-1]
        return (
            f"{ahead[0].upper()}{ahead[1:]} is ahead of {behind} on average from {sizes[0]} to {sizes[-1]} labels, "
            "and the curves do not cross there from naive Bayes to logistic regression."
        )

    def predict_proba(self, X: Any) -> Doubles:
        """(n, K) probabilities of ``classes_`` from the chosen probe."""
        check_is_fitted(self)
        X = checked_rows(self, X, reset=False, dtype=[np.float64, np.float32])
        return predict_all(self.model_, X, len(self.classes_))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) most probable class from the chosen probe."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])


def interleaved(codes: Codes, rng: np.random.Generator) -> Codes:
    """Order of the rows, random within classes, in which every prefix has about the class shares of the whole."""
    shuffled = rng.permutation(len(codes))
    shuffled = shuffled[np.argsort(codes[shuffled], kind="stable")]
    counts = np.bincount(codes)
    within = np.concatenate([(np.arange(count) + rng.random()) / count for count in counts if count])
    order: Codes = shuffled[np.argsort(within, kind="stable")]
    return order


def first_crossing(sizes: Codes, bayes: Doubles, logistic: Doubles) -> float:
    """Number of rows, interpolated on a log scale, from which logistic regression stays ahead; inf if it never does.

    >>> first_crossing(np.array([10, 100]), np.array([0.2, 0.2]), np.array([0.3, 0.1])).__round__(1)
    31.6
    """
    gap = logistic - bayes
    behind = np.flatnonzero(gap >= 0)
    if not behind.size:
        return float(sizes[0])
    last = int(behind[-1])
    if last == len(sizes) - 1:
        return np.inf
    step = gap[last] / (gap[last] - gap[last + 1])
    return float(np.exp(np.log(sizes[last]) * (1 - step) + np.log(sizes[last + 1]) * step))


def crossing(curves: LearningCurves, level: float, rng: np.random.Generator, n_resamples: int = 500) -> Estimate | None:
    """m* of the mean curves with a bootstrap interval over draws, cut to the sizes tried; None if they do not cross."""
    sizes, bayes, logistic = curves
    value = first_crossing(sizes, bayes.mean(axis=0), logistic.mean(axis=0))
    if not sizes[0] < value < np.inf:
        return None
    drawn = [rng.integers(len(bayes), size=len(bayes)) for _ in range(n_resamples)]
    again = [first_crossing(sizes, bayes[rows].mean(axis=0), logistic[rows].mean(axis=0)) for rows in drawn]
    low, high = np.quantile(np.minimum(again, sizes[-1]), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, min(float(low), value), max(float(high), value), level)
