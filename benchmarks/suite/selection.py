"""Rows that stand for all rows, beside what one writes with numpy and scikit-learn."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite.compare import at_least
from benchmarks.suite.timing import Entry, Pair

D = 64


def drawn(n: int) -> np.ndarray:
    """Rows of thirty clusters."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(30, D))[rng.integers(0, 30, n)] + 0.7 * rng.normal(size=(n, D))).astype(np.float32)


def distances(X: np.ndarray, chosen: Any) -> np.ndarray:
    """Distance of every row to the nearest chosen one."""
    from sklearn.metrics import pairwise_distances_argmin_min

    return np.asarray(pairwise_distances_argmin_min(X, X[np.asarray(chosen)])[1])


def centres(X: np.ndarray, m: int) -> list[int]:
    """Greedy k-centre as one writes it, from the row nearest to the mean."""
    from sklearn.metrics import pairwise_distances

    chosen = [int(((X - X.mean(0)) ** 2).sum(1).argmin())]
    gap = pairwise_distances(X, X[chosen])[:, 0]
    for _ in range(m - 1):
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, pairwise_distances(X, X[chosen[-1:]])[:, 0])
    return chosen


def covered(small: bool) -> Pair:
    """k-centre: no row far from all chosen ones."""
    from labelwise.active import CoreSet, Pool

    n, m = (500, 10) if small else (50_000, 100)
    X = drawn(n)

    def agree(ours: Any, theirs: Any) -> str:
        mine, other = (float(distances(X, chosen).max()) for chosen in (ours, theirs))
        at_least("radius", -mine, -other, slack=0.02 * other)
        return f"radius {mine:.4g} / {other:.4g}"

    return Pair(f"{m} of {n:,} x {D}", lambda: CoreSet().select(Pool(X), m), partial(centres, X, m), agree)


def facilities(X: np.ndarray, m: int) -> list[int]:
    """Greedy facility location by similarity ``max distance - distance``, from one dense matrix."""
    from sklearn.metrics import pairwise_distances

    similar = pairwise_distances(X)
    similar = similar.max() - similar
    best, chosen = np.zeros(len(X), dtype=similar.dtype), list[int]()
    for _ in range(m):
        chosen.append(int(np.maximum(similar, best).sum(1).argmax()))
        best = np.maximum(best, similar[chosen[-1]])
    return chosen


def clustered(X: np.ndarray, m: int) -> Any:
    """k-means, and the row nearest to each centre."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import pairwise_distances_argmin

    return pairwise_distances_argmin(KMeans(m, n_init=1, random_state=0).fit(X).cluster_centers_, X)


def represented(peer: Any, n: int, m: int, small: bool) -> Pair:
    """Facility location: rows near to some chosen one on average."""
    from labelwise.active import KMeansQuery, Pool

    n, m = (500, 10) if small else (n, m)
    X = drawn(n)

    def agree(ours: Any, theirs: Any) -> str:
        mine, other = (float(distances(X, chosen).mean()) for chosen in (ours, theirs))
        at_least("mean distance", -mine, -other, slack=(0.1 if small else 0.03) * other)
        return f"mean distance {mine:.4g} / {other:.4g}"

    return Pair(
        f"{m} of {n:,} x {D}", lambda: KMeansQuery(random_state=0).select(Pool(X), m), partial(peer, X, m), agree
    )


ENTRIES = [
    Entry("k-centre: `CoreSet`", ("scikit-learn", "`pairwise_distances` in a loop"), covered),
    Entry("facility location: `KMeansQuery`", ("numpy", "dense greedy"), partial(represented, facilities, 2_000, 40)),
    Entry("facility location: `KMeansQuery`", ("scikit-learn", "`KMeans`, nearest rows"),
          partial(represented, clustered, 50_000, 100)),
]  # fmt: skip
