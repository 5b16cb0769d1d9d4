"""Parts of the rows that keep bags whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

Ints = NDArray[np.int64]


def random_bags(n_rows: int, size: int, random_state: Any = None) -> Ints:
    """Put rows at random into bags of `size`; what is left over goes one by one into the first bags.

    Examples
    --------
    >>> np.bincount(random_bags(10, 4, random_state=0)).tolist()
    [5, 5]
    """
    order = check_random_state(random_state).permutation(n_rows)
    bags = np.empty(n_rows, np.int64)
    bags[order] = np.arange(n_rows) % max(1, n_rows // size)
    return bags


def hold_out(bags: Ints, share: float, random_state: Any) -> tuple[Ints, Ints]:
    """Return the rows of most bags, and of a random `share` of the bags (at least one, and not all)."""
    numbers = np.unique(bags)
    drawn = check_random_state(random_state).permutation(numbers)
    count = min(max(1, round(share * len(numbers))), len(numbers) - 1)
    held = np.isin(bags, drawn[:count])
    return np.flatnonzero(~held), np.flatnonzero(held)


def taken_bags(y: Any, bags: Ints, rows: Ints) -> tuple[Any, Ints]:
    """Return labels and new numbers of the bags of some rows, which hold whole bags."""
    numbers, local = np.unique(bags[rows], return_inverse=True)
    return take(y, numbers), local


def take(X: Any, rows: Ints) -> Any:
    """Return some rows of an array, a sparse matrix, a frame, an Arrow table or a list."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if hasattr(X, "tocsr"):
        return X.tocsr()[rows]
    if hasattr(X, "column_names"):
        return X.take(rows)
    return [X[row] for row in rows] if isinstance(X, (list, tuple)) else X[rows]
