"""What goes beside a ``y``, one entry a row: weights, numbers of domains, names of domains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.rows import LARGEST
from labelwise.supervision.arrays import first, is_missing, numbers, to_numpy, whole_numbers

ORDINARY = (1e-30, 1e30)
"""Between these the largest weight is left as it is: in single precision its products neither vanish nor overflow."""


def row_weights(sample_weight: Any, X: Any) -> NDArray[np.float64]:
    """Return non-negative weights ``(n,)``, as scikit-learn checks them.

    Weights whose largest is outside of `ORDINARY` are divided by it: only their ratios matter.

    Raises
    ------
    ValueError
        For another shape, negative or infinite weights, and weights that are all zero.
    """
    from sklearn.utils.validation import _check_sample_weight

    if sample_weight is not None and not np.isscalar(sample_weight):
        sample_weight = _one_a_row(sample_weight, np.shape(X)[0], "sample_weight")
        sample_weight = numbers(sample_weight, "sample_weight")
    weight = np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True))
    largest = weight.max(initial=0)
    if largest == 0:
        raise InputError(
            "sample_weight is zero for every row: nothing would be learned. Give some row a positive weight."
        )
    return weight if ORDINARY[0] <= largest <= ORDINARY[1] else weight / largest


def row_numbers(values: Any, n: int, name: str = "domains") -> NDArray[np.int64]:
    """Return whole numbers ``(n,)``, int64.

    Raises
    ------
    InputError
        For another shape, fractions, texts and missing entries.
    """
    found = whole_numbers(_one_a_row(values, n, name), name)
    large = np.abs(found.astype(np.float64)) >= 2.0**62
    if large.any():
        raise InputError(f"{name} must be small whole numbers. {first(large).capitalize()} holds {found[large][0]}.")
    return found.astype(np.int64)


def row_names(values: Any, n: int | None = None, name: str = "domains") -> NDArray[Any]:
    """Return names ``(n,)``: all texts or all numbers, so that they can be sorted.

    Raises
    ------
    InputError
        For another shape, missing entries, and texts beside numbers.
    """
    found = _one_a_row(values, n, name)
    missing = is_missing(found)
    if missing.any():
        raise InputError(f"{name} has no entry in {first(missing)}. Give every row one.")
    if found.dtype.kind != "O":
        return found
    if all(isinstance(value, str) for value in found):
        return found.astype(np.str_) if len(found) else found
    if any(isinstance(value, str) for value in found):
        raise InputError(f"{name} mixes texts and other values. Make every entry a text, or every entry a number.")
    return numbers(found, name)


def _one_a_row(values: Any, n: int | None, name: str) -> NDArray[Any]:
    found = to_numpy(values, name)[0]
    if found.ndim != 1 or (n is not None and len(found) != n):
        rows = "(n,)" if n is None else f"({n},)"
        raise InputError(f"{name} must have one entry a row, shape {rows}. Got shape {found.shape}.")
    return found


def real_values(y: Any, name: str = "y") -> NDArray[np.float64]:
    """Return real targets of any shape as float64; what is missing is NaN.

    Raises
    ------
    InputError
        For entries that are no numbers, or rows of different lengths.
    """
    if y is None:
        raise InputError(f"{name}: this method requires {name} to be passed, but the target {name} is None.")
    return numbers(to_numpy(y, name)[0], name).astype(np.float64)


def moderate(values: NDArray[np.float64], name: str = "y", most: float = LARGEST) -> NDArray[np.float64]:
    """Return numbers as they are; NaN and infinity pass.

    Raises
    ------
    InputError
        For one that is larger than `most` in size: what is computed of it would overflow.
    """
    beyond = np.isfinite(values) & (np.abs(values) > most)
    if beyond.any():
        raise InputError(
            f"{name}: {first(beyond)} holds {values[beyond][0]:.3g}, a value too large to compute with. Accepted: up to "
            f"{most:g} in size. Scale the values."
        )
    return values
