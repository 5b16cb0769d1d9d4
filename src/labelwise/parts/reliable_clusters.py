"""Clusters of rows that see each other as neighbours, kept only where they do not hang on one tolerance."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.cluster import DBSCAN
from sklearn.exceptions import EfficiencyWarning
from sklearn.neighbors import NearestNeighbors

Codes = NDArray[np.int64]


def reciprocal_distances(Z: ArrayLike, k: int = 20) -> sparse.csr_matrix:
    """Return Jaccard distances of the sets of reciprocal neighbours; pairs without a common one are not stored (1).

    Row i's set holds the rows among its k nearest (itself included) that have i among theirs.

    Parameters
    ----------
    Z
        Rows ``(n, d)``.
    k
        Neighbours, >= 1; no more than there are rows.

    References
    ----------
    Zhong, Zheng, Cao and Li, Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
    """
    rows = np.asarray(Z, dtype=np.float32)
    near = NearestNeighbors(n_neighbors=min(k, len(rows)), algorithm="brute").fit(rows)
    graph = sparse.csr_matrix(near.kneighbors_graph(rows))
    own = graph.minimum(graph.T).tocsr()
    own.setdiag(1)
    common = sparse.coo_matrix(own @ own.T)
    size = np.asarray(own.sum(axis=1)).ravel()
    union = size[common.row] + size[common.col] - common.data
    apart = np.maximum(1 - common.data / union, 1e-12)  # a stored zero would count as absent
    return sparse.csr_matrix((apart, (common.row, common.col)), shape=common.shape)


class Clusters(NamedTuple):
    """Cluster of each row ``(n,)``, -1 for none, and the limit that clusters had to keep."""

    codes: Codes
    limit: float


def reliable_clusters(
    distances: sparse.csr_matrix, *, eps: float = 0.6, gap: float = 0.02, min_samples: int = 4, least: int = 5,
    limit: float | None = None,
) -> Clusters:  # fmt: skip
    """Cluster rows (DBSCAN), and keep what does not change when the tolerance is a little larger or smaller.

    A row's dependence ``1 - |A and A_loose| / |A or A_loose|`` compares its cluster A with that at ``eps + gap``; its
    incompactness with that at ``eps - gap``. A cluster stays if the least dependence of its rows is at most `limit`; a row
    stays if its incompactness is at most the least of its cluster. Clusters of fewer than `least` rows are dropped.

    Parameters
    ----------
    distances
        Sparse ``(n, n)``, absent pairs are far; see `reciprocal_distances`.
    eps, gap
        Tolerance, and how much it is moved.
    min_samples
        Of DBSCAN.
    least
        Rows a cluster.
    limit
        None: the 90th percentile over the clusters, which later calls should be given.

    References
    ----------
    Ge, Zhu, Chen, Zhao and Li, Self-paced Contrastive Learning with Hybrid Memory for Domain Adaptive Object Re-ID, NeurIPS
    2020; used by DomainMix (paper 207).
    """
    middle, loose, tight = (_cut(distances, width, min_samples) for width in (eps, eps + gap, eps - gap))
    dependence, incompact = 1 - overlap(middle, loose), 1 - overlap(middle, tight)
    n = int(middle.max()) + 1
    depends, packed = np.ones(n), np.ones(n)
    known = middle >= 0
    np.minimum.at(depends, middle[known], dependence[known])
    np.minimum.at(packed, middle[known], incompact[known])
    if limit is None:
        limit = float(np.quantile(depends, 0.9)) if n else 0.0
    keep = known.copy()
    keep[known] = (depends[middle[known]] <= limit) & (incompact[known] <= packed[middle[known]])
    size = np.bincount(middle[keep], minlength=n)
    keep[keep] = size[middle[keep]] >= least
    codes = np.full(len(middle), -1)
    codes[keep] = np.unique(middle[keep], return_inverse=True)[1]
    return Clusters(codes, limit)


def overlap(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return for each row ``|A and B| / |A or B|`` of its clusters in two clusterings; rows of no cluster stand alone.

    >>> overlap([0, 0, 1, -1], [0, 0, 0, -1]).round(2).tolist()
    [0.67, 0.67, 0.33, 1.0]
    """
    first, second = (_alone(np.asarray(codes)) for codes in (a, b))
    both = np.unique(np.stack([first, second]), axis=1, return_inverse=True, return_counts=True)
    common = both[2][both[1].ravel()]
    sizes = [np.bincount(codes)[codes] for codes in (first, second)]
    return np.asarray(common / (sizes[0] + sizes[1] - common), dtype=np.float64)


def _alone(codes: NDArray[Any]) -> NDArray[Any]:
    """Give each row without a cluster one of its own."""
    alone = codes < 0
    out = codes.copy()
    out[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return out


def _cut(distances: sparse.csr_matrix, eps: float, min_samples: int) -> Codes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EfficiencyWarning)
        found = DBSCAN(eps=max(eps, 1e-9), min_samples=min_samples, metric="precomputed").fit_predict(distances)
    return np.asarray(found, dtype=np.int64)
