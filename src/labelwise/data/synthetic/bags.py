"""Labels that belong to groups of rows: proportions, and one class for a set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labelwise.base import Count, Fraction, InputError, Positive, Range
from labelwise.data.synthetic.drawing import (
    BoolArray,
    FloatArray,
    IntArray,
    RandomState,
    check,
    draw_rows,
    generator,
)
from labelwise.data.synthetic.mixtures import mixture


@dataclass(frozen=True, eq=False)
class ProportionBags:
    """Rows in bags of which only the class proportions are known.

    Attributes
    ----------
    X
        Features ``(n, d)``.
    bags
        Bag of each row ``(n,)``, in ``[0, B)``.
    y
        Observed class shares of each bag ``(B, K)``; exact when no noise was asked for.
    truth
        Right class of each row ``(n,)``.
    priors
        Class shares each bag was drawn from ``(B, K)``.
    """

    X: FloatArray
    bags: IntArray
    y: FloatArray
    truth: IntArray
    priors: FloatArray


@dataclass(frozen=True, eq=False)
class SetBags:
    """Bags with one label each: positive if any of their rows is (multiple-instance learning).

    Attributes
    ----------
    X
        Features ``(n, d)``.
    bags
        Bag of each row ``(n,)``, in ``[0, B)``.
    y
        Label of each bag ``(B,)``, 0 or 1.
    is_positive
        The rows that make their bag positive, bool ``(n,)``.
    """

    X: FloatArray
    bags: IntArray
    y: IntArray
    is_positive: BoolArray


@dataclass(frozen=True, eq=False)
class TwoKindBags:
    """Bags that are positive because of rows of an easy kind, of a hard kind, or of both.

    Attributes
    ----------
    X
        Features ``(n, d)``.
    bags
        Bag of each row ``(n,)``, in ``[0, B)``.
    y
        Label of each bag ``(B,)``, 0 or 1.
    kind
        Of each row ``(n,)``: 0 negative, 1 easily told positive, 2 hardly told positive.
    """

    X: FloatArray
    bags: IntArray
    y: IntArray
    kind: IntArray


def proportion_bags(
    n_bags: int = 50,
    bag_size: int | tuple[int, int] = 20,
    n_classes: int = 3,
    n_features: int = 8,
    *,
    concentration: float = 1.0,
    noise: float = 0.0,
    separation: float = 3.0,
    random_state: RandomState = None,
) -> ProportionBags:
    """Draw bags of different class mixes and state the mix of each.

    Parameters
    ----------
    n_bags
        Number of bags.
    bag_size
        Rows a bag, or the smallest and the largest number.
    n_classes, n_features
        Sizes.
    concentration
        Each bag's class shares are drawn from a symmetric Dirichlet distribution: small values make bags pure.
    noise
        Weight in [0, 1] of a random distribution mixed into the stated shares.
    separation
        Distance of the nearest two class means in standard deviations.
    random_state
        Seed or generator.

    Examples
    --------
    >>> drawn = proportion_bags(10, 5, random_state=0)
    >>> drawn.X.shape, drawn.y.shape
    ((50, 8), (10, 3))
    """
    check("concentration", concentration, Positive)
    check("noise", noise, Fraction)
    rng = generator(random_state)
    bags = _bag_numbers(n_bags, bag_size, rng)
    source = mixture(n_classes, n_features, separation=separation, random_state=rng)
    priors = rng.dirichlet(np.full(n_classes, concentration), n_bags)
    truth = draw_rows(rng, priors, bags)
    counts = np.bincount(bags * n_classes + truth, minlength=n_bags * n_classes).reshape(n_bags, n_classes)
    shares = counts / counts.sum(1, keepdims=True)
    stated = (1 - noise) * shares + noise * rng.dirichlet(np.ones(n_classes), n_bags)
    return ProportionBags(source.sample(truth, rng), bags, stated, truth, priors)


def set_bags(
    n_bags: int = 100,
    bag_size: int | tuple[int, int] = 20,
    n_features: int = 8,
    *,
    positive_share: float = 0.5,
    witness_rate: float = 0.1,
    separation: float = 4.0,
    random_state: RandomState = None,
) -> SetBags:
    """Draw bags that are positive because of a few of their rows.

    Parameters
    ----------
    n_bags, bag_size
        Number of bags; rows a bag, or the smallest and the largest number.
    n_features
        Columns of `X`.
    positive_share
        Probability that a bag is positive.
    witness_rate
        Probability that a row of a positive bag is positive; every positive bag has at least one such row.
    separation
        Distance between positive and other rows in standard deviations.
    random_state
        Seed or generator.

    Examples
    --------
    >>> drawn = set_bags(10, (3, 6), random_state=0)
    >>> bool((np.bincount(drawn.bags, drawn.is_positive) > 0).astype(int).tolist() == drawn.y.tolist())
    True
    """
    check("positive_share", positive_share, Fraction)
    check("witness_rate", witness_rate, Fraction)
    rng = generator(random_state)
    bags = _bag_numbers(n_bags, bag_size, rng)
    y = (rng.random(n_bags) < positive_share).astype(np.int64)
    order = rng.permutation(len(bags))
    sure = np.zeros(len(bags), bool)
    sure[order[np.unique(bags[order], return_index=True)[1]]] = True  # one row drawn from each bag
    is_positive = (y[bags] == 1) & (sure | (rng.random(len(bags)) < witness_rate))
    source = mixture(2, n_features, separation=separation, random_state=rng)
    return SetBags(source.sample(is_positive.astype(np.int64), rng), bags, y, is_positive)


def two_kind_bags(
    n_bags: int = 100,
    bag_size: int | tuple[int, int] = (50, 100),
    n_features: int = 16,
    *,
    positive_share: float = 0.5,
    easy_rate: float = 0.1,
    hard_rate: float = 0.1,
    easy_shift: float = 4.0,
    hard_shift: float = 1.5,
    background: int = 4,
    random_state: RandomState = None,
) -> TwoKindBags:
    """Draw bags whose positive rows are of two kinds: some stand out, others lie close to what negative bags hold too.

    Negative rows come from `background` clusters with centres of unit variance. Easy positives are moved along the first
    feature, hard ones along the second. A positive bag has at least one row of each kind whose rate is above 0.

    Parameters
    ----------
    n_bags, bag_size
        Number of bags; rows a bag, or the smallest and the largest number.
    n_features
        Columns of `X`, at least 3.
    positive_share
        Probability that a bag is positive.
    easy_rate, hard_rate
        Probability that a row of a positive bag is of that kind; together at most 1.
    easy_shift, hard_shift
        How far positives are moved, in standard deviations of a cluster.
    background
        Clusters of negative rows. They differ in the features from the third on.
    random_state
        Seed or generator.

    Examples
    --------
    >>> drawn = two_kind_bags(10, 8, easy_rate=0.0, random_state=0)
    >>> bool((drawn.y[drawn.bags] >= (drawn.kind > 0)).all()), bool((drawn.kind == 1).any())
    (True, False)
    """
    for name, value in (("positive_share", positive_share), ("easy_rate", easy_rate), ("hard_rate", hard_rate)):
        check(name, value, Fraction)
    check("easy_rate + hard_rate", easy_rate + hard_rate, Fraction)
    check("n_features", n_features, Range(low=3, whole=True))
    check("background", background, Count)
    rng = generator(random_state)
    bags = _bag_numbers(n_bags, bag_size, rng)
    y = (rng.random(n_bags) < positive_share).astype(np.int64)
    drawn = rng.random(len(bags))
    kind = np.where(drawn < easy_rate, 1, np.where(drawn < easy_rate + hard_rate, 2, 0))
    rank = np.argsort(np.lexsort((rng.random(len(bags)), bags))) - np.searchsorted(bags, bags)
    kind = np.where((rank == 0) & (easy_rate > 0), 1, np.where((rank == 1) & (hard_rate > 0), 2, kind))
    if easy_rate == 0 and hard_rate > 0:
        kind = np.where(rank == 0, 2, kind)
    kind = np.where(y[bags] == 1, kind, 0)
    centres = np.c_[np.zeros((background, 2)), rng.normal(size=(background, n_features - 2))]
    X = centres[rng.integers(0, background, len(bags))] + rng.normal(size=(len(bags), n_features))
    X[:, 0] += easy_shift * (kind == 1)
    X[:, 1] += hard_shift * (kind == 2)
    return TwoKindBags(X, bags, y, kind)


def _bag_numbers(n_bags: int, bag_size: int | tuple[int, int], rng: np.random.Generator) -> IntArray:
    check("n_bags", n_bags, Count)
    low, high = bag_size if isinstance(bag_size, tuple) else (bag_size, bag_size)
    check("bag_size", low, Count)
    if high not in Range(low=low, whole=True):
        raise InputError(f"bag_size must be a number of rows, or a smallest and a largest one. Got {bag_size}.")
    return np.repeat(np.arange(n_bags), rng.integers(low, high, n_bags, endpoint=True))
