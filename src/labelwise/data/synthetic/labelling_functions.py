"""Votes of labelling functions with known accuracy, coverage and copies of one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import UNLABELED, Fraction, InputError, Natural
from labelwise.data.synthetic.drawing import (
    BoolArray,
    FloatArray,
    IntArray,
    RandomState,
    as_codes,
    check,
    draw_codes,
    generator,
)


@dataclass(frozen=True, eq=False)
class FunctionVotes:
    """Votes of m labelling functions, the last of which may copy others.

    Attributes
    ----------
    votes
        Class codes ``(n, m)``, ``UNLABELED`` where a function abstains.
    truth
        Right class of each row ``(n,)``.
    accuracy
        Probability that a vote, if cast, is right ``(m,)``; of a copy, that of its original.
    coverage
        Probability that a function votes ``(m,)``.
    copied_from
        Number of the function each one copies ``(m,)``, -1 for originals.
    polarity
        The only class each function votes for ``(m,)``, -1 if it votes for any.
    """

    votes: NDArray[np.int32]
    truth: IntArray
    accuracy: FloatArray
    coverage: FloatArray
    copied_from: IntArray
    polarity: IntArray


def labelling_functions(
    y: ArrayLike,
    accuracy: ArrayLike,
    coverage: ArrayLike,
    *,
    n_copies: int = 0,
    copy_rate: float = 0.9,
    one_class: bool = False,
    n_classes: int | None = None,
    random_state: RandomState = None,
) -> FunctionVotes:
    """Draw votes that are independent given the class, except for planted copies.

    Parameters
    ----------
    y
        Right class codes ``(n,)``.
    accuracy
        Probability that a vote of each original function is right ``(m,)``.
    coverage
        Probability that it votes, ``(m,)`` or one number.
    n_copies
        Functions added at the end that copy an original drawn at random.
    copy_rate
        Probability that a copy repeats what its original did on a row; else it votes afresh, with the same figures.
    one_class
        Whether each function votes for one class only, in turn, as keyword rules do. Its `coverage` can then be at most
        the share of that class divided by `accuracy`.
    n_classes
        By default the largest code in `y` and one.
    random_state
        Seed or generator.

    Examples
    --------
    >>> drawn = labelling_functions([0, 1, 2] * 100, [0.9, 0.8, 0.7], 0.5, n_copies=1, random_state=0)
    >>> drawn.votes.shape, drawn.copied_from[:3].tolist()
    ((300, 4), [-1, -1, -1])
    """
    truth, count = as_codes(y, n_classes)
    if (truth == UNLABELED).any() or count < 2:
        raise InputError("y must hold the right class of every row, of at least two classes.")
    right = np.atleast_1d(np.asarray(accuracy, dtype=np.float64))
    casts = np.broadcast_to(np.asarray(coverage, dtype=np.float64), right.shape).copy()
    _check_shares(right, casts)
    check("n_copies", n_copies, Natural)
    check("copy_rate", copy_rate, Fraction)
    rng = generator(random_state)
    original = rng.integers(0, len(right), n_copies)
    source = np.r_[np.arange(len(right)), original]
    polarity = np.arange(len(right)) % count if one_class else np.full(len(right), -1)
    fresh = [_vote(truth, count, right[j], casts[j], int(polarity[j]), rng) for j in source]
    votes = np.stack(fresh, axis=1).astype(np.int32)
    for column, j in enumerate(original, start=len(right)):
        repeats = rng.random(len(truth)) < copy_rate
        votes[repeats, column] = votes[repeats, j]
    copied_from = np.r_[np.full(len(right), -1), original]
    return FunctionVotes(votes, truth, right[source], casts[source], copied_from, polarity[source])


def _check_shares(accuracy: FloatArray, coverage: FloatArray) -> None:
    for name, shares in (("accuracy", accuracy), ("coverage", coverage)):
        if shares.ndim != 1 or shares.size == 0 or not ((shares >= 0) & (shares <= 1)).all():
            raise InputError(f"{name} must hold shares in [0, 1], one a function. Got {shares.tolist()}.")


def _vote(
    truth: IntArray, n_classes: int, accuracy: float, coverage: float, only: int, rng: np.random.Generator
) -> IntArray:
    """Return one function's votes: about any class, or about `only` one."""
    if only >= 0:
        return np.where(rng.random(len(truth)) < _firing(truth == only, accuracy, coverage, only), only, UNLABELED)
    shift = draw_codes(rng, np.full(n_classes - 1, 1 / (n_classes - 1)), len(truth)) + 1
    named = np.where(rng.random(len(truth)) < accuracy, truth, (truth + shift) % n_classes)
    return np.where(rng.random(len(truth)) < coverage, named, UNLABELED)


def _firing(inside: BoolArray, accuracy: float, coverage: float, only: int) -> FloatArray:
    """Return the probability to vote on each row that gives a one-class function its accuracy and coverage."""
    share = float(inside.mean())
    within = accuracy * coverage / share if share > 0 else float(accuracy * coverage > 0) * np.inf
    beyond = (1 - accuracy) * coverage / (1 - share) if share < 1 else float(accuracy < 1 and coverage > 0) * np.inf
    if within > 1 or beyond > 1:
        raise InputError(
            f"coverage {coverage:g} with accuracy {accuracy:g} is out of reach for a function that votes only for "
            f"class {only}, of share {share:.3g}: it can be at most {min(1, share / max(accuracy, 1e-12)):.3g}."
        )
    return np.where(inside, within, beyond)
