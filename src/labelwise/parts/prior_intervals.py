"""Uncertainty of class shares under label shift: intervals of both estimators, and two tests of "no shift"."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import nnls

from labelwise.base import Estimate
from labelwise.display import html_of
from labelwise.parts.priors import (
    Codes,
    Doubles,
    Floats,
    as_prior,
    as_proba,
    bbse_prior,
    confusion,
    em_prior,
    em_step,
    predicted_shares,
)
from labelwise.parts.threads import one_thread

CURVATURE_ROWS, CURVATURE_ENTRIES = 1 << 16, 1 << 23
"""Most rows and entries from which a curvature or a covariance is computed: more change an interval by about 1 %."""

PIVOTS = 30
"""Exchanges tried before a slower solver is asked."""

FEW = 1.5
"""An interval is widened by this over the root of the rows: 6 % at 600 rows, which is what simulated shifts asked for."""


class PriorInterval(NamedTuple):
    """Class shares `prior` (K,), each between `low` and `high` at confidence `level`."""

    prior: Doubles
    low: Doubles
    high: Doubles
    level: float

    def estimates(self) -> list[Estimate]:
        """One `Estimate` a class."""
        return [
            Estimate(float(value), float(low), float(high), self.level)
            for value, low, high in zip(self.prior, self.low, self.high, strict=True)
        ]

    def _repr_html_(self) -> str:
        return html_of(self)


class ShiftTest(NamedTuple):
    """Test of "no label shift": its chi-square `statistic`, `p_value` and degrees of freedom."""

    statistic: float
    p_value: float
    df: int

    def _repr_html_(self) -> str:
        return html_of(self)


def _interval(
    prior: Doubles, resampled: Doubles, level: float, n_rows: int = 0, n_source: float = math.inf
) -> PriorInterval:
    """Percentile interval of the resampled shares, widened in two ways so that it holds the truth as often as it says.

    A resample draws at the estimated shares, but a small share may be larger than estimated, and then varies more: the
    interval also holds every share whose own binomial noise explains the estimate (Wilson's). And resampling takes
    what was estimated from few rows, curvature or confusion, for exact: `FEW` widens for that.
    """
    if not len(resampled):
        return PriorInterval(prior, np.zeros_like(prior), np.ones_like(prior), level)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    wider = 1 + FEW / math.sqrt(min(n_rows, n_source)) if n_rows else 1.0
    low, high = (np.clip(prior + wider * (end - prior), 0, 1) for end in (low, high))
    if n_rows:
        under, over = _binomial_ends(prior, wider**2 * resampled.var(axis=0), n_rows, level)
        low, high = np.minimum(low, under), np.maximum(high, over)
    return PriorInterval(prior, np.minimum(low, prior), np.maximum(high, prior), level)


def _binomial_ends(prior: Doubles, variance: Doubles, n_rows: int, level: float) -> tuple[Doubles, Doubles]:
    """Ends of the shares p with ``(prior - p)^2 <= z^2 (p (1 - p) / n_rows + what variance is left at the estimate)``."""
    square = stats.chi2.ppf(level, 1)
    left = np.maximum(variance - prior * (1 - prior) / n_rows, 0)
    middle, bend = prior + square / (2 * n_rows), 1 + square / n_rows
    reach = np.sqrt(np.maximum(middle**2 - bend * (prior**2 - square * left), 0))
    return np.clip((middle - reach) / bend, 0, 1), np.clip((middle + reach) / bend, 0, 1)


def _sample(n_rows: int, n_classes: int) -> npt.NDArray[np.intp]:
    """Row numbers to compute a curvature from: all, or as many as are enough, at random and always the same."""
    enough = max(10 * n_classes, min(CURVATURE_ROWS, CURVATURE_ENTRIES // n_classes))
    if n_rows <= enough:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(0).integers(n_rows, size=enough))


def _covariance(values: Floats) -> Doubles:
    few = values[_sample(*values.shape)].astype(np.float64)
    centred = few - few.mean(axis=0)
    return np.asarray(centred.T @ centred / len(few))


def _scores(proba: Floats, source_prior: Doubles, prior: Doubles) -> Doubles:
    """(n, K) gradient of each row's log-likelihood with respect to the shares."""
    likelihoods = proba.astype(np.float64) / source_prior
    likelihoods /= (likelihoods @ prior)[:, None]
    return likelihoods


def _source_noise(scores: Doubles, codes: Codes, prior: Doubles) -> Doubles:
    """Covariance that the finite source adds to the mean score: ``sum_y prior_y^2 Cov(score | y) / n_y``."""
    total = np.zeros((len(prior), len(prior)))
    for k in np.unique(codes):
        rows = scores[codes == k]
        total += prior[k] ** 2 * _covariance(rows) / len(rows)
    return total


def _likeliest(curvature: Doubles, slopes: Doubles) -> Doubles:
    """Shares x that maximise ``slope @ x - x @ curvature @ x / 2``, one for each row of `slopes`."""
    n_classes = len(curvature)
    bordered = np.ones((n_classes + 1, n_classes + 1))
    bordered[:-1, :-1] = curvature + 1e-9 * np.trace(curvature) / n_classes * np.eye(n_classes)
    bordered[-1, -1] = 0
    with one_thread():
        shares = np.stack([_likeliest_one(bordered, slope) for slope in slopes])
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _likeliest_one(bordered: Doubles, slope: Doubles) -> Doubles:
    """Block pivoting (Portugal, Judice and Vicente 1994): exchange all shares and multipliers of the wrong sign."""
    aim, n_classes = np.append(slope, 1.0), len(slope)
    free = np.ones(n_classes + 1, dtype=bool)
    for _ in range(PIVOTS):
        solution = np.zeros(n_classes + 1)
        solution[free] = np.linalg.solve(bordered[np.ix_(free, free)], aim[free])
        slack = (aim - bordered @ solution)[:-1]
        wrong = np.where(free[:-1], solution[:-1] < 0, slack > 1e-12)
        if not wrong.any():
            return solution[:-1]
        free[:-1] ^= wrong
    factor = np.linalg.cholesky(bordered[:-1, :-1])  # pivoting may cycle; this is slow and sure
    stiff = 1e3 * np.sqrt(np.trace(factor @ factor.T) / n_classes)
    matrix = np.vstack([factor.T, np.full(n_classes, stiff)])
    return np.asarray(nnls(matrix, np.append(np.linalg.solve(factor, slope), stiff), maxiter=100 * n_classes)[0])


def _likelihood_reach(mean: Doubles, square: Doubles, n_rows: int, level: float) -> Doubles:
    """(K,) part of the way towards "all rows are of class k" at which the likelihood ratio rejects.

    A class that looks absent stays at zero in every resample, yet absent it is only within this reach.
    """
    slope, bend = np.minimum(mean - 1, 0), np.maximum(square - 2 * mean + 1, 1e-12)
    reach = (slope + np.sqrt(slope**2 + bend * stats.chi2.ppf(level, 1) / n_rows)) / bend
    return np.minimum(reach, 1.0)


def em_prior_interval(
    proba: npt.ArrayLike,
    source_prior: npt.ArrayLike,
    *,
    source_proba: npt.ArrayLike | None = None,
    source_codes: npt.ArrayLike | None = None,
    level: float = 0.9,
    n_resamples: int = 500,
    tol: float = 1e-6,
    max_iter: int = 1000,
    rng: np.random.Generator | None = None,
) -> PriorInterval:
    """`em_prior` with an interval for each share.

    A resample draws the mean score of the rows from its normal limit and maximises the likelihood's quadratic
    approximation over the simplex, so that an interval at the border of the simplex is one-sided as it should be.
    Nothing is iterated over the rows again: the cost is that of one covariance.

    Parameters
    ----------
    proba, source_prior, tol, max_iter
        As in `em_prior`.
    source_proba, source_codes
        (m, K) held-out probabilities of the source rows and their classes (m,). With them the interval also holds the
        noise of the source, from which the classifier's calibration was learned; without them the probabilities are
        taken as exact.
    level
        Confidence level.
    n_resamples
        Resamples; 0 gives the interval [0, 1].
    rng
        Generator of the resamples; by default seeded with 0.
    """
    array, rng = as_proba(proba), rng or np.random.default_rng(0)
    prior = em_prior(array, source_prior, tol=tol, max_iter=max_iter)
    if not n_resamples:
        return _interval(prior, np.empty((0, len(prior))), level)
    source = as_prior(source_prior, array.shape[1], "source_prior")
    smooth = (len(array) * prior + source) / (len(array) + 1)
    scores = _scores(array[_sample(*array.shape)], source, smooth)
    curvature = scores.T @ scores / len(scores)
    noise = _covariance(scores) / len(array)
    if source_proba is not None and source_codes is not None:
        seen = as_proba(source_proba)
        rows = _sample(*seen.shape)
        part = _source_noise(_scores(seen[rows], source, smooth), np.asarray(source_codes)[rows], smooth)
        noise += part * len(rows) / len(seen)
    mean = em_step(array, smooth / source, None)[0] / source
    slopes = rng.multivariate_normal(mean, noise, size=n_resamples, method="eigh")
    n_source = math.inf if source_codes is None else len(np.asarray(source_codes))
    found = _interval(prior, _likeliest(curvature, slopes + curvature @ smooth), level, len(array), n_source)
    reach = _likelihood_reach(mean, np.diag(curvature), len(array), level)
    return found._replace(high=np.maximum(found.high, prior + reach * (1 - prior)))


def bbse_prior_interval(
    source_proba: npt.ArrayLike,
    source_codes: npt.ArrayLike,
    proba: npt.ArrayLike,
    *,
    soft: bool = False,
    level: float = 0.9,
    n_resamples: int = 500,
    rng: np.random.Generator | None = None,
) -> PriorInterval:
    """`bbse_prior` with an interval for each share, by resampling source rows within their class and target rows.

    Parameters
    ----------
    source_proba, source_codes
        (m, K) held-out probabilities of the source rows and their classes (m,).
    proba
        (n, K) probabilities of the target rows.
    soft
        Use mean probabilities instead of decisions.
    level
        Confidence level.
    n_resamples
        Resamples; 0 gives the interval [0, 1].
    rng
        Generator of the resamples; by default seeded with 0.
    """
    seen, array, rng = as_proba(source_proba), as_proba(proba), rng or np.random.default_rng(0)
    codes = np.asarray(source_codes, dtype=np.int64)
    joint, predicted = confusion(seen, codes, soft=soft), predicted_shares(array, soft=soft)
    resampled = np.empty((n_resamples, len(predicted)))
    with one_thread():
        if soft:
            shares = rng.multivariate_normal(predicted, _covariance(array) / len(array), n_resamples, method="eigh")
        else:
            shares = rng.multinomial(len(array), predicted, n_resamples) / len(array)
        for b in range(n_resamples):
            resampled[b] = bbse_prior(_confusion_again(seen, codes, joint, soft, rng), shares[b])
    return _interval(bbse_prior(joint, predicted), resampled, level, len(array), len(seen))


def _confusion_again(seen: Floats, codes: Codes, joint: Doubles, soft: bool, rng: np.random.Generator) -> Doubles:
    """Confusion of as many rows of each class, drawn with replacement."""
    counts = np.bincount(codes, minlength=len(joint))
    if not soft:
        return np.asarray(rng.multinomial(counts, (joint / joint.sum(axis=0)).T).T / len(codes))
    by_class, start = np.argsort(codes, kind="stable"), np.cumsum(counts) - counts
    rows = by_class[start[codes] + (rng.random(len(codes)) * counts[codes]).astype(np.int64)]
    return confusion(seen[rows], codes, soft=True)


def predicted_test(source_proba: npt.ArrayLike, proba: npt.ArrayLike) -> ShiftTest:
    """Chi-square test that source and target rows have the same shares of predicted classes.

    Valid for any classifier as long as it saw neither set. Classes expected fewer than five times are counted together.
    """
    seen, array = as_proba(source_proba), as_proba(proba)
    counts = np.stack([predicted_shares(p) * len(p) for p in (seen, array)])
    common = counts.sum(axis=0) * min(len(seen), len(array)) / (len(seen) + len(array)) >= 5
    table = np.column_stack([counts[:, common], counts[:, ~common].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return ShiftTest(0.0, 1.0, 0)
    result = stats.chi2_contingency(table, correction=False)
    return ShiftTest(float(result.statistic), float(result.pvalue), int(result.dof))


def score_test(source_proba: npt.ArrayLike, proba: npt.ArrayLike) -> ShiftTest:
    """Score test of label shift at "no shift": Hotelling's comparison of the mean probabilities of source and target.

    More powerful than `predicted_test` and, like it, valid for any classifier that saw neither set, calibrated or not.
    """
    seen, array = as_proba(source_proba), as_proba(proba)
    gap = array.mean(axis=0, dtype=np.float64) - seen.mean(axis=0, dtype=np.float64)
    pooled = (_covariance(seen) * len(seen) + _covariance(array) * len(array)) / (len(seen) + len(array))
    values, vectors = np.linalg.eigh(pooled)
    kept = values > max(1e-9 * values.max(), 1e-24)
    degrees, rows = int(kept.sum()), len(seen) + len(array)
    if degrees == 0 or rows - degrees - 1 < 1:
        return ShiftTest(0.0, 1.0, 0)
    distance = ((vectors[:, kept].T @ gap) ** 2 / values[kept]).sum() / (1 / len(seen) + 1 / len(array))
    statistic = float(distance * (rows - 2) / rows)
    f = statistic * (rows - degrees - 1) / ((rows - 2) * degrees)
    return ShiftTest(statistic, float(stats.f.sf(f, degrees, rows - degrees - 1)), degrees)
