"""Matrices of class probabilities that are calibrated by construction, up to benchmark size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import Count, InputError, NonNegative, Positive, Range
from labelwise.data.synthetic.drawing import (
    BoolArray,
    FloatArray,
    IntArray,
    RandomState,
    as_prior,
    blocks,
    check,
    generator,
)
from labelwise.data.synthetic.label_noise import symmetric_transition, transition_noise


@dataclass(frozen=True, eq=False)
class Probabilities:
    """Predicted class probabilities beside right and given labels.

    Attributes
    ----------
    proba
        ``(n, K)``, rows sum to 1. Calibrated for `truth` if no overconfidence was asked for.
    y
        Given labels ``(n,)``.
    truth
        Right labels ``(n,)``, drawn from the calibrated probabilities.
    is_corrupted
        Rows whose given label is wrong, bool ``(n,)``.
    transition
        ``P(given | right)``, ``(K, K)``.
    """

    proba: NDArray[np.floating[Any]]
    y: IntArray
    truth: IntArray
    is_corrupted: BoolArray
    transition: FloatArray


def calibrated_probabilities(
    n_rows: int = 10_000,
    n_classes: int = 10,
    *,
    sharpness: float = 3.0,
    prior: ArrayLike | None = None,
    overconfidence: float = 1.0,
    noise: float | ArrayLike = 0.0,
    dtype: type[np.floating[Any]] = np.float32,
    out: NDArray[np.floating[Any]] | None = None,
    random_state: RandomState = None,
) -> Probabilities:
    """Draw probability rows, then each right label from its row: among rows that say 0.7, 70 % are right.

    Parameters
    ----------
    n_rows, n_classes
        Sizes; a million rows of a hundred classes take seconds and little memory beyond the result.
    sharpness
        Standard deviation of the scores: 0 makes every row the prior, large values make rows certain.
    prior
        Class shares behind the scores (their softmax at sharpness 0); None is uniform. The labels' own shares are more
        even.
    overconfidence
        Factor on the scores of the returned probabilities after the labels were drawn: above 1 they claim too much,
        below 1 too little, and at 1 they are calibrated.
    noise
        Share of wrong given labels (symmetric), or a transition matrix ``(K, K)``.
    dtype
        Of the probabilities.
    out
        Array ``(n_rows, n_classes)`` to fill, e.g. memory-mapped; decides the type.
    random_state
        Seed or generator.

    Examples
    --------
    >>> drawn = calibrated_probabilities(20_000, 4, random_state=0)
    >>> top = drawn.proba.max(1)
    >>> abs(float(top.mean() - (drawn.proba.argmax(1) == drawn.truth).mean())) < 0.01
    True
    """
    check("n_rows", n_rows, Count)
    check("n_classes", n_classes, Range(low=2, whole=True))
    check("sharpness", sharpness, NonNegative)
    check("overconfidence", overconfidence, Positive)
    transition = symmetric_transition(n_classes, float(noise)) if np.ndim(noise) == 0 else noise  # type: ignore[arg-type]
    proba = np.empty((n_rows, n_classes), dtype) if out is None else out
    if proba.shape != (n_rows, n_classes) or proba.dtype.kind != "f":
        raise InputError(f"out must be floats of shape {(n_rows, n_classes)}. Got {proba.dtype} of {proba.shape}.")
    rng = generator(random_state)
    with np.errstate(divide="ignore"):  # a class that never occurs
        base = np.log(as_prior(prior, n_classes)).astype(np.float32)
    truth = np.empty(n_rows, np.int64)
    for block in blocks(n_rows, n_classes):
        truth[block], proba[block] = _rows(rng, block.stop - block.start, base, sharpness, overconfidence)
    noisy = transition_noise(truth, transition, random_state=rng)
    return Probabilities(proba, noisy.y, truth, noisy.is_corrupted, noisy.transition)


def _rows(
    rng: np.random.Generator, n_rows: int, base: NDArray[np.float32], sharpness: float, overconfidence: float
) -> tuple[IntArray, NDArray[np.float32]]:
    scores = rng.standard_normal((n_rows, len(base)), dtype=np.float32)
    scores *= np.float32(sharpness)
    scores += base
    scores -= scores.max(1, keepdims=True)
    weights = np.exp(scores)
    steps = np.cumsum(weights, axis=1, dtype=np.float64)
    truth = (rng.random(n_rows)[:, None] * steps[:, -1:] >= steps).sum(1)
    if overconfidence != 1:
        np.exp(scores * np.float32(overconfidence), out=weights)
    weights /= weights.sum(1, keepdims=True)
    return truth, weights
