"""Query strategies: which rows of a pool to label next. One interface for classifiers of any kind.

``Query().select(pool, n)`` returns row numbers, the most wanted first; ``pool`` is a `labelwise.active.Pool` of
probabilities, embeddings or a fitted model. Every strategy takes groups, costs and a filter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.active import uncertainty
from labelwise.active.drawing import (
    Farthest,
    Floats,
    Ints,
    Limits,
    PerGroup,
    Picker,
    PlusPlus,
    Ranked,
    Rounds,
    Spread,
    draw,
)
from labelwise.active.pool import Pool
from labelwise.base import Card, Count, Fields, Fraction, InputError, Method
from labelwise.parts.neighbours import neighbours

Filter = ArrayLike | Callable[[Pool], NDArray[np.bool_]] | Literal["outliers"] | None


class Query(Method, Fields):
    """Base of query strategies: a subclass says in `picker` in which order rows are wanted.

    Parameters
    ----------
    random_state
        Seed of ties and draws; None draws one.
    """

    random_state: int | None = None

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return what orders the candidates `rows`."""
        raise NotImplementedError(f"{type(self).__name__} must define picker(pool, rows, limits, rng).")

    def select(
        self,
        pool: Pool,
        n: int | None = None,
        *,
        filter: Filter = None,
        groups: ArrayLike | None = None,
        per_group: PerGroup = None,
        cost: ArrayLike | None = None,
        budget: float | None = None,
    ) -> Ints:
        """Return numbers of rows to label next, the most wanted first; never a row twice, nor one that has a label.

        Parameters
        ----------
        pool
            What is known of all rows.
        n
            Rows wanted; fewer come back where fewer may be drawn. None: as many as `budget` buys.
        filter
            Rows to leave out: a mask ``(n_rows,)``, a function of the pool returning one, or ``"outliers"`` for those that
            the pool (its model, its ``outlier=``) holds to be of no class.
        groups, per_group
            Group of every row ``(n_rows,)``, and how many rows of a group a batch may hold, or ``"all"``: a group is taken
            whole or not at all (it counts as its best row; one larger than what is left of n is passed over).
        cost, budget
            Price of every row ``(n_rows,)``, > 0, and the most a batch may cost. Strategies that grade rows take the
            largest grade per price; those that draw at random or by clusters only keep to the budget.

        Raises
        ------
        InputError
            For arguments that do not fit each other, or a pool without what the strategy needs.
        """
        self.check_fields()
        rows = _candidates(pool, filter)
        for name, values in (("groups", groups), ("cost", cost)):
            if values is not None and np.shape(values) != (pool.n,):
                raise InputError(f"{name} must have one entry a row, shape ({pool.n},). Got {np.shape(values)}.")
        limits = Limits(rows, n, groups, per_group, cost, budget)
        if not limits.open.any():
            return rows[:0]
        return rows[draw(self.picker(pool, rows, limits, np.random.default_rng(self.random_state)), limits)]


def _candidates(pool: Pool, filter: Filter) -> Ints:
    if filter is None:
        return pool.open
    if isinstance(filter, str):
        if filter != "outliers" or pool.outlier is None:
            raise InputError(
                f"filter must be a mask, a function of the pool, or 'outliers' where the pool knows them (outlier=, or a "
                f"model with outlier_score). Got {filter!r}."
            )
        dropped = pool.outlier
    else:
        dropped = np.asarray(filter(pool) if callable(filter) else filter)
    if dropped.shape != (pool.n,) or dropped.dtype != bool:
        raise InputError(f"filter must be a mask of shape ({pool.n},). Got shape {dropped.shape} of {dropped.dtype}.")
    return np.flatnonzero(~pool.labelled & ~dropped)


class ScoredQuery(Query):
    """Base of strategies that grade every row by itself: the largest `scores` come first, equal ones at random."""

    def scores(self, pool: Pool) -> Floats:
        """Return a number >= 0 for every row of the pool, ``(n_rows,)``."""
        raise NotImplementedError(f"{type(self).__name__} must define scores(pool).")

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return the order of the scores."""
        return Ranked(self.scores(pool)[rows], rng)


def _card(year: int, reference: str) -> Card:
    return Card(year=year, reference=reference, kind="part", handles=frozenset({"few labels"}), cost="seconds")


class RandomQuery(Query):
    """Rows at random: what every other strategy has to beat.

    References
    ----------
    Simple random sampling.

    Examples
    --------
    >>> RandomQuery(random_state=0).select(Pool(np.zeros((9, 2))), 3)
    array([5, 4, 7])
    """

    card = _card(1900, "Simple random sampling.")

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return a random order."""
        return Ranked(rng.random(len(rows)), rng, priced=False)


class LeastConfidence(ScoredQuery):
    """Rows whose most probable class is least probable.

    References
    ----------
    Lewis, Gale: A sequential algorithm for training text classifiers. SIGIR 1994.

    Examples
    --------
    >>> LeastConfidence().select(Pool(proba=[[0.9, 0.1], [0.55, 0.45], [0.3, 0.7]]), 2)
    array([1, 2])
    """

    card = _card(1994, "Lewis, Gale: A sequential algorithm for training text classifiers. SIGIR 1994.")

    def scores(self, pool: Pool) -> Floats:
        """Return 1 - the largest probability."""
        return uncertainty.least_confidence(pool.proba)


class MarginQuery(ScoredQuery):
    """Rows whose two most probable classes are closest, also called breaking ties.

    References
    ----------
    Scheffer, Decomain, Wrobel: Active hidden Markov models for information extraction. IDA 2001.

    Examples
    --------
    >>> MarginQuery().select(Pool(proba=[[0.5, 0.4, 0.1], [0.4, 0.3, 0.3], [0.34, 0.33, 0.33]]), 1)
    array([2])
    """

    card = _card(2001, "Scheffer, Decomain, Wrobel: Active hidden Markov models for information extraction. IDA 2001.")

    def scores(self, pool: Pool) -> Floats:
        """Return 1 - (largest - second largest probability)."""
        return uncertainty.margin(pool.proba)


class EntropyQuery(ScoredQuery):
    """Rows whose predicted classes have the largest entropy.

    References
    ----------
    Settles: Active learning literature survey. 2009.

    Examples
    --------
    >>> EntropyQuery().select(Pool(proba=[[0.5, 0.5, 0.0], [0.4, 0.3, 0.3]]), 1)
    array([1])
    """

    card = _card(2009, "Settles: Active learning literature survey. 2009.")

    def scores(self, pool: Pool) -> Floats:
        """Return the entropy."""
        return uncertainty.entropy(pool.proba)


class BALD(ScoredQuery):
    """Rows on which several opinions are each sure, and differ: mutual information of prediction and model.

    Needs several opinions a row: `Pool` takes them as ``passes=``, from a network with dropout, an ensemble or a list of
    fitted models.

    References
    ----------
    Houlsby, Huszár, Ghahramani, Lengyel: Bayesian active learning for classification and preference learning. 2011. Gal,
    Islam, Ghahramani: Deep Bayesian active learning with image data. ICML 2017.

    Examples
    --------
    >>> sure_but_different, unsure_alike = [[0.9, 0.1], [0.1, 0.9]], [[0.5, 0.5], [0.5, 0.5]]
    >>> BALD().select(Pool(passes=np.stack([unsure_alike, sure_but_different], axis=1)), 1)
    array([1])
    """

    card = _card(2017, "Gal, Islam, Ghahramani: Deep Bayesian active learning with image data. ICML 2017.")

    def scores(self, pool: Pool) -> Floats:
        """Return the mutual information."""
        return uncertainty.bald(pool.passes)


class VarianceRatio(Query):
    """Rows on which most members of a committee contradict its mean; ties go to the larger entropy.

    Rows that the pool holds to be outliers come last (paper 35): their ratio counts as 0.

    Parameters
    ----------
    outliers_last
        Whether they do; False grades them like all others.

    References
    ----------
    Freeman: Elementary applied statistics. 1965. Beluch et al.: The power of ensembles for active learning. CVPR 2018.

    Examples
    --------
    >>> passes = [[[0.9, 0.1], [0.4, 0.6]], [[0.8, 0.2], [0.9, 0.1]], [[0.7, 0.3], [0.9, 0.1]]]
    >>> VarianceRatio().select(Pool(passes=passes), 1)
    array([1])
    """

    outliers_last: bool = True

    card = _card(2018, "Beluch et al.: The power of ensembles for active learning. CVPR 2018.")

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return the order of the ratios, then of the entropies, outliers behind all others."""
        ratio, ties = uncertainty.variance_ratio(pool.passes), uncertainty.entropy(pool.proba)
        if self.outliers_last and pool.outlier is not None:
            ratio, ties = np.where(pool.outlier, 0, ratio), np.where(pool.outlier, -1, ties)
        return Ranked(ratio[rows], rng, ties[rows])


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

    card = _card(2019, "Zhdanov: Diverse mini-batch active learning. 2019.")

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

    card = _card(2018, "Sener, Savarese: Active learning for CNNs: a core-set approach. ICLR 2018.")

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return the greedy k-centre order, which starts at the labelled rows."""
        Z = centred(pool.embeddings)
        return Farthest(Z[rows], Z[pool.labelled])


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

    card = _card(2020, "Ash et al.: Deep batch active learning by diverse, uncertain gradient lower bounds. ICLR 2020.")

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

    card = _card(2022, "Hacohen, Dekel, Weinshall: Active learning on a budget. ICML 2022.")

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

    card = _card(2003, "Brinker: Incorporating diversity in active learning with support vector machines. ICML 2003.")

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


STRATEGIES: dict[str, Callable[[], Query]] = {
    "random": RandomQuery, "least confidence": LeastConfidence, "margin": MarginQuery, "entropy": EntropyQuery,
    "diverse margin": DiverseBatch, "k-means": KMeansQuery, "weighted k-means": lambda: KMeansQuery(weighted=True),
    "core-set": CoreSet, "BADGE": BADGE, "typical": TypiClust,
}  # fmt: skip
"""Strategies that need no more than one fitted classifier, by name."""
