"""Intervals around any point prediction that hold a promised share of targets: split conformal, overall or by group."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError

Doubles = NDArray[np.float64]


def conformal_radius(errors: ArrayLike, coverage: float = 0.9) -> float:
    """Return the half width that covers a new row with probability at least `coverage`.

    The ``ceil((n + 1) coverage)``-th smallest of n absolute errors on rows not trained on; infinite when n is too small for
    the promise. It holds for rows exchangeable with those, on average over them: not for each part of the target's range.

    Parameters
    ----------
    errors
        Absolute errors ``(n,)`` of held-out rows, not NaN.
    coverage
        In (0, 1).

    References
    ----------
    Papadopoulos et al.: Inductive Confidence Machines for Regression. ECML 2002.

    Examples
    --------
    >>> conformal_radius([3.0, 1.0, 2.0, 4.0], 0.8), conformal_radius([1.0, 2.0], 0.9)
    (4.0, inf)
    """
    found = np.asarray(errors, dtype=np.float64)
    if found.ndim != 1 or not (found >= 0).all():
        raise InputError(f"errors must be absolute errors (n,), none negative or NaN. Got shape {found.shape}.")
    if not 0 < coverage < 1:
        raise InputError(f"coverage must be a number in (0, 1). Got {coverage!r}.")
    place = math.ceil((len(found) + 1) * coverage - 1e-9)
    return float(np.sort(found)[place - 1]) if place <= len(found) else math.inf


def group_radius(errors: ArrayLike, groups: ArrayLike, wanted: ArrayLike, coverage: float = 0.9) -> Doubles:
    """Return a half width for each of the groups `wanted` ``(k,)``: that of the held-out rows in the same group.

    A group of too few rows takes the radius of all, or infinity when all are too few.

    Parameters
    ----------
    errors, groups
        Absolute errors ``(n,)`` of held-out rows and the groups they are in, known before the target is: for instance
        where the *prediction* lies.
    wanted
        Groups to find the half width of, one an entry.
    coverage
        In (0, 1).

    References
    ----------
    Vovk: Conditional Validity of Inductive Conformal Predictors. ACML 2012 (Mondrian).
    """
    found, inside, asked = np.asarray(errors, dtype=np.float64), np.asarray(groups), np.asarray(wanted)
    radius: dict[Any, float] = {}
    for group in np.unique(asked):
        own = conformal_radius(found[inside == group], coverage)
        radius[group] = own if math.isfinite(own) else conformal_radius(found, coverage)
    return np.array([radius[group] for group in asked.tolist()], dtype=np.float64)
