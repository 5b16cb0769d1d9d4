"""Weights that grow over training, and thresholds taken from the values themselves."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ramp_up(step: int, total: int, shape: Literal["exp", "linear"] = "exp") -> float:
    """Return how far a weight has grown at `step` of `total`, from near 0 to 1; 1 from `total` on.

    ``exp`` is ``exp(-5 (1 - t)^2)`` of Laine and Aila 2017, which starts at 0.007; ``linear`` is ``t``.

    >>> [round(ramp_up(step, 10), 2) for step in (0, 5, 10, 11)]
    [0.01, 0.29, 1.0, 1.0]
    """
    t = min(1.0, step / total) if total > 0 else 1.0
    return t if shape == "linear" else math.exp(-5 * (1 - t) ** 2)


def otsu(values: ArrayLike) -> float:
    """Return the threshold that splits values into the two groups with the largest variance between them (Otsu 1979).

    Exact: every gap between neighbouring sorted values is tried, and the threshold lies in its middle; values that are
    all alike give that value.

    Raises
    ------
    ValueError
        If there is no value, or one is not finite.

    >>> otsu([0.1, 0.2, 0.8, 0.9])
    0.5
    """
    ordered: NDArray[Any] = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if not len(ordered) or not np.isfinite(ordered).all():
        raise ValueError("values must be finite numbers, at least one.")
    if ordered[0] == ordered[-1]:
        return float(ordered[0])
    below = np.arange(1, len(ordered))
    total = np.cumsum(ordered)
    gap = total[:-1] / below - (total[-1] - total[:-1]) / (len(ordered) - below)
    cut = np.where(ordered[1:] > ordered[:-1], below * (len(ordered) - below) * gap**2, -1.0).argmax()
    return float((ordered[cut] + ordered[cut + 1]) / 2)
