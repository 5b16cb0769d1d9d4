"""Clusters of equal size by halving again and again: balanced binary k-means of directions (NGAME's sampler)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from labelwise.base import InputError

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


def balanced_clusters(X: ArrayLike, size: int, rng: np.random.Generator, rounds: int = 4) -> Ints:
    """Return a cluster number for every row, (n,); clusters hold at most `size` rows, and their sizes differ by one at most.

    Every cluster is split by 2-means of directions into halves that differ by one row at most, until all are small enough:
    rows are ordered by the difference of their cosines to the two centres and cut in the middle. All clusters of a level are
    split at once.

    Parameters
    ----------
    X
        Rows ``(n, d)``; only their direction counts.
    size
        Most rows of a cluster, >= 1.
    rng
        Draws the first two centres of every split.
    rounds
        Rounds of 2-means a split.

    References
    ----------
    Dahiya et al.: NGAME: Negative Mining-aware Mini-batching for Extreme Classification. WSDM 2023 (paper 90).

    Examples
    --------
    >>> X = np.repeat([[1.0, 0.0], [0.0, 1.0]], 4, axis=0)
    >>> group = balanced_clusters(X, size=4, rng=np.random.default_rng(0))
    >>> len(set(group[:4])), len(set(group[4:])), np.bincount(group).tolist()
    (1, 1, [4, 4])
    """
    rows = np.asarray(X)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise InputError(f"X must be finite numbers (n, d). Got shape {rows.shape}.")
    if size < 1:
        raise InputError(f"size must be a whole number from 1. Got {size!r}.")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(length > 0, length, 1)
    group: Ints = np.zeros(len(unit), dtype=np.int64)
    while len(group) and np.bincount(group).max() > size:
        group = _halved(unit, group, rng, rounds)
    return group


def _halved(unit: Floats, group: Ints, rng: np.random.Generator, rounds: int) -> Ints:
    """Split every cluster into two; those of the first half get even numbers, of the second odd ones."""
    sizes = np.bincount(group)
    start = np.cumsum(sizes) - sizes
    mixed = np.lexsort((rng.random(len(group)), group))  # clusters one after the other, in random order inside
    first, second = mixed[start], mixed[start + np.minimum(1, sizes - 1)]
    axis = unit[first] - unit[second]
    upper = np.zeros(len(group), dtype=bool)
    for _ in range(rounds):
        score = np.einsum("ij,ij->i", unit, axis[group])
        order = np.lexsort((-score, group))
        place = np.arange(len(group)) - start[group[order]]
        new = np.empty_like(upper)
        new[order] = place >= (sizes[group[order]] + 1) // 2
        if np.array_equal(new, upper):
            break
        upper = new
        centre = _means(unit, 2 * group + upper, 2 * len(sizes))
        axis = centre[0::2] - centre[1::2]
    return np.unique(2 * group + upper, return_inverse=True)[1]


def _means(unit: Floats, group: Ints, n_groups: int) -> Floats:
    """Return the direction of the mean of every cluster, (n_groups, d)."""
    member = sparse.csr_array((np.ones(len(group), unit.dtype), (group, np.arange(len(group)))), (n_groups, len(group)))
    total = np.asarray(member @ unit)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.where(length > 0, length, 1), dtype=unit.dtype)


def clustered_order(group: Ints, rng: np.random.Generator) -> Ints:
    """Return the rows ordered by cluster, the clusters one after the other in random order, (n,)."""
    turn = rng.permutation(int(group.max()) + 1 if len(group) else 0)
    return np.lexsort((rng.random(len(group)), turn[group]))
