"""A map of the rows in two dimensions: near on the map means alike in their features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from labelwise.base import InputError
from labelwise.parts.threads import few_threads

Rows = NDArray[np.int64]

MOST = 2000
FLAGGED = 200
WIDTH = 30
LEAST = 10
QUICK = 4.0
"""Seconds below which t-SNE is not tried."""


def map_rows(n: int, flagged: NDArray[Any], *, most: int = MOST, seed: int = 0) -> Rows:
    """Return which of `n` rows to draw: the first 200 flagged ones (at most a quarter), the others at random, sorted.

    >>> map_rows(6, np.array([4]), most=4).shape
    (4,)
    """
    first = np.asarray(list(dict.fromkeys(np.asarray(flagged, dtype=np.int64).tolist())), dtype=np.int64)
    first = first[: min(FLAGGED, max(1, most // 4))]
    others = np.setdiff1d(np.arange(n), first)
    drawn = np.random.default_rng(seed).permutation(others)[: max(most - len(first), 0)]
    return np.sort(np.r_[first, drawn])


def embedding_map(X: NDArray[Any], *, seconds: float = 10.0, seed: int = 0) -> tuple[NDArray[np.float64], str]:
    """Return places ``(n, 2)`` from 0 to 1 and the name of what made them.

    Rows go through a principal component analysis to 30 dimensions, then t-SNE; with less than four seconds, or fewer than
    ten rows, the first two principal components are the map.

    Parameters
    ----------
    X
        Rows ``(n, ...)``, flattened.
    seconds
        Time to spend, about.
    seed
        Of t-SNE.
    """
    flat = np.asarray(X.reshape(len(X), -1), dtype=np.float32)
    if not np.isfinite(flat).all():
        raise InputError("a map needs finite numbers. Found NaN or infinity in X.")
    if not np.ptp(flat, axis=0).any():
        return np.full((len(flat), 2), 0.5), "principal components"
    with few_threads(flat):
        scaled = StandardScaler().fit_transform(flat) if flat.shape[1] <= 2 * WIDTH else flat
        low = PCA(min(WIDTH, *flat.shape), random_state=seed).fit_transform(scaled)
        kinds, kind = np.unique(low.round(4), axis=0, return_inverse=True)
        if len(kinds) < LEAST or seconds < QUICK or low.shape[1] < 3:
            return _unit(low), "principal components"
        return _unit(_tsne(kinds, seed)[kind.reshape(-1)]), "t-SNE"


def _tsne(rows: NDArray[Any], seed: int) -> NDArray[Any]:
    """Place rows that all differ: copies of each other, and rows without any spread, crash the tree of t-SNE."""
    near = float(min(30, (len(rows) - 1) / 3))
    return np.asarray(TSNE(2, init="pca", perplexity=near, max_iter=500, random_state=seed).fit_transform(rows))


def _unit(places: NDArray[Any]) -> NDArray[np.float64]:
    two = np.zeros((len(places), 2))
    two[:, : places.shape[1]] = places[:, :2]
    low, high = two.min(axis=0), two.max(axis=0)
    return np.asarray((two - low) / np.where(high > low, high - low, 1), dtype=np.float64)
