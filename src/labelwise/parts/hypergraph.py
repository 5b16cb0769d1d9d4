"""Hyperedges (groups of rows, such as what was bought together), and features averaged over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from labelwise.base import InputError

Doubles = NDArray[np.float64]


def incidence(hyperedges: Any, n_rows: int) -> Any:
    """Return which row is in which hyperedge, a sparse (n, e) matrix of 0 and 1; groups of fewer than two are left out.

    Parameters
    ----------
    hyperedges
        A list of groups, each the numbers of its rows; or a sparse or dense (n, e) matrix of 0 and 1.
    n_rows
        n.

    Raises
    ------
    InputError
        For a row that does not exist, entries other than 0 and 1, or another number of rows.

    Examples
    --------
    >>> incidence([[0, 2], [1]], n_rows=3).toarray()
    array([[1.],
           [0.],
           [1.]])
    """
    matrix: Any
    if sparse.issparse(hyperedges) or isinstance(hyperedges, np.ndarray):
        given: Any = hyperedges
        matrix = sparse.csc_array(given).astype(np.float64)
        matrix.eliminate_zeros()
        if matrix.shape[0] != n_rows or (matrix.data != 1).any():
            raise InputError(
                f"hyperedges must be ({n_rows}, e) with entries 0 and 1, one row an item. Got shape {matrix.shape}"
                + (f" and an entry {matrix.data[matrix.data != 1][0]:g}." if (matrix.data != 1).any() else ".")
            )
    else:
        matrix = _from_groups(hyperedges, n_rows)
    return sparse.csr_array(matrix[:, np.flatnonzero(np.asarray(matrix.sum(axis=0)).ravel() >= 2)])


def _from_groups(groups: Sequence[Any], n_rows: int) -> Any:
    members = [np.unique(np.asarray(group, dtype=np.int64)) for group in groups]
    edge = np.repeat(np.arange(len(members)), [len(group) for group in members])
    row = np.concatenate(members) if members else np.zeros(0, dtype=np.int64)
    bad = (row < 0) | (row >= n_rows)
    if bad.any():
        at = int(bad.argmax())
        raise InputError(
            f"hyperedges must hold row numbers from 0 to {n_rows - 1}. Got {row[at]} in hyperedge {edge[at]}."
        )
    return sparse.csc_array((np.ones(len(row)), (row, edge)), shape=(n_rows, len(members)))


def over_hyperedges(x: Doubles, members: Any) -> Doubles:
    """Return ``Dv^-1 H De^-1 H^T x``: each row the mean over its hyperedges of their means; a row in none keeps its own.

    Parameters
    ----------
    x
        Features (n, d).
    members
        H (n, e) from `incidence`.
    """
    of_row, of_edge = (np.asarray(members.sum(axis=axis)).ravel() for axis in (1, 0))
    means = (members.T @ x) / np.maximum(of_edge, 1)[:, None]
    spread = (members @ means) / np.maximum(of_row, 1)[:, None]
    return np.asarray(np.where(of_row[:, None] > 0, spread, x))


def mixed_over_hyperedges(x: Doubles, kinds: Sequence[Any], shares: Sequence[float] | None = None) -> Doubles:
    """Return the features averaged over each kind of hyperedge and mixed, in equal shares by default; without any: `x`."""
    if not kinds:
        return x
    weights = np.full(len(kinds), 1.0) if shares is None else np.asarray(shares, dtype=np.float64)
    if len(weights) != len(kinds) or (weights < 0).any() or not weights.sum() > 0:
        raise InputError(f"mix must hold a share >= 0 for each of {len(kinds)} kinds of hyperedges. Got {shares}.")
    parts = (
        weight * over_hyperedges(x, members) for weight, members in zip(weights / weights.sum(), kinds, strict=True)
    )
    return np.asarray(sum(parts))
