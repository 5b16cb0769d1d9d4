"""Is a method better than the baseline on the same rows? A corrected t-test, and the greatest of many correlated ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from labelwise.base import Estimate, InputError

Floats = NDArray[np.float64]

TRUST = 16
"""Degrees of freedom that the spread expected from the rows counts for, beside the J - 1 of that seen between folds."""
DRAWS = 50_000
"""Draws of the greatest of all methods' statistics: an adjusted p-value of 0.01 is known to within 0.0005."""


@dataclass(frozen=True)
class PairedMean:
    """A mean over cross-validation folds with its corrected standard error: of differences, or of scores.

    Folds share training rows, so that the plain standard error of their mean is far too small. Nadeau and Bengio
    replace the factor ``1 / J`` of the variance by ``1 / J + test / train``.

    The variance of one fold's mean is seen in two ways: between the J folds, with J - 1 degrees of freedom only, and from
    the rows within them, as chance alone would have it. The second is known well but knows nothing of training that turns
    out differently from fold to fold; so the two are averaged, each by its degrees of freedom (`TRUST` for the rows), as
    moderated t-tests do. In simulations of cross-validated classifiers the bound then fails less often than its level
    allows (``tests/advice/test_statistics.py``), for the correction is cautious.

    Parameters
    ----------
    value
        Mean over the J folds.
    error
        Corrected standard error.
    freedom
        Degrees of freedom.

    References
    ----------
    Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning 52. For repeated cross-validation:
    Bouckaert and Frank 2004, Evaluating the replicability of significance tests for comparing learning algorithms.
    Averaged variances: Smyth 2004, Linear models and empirical Bayes methods, SAGMB 3.

    Examples
    --------
    >>> print(PairedMean.of([0.02, 0.03, 0.01, 0.02], test_over_train=0.25).interval(0.9))
    0.02 [0.00641, 0.0336]
    """

    value: float
    error: float
    freedom: int

    @classmethod
    def of(cls, folds: ArrayLike, test_over_train: float, least: float = 0.0) -> PairedMean:
        """Summarise one number a fold, (J,), whose variance is at least `least`.

        `test_over_train` is the ratio of test to training rows of a fold.
        """
        x = np.asarray(folds, dtype=np.float64)
        if x.ndim != 1 or len(x) == 0:
            raise InputError(f"folds must hold one number a fold, at least one. Got shape {x.shape}.")
        _check_ratio(test_over_train)
        if len(x) == 1:
            return cls(float(x[0]), math.inf, 1)  # one fold tells nothing about spread
        spread = max(_variance(x), least)
        return cls(float(x.mean()), math.sqrt(spread * (1 / len(x) + test_over_train)), len(x) - 1)

    @classmethod
    def of_rows(
        cls, folds: Sequence[Floats], test_over_train: float, groups: Sequence[ArrayLike] | None = None
    ) -> PairedMean:
        """Summarise a number a row.

        Parameters
        ----------
        folds
            The rows' numbers, an array a fold; a fold's score is their mean.
        test_over_train
            Ratio of test to training rows of a fold.
        groups
            Group of each of these rows: rows of a group are not independent, and count as one.

        Examples
        --------
        >>> rows = np.array([1.0, 0, 0, -1, 1, 0, 1, 0, 0, 0])
        >>> print(PairedMean.of_rows([rows, rows[::-1]], test_over_train=1.0).interval(0.9))
        0.2 [-0.23, 0.63]
        """
        _check_ratio(test_over_train)
        means, sizes = np.array([rows.mean() for rows in folds]), np.array([len(rows) for rows in folds])
        if sizes.max() == 1:  # the folds are the rows
            return cls.of(means, test_over_train, least=float(np.abs(means).max()) ** 2 / len(means))
        between = len(means) - 1
        seen = between * _variance(means) if between else 0.0
        spread = (TRUST * _variance_of_means(folds, groups) + seen) / (TRUST + between)
        factor = 1 / len(means) + test_over_train
        return cls(float(means.mean()), math.sqrt(spread * factor), TRUST + between)

    @property
    def statistic(self) -> float:
        """The mean in standard errors; without any error a mean above zero is sure, and another one proves nothing."""
        if self.error == 0:
            return math.inf if self.value > 0 else -math.inf
        return self.value / self.error

    def p_value(self) -> float:
        """Return the one-sided p-value of "the true mean is not above zero"."""
        if self.error == 0:
            return 0.0 if self.value > 0 else 1.0
        return float(stats.t.sf(self.statistic, self.freedom))

    def below(self, errors: float) -> float:
        """Return what lies so many standard errors below the mean."""
        return self.value - errors * self.error if self.error else self.value

    def interval(self, level: float) -> Estimate:
        """Return the two-sided interval."""
        half = float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.error if self.error else 0.0
        return Estimate(self.value, self.value - half, self.value + half, level)


def _check_ratio(test_over_train: float) -> None:
    if test_over_train < 0:
        raise InputError(f"test_over_train must not be negative. Got {test_over_train}.")


def _variance(x: Floats) -> float:
    """Return the variance; equal numbers differ by rounding when their mean is subtracted, and such dust is none."""
    spread = float(np.var(x, ddof=1))
    return 0.0 if spread < (1e-12 * max(1.0, float(np.abs(x).max()))) ** 2 else spread


def _variance_of_means(folds: Sequence[Floats], groups: Sequence[ArrayLike] | None) -> float:
    """Return the variance that chance gives the mean of a fold: that of all folds' rows over the rows of a fold.

    Rows of a group are summed first. One more row is imagined that says the opposite of the loudest one, for a few rows that
    agree are no proof; among many it hardly counts.
    """
    rows = np.concatenate(folds)
    off, place = rows - rows.mean(), np.arange(len(rows))
    if groups is not None:
        fold = np.repeat(np.arange(len(folds)), [len(part) for part in folds])
        names = np.unique(np.concatenate([np.asarray(part) for part in groups]), return_inverse=True)[1]
        place = np.unique(fold * len(rows) + names, return_inverse=True)[1]
    units, sums = np.bincount(place, off), np.bincount(place, rows)
    opposite = float(np.abs(sums).max()) + abs(float(sums.mean()))
    per_fold = len(rows) / len(folds)
    return (float(units @ units) + opposite**2) / len(rows) / per_fold if rows.any() else 0.0


def correlations(rows: Floats) -> Floats:
    """Return how the means of rows of numbers hang together, (m, m), by chance in the rows.

    Parameters
    ----------
    rows
        A line a mean, (m, n), each fold's own mean taken off; 0 where a mean does not have the row. Means of different rows
        are then correlated by what they share.
    """
    table = rows @ rows.T
    size = np.sqrt(table.diagonal())
    size[size == 0] = 1
    table = table / size / size[:, None]
    np.fill_diagonal(table, 1)
    return np.asarray(table)


class Adjusted(NamedTuple):
    """P-values adjusted for the whole family, and how many standard errors each mean must be above zero, (m,) each."""

    p_values: Floats
    critical: Floats


def step_down(statistics: ArrayLike, correlation: Floats, freedom: float, level: float, draws: int = DRAWS) -> Adjusted:
    """Adjust for having looked at many methods, which err together: by the distribution of the greatest of them.

    The means that were looked at are normal with the given correlation, divided by a common chi: a multivariate t
    distribution. The best method is compared with the greatest of all, the second best with the greatest of all but the
    best, and so on. Methods that make the same predictions count as one, independent ones as in Holm's procedure.

    Parameters
    ----------
    statistics
        Means in standard errors of those tested, (m,).
    correlation
        Of the whole family, (f, f), those tested first; further ones were looked at and count, but are not tested.
    freedom
        Degrees of freedom.
    level
        One-sided confidence of the critical values.
    draws
        Of the multivariate t distribution; they are always the same.

    References
    ----------
    Westfall and Young 1993, Resampling-based multiple testing. Dunnett and Tamhane 1991, step-down comparisons with a
    control, Statistics in Medicine 10.

    Examples
    --------
    >>> step_down([2.0, 2.0], np.eye(2), 100, 0.9).p_values.round(2)  # twice 0.024 less 0.001
    array([0.05, 0.05])
    >>> step_down([2.0, 2.0], np.ones((2, 2)), 100, 0.9).p_values.round(2)
    array([0.02, 0.02])
    """
    t, f = np.asarray(statistics, dtype=np.float64), len(correlation)
    if len(t) > f:
        raise InputError(f"correlation must be of at least the {len(t)} means tested. Got shape {correlation.shape}.")
    values, axes = np.linalg.eigh(correlation)
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((draws, f)) @ (axes * np.sqrt(values.clip(0))).T
    drawn /= np.sqrt(rng.chisquare(freedom, draws) / freedom)[:, None]
    p, critical, order = np.empty(len(t)), np.empty(len(t)), np.argsort(-t, kind="stable")
    greatest = drawn[:, len(t) :].max(axis=1, initial=-math.inf)
    for place in order[::-1]:  # the worst first: each is compared with those not better than it
        greatest = np.maximum(greatest, drawn[:, place])
        p[place] = (1 + np.count_nonzero(greatest >= t[place])) / (1 + draws)
        critical[place] = np.quantile(greatest, level)
    p[order] = np.maximum.accumulate(p[order])
    held = p >= 1 - level  # some because a better one is
    critical[held] = np.maximum(critical[held], t[held])
    return Adjusted(p, critical)


def holm(p_values: Sequence[float] | Floats, family: int | None = None) -> Floats:
    """Return p-values adjusted for having looked at many methods.

    Parameters
    ----------
    p_values
        One a method, in any order.
    family
        Number of comparisons made in all, at least ``len(p_values)`` (the default); those not given count as p = 1,
        which can only make the result more cautious.

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    m = len(p) if family is None else family
    if m < len(p):
        raise InputError(f"family must be at least the number of p-values, {len(p)}. Got {m}.")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (m - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
