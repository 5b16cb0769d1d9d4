"""Near-duplicates planted within and across splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labelwise.base import Count, Fraction, Natural, NonNegative, Range
from labelwise.data.synthetic.drawing import BoolArray, FloatArray, IntArray, RandomState, check, generator
from labelwise.data.synthetic.mixtures import blobs


@dataclass(frozen=True, eq=False)
class PlantedDuplicates:
    """Rows in a training and a test split, some of them copies of others.

    Attributes
    ----------
    X, y
        Features ``(n, d)`` and given class codes ``(n,)``.
    is_test
        Rows of the test split, bool ``(n,)``.
    pairs
        Row numbers of every original and its copy ``(m, 2)``; no row occurs twice.
    leaks
        Pairs with one row in each split, bool ``(m,)``.
    disagrees
        Pairs whose labels differ, bool ``(m,)``.
    """

    X: FloatArray
    y: IntArray
    is_test: BoolArray
    pairs: IntArray
    leaks: BoolArray
    disagrees: BoolArray


def planted_duplicates(
    n_rows: int = 1000,
    n_duplicates: int = 50,
    n_classes: int = 3,
    n_features: int = 16,
    *,
    test_share: float = 0.25,
    leak_share: float = 0.5,
    jitter: float = 0.01,
    disagree_share: float = 0.0,
    random_state: RandomState = None,
) -> PlantedDuplicates:
    """Draw a mixture in two splits and replace rows by near-copies of others.

    Parameters
    ----------
    n_rows
        Rows in all.
    n_classes, n_features
        Sizes of the mixture.
    n_duplicates
        Number of planted pairs; leaking pairs take a row of each split, the others two rows of the training split.
    test_share
        Share of rows in the test split.
    leak_share
        Share of the pairs that lie across the splits.
    jitter
        Expected distance between original and copy, as a share of the expected distance of two rows of one class.
    disagree_share
        Share of the pairs whose copy gets a wrong label.
    random_state
        Seed or generator.

    Examples
    --------
    >>> planted = planted_duplicates(200, 10, random_state=0)
    >>> planted.pairs.shape, int(planted.leaks.sum())
    ((10, 2), 5)
    """
    check("n_rows", n_rows, Count)
    check("n_duplicates", n_duplicates, Natural)
    for name, share in (("test_share", test_share), ("leak_share", leak_share), ("disagree_share", disagree_share)):
        check(name, share, Fraction)
    check("jitter", jitter, NonNegative)
    rng = generator(random_state)
    sample = blobs(n_rows, n_classes, n_features, random_state=rng)
    n_test, n_leaks = round(test_share * n_rows), round(leak_share * n_duplicates)
    check("n_duplicates", n_duplicates, Range(high=_room(n_rows - n_test, n_test, n_leaks, n_duplicates), whole=True))
    order = rng.permutation(n_rows)
    test, train = order[:n_test], order[n_test:]
    rest = n_duplicates - n_leaks
    copies = np.r_[test[:n_leaks], train[n_leaks + rest : n_leaks + 2 * rest]]
    pairs = np.column_stack([train[:n_duplicates], copies])
    X, y = sample.X.copy(), sample.y.copy()
    noise = rng.standard_normal((n_duplicates, n_features))
    # two rows of a class lie sqrt(2 d) apart and this noise is sqrt(d) long
    X[pairs[:, 1]] = X[pairs[:, 0]] + jitter * np.sqrt(2) * sample.mixture.scale * noise
    wrong = rng.permutation(n_duplicates) < round(disagree_share * n_duplicates)
    step = np.where(wrong, rng.integers(1, n_classes, n_duplicates), 0)
    y[pairs[:, 1]] = (y[pairs[:, 0]] + step) % n_classes
    is_test = np.isin(np.arange(n_rows), test)
    return PlantedDuplicates(X, y, is_test, pairs, np.arange(n_duplicates) < n_leaks, wrong)


def _room(n_train: int, n_test: int, n_leaks: int, n_duplicates: int) -> int:
    """Return `n_duplicates` if the splits have enough rows for that many pairs, else how many they have at most."""
    rest = n_duplicates - n_leaks
    if n_leaks <= n_test and n_leaks + 2 * rest <= n_train:
        return n_duplicates
    return min(n_test, n_train // 2, n_duplicates - 1)
