"""How well groups found without names agree with classes: the best one-to-one matching of the two."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from labelwise.base import InputError
from labelwise.display import html_of


class MatchedAccuracy(NamedTuple):
    """Shares of rows whose group is matched with their class: of all rows, of known classes, of new classes."""

    all: float
    old: float
    new: float

    def _repr_html_(self) -> str:
        return html_of(self)


def best_matching(y: ArrayLike, groups: ArrayLike) -> dict[Any, Any]:
    """Return the class of each group, ``{group: class}``, in the one-to-one matching with the most rows right.

    Where there are more groups than classes, groups without a class are left out.

    >>> best_matching(["a", "a", "b"], [7, 7, 3])
    {3: 'b', 7: 'a'}
    """
    classes, rows = np.unique(_column(y, "y"), return_inverse=True)
    found, columns = np.unique(_column(groups, "groups"), return_inverse=True)
    if len(rows) != len(columns):
        raise InputError(f"y has {len(rows)} rows but groups has {len(columns)}: give one group per row.")
    counts = np.zeros((len(found), len(classes)), dtype=np.int64)
    np.add.at(counts, (columns, rows), 1)
    pairs = zip(*linear_sum_assignment(-counts), strict=True)
    return {found[group].item(): classes[c].item() for group, c in pairs}


def hungarian_accuracy(y: ArrayLike, groups: ArrayLike) -> float:
    """Return the share of rows right under the best one-to-one matching of groups and classes, in [0, 1].

    >>> hungarian_accuracy([0, 0, 1, 1], [5, 5, 5, 9])
    0.75
    """
    return float(_right(y, groups).mean())


def matched_accuracy(y: ArrayLike, groups: ArrayLike, known: ArrayLike) -> MatchedAccuracy:
    """Return the accuracy on all rows, and on those of known and of new classes, with one matching over all rows.

    Parameters
    ----------
    y
        True classes ``(n,)``.
    groups
        Groups or predicted classes ``(n,)``; their names do not matter.
    known
        The classes that had labels. NaN is returned for a part without rows.
    """
    right, old = _right(y, groups), np.isin(_column(y, "y"), np.asarray(known))
    parts = (right, right[old], right[~old])
    return MatchedAccuracy(*(float(part.mean()) if len(part) else float("nan") for part in parts))


def _right(y: ArrayLike, groups: ArrayLike) -> NDArray[np.bool_]:
    matching = best_matching(y, groups)
    pairs = zip(_column(y, "y").tolist(), _column(groups, "groups").tolist(), strict=True)
    missing = object()
    return np.array([matching.get(group, missing) == c for c, group in pairs], dtype=bool)


def _column(values: ArrayLike, name: str) -> NDArray[Any]:
    column = np.asarray(values)
    if column.ndim != 1 or not len(column):
        raise InputError(f"{name} must hold one value a row, shape (n,) with n >= 1. Got shape {column.shape}.")
    return column
