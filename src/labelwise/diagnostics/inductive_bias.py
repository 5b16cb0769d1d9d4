"""How many bits beyond the training data a test error takes: the share of fitting hypotheses that reach it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq, minimize_scalar
from scipy.spatial.distance import cdist, pdist
from scipy.special import log_ndtr
from scipy.stats import ncx2
from sklearn.base import clone

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, Fraction, InputError, Method, Positive, Range
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.interval import spread
from labelwise.supervision import encode_classes
from labelwise.supervision.arrays import to_numpy

Doubles = NDArray[np.float64]
POINTS = 400
"""Quantiles of the errors that the likelihood is computed at."""
SAFE = -200.0
"""Log-probabilities below which the saddlepoint takes over from summing the series, which soon underflows."""


class ScaledChiSquare(NamedTuple):
    """A non-central chi-square variable times a scale: mean ``scale * (degrees + noncentrality)``.

    >>> law = ScaledChiSquare(degrees=30.0, noncentrality=20.0, scale=1.0)
    >>> round(law.log_cdf(5.0), 1)
    -25.0
    """

    degrees: float
    noncentrality: float
    scale: float

    def log_cdf(self, error: float) -> float:
        """Return log P(value <= `error`); by the saddlepoint (Barndorff-Nielsen's r*) where it is tiny."""
        if not error > 0:
            return -math.inf
        saddle = self._saddlepoint(error / self.scale)
        if saddle > SAFE:
            exact = float(ncx2.cdf(error / self.scale, self.degrees, self.noncentrality))
            saddle = math.log(exact) if exact > 1e-80 else saddle
        return min(0.0, saddle)

    def _saddlepoint(self, e: float) -> float:
        k, l = self.degrees, self.noncentrality
        u = 2 * e / (k + math.sqrt(k * k + 4 * l * e))  # 1 / (1 - 2 t) at the saddlepoint t
        t = (1 - 1 / u) / 2
        return log_probability(t, k / 2 * math.log(u) + l * t * u, 2 * k * u**2 + 4 * l * u**3, e)

    def _repr_html_(self) -> str:
        return html_of(self)


def log_probability(t: float, K: float, K2: float, e: float) -> float:
    """Return log P(Q <= e) from the saddlepoint `t` of Q's cumulant function, its value `K` and second derivative `K2`."""
    square = 2 * (t * e - K)
    if square < 1e-6:  # at the mean, where r* has a removable singularity
        return float(log_ndtr(math.copysign(math.sqrt(max(square, 0.0)), t)))
    w, u = math.copysign(math.sqrt(square), t), t * math.sqrt(K2)
    return float(log_ndtr(w + math.log(u / w) / w))


def fit_chi_square(errors: ArrayLike) -> ScaledChiSquare:
    """Fit a scaled non-central chi-square to positive `errors` (M,), M >= 3.

    Mean and variance are matched; the scale, which then fixes the other two, is that of the highest likelihood.
    """
    values = np.sort(np.asarray(errors, dtype=np.float64))
    if values.ndim != 1 or len(values) < 3 or not np.isfinite(values).all() or not values[0] > 0:
        raise InputError("errors must be at least 3 finite positive numbers of shape (M,).")
    mean, variance = float(values.mean()), float(values.var())
    if not variance > 1e-16 * mean**2:
        raise InputError("errors are all equal: the hypotheses do not differ, so there is no distribution to fit.")
    some = np.quantile(values, (np.arange(POINTS) + 0.5) / POINTS) if len(values) > POINTS else values
    least, most = variance / (4 * mean), variance / (2 * mean)  # no degrees of freedom; no non-centrality

    def surprise(share: float) -> float:
        law = _matched(mean, variance, least + share * (most - least))
        with np.errstate(all="ignore"):
            logs = ncx2.logpdf(some / law.scale, law.degrees, law.noncentrality) - math.log(law.scale)
        return float(np.where(np.isfinite(logs), -logs, 1e6).mean())

    best = minimize_scalar(surprise, bounds=(1e-3, 1 - 1e-9), method="bounded", options={"xatol": 1e-3})
    return _matched(mean, variance, least + float(best.x) * (most - least))


def _matched(mean: float, variance: float, scale: float) -> ScaledChiSquare:
    noncentrality = max(0.0, variance / (2 * scale**2) - mean / scale)
    return ScaledChiSquare(mean / scale - noncentrality, noncentrality, scale)


@dataclass(frozen=True)
class InductiveBiasResult:
    """What `InductiveBias` finds.

    Attributes
    ----------
    bits
        -log2 of the probability that a hypothesis which fits the training data has at most the error asked for; the
        interval is that of resampled hypotheses and holds no doubt about the fitted law.
    error
        The error asked for.
    law
        Fitted distribution of the hypotheses' errors.
    direct
        The same bits without the fitted law, from all eigenvalues (kernel hypotheses only, else None).
    extrapolated
        Whether no hypothesis drawn is as good: `bits` then rest on the tail of the fitted law.
    least, mean
        Smallest and mean error of the hypotheses drawn.
    """

    bits: Estimate
    error: float
    law: ScaledChiSquare
    direct: float | None
    extrapolated: bool
    least: float
    mean: float

    def __str__(self) -> str:
        told = f"{self.bits} bits to reach an error of {self.error:.3g} (hypotheses: {self.mean:.3g} on average)"
        told += "" if self.direct is None else f", {self.direct:.3g} without the fitted law"
        return f"{told}; no hypothesis came near: pure extrapolation" if self.extrapolated else told

    def _repr_html_(self) -> str:
        return html_of(self)


class InductiveBias(Method, Fields):
    """Inductive bias in bits: how improbable a test error is among all hypotheses that fit the training data.

    ``-log2 P(test error <= e | fits the training data)``: what an architecture, a feature or a prior had to know beyond the
    training rows. Tasks of more intrinsic dimensions take far more bits; of two models, the one of lower error brought more.
    The hypotheses are functions of a Gaussian process with a Gaussian kernel, conditioned on the training rows, or an
    estimator of your own trained with many seeds. A scaled non-central chi-square is fitted to their mean squared errors.

    Good errors mostly lie beyond all hypotheses drawn, and the number then rests on the law's tail. For kernels `direct`
    needs no fitted law; far out it is often several times the fitted number, because directions that the training data
    pin down cannot be repaired by luck. Read orders and differences in one space of hypotheses, not the number alone.

    Differs from the paper: the law is fitted by two moments and the likelihood; where its probability is tiny the
    saddlepoint is used, which is nearer than Sankaran's approximation with z^2 / 2 (k 30, l 20, e 5: exact 25.0 nats,
    saddlepoint 25.0, Sankaran 23.0, z^2 / 2 20.2); with a kernel, errors are drawn in the eigenbasis and their exact law, a
    weighted sum of chi-squares, gives `direct` beside the fit; interval and warning.

    Parameters
    ----------
    hypotheses
        ``kernel``, or an unfitted scikit-learn estimator with ``random_state``, trained anew for every seed.
    scale
        Length of the Gaussian kernel; None: median distance of training rows.
    draws
        Kernel functions drawn.
    retrainings
        Seeds of an estimator, at least 3.
    jitter
        Added to the kernel's diagonal: the variance of label noise.
    samples
        Most test rows used.
    repeats
        Resamples that give the interval.
    level
        Confidence of the interval.
    random_state
        Seed of everything drawn.

    References
    ----------
    Akhilan Boopathy, William Yue, Jaedong Hwang, Abhiram Iyer, Ila Fiete: Towards Exact Computation of Inductive Bias. IJCAI
    2024.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, X_test = rng.normal(size=(2, 60, 2))
    >>> y, y_test = np.sin(X).sum(1), np.sin(X_test).sum(1)
    >>> found = InductiveBias(draws=2000, random_state=0).measure(X, y, X_test, y_test, error=1e-6)
    >>> found.extrapolated, found.bits.value < found.direct
    (True, True)
    """

    hypotheses: Any = "kernel"
    scale: Annotated[float, Positive] | None = None
    draws: Annotated[int, Range(low=10, whole=True)] = 10_000
    retrainings: Annotated[int, Range(low=3, whole=True)] = 20
    jitter: Annotated[float, Positive] = 1e-6
    samples: Annotated[int, Count] = 1000
    repeats: Annotated[int, Count] = 40
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=17,
        year=2024,
        reference="Boopathy, Yue, Hwang, Iyer, Fiete: Towards Exact Computation of Inductive Bias (IJCAI 2024)",
        kind="diagnostic",
        handles=frozenset({"representation"}),
        supervision=frozenset({"classes", "real"}),
        task="any",
        cost="seconds",
    )

    def measure(
        self, X: ArrayLike, y: ArrayLike, X_test: ArrayLike, y_test: ArrayLike, error: float
    ) -> InductiveBiasResult:
        """Return the bits that a test error takes.

        Parameters
        ----------
        X, y
            Training rows (n, d), n up to a few thousand, and their classes (n,) or real targets (n,) or (n, m).
        X_test, y_test
            Test rows and targets.
        error
            Mean squared error over test rows and outputs, of one-hot targets where there are classes: see
            `squared_error`.
        """
        self.check_fields()
        _check_error(error)
        rng = np.random.default_rng(self.random_state)
        rows, test = as_embeddings(X, "X"), as_embeddings(X_test, "X_test")
        some = rng.permutation(len(test))[: self.samples]
        classes = None if to_numpy(y, "y")[0].dtype.kind == "f" else encode_classes(y)[0]
        targets, truth = as_targets(y, classes, len(rows), "y"), as_targets(y_test, classes, len(test), "y_test")
        if isinstance(self.hypotheses, str):
            if self.hypotheses != "kernel":
                raise InputError(f"hypotheses must be 'kernel' or an estimator. Got {self.hypotheses!r}.")
            offset, values = self._posterior(rows, targets, test[some], truth[some])
            return self.of_errors(_draw(offset, values, self.draws, rng), error, _direct(offset, values, error))
        seeds = rng.integers(2**31, size=self.retrainings)
        models = (clone(self.hypotheses).set_params(random_state=int(seed)).fit(X, y) for seed in seeds)
        test_rows, labels = np.asarray(X_test)[some], np.asarray(y_test)[some]
        return self.of_errors([squared_error(model, test_rows, labels) for model in models], error)

    def of_errors(self, errors: ArrayLike, error: float, direct: float | None = None) -> InductiveBiasResult:
        """Return the bits from test errors (M,) of hypotheses that you trained or drew yourself."""
        self.check_fields()
        _check_error(error)
        values, rng = np.asarray(errors, dtype=np.float64), np.random.default_rng(self.random_state)
        law = fit_chi_square(values)
        again = [rng.choice(values, len(values)) for _ in range(self.repeats)]
        bits = [abs(fit_chi_square(draw).log_cdf(error)) / math.log(2) for draw in again if np.ptp(draw) > 0]
        value = abs(law.log_cdf(error)) / math.log(2)
        interval = spread(value, [*bits, value], self.level)
        found = Estimate(value, min(interval.low, value), max(interval.high, value), self.level)
        least = float(values.min())
        return InductiveBiasResult(found, float(error), law, direct, bool(error < least), least, float(values.mean()))

    def _posterior(self, X: Any, Y: Doubles, X_test: Any, truth: Doubles) -> tuple[Doubles, Doubles]:
        """Return the mean function's errors (T, m) in the eigenbasis of the test rows' covariance, and its eigenvalues."""
        inputs, test = X.astype(np.float64), X_test.astype(np.float64)
        scale = self.scale or float(np.median(pdist(inputs[:2000]))) or 1.0

        def kernel(a: Doubles, b: Doubles) -> Doubles:
            return np.asarray(np.exp(-cdist(a, b, "sqeuclidean") / (2 * scale**2)))

        factor = cho_factor(kernel(inputs, inputs) + self.jitter * np.eye(len(inputs)))
        cross = kernel(inputs, test)
        covariance = kernel(test, test) - cross.T @ cho_solve(factor, cross)
        values, axes = np.linalg.eigh((covariance + covariance.T) / 2)
        return axes.T @ (cross.T @ cho_solve(factor, Y) - truth), values.clip(0)


def _check_error(error: float) -> None:
    if not (np.isfinite(error) and error > 0):
        raise InputError(f"error must be a positive number. Got {error!r}.")


def _draw(offset: Doubles, values: Doubles, draws: int, rng: np.random.Generator) -> Doubles:
    """Return mean squared errors of `draws` functions: the rotation to the eigenbasis leaves them unchanged."""
    errors = np.zeros(draws)
    for column in offset.T:
        for start in range(0, draws, 500):
            part = slice(start, min(start + 500, draws))
            noise = rng.normal(size=(part.stop - part.start, len(values)))
            errors[part] += ((column + np.sqrt(values) * noise) ** 2).sum(1)
    return errors / offset.size


def _direct(offset: Doubles, values: Doubles, error: float) -> float:
    """Return the bits from the exact cumulant function of the errors, by its saddlepoint."""
    m, size = offset.shape[1], offset.size
    lam, a2, e = values, (offset**2).sum(1), error * size

    def slope(t: float) -> float:
        return float((m * lam / (1 - 2 * t * lam) + a2 / (1 - 2 * t * lam) ** 2).sum()) - e

    if slope(0.0) <= 0:
        low, high = 0.0, (1 - 1e-12) / (2 * float(lam.max())) if lam.max() > 0 else 0.0
    else:
        low, high = -size / e, 0.0
        while slope(low) > 0:
            if low < -1e18 * size / e:
                return math.inf  # even the best function of the space is worse
            low *= 4
    t = brentq(slope, low, high, xtol=1e-300, rtol=1e-12) if slope(low) * slope(high) < 0 else low
    shrink = 1 - 2 * t * lam
    K = float((-m / 2 * np.log(shrink) + t * a2 / shrink).sum())
    K2 = float((2 * m * (lam / shrink) ** 2 + 4 * lam * a2 / shrink**3).sum())
    return abs(min(0.0, log_probability(t, K, K2, e))) / math.log(2)


def as_targets(y: ArrayLike, classes: Any, n: int, name: str = "y") -> Doubles:
    """Return one-hot classes (n, K) or real targets (n, m) as doubles; `classes` None means real."""
    values = to_numpy(y, name)[0]
    if len(values) != n:
        raise InputError(f"{name} has {len(values)} entries for {n} rows: give one target a row.")
    if classes is None:
        points = np.asarray(values, dtype=np.float64).reshape(n, -1)
        if not np.isfinite(points).all():
            row = int(np.isfinite(points).all(1).argmin())
            raise InputError(f"{name} must be finite. Row {row} is not: drop rows without a target.")
        return points
    known, codes = encode_classes(y, name=name, least=1)
    places = np.searchsorted(classes, known)
    if (codes == UNLABELED).any() or (classes[places.clip(0, len(classes) - 1)] != known).any():
        raise InputError(f"{name} must be labelled with classes among {classes.tolist()}: drop the other rows.")
    return np.asarray(np.eye(len(classes))[places[codes]])


def squared_error(model: Any, X: ArrayLike, y: ArrayLike) -> float:
    """Return a fitted model's mean squared error over rows and outputs; of its probabilities to one-hot classes.

    >>> from sklearn.linear_model import LinearRegression
    >>> X = np.arange(4.0)[:, None]
    >>> squared_error(LinearRegression().fit(X, X[:, 0]), X, X[:, 0] + 2.0)
    4.0
    """
    rows = np.asarray(X)
    if hasattr(model, "predict_proba"):
        return float(((model.predict_proba(rows) - as_targets(y, model.classes_, len(rows))) ** 2).mean())
    return float(
        ((np.asarray(model.predict(rows)).reshape(len(rows), -1) - as_targets(y, None, len(rows))) ** 2).mean()
    )
