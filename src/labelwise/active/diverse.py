"""Strategies that look at where rows lie: clusters, covers, gradients, and batches that are spread out."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from labelwise.active import uncertainty
from labelwise.active.drawing import Farthest, Floats, Ints, Limits, Picker, PlusPlus, Rounds, Spread
from labelwise.active.pool import Pool
from labelwise.active.query import Query, ScoredQuery, query_card
from labelwise.active.strategies import MarginQuery
from labelwise.base import Count, Fraction, InputError
from labelwise.parts.neighbours import neighbours


class KMeansQuery(Query):
    """The rows nearest to the centres of as many clusters as rows are wanted, large clusters first.

    Parameters
    ----------
    weighted
        Weigh rows by how close their two best classes are, so that clusters gather where the model is unsure.

    References
    ----------
    Zhdanov: Diverse mini-batch active learning. 2019.

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [9.2]])
    >>> sorted(KMeansQuery(random_state=0).select(Pool(X), 2).tolist())
    [1, 4]
    """

    weighted: bool = False

    card = query_card(2019, "Zhdanov: Diverse mini-batch active learning. 2019.")

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return rounds over the clusters, by distance to the centre."""
        Z = np.ascontiguousarray(pool.embeddings[rows])
        weight = uncertainty.margin(pool.proba)[rows] if self.weighted else None
        cluster, distance = clusters(Z, limits.most(), rng, weight)
        sizes = np.bincount(cluster)
        return Rounds(cluster, np.argsort(-sizes, kind="stable"), lambda members: -distance[members])


def clusters(Z: Floats, k: int, rng: np.random.Generator, weight: Floats | None = None) -> tuple[Ints, Floats]:
    """Return each row's k-means cluster, and its squared distance to the cluster's centre."""
    import faiss

    k = max(1, min(k, len(Z)))
    if k == len(Z):
        return np.arange(k), np.zeros(k)
    means = faiss.Kmeans(
        Z.shape[1], k, niter=20, seed=int(rng.integers(2**31)), max_points_per_centroid=256, min_points_per_centroid=1
    )
    chance = np.ones(len(Z)) if weight is None else weight.astype(np.float64) + 1e-6
    first = Z[rng.choice(len(Z), k, replace=False, p=chance / chance.sum())]
    means.train(Z, weights=np.asarray(chance, dtype=np.float32), init_centroids=np.ascontiguousarray(first))
    distance, cluster = means.index.search(Z, 1)
    return cluster[:, 0].astype(np.int64), distance[:, 0]


def centred(Z: Floats) -> Floats:
    """Return rows around zero: distances stay, and their products lose fewer digits."""
    return np.asarray(Z - Z.mean(axis=0, dtype=np.float64), dtype=np.float32)


class CoreSet(Query):
    """Greedily the row farthest from everything labelled or drawn, so that the pool is covered by small balls.

    References
    ----------
    Sener, Savarese: Active learning for convolutional neural networks: a core-set approach. ICLR 2018.

    Examples
    --------
    >>> CoreSet().select(Pool(np.array([[0.0], [1.0], [5.0], [6.0]]), y=[0, -1, -1, -1]), 2)
    array([3, 1])
    """

    card = query_card(2018, "Sener, Savarese: Active learning for CNNs: a core-set approach. ICLR 2018.")

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return the greedy k-centre order, which starts at the labelled rows."""
        return Farthest(pool.embeddings[rows], pool.embeddings[pool.labelled])


class BADGE(Query):
    """k-means++ among the gradients that each row's predicted label would cause: unsure rows that differ.

    The gradient of the last layer is ``(p - onehot(argmax p)) h^T``; only its two factors are kept.

    References
    ----------
    Ash, Zhang, Krishnamurthy, Langford, Agarwal: Deep batch active learning by diverse, uncertain gradient lower bounds.
    ICLR 2020.

    Examples
    --------
    >>> pool = Pool(np.array([[1.0], [1.1], [-1.0]]), proba=[[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    >>> sorted(BADGE(random_state=0).select(pool, 2).tolist())
    [1, 2]
    """

    card = query_card(
        2020, "Ash et al.: Deep batch active learning by diverse, uncertain gradient lower bounds. ICLR 2020."
    )

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return k-means++ over the gradients."""
        A = np.array(pool.proba[rows], dtype=np.float32)
        A[np.arange(len(A)), A.argmax(axis=1)] -= 1
        return PlusPlus(A, pool.embeddings[rows], rng)


class TypiClust(Query):
    """The most typical row of each cluster that has no label yet, for the first few dozen labels.

    Pool and labelled rows are clustered together, into as many clusters as there will be labels; clusters with fewest
    labels come first, then the larger; typical is a small mean distance to the nearest rows of the cluster.

    Parameters
    ----------
    k
        Neighbours of the typicality, at most half the cluster.
    most
        Most clusters; with more labels, clusters get several.

    References
    ----------
    Hacohen, Dekel, Weinshall: Active learning on a budget: opposite strategies suit high and low budgets. ICML 2022.

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [9.2], [9.3]])
    >>> TypiClust(random_state=0).select(Pool(X, y=[0, -1, -1, -1, -1, -1, -1]), 1)[0] >= 3
    np.True_
    """

    k: Annotated[int, Count] = 20
    most: Annotated[int, Count] = 500

    card = query_card(2022, "Hacohen, Dekel, Weinshall: Active learning on a budget. ICML 2022.")

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return rounds over the clusters, by typicality."""
        Z = np.ascontiguousarray(pool.embeddings)
        wanted = min(self.most, int(pool.labelled.sum()) + limits.most())
        cluster, _ = clusters(Z, wanted, rng)
        n_clusters = int(cluster.max()) + 1
        labels = np.bincount(cluster[pool.labelled], minlength=n_clusters)
        order = np.lexsort([-np.bincount(cluster, minlength=n_clusters), labels])

        def typical(positions: Ints) -> Floats:
            everyone = np.flatnonzero(cluster == cluster[rows[positions[0]]])
            return self._typicality(Z[everyone])[np.searchsorted(everyone, rows[positions])]

        return Rounds(cluster[rows], order, typical)

    def _typicality(self, Z: Floats) -> Floats:
        if len(Z) < 3:
            return np.zeros(len(Z))
        near = neighbours(Z, min(self.k, max(1, len(Z) // 2)), metric="euclidean")
        return np.asarray(-near.distances.mean(axis=1))


class DiverseBatch(Query):
    """The best rows of a graded strategy, spread out: greedily the largest grade times distance to the nearest drawn row.

    Parameters
    ----------
    query
        What grades the rows; None takes `MarginQuery`.
    front
        How many of the best rows are looked at first, as a multiple of the rows wanted.
    floor
        Share of the grade's range added to every grade: 1 and more is mostly distance.

    References
    ----------
    Brinker: Incorporating diversity in active learning with support vector machines. ICML 2003.

    Examples
    --------
    >>> pool = Pool(np.array([[0.0], [0.0], [9.0]]), proba=[[0.5, 0.5], [0.5, 0.5], [0.6, 0.4]])
    >>> sorted(DiverseBatch(random_state=0).select(pool, 2).tolist())
    [0, 2]
    """

    query: Any = None
    front: Annotated[int, Count] = 5
    floor: Annotated[float, Fraction] = 0.0

    card = query_card(
        2003, "Brinker: Incorporating diversity in active learning with support vector machines. ICML 2003."
    )

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return the greedy order of grade times distance."""
        query = MarginQuery() if self.query is None else self.query
        if not isinstance(query, ScoredQuery):
            raise InputError(f"DiverseBatch.query must grade rows one by one, such as MarginQuery(). Got {query!r}.")
        grade = query.scores(pool)[rows]
        grade = grade + self.floor * np.ptp(grade)
        best = np.lexsort([rng.random(len(grade)), -grade])[: self.front * limits.most()]
        front = np.zeros(len(rows), dtype=bool)
        front[best] = True
        Z = centred(pool.embeddings[rows])
        return Spread(grade, Z / max(float(np.sqrt(Z.var(axis=0).sum())), 1e-12), front)
