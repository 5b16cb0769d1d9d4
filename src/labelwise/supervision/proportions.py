"""What is known of the classes of a bag of rows: their shares."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.supervision.reading import infer
from labelwise.supervision.targets import AnyArray, FloatArray, IntArray, Kind

SLACK = 1e-3
"""How far from one the sum of a bag's proportions may be: that much is rounding."""


class Proportions(NamedTuple):
    """Class shares of bags.

    Attributes
    ----------
    classes
        Names of the K classes: of the columns of a frame, else 0 to K - 1.
    shares
        float64 ``(B, K)``, rows sum to 1; a bag of which nothing is known is a row of NaN.
    bags
        Number of each row's bag, int64 ``(n,)``.
    """

    classes: AnyArray
    shares: NDArray[np.float64]
    bags: IntArray


def read_proportions(y: Any, bags: Any, *, n_rows: int | None = None) -> Proportions:
    """Read the class shares of bags and check them.

    Parameters
    ----------
    y
        ``(B, K)`` the share of each class in each bag; or ``(B,)`` the share of the second of two classes. NaN: unknown.
        Shares within 0.001 of summing to one are divided by their sum.
    bags
        ``(n,)`` number of each row's bag, 0 to B - 1. A bag of one row is allowed: its shares are that row's label.
    n_rows
        Number of rows of ``X``, if known.

    Raises
    ------
    InputError
        Shares outside [0, 1], or that do not sum to one, with the number of the bag; bags that do not fit y or X.

    Examples
    --------
    >>> read_proportions([0.25, 1.0], [0, 0, 1, 0, 0]).shares
    array([[0.75, 0.25],
           [0.  , 1.  ]])
    >>> read_proportions([[0.5, 0.4], [1.0, 0.0]], [0, 0, 1])
    Traceback (most recent call last):
    labelwise.base.InputError: y: the proportions of bag 0 sum to 0.9. They must sum to 1 in every bag: divide them by \
their sum, or add the class that is missing.
    """
    found = infer(y, bags=bags, kind=Kind.BAGS, n_rows=n_rows)
    values = found.need("values")
    _refuse(
        (values < 0) | (values > 1),
        values,
        "bag {} holds",
        "Proportions lie in [0, 1]: divide counts by the bag's size.",
    )
    if values.ndim == 1:
        shares = np.column_stack([1 - values, values])
    else:
        total = values.sum(1)
        remedy = "They must sum to 1 in every bag: divide them by their sum, or add the class that is missing."
        _refuse(np.abs(total - 1) > SLACK, total, "the proportions of bag {} sum to", remedy)
        shares = values / total[:, None]
    classes = np.arange(shares.shape[1]) if found.classes is None else found.classes
    return Proportions(classes, np.asarray(shares, dtype=np.float64), found.need("bags"))


def _refuse(bad: AnyArray, values: FloatArray, said: str, remedy: str) -> None:
    """Raise for the first bag that is wrong; NaN never is."""
    if bad.any():
        bag = int(np.flatnonzero(bad.reshape(len(bad), -1).any(1))[0])
        wrong = np.atleast_1d(values[bag])[np.atleast_1d(bad[bag])][0]
        raise InputError(f"y: {said.format(bag)} {wrong:.6g}. {remedy}")
