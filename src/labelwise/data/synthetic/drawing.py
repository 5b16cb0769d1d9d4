"""What all generators share: the random generator, checks of arguments, categorical draws."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import UNLABELED, InputError, Range

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
RandomState = int | np.random.Generator | None
"""A seed, a generator that is used up further, or None for fresh entropy."""

BLOCK = 1 << 18
"""Cells of temporary arrays: they stay in the processor's cache, and memory goes to the result only."""


def generator(random_state: RandomState) -> np.random.Generator:
    """Return the random generator of a seed; a generator is passed through."""
    if random_state is None or isinstance(random_state, (numbers.Integral, np.random.Generator)):
        return np.random.default_rng(random_state)
    raise InputError(f"random_state must be an integer, a numpy Generator or None. Got {random_state!r}.")


def check(name: str, value: Any, accepted: Range) -> None:
    """Refuse a number outside its range."""
    if value not in accepted:
        raise InputError(f"{name} must be {accepted}. Got {value!r}.")


def as_codes(y: ArrayLike, n_classes: int | None, name: str = "y") -> tuple[IntArray, int]:
    """Return class codes and the number of classes, by default the largest code and one."""
    codes = np.asarray(y)
    if codes.ndim != 1 or codes.dtype.kind not in "iu" or codes.size == 0:
        raise InputError(f"{name} must be class codes, integers of shape (n,). Got {codes.dtype} of {codes.shape}.")
    if codes.min() < UNLABELED:
        raise InputError(f"{name} must be class codes from 0, with {UNLABELED} for unlabelled. Got {codes.min()}.")
    count = int(codes.max()) + 1 if n_classes is None else n_classes
    if codes.max() >= count:
        raise InputError(f"n_classes is {n_classes}, but {name} holds the code {codes.max()}.")
    return codes.astype(np.int64), count


def as_prior(prior: ArrayLike | None, n_classes: int, name: str = "prior") -> FloatArray:
    """Return class shares that sum to 1; None is uniform."""
    if prior is None:
        return np.full(n_classes, 1 / n_classes)
    shares = np.asarray(prior, dtype=np.float64)
    if shares.shape != (n_classes,) or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise InputError(f"{name} must hold {n_classes} shares that sum to 1. Got {shares.tolist()}.")
    return np.asarray(shares / shares.sum())


def long_tail(n_classes: int, ratio: float) -> FloatArray:
    """Return class shares that fall geometrically, the first `ratio` times the last.

    >>> long_tail(3, 4.0)
    array([0.57142857, 0.28571429, 0.14285714])
    """
    check("n_classes", n_classes, Range(low=1, whole=True))
    check("ratio", ratio, Range(low=1))
    shares = ratio ** (-np.arange(n_classes) / max(n_classes - 1, 1))
    return np.asarray(shares / shares.sum())


def draw_codes(rng: np.random.Generator, shares: FloatArray, size: int) -> IntArray:
    """Draw `size` class codes from one vector of shares."""
    cumulative = np.cumsum(shares)
    drawn = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    return np.asarray(drawn, dtype=np.int64)


def draw_rows(rng: np.random.Generator, table: FloatArray, rows: IntArray) -> IntArray:
    """Draw one code for each entry of `rows` from that row of a table of shares ``(..., K)``."""
    cumulative = np.cumsum(table, axis=-1)
    drawn = np.empty(len(rows), np.int64)
    for block in blocks(len(rows), table.shape[-1]):
        steps = cumulative[rows[block]]
        spot = rng.random(len(steps)) * steps[:, -1]
        drawn[block] = (spot[:, None] >= steps).sum(1)
    return drawn


def blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Cut rows of `width` cells into pieces of bounded size."""
    step = max(BLOCK // max(width, 1), 1)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def softmax(logits: FloatArray) -> FloatArray:
    """Return rows of probabilities proportional to ``exp(logits)``."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True))
