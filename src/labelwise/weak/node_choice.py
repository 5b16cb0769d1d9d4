"""Which nodes of a graph to have annotated, and which annotations to believe (Chen et al. 2024)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.cluster import KMeans

from labelwise.nets.graph_convolution import smoothing

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Importance = Literal["pagerank", "degree", "spread"]

DAMPING, STEPS = 0.85, 100


def percentile(scores: Doubles) -> Doubles:
    """Return ranks in (0, 1], the largest score 1; equal scores share their mean rank."""
    return np.asarray(rankdata(scores) / max(1, len(scores)))


def density(X: Doubles, n_clusters: int, seed: int) -> Doubles:
    """Return ``1 / (1 + distance to the centre of the own k-means cluster)``, (n,): near a centre, labels are reliable."""
    model = KMeans(min(n_clusters, len(X)), n_init=4, random_state=seed).fit(X)
    return np.asarray(1 / (1 + np.linalg.norm(X - model.cluster_centers_[model.labels_], axis=1)))


def pagerank(graph: Any) -> Doubles:
    """Return the PageRank of each node, (n,), damping 0.85; nodes without edges pass their rank on to all."""
    n = graph.shape[0]
    degree = np.asarray(graph.sum(axis=1)).ravel()
    share, rank = np.divide(1, degree, out=np.zeros(n), where=degree > 0), np.full(n, 1 / n)
    for _ in range(STEPS):
        rank = (1 - DAMPING + DAMPING * rank[degree == 0].sum()) / n + DAMPING * (graph.T @ (rank * share))
    return np.asarray(rank)


def importance(X: Doubles, graph: Any, kind: Importance, budget: int, seed: int) -> Doubles:
    """Return how much a node's label would tell about others, (n,).

    ``pagerank`` and ``degree`` of the node; ``spread``: density of its features smoothed twice over the graph, among as
    many clusters as labels can be bought.
    """
    if kind == "pagerank":
        return pagerank(graph)
    if kind == "degree":
        return np.asarray(graph.sum(axis=1), dtype=np.float64).ravel()
    S = smoothing(graph)
    return density(S @ (S @ X), budget, seed)


def choose(of_importance: Doubles, of_density: Doubles, budget: int, easy: float) -> Ints:
    """Return the `budget` nodes of highest ``(1 - easy) rank(importance) + easy rank(density)``, ascending."""
    total = (1 - easy) * percentile(of_importance) + easy * percentile(of_density)
    return np.sort(np.argsort(-total, kind="stable")[:budget])


def entropy(counts: Doubles) -> Doubles:
    """Return the entropy in nats of class counts (..., K); 0 for no counts at all."""
    total = counts.sum(-1, keepdims=True)
    p = np.divide(counts, total, out=np.zeros_like(counts, dtype=np.float64), where=total > 0)
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(-1))


def change_of_entropy(codes: Ints, n_classes: int) -> Doubles:
    """Return by how much the entropy of the labels (n,) would change without each of them, (n,)."""
    counts = np.bincount(codes, minlength=n_classes).astype(np.float64)
    without = counts - np.eye(n_classes)  # row k: one label of class k fewer
    return np.asarray((entropy(without) - entropy(counts))[codes])


def believed(codes: Ints, confidence: Doubles, n_classes: int, drop: float, variety: float = 1.0) -> NDArray[np.bool_]:
    """Return which annotations to keep, (n,): all but a share `drop`.

    Dropped first are those of low confidence without which the labels would be no less varied: lowest
    ``rank(confidence) - variety * rank(change of entropy)``. The last annotation of a class stays.
    """
    score = percentile(confidence) - variety * percentile(change_of_entropy(codes, n_classes))
    kept, left = np.ones(len(codes), bool), np.bincount(codes, minlength=n_classes)
    to_drop = int(drop * len(codes))
    for row in np.argsort(score, kind="stable"):
        if to_drop and left[codes[row]] > 1:
            kept[row], to_drop = False, to_drop - 1
            left[codes[row]] -= 1
    return kept
