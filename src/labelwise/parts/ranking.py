"""How good a ranked list is: recall and discounted gain of the first k."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from labelwise.base import InputError

Doubles = NDArray[np.float64]


def recall_at_k(ranked: ArrayLike, relevant: Any) -> float:
    """Return the share of the relevant items that are among the first k, mean over lists with a relevant item.

    Parameters
    ----------
    ranked
        Items ``(m, k)``, the best first, no item twice in a list.
    relevant
        Matrix ``(m, items)``, dense or sparse, not zero where relevant.

    Examples
    --------
    >>> recall_at_k([[2, 0], [1, 2]], [[1, 1, 0], [0, 1, 0]])
    0.75
    """
    hits, wanted = _hits(ranked, relevant)
    return float((hits.sum(1) / wanted).mean())


def ndcg_at_k(ranked: ArrayLike, relevant: Any) -> float:
    """Return the normalised discounted cumulative gain of the first k, mean over lists with a relevant item.

    A hit at place r = 1, 2, ... is worth ``1 / log2(r + 1)``; the sum is divided by that of the best possible list.

    Examples
    --------
    >>> round(ndcg_at_k([[2, 0], [1, 2]], [[1, 1, 0], [0, 1, 0]]), 4)
    0.6934
    """
    hits, wanted = _hits(ranked, relevant)
    worth = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    best = np.cumsum(worth)[np.minimum(wanted, hits.shape[1]) - 1]
    return float((hits @ worth / best).mean())


def _hits(ranked: ArrayLike, relevant: Any) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which places are hits ``(m', k)`` and the number of relevant items ``(m',)``, for lists that have one."""
    places, truth = np.asarray(ranked), sparse.csr_array(relevant)
    truth.eliminate_zeros()
    if places.ndim != 2 or len(places) != truth.shape[0] or places.shape[1] == 0:
        raise InputError(f"ranked must have shape (m, k) with m = {truth.shape[0]} lists. Got {places.shape}.")
    wanted = np.diff(truth.indptr)
    if not wanted.any():
        raise InputError("relevant marks nothing: at least one list needs a relevant item.")
    keys = np.repeat(np.arange(len(places)), wanted) * truth.shape[1] + truth.indices
    hits = np.isin(np.arange(len(places))[:, None] * truth.shape[1] + places, keys)
    return hits[wanted > 0], wanted[wanted > 0]
