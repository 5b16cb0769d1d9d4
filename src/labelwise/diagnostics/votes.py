"""Class probabilities from neighbours' labels, and their mixture with a linear model's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from labelwise.base import UNLABELED

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.int64]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the neighbours in the mixture that are tried."""
SAMPLE = 20_000
"""Most rows on which the share is chosen."""
CELLS = 1 << 22
"""Probabilities handled at once."""


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


def mixed(proba: Floats, indices: Codes, codes: Codes, *, rng: np.random.Generator) -> Floats:
    """Return the geometric mixture of out-of-fold probabilities and neighbours' votes with the lowest log loss.

    Both see a row's label only through other rows, so the mixture is out of sample too, but for the two numbers (share
    of the neighbours, sharpening) that are chosen on at most `SAMPLE` labelled rows.
    """
    k = proba.shape[1]
    labelled = np.flatnonzero(codes != UNLABELED)
    sample = labelled if len(labelled) <= SAMPLE else np.sort(rng.choice(labelled, SAMPLE, replace=False))
    linear, votes = _log(proba[sample]), _log(neighbour_votes(indices, codes, k, sample))
    fits = [_sharpen((1 - share) * linear + share * votes, codes[sample]) for share in SHARES]
    best = int(np.argmin([loss for _, loss in fits]))
    share, beta = SHARES[best], fits[best][0]
    result = np.empty_like(proba)
    step = max(1, CELLS // k)
    for start in range(0, len(proba), step):
        rows = slice(start, start + step)
        votes = _log(neighbour_votes(indices, codes, k, rows))
        result[rows] = _softmax(np.float32(beta) * ((1 - share) * _log(proba[rows]) + share * votes))
    return result


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
