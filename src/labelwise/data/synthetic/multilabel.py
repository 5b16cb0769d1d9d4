"""Several labels a row, of which some were never stated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labelwise.base import UNLABELED, Count, Fraction, NonNegative, Range
from labelwise.data.synthetic.drawing import BoolArray, FloatArray, RandomState, check, generator


@dataclass(frozen=True, eq=False)
class PartialMultiLabel:
    """Rows with several labels each, partly observed, possibly partly wrong.

    Attributes
    ----------
    X
        Features ``(n, d)``.
    y
        Stated labels, int8 ``(n, L)``: 1 yes, 0 no, ``UNLABELED`` where nothing was stated.
    truth
        Right labels, int8 ``(n, L)``.
    is_corrupted
        Stated entries that are wrong, bool ``(n, L)``.
    probability
        ``P(label | x)`` of every entry ``(n, L)``; labels are independent given x.
    """

    X: FloatArray
    y: NDArray[np.int8]
    truth: NDArray[np.int8]
    is_corrupted: BoolArray
    probability: FloatArray


def partial_multilabel(
    n_rows: int = 1000,
    n_labels: int = 10,
    n_features: int = 16,
    *,
    rank: int = 4,
    positive_rate: float = 0.2,
    sharpness: float = 3.0,
    observed_positive: float = 0.5,
    observed_negative: float = 0.5,
    flip_rate: float = 0.0,
    random_state: RandomState = None,
) -> PartialMultiLabel:
    """Draw correlated labels from a low-rank logistic model and hide or flip some of them.

    Parameters
    ----------
    n_rows, n_labels, n_features
        Sizes.
    rank
        Number of shared directions behind all labels: few make labels correlate strongly.
    positive_rate
        Expected share of positives of every label.
    sharpness
        Standard deviation of the scores: large values make labels predictable.
    observed_positive, observed_negative
        Probability that a positive, a negative entry is stated. With ``observed_negative=0`` only positives are known.
    flip_rate
        Probability that a stated entry says the opposite of the truth.
    random_state
        Seed or generator.

    Examples
    --------
    >>> drawn = partial_multilabel(200, 5, observed_negative=0.0, random_state=0)
    >>> sorted(np.unique(drawn.y).tolist())
    [-1, 1]
    """
    for name, size in (("n_rows", n_rows), ("n_labels", n_labels), ("n_features", n_features)):
        check(name, size, Count)
    check("rank", rank, Range(low=1, high=n_features, whole=True))
    check("positive_rate", positive_rate, Range(low=0, high=1, low_open=True, high_open=True))
    check("sharpness", sharpness, NonNegative)
    for name, share in (("observed_positive", observed_positive), ("observed_negative", observed_negative)):
        check(name, share, Fraction)
    check("flip_rate", flip_rate, Fraction)
    rng = generator(random_state)
    X = rng.standard_normal((n_rows, n_features))
    shared = np.linalg.qr(rng.standard_normal((n_features, rank)))[0]
    weights = rng.standard_normal((rank, n_labels))
    scores = sharpness * X @ shared @ (weights / np.sqrt((weights**2).sum(0)))
    probability = 1 / (1 + np.exp(-(scores + _offset(positive_rate, sharpness))))
    truth = (rng.random(probability.shape) < probability).astype(np.int8)
    stated = rng.random(truth.shape) < np.where(truth == 1, observed_positive, observed_negative)
    is_corrupted = stated & (rng.random(truth.shape) < flip_rate)
    y = np.where(stated, truth ^ is_corrupted, UNLABELED).astype(np.int8)
    return PartialMultiLabel(X, y, truth, is_corrupted, probability)


def _offset(rate: float, sharpness: float) -> float:
    """Return the intercept at which a logistic score with normal noise is positive at a given rate."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    low, high = -50.0 - 10 * sharpness, 50.0 + 10 * sharpness
    for _ in range(80):
        middle = (low + high) / 2
        mean = (weights / (1 + np.exp(-np.clip(middle + sharpness * nodes, -500, 500)))).sum() / weights.sum()
        low, high = (middle, high) if mean < rate else (low, middle)
    return (low + high) / 2
