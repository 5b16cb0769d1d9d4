"""Is a method better than the baseline on the same folds? The corrected resampled t-test, and Holm over the methods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from labelwise.base import Estimate, InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairedMean:
    """A mean over cross-validation folds with its corrected standard error; fold differences or fold scores.

    Folds share training rows, so that the plain standard error of their mean is far too small. Nadeau and Bengio
    replace the factor ``1 / J`` of the variance by ``1 / J + test / train``.

    Parameters
    ----------
    value
        Mean over the J folds.
    error
        Corrected standard error.
    freedom
        Degrees of freedom, J - 1.

    References
    ----------
    Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning 52. For repeated cross-validation:
    Bouckaert and Frank 2004, Evaluating the replicability of significance tests for comparing learning algorithms.

    Examples
    --------
    >>> print(PairedMean.of([0.02, 0.03, 0.01, 0.02], test_over_train=0.25).interval(0.9))
    0.02 [0.00641, 0.0336]
    """

    value: float
    error: float
    freedom: int

    @classmethod
    def of(cls, folds: ArrayLike, test_over_train: float, resolution: float = 0.0) -> PairedMean:
        """Summarise one number a fold.

        Parameters
        ----------
        folds
            One number a fold, (J,).
        test_over_train
            Ratio of test to training rows of a fold.
        resolution
            Smallest step of the numbers, such as 1 / rows for a share of rows. The spread is taken to be at least that
            of one fold being off by one step: few small folds may agree by chance, and are no proof then.
        """
        x = np.asarray(folds, dtype=np.float64)
        if x.ndim != 1 or len(x) == 0:
            raise InputError(f"folds must hold one number a fold, at least one. Got shape {x.shape}.")
        if test_over_train < 0:
            raise InputError(f"test_over_train must not be negative. Got {test_over_train}.")
        if len(x) == 1:
            return cls(float(x[0]), math.inf, 1)  # one fold tells nothing about spread
        spread = float(np.var(x, ddof=1))
        # Equal numbers differ by rounding when their mean is subtracted; such dust is no spread.
        spread = 0.0 if spread < (1e-12 * max(1.0, float(np.abs(x).max()))) ** 2 else spread
        spread = max(spread, resolution**2 / len(x)) if x.any() else spread
        return cls(float(x.mean()), math.sqrt(spread * (1 / len(x) + test_over_train)), len(x) - 1)

    def p_value(self) -> float:
        """Return the one-sided p-value of "the true mean is not above zero"."""
        if self.error == 0:
            return 0.0 if self.value > 0 else 1.0
        return float(stats.t.sf(self.value / self.error, self.freedom))

    def lower(self, level: float) -> float:
        """Return the one-sided lower confidence bound."""
        return self.value - self._quantile(level) * self.error if self.error else self.value

    def interval(self, level: float) -> Estimate:
        """Return the two-sided interval."""
        half = self._quantile((1 + level) / 2) * self.error if self.error else 0.0
        return Estimate(self.value, self.value - half, self.value + half, level)

    def _quantile(self, level: float) -> float:
        return float(stats.t.ppf(level, self.freedom))


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


def adjusted_lower(mean: PairedMean, p: float, adjusted: float, level: float) -> float:
    """Return the one-sided lower bound that is above zero exactly if Holm's adjusted p-value is below ``1 - level``.

    The bound is taken at the level that the method's place in Holm's order leaves to it.
    """
    share = p / adjusted if adjusted > 0 else 1.0
    return mean.lower(1 - (1 - level) * share)
