"""Wrong labels, planted by a known mechanism: which are wrong, and how likely each mistake was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from labelwise.base import UNLABELED, Fraction, InputError, NonNegative, Range
from labelwise.data.synthetic.drawing import (
    BoolArray,
    FloatArray,
    IntArray,
    RandomState,
    as_codes,
    blocks,
    check,
    draw_rows,
    generator,
    softmax,
)


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Labels some of which are wrong.

    Attributes
    ----------
    y
        Given labels ``(n,)``; unlabelled rows stay ``UNLABELED``.
    truth
        Right labels ``(n,)``.
    is_corrupted
        Rows whose given label is wrong, bool ``(n,)``.
    transition
        ``P(given | right)``, ``(K, K)``, rows sum to 1: the one stated, or the mean over each class's rows where it
        depends on the row.
    """

    y: IntArray
    truth: IntArray
    is_corrupted: BoolArray
    transition: FloatArray


def symmetric_transition(n_classes: int, rate: float) -> FloatArray:
    """Return the matrix by which a label is wrong with probability `rate`, every mistake equally likely.

    >>> symmetric_transition(3, 0.5)
    array([[0.5 , 0.25, 0.25],
           [0.25, 0.5 , 0.25],
           [0.25, 0.25, 0.5 ]])
    """
    check("n_classes", n_classes, Range(low=2, whole=True))
    check("rate", rate, Fraction)
    matrix = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def pair_transition(n_classes: int, rate: float, mistaken_for: ArrayLike | None = None) -> FloatArray:
    """Return the matrix by which each class is taken for one other class with probability `rate`.

    `mistaken_for` names that class ``(K,)``, by default the next one; a class may name itself and then has no noise.

    >>> pair_transition(3, 0.25)
    array([[0.75, 0.25, 0.  ],
           [0.  , 0.75, 0.25],
           [0.25, 0.  , 0.75]])
    """
    check("n_classes", n_classes, Range(low=2, whole=True))
    check("rate", rate, Fraction)
    classes = np.arange(n_classes)
    other = (classes + 1) % n_classes if mistaken_for is None else np.asarray(mistaken_for)
    if other.shape != (n_classes,) or not np.isin(other, classes).all():
        raise InputError(f"mistaken_for must name a class for each of {n_classes} classes. Got {other.tolist()}.")
    matrix = np.eye(n_classes) * (1 - rate)
    matrix[classes, other] += rate
    return matrix


def symmetric_noise(
    y: ArrayLike, rate: float, *, n_classes: int | None = None, random_state: RandomState = None
) -> NoisyLabels:
    """Make each label wrong with probability `rate`, every other class equally likely.

    >>> noisy = symmetric_noise(np.zeros(1000, dtype=int), 0.2, n_classes=4, random_state=0)
    >>> float(noisy.is_corrupted.mean())
    0.212
    """
    codes, count = as_codes(y, n_classes)
    return transition_noise(codes, symmetric_transition(count, rate), random_state=random_state)


def pair_noise(
    y: ArrayLike,
    rate: float,
    *,
    mistaken_for: ArrayLike | None = None,
    n_classes: int | None = None,
    random_state: RandomState = None,
) -> NoisyLabels:
    """Take each label for one other class, by default the next, with probability `rate` (asymmetric noise)."""
    codes, count = as_codes(y, n_classes)
    return transition_noise(codes, pair_transition(count, rate, mistaken_for), random_state=random_state)


def transition_noise(y: ArrayLike, transition: ArrayLike, *, random_state: RandomState = None) -> NoisyLabels:
    """Draw each given label from the row of `transition` that belongs to the right label.

    Raises
    ------
    InputError
        If a row of the matrix does not sum to 1, or `y` holds a class without a row.
    """
    matrix = np.asarray(transition, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"transition must have shape (K, K). Got {matrix.shape}.")
    off = (matrix < 0).any(1) | (np.abs(matrix.sum(1) - 1) > 1e-6)
    if off.any():
        raise InputError(f"transition: row {int(np.argmax(off))} is no distribution, {matrix[off][0].tolist()}.")
    truth, _ = as_codes(y, len(matrix))
    given = np.where(truth == UNLABELED, UNLABELED, draw_rows(generator(random_state), matrix, truth))
    return NoisyLabels(given, truth, given != truth, matrix)


def instance_noise(
    X: ArrayLike,
    y: ArrayLike,
    rate: float,
    *,
    spread: float = 0.1,
    n_classes: int | None = None,
    random_state: RandomState = None,
) -> NoisyLabels:
    """Make labels wrong in a way that depends on the row (Xia et al., 2020, algorithm 2).

    Each row draws its own noise rate around `rate`, and mistakes follow a random linear function of its features that
    differs between classes.

    Parameters
    ----------
    X
        Features ``(n, d)``.
    y
        Right class codes ``(n,)``.
    rate
        Mean share of wrong labels, below 1.
    spread
        Standard deviation of the rows' rates, which are kept within [0, 1].
    n_classes
        By default the largest code in `y` and one.
    random_state
        Seed or generator.
    """
    rows = np.asarray(X, dtype=np.float64)
    truth, count = as_codes(y, n_classes)
    if rows.ndim != 2 or len(rows) != len(truth):
        raise InputError(f"X must have shape (n, d) with n = {len(truth)}, the length of y. Got {rows.shape}.")
    check("rate", rate, Range(low=0, high=1, high_open=True))
    check("spread", spread, NonNegative)
    rng = generator(random_state)
    rates = _truncated_normal(rng, rate, spread, len(truth))
    projections = rng.standard_normal((count, rows.shape[1], count))
    chances = np.zeros((len(truth), count))
    for k in range(count):
        members = np.flatnonzero(truth == k)
        scores = rows[members] @ projections[k]
        scores[:, k] = -np.inf
        chances[members] = rates[members, None] * softmax(scores)
        chances[members, k] = 1 - rates[members]
    return _draw_given(truth, chances, rng)


def boundary_noise(y: ArrayLike, posterior: ArrayLike, rate: float, *, random_state: RandomState = None) -> NoisyLabels:
    """Make labels wrong where classes are hard to tell apart, each mistake in proportion to that class's posterior.

    Parameters
    ----------
    y
        Right class codes ``(n,)``.
    posterior
        Exact class probabilities of the rows ``(n, K)``, e.g. of `blobs`.
    rate
        Mean share of wrong labels. It must be reachable: no row may be wrong with a probability above 1.
    random_state
        Seed or generator.
    """
    chances = np.array(posterior, dtype=np.float64)
    truth, count = as_codes(y, chances.shape[-1])
    if chances.shape != (len(truth), count):
        raise InputError(f"posterior must have shape (n, K) with n = {len(truth)}. Got {chances.shape}.")
    check("rate", rate, Fraction)
    labelled = np.flatnonzero(truth != UNLABELED)
    chances[labelled, truth[labelled]] = 0
    doubt = chances.sum(1)
    wrong = _scaled_to_mean(doubt[labelled], rate)
    scale = np.divide(wrong, doubt[labelled], out=np.zeros_like(wrong), where=doubt[labelled] > 0)
    chances[labelled] *= scale[:, None]
    chances[labelled, truth[labelled]] = 1 - wrong
    return _draw_given(truth, chances, generator(random_state))


def _scaled_to_mean(doubt: FloatArray, rate: float) -> FloatArray:
    """Return ``min(c * doubt, 1)`` with `c` such that the mean is `rate`."""
    if rate > (doubt > 0).mean():
        raise InputError(f"rate is {rate}, but only a share of {(doubt > 0).mean():.3g} of the rows can be mistaken.")
    low, high = 0.0, 1.0
    while np.minimum(high * doubt, 1).mean() < rate:
        high *= 2
        if not np.isfinite(high):
            raise InputError(f"rate {rate} is out of reach: nearly every row is certain.")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(middle * doubt, 1).mean() < rate else (low, middle)
    return np.minimum(high * doubt, 1)


def _draw_given(truth: IntArray, chances: FloatArray, rng: np.random.Generator) -> NoisyLabels:
    """Draw given labels from one distribution a row, and average those of each class to a matrix."""
    labelled = np.flatnonzero(truth != UNLABELED)
    given = np.full(len(truth), UNLABELED)
    for block in blocks(len(labelled), chances.shape[1]):
        rows = labelled[block]
        given[rows] = draw_rows(rng, chances[rows], np.arange(len(rows)))
    transition = np.eye(chances.shape[1])
    for k in np.unique(truth[labelled]):
        transition[k] = chances[truth == k].mean(0)
    return NoisyLabels(given, truth, given != truth, transition)


def _truncated_normal(rng: np.random.Generator, mean: float, spread: float, size: int) -> FloatArray:
    """Draw normal numbers again until they lie in [0, 1]."""
    drawn = mean + spread * rng.standard_normal(size)
    while (outside := (drawn < 0) | (drawn > 1)).any():
        drawn[outside] = mean + spread * rng.standard_normal(int(outside.sum()))
    return np.asarray(drawn)
