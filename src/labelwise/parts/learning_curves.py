"""Learning curves: means over redraws that share rows, and power laws fitted to error by training size."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from labelwise.base import Estimate, InputError

Doubles = NDArray[np.float64]

EXPONENTS = np.geomspace(0.05, 2.0, 200)
"""Exponents tried for a power law."""


def standard_error(values: ArrayLike, test_share: float) -> float:
    """Return the standard error of the mean over redraws that share rows (Nadeau and Bengio 2003)."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.std(ddof=1) * np.sqrt(1 / len(array) + test_share / (1 - test_share)))


def resampled(values: ArrayLike, test_share: float, level: float = 0.9) -> Estimate:
    """Return the mean over redraws with its t interval.

    >>> print(resampled([0.8, 0.82, 0.81], test_share=0.3, level=0.9))
    0.81 [0.785, 0.835]
    """
    array = np.asarray(values, dtype=np.float64)
    half = float(t.ppf(0.5 + level / 2, len(array) - 1)) * standard_error(array, test_share)
    return Estimate(float(array.mean()), float(array.mean() - half), float(array.mean() + half), level)


def power_law(sizes: ArrayLike, error: ArrayLike) -> Doubles:
    """Return (a, b, c) of least squares for ``error = a + b n^-c``, with a, b >= 0 and c in [0.05, 2].

    Parameters
    ----------
    sizes
        Training rows ``(s,)``, at least three sizes.
    error
        Error shares ``(s,)``, or ``(m, s)`` for m curves at once.

    Returns
    -------
    floats of shape (3,), or (m, 3)

    Examples
    --------
    >>> n = np.array([10, 20, 40, 80])
    >>> bool(np.allclose(power_law(n, 0.1 + 2 / n), [0.1, 2, 1], rtol=0.1))
    True
    """
    n, e = np.asarray(sizes, dtype=np.float64), np.asarray(error, dtype=np.float64)
    if n.ndim != 1 or len(np.unique(n)) < 3 or e.shape[-1] != len(n):
        raise InputError(f"a power law needs errors at three sizes or more. Got sizes {n.tolist()}, errors {e.shape}.")
    curves = np.atleast_2d(e)
    fits = [_fixed(n**-c, curves) for c in EXPONENTS]
    best = np.stack([miss for _, miss in fits]).argmin(axis=0)
    found = np.stack([fits[i][0][m] for m, i in enumerate(best)])
    law = np.column_stack([found, EXPONENTS[best]])
    return law if e.ndim == 2 else np.asarray(law[0])


def _fixed(z: Doubles, curves: Doubles) -> tuple[Doubles, Doubles]:
    """Return the best (a, b) >= 0 for one exponent, and what they miss."""
    mean_z, mean_e = z.mean(), curves.mean(axis=1)
    b = np.maximum((curves - mean_e[:, None]) @ (z - mean_z) / ((z - mean_z) ** 2).sum(), 0)
    a = mean_e - b * mean_z
    through_zero = np.maximum(curves @ z / (z**2).sum(), 0)
    a, b = np.where(a < 0, 0, a), np.where(a < 0, through_zero, b)
    return np.column_stack([a, b]), ((curves - a[:, None] - b[:, None] * z) ** 2).sum(axis=1)


def error_at(law: Doubles, n: float) -> Doubles:
    """Return the error of laws ``(..., 3)`` at `n` rows, at most 1."""
    return np.minimum(law[..., 0] + law[..., 1] * float(n) ** -law[..., 2], 1)
