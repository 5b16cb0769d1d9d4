"""Query strategies: which rows of a pool to label next. One interface for classifiers of any kind.

``MarginQuery().select(pool, n)`` returns row numbers, the most wanted first; ``pool`` is a `labelwise.active.Pool` of
probabilities, embeddings or a fitted model. Every strategy takes groups, costs and a filter. Here are those that grade rows
one by one; `labelwise.active.diverse` has those that look at where rows lie.
"""

from __future__ import annotations

import numpy as np

from labelwise.active import uncertainty
from labelwise.active.drawing import Floats, Ints, Limits, Picker, Ranked
from labelwise.active.pool import Pool
from labelwise.active.query import Query, ScoredQuery, query_card


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

    card = query_card(None, "Simple random sampling.")

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

    card = query_card(1994, "Lewis, Gale: A sequential algorithm for training text classifiers. SIGIR 1994.")

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

    card = query_card(
        2001, "Scheffer, Decomain, Wrobel: Active hidden Markov models for information extraction. IDA 2001."
    )

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

    card = query_card(2009, "Settles: Active learning literature survey. 2009.")

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

    card = query_card(2017, "Gal, Islam, Ghahramani: Deep Bayesian active learning with image data. ICML 2017.")

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

    card = query_card(2018, "Beluch et al.: The power of ensembles for active learning. CVPR 2018.")

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return the order of the ratios, then of the entropies, outliers behind all others."""
        ratio, ties = uncertainty.variance_ratio(pool.passes), uncertainty.entropy(pool.proba)
        if self.outliers_last and pool.outlier is not None:
            ratio, ties = np.where(pool.outlier, 0, ratio), np.where(pool.outlier, -1, ties)
        return Ranked(ratio[rows], rng, ties[rows])
