"""Class probabilities from neighbours' labels, and their mixture with a linear model's."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from labelwise.base import UNLABELED
from labelwise.parts.work import Span, Store, Work, as_store, inner, parts

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.int64]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the neighbours in the mixture that are tried."""
SAMPLE = 20_000
"""Most rows on which the share is chosen."""


def neighbour_votes(indices: Codes, codes: Codes, n_classes: int, rows: slice | Codes = slice(None)) -> Floats:
    """Return the smoothed shares of classes among the labelled neighbours of some rows, float32 (m, K).

    A row's own label has no vote. Half a vote is spread over all classes, so that no class gets zero.

    >>> neighbour_votes(np.array([[1, 2], [0, 2], [0, 1]]), np.array([0, 0, 1]), 2).round(2)
    array([[0.5, 0.5],
           [0.5, 0.5],
           [0.9, 0.1]], dtype=float32)
    """
    voted = codes[indices[rows]]
    place = np.arange(len(voted))[:, None] * n_classes + voted
    counts = np.bincount(place[voted != UNLABELED], minlength=len(voted) * n_classes).reshape(-1, n_classes)
    shares: Floats = (counts + 0.5 / n_classes).astype(np.float32)
    shares /= shares.sum(1, keepdims=True)
    return shares


def mixed(
    proba: Floats, indices: Codes, codes: Codes, *, rng: np.random.Generator, work: Work | None = None
) -> Floats:  # fmt: skip
    """Return the geometric mixture of out-of-fold probabilities and neighbours' votes with the lowest log loss.

    Both see a row's label only through other rows, so the mixture is out of sample too, but for the two numbers (share
    of the neighbours, sharpening) that are chosen on at most `SAMPLE` labelled rows. With a scratch folder of `work` the
    result is a memory map in it; `proba` and `indices` may be memory maps.
    """
    k, work = proba.shape[1], work or Work()
    labelled = np.flatnonzero(codes != UNLABELED)
    sample = labelled if len(labelled) <= SAMPLE else np.sort(rng.choice(labelled, SAMPLE, replace=False))
    linear, votes = _log(proba[sample]), _log(neighbour_votes(indices, codes, k, sample))
    fits = [_sharpen((1 - share) * linear + share * votes, codes[sample]) for share in SHARES]
    best = int(np.argmin([loss for _, loss in fits]))
    write = partial(
        _mix, as_store(proba), as_store(indices), work.shared("codes", codes), SHARES[best], np.float32(fits[best][0])
    )
    return work.filled("mixed", proba.shape, proba.dtype, write, parts(len(proba))).open()


def _mix(proba: Store, indices: Store, codes: Store, share: float, beta: np.float32, out: Store, span: Span) -> None:
    target, linear, near, y = out.open("r+"), proba.open(), indices.open(), np.asarray(codes.open())
    for start, stop in inner(span):
        rows = slice(start, stop)
        votes = _log(neighbour_votes(near, y, linear.shape[1], rows))
        target[rows] = _softmax(beta * ((1 - share) * _log(linear[rows]) + share * votes))


def _log(proba: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(proba, 1e-9)), dtype=np.float32)


def _softmax(scores: Floats) -> Floats:
    scores = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(scores / scores.sum(1, keepdims=True))


def _sharpen(scores: Floats, codes: Codes) -> tuple[float, float]:
    """Return the factor on the scores with the lowest log loss, and that loss."""
    rows = np.arange(len(codes))

    def loss(log_beta: float) -> float:
        z = np.float32(np.exp(log_beta)) * scores
        top = z.max(1)
        return float((np.log(np.exp(z - top[:, None]).sum(1)) + top - z[rows, codes]).mean(dtype=np.float64))

    best = minimize_scalar(loss, bounds=(-2, 2), method="bounded", options={"xatol": 0.03})
    return float(np.exp(best.x)), float(best.fun)
