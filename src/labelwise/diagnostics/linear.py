"""A linear discriminant with out-of-fold scores in closed form: the diagnostics' fast, deterministic classifier.

One pass over the rows collects counts, sums and the Gram matrix of every fold; leaving a fold out is a subtraction. So
the cost is that of one covariance matrix, O(n d^2), for any number of folds: seconds for a million rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from labelwise.base import UNLABELED, InputError

Floats = NDArray[np.floating]
Codes = NDArray[np.int64]

SHRINKAGE = (1e-3, 3e-2, 0.3, 0.9)
"""Weights of the spherical part of the covariance that are tried; the out-of-fold log loss chooses."""
CLIP = 8.0
"""Standard deviations beyond which a feature counts no more: one broken cell must not own the covariance."""
BLOCK = 16384


class _Sums(NamedTuple):
    """Sufficient statistics of some rows: class counts (K,), class sums (K, d), second moments (d, d)."""

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    gram: NDArray[np.float64]

    def minus(self, other: _Sums) -> _Sums:
        return _Sums(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


def scaled(X: Floats) -> NDArray[np.float32]:
    """Return columns centred and divided by their standard deviation (constant ones become zero), clipped at `CLIP`."""
    mean, deviation = X.mean(0, dtype=np.float64), X.std(0, dtype=np.float64)
    constant = deviation <= 1e-6 * np.maximum(1e-30, np.abs(mean))
    Z: NDArray[np.float32] = np.subtract(X, mean.astype(np.float32), dtype=np.float32)
    Z *= np.where(constant, 0, 1 / np.where(constant, 1, deviation)).astype(np.float32)
    return np.clip(Z, -CLIP, CLIP, out=Z)


def assign_folds(codes: Codes, folds: int, rng: np.random.Generator) -> Codes:
    """Return a fold for every labelled row, -1 for the others; each class is dealt out evenly in random order."""
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    order = order[codes[order] != UNLABELED]
    fold = np.full(len(codes), -1, dtype=np.int64)
    fold[order] = np.arange(len(order)) % folds
    return fold


def _sums(Z: Floats, codes: Codes, n_classes: int) -> _Sums:
    d = Z.shape[1]
    total = _Sums(np.bincount(codes, minlength=n_classes).astype(float), np.zeros((n_classes, d)), np.zeros((d, d)))
    for start in range(0, len(Z), BLOCK):
        block, y = Z[start : start + BLOCK], codes[start : start + BLOCK]
        order = np.argsort(y, kind="stable")
        classes, first = np.unique(y[order], return_index=True)
        total.sums[classes] += np.add.reduceat(block[order], first, axis=0, dtype=np.float64)
        total.gram[:] += block.T @ block
    return total


def _weights(s: _Sums, shrinkages: tuple[float, ...]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return slopes (d, K) and offsets (K,) of the discriminant for every shrinkage; absent classes get offset -inf."""
    present = s.counts > 0
    means = s.sums / np.maximum(s.counts, 1)[:, None]
    within = (s.gram - (means * s.counts[:, None]).T @ means) / max(1.0, s.counts.sum() - present.sum())
    values, axes = np.linalg.eigh((within + within.T) / 2)
    spherical = max(values.mean(), 1e-12)
    turned = means @ axes
    with np.errstate(divide="ignore"):
        prior = np.log(s.counts / s.counts.sum())
    result = []
    for lam in shrinkages:
        slopes = (turned / ((1 - lam) * values.clip(0) + lam * spherical)) @ axes.T
        offsets = prior - 0.5 * (slopes * means).sum(1)
        result.append((slopes.T.astype(np.float32), offsets.astype(np.float32)))
    return result


def _temperature(scores: Floats, codes: Codes) -> tuple[float, float]:
    """Return the inverse temperature with the lowest log loss, and that loss."""
    rows = np.arange(len(codes))
    finite = np.maximum(scores, -1e4)

    def loss(log_t: float) -> float:
        z = finite * np.float32(np.exp(log_t))
        return float(np.mean(logsumexp(z, axis=1) - z[rows, codes]))

    best = minimize_scalar(loss, bounds=(-5, 3), method="bounded", options={"xatol": 0.02})
    return float(np.exp(best.x)), float(best.fun)


def out_of_fold(
    X: Floats, codes: Codes, n_classes: int, *, folds: int = 5, rng: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """Return class probabilities of every row from a discriminant that did not see the row's label.

    Linear discriminant analysis on standardised features, its covariance shrunk towards a sphere; shrinkage and one
    temperature minimise the out-of-fold log loss (on at most 20,000 rows). Rows without a label get the
    probabilities of the discriminant of all labelled rows.

    Parameters
    ----------
    X
        Finite features (n, d).
    codes
        Class codes (n,), -1 where unlabelled; at least two classes.
    n_classes
        Number of columns K of the result.
    folds
        Number of folds, at least 2.
    rng
        Deals the rows out to folds.

    Returns
    -------
    float32 array (n, K); rows sum to one.

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [0.2], [1.0], [1.1], [1.2]])
    >>> out_of_fold(X, np.array([0, 0, 0, 1, 1, 1]), 2, folds=3).argmax(1)
    array([0, 0, 0, 1, 1, 1])
    """
    rng = rng or np.random.default_rng(0)
    if len(np.unique(codes[codes != UNLABELED])) < 2:
        raise InputError("codes must name at least two classes among the labelled rows.")
    Z, fold = scaled(np.asarray(X)), assign_folds(codes, folds, rng)
    parts = [_sums(Z[fold == k], codes[fold == k], n_classes) for k in range(folds)]
    total = _Sums(*(np.sum([getattr(part, name) for part in parts], axis=0) for name in _Sums._fields))
    models = [_weights(total.minus(part), SHRINKAGE) for part in parts]
    choice, beta = _tune(Z, codes, fold, models, rng)
    proba = np.empty((len(Z), n_classes), dtype=np.float32)
    for k, (slopes, offsets) in [
        (-1, _weights(total, SHRINKAGE)[choice]),
        *((k, m[choice]) for k, m in enumerate(models)),
    ]:
        rows = np.flatnonzero(fold == k)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            proba[block] = _softmax((Z[block] @ slopes + offsets) * np.float32(beta))
    return proba


def discriminant(train: Floats, codes: Codes, test: Floats, *, shrinkage: float = 0.03) -> NDArray[np.float64]:
    """Return scores of the `test` rows that grow with the probability of class 1 of 0 and 1."""
    ((slopes, offsets),) = _weights(_sums(train, codes, 2), (shrinkage,))
    scores: NDArray[np.float64] = (test @ slopes + offsets).astype(np.float64)
    return scores[:, 1] - scores[:, 0]


def _tune(
    Z: Floats, codes: Codes, fold: Codes,
    models: list[list[tuple[NDArray[np.float32], NDArray[np.float32]]]], rng: np.random.Generator,
) -> tuple[int, float]:  # fmt: skip
    """Return the index of the best shrinkage and its inverse temperature."""
    labelled = np.flatnonzero(fold >= 0)
    sample = labelled if len(labelled) <= 20_000 else np.sort(rng.choice(labelled, 20_000, replace=False))
    fits = []
    for choice in range(len(SHRINKAGE)):
        scores = np.empty((len(sample), models[0][0][0].shape[1]), dtype=np.float32)
        for k, model in enumerate(models):
            here = fold[sample] == k
            slopes, offsets = model[choice]
            scores[here] = Z[sample[here]] @ slopes + offsets
        fits.append(_temperature(scores, codes[sample]))
    choice = int(np.argmin([loss for _, loss in fits]))
    return choice, fits[choice][0]


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    scores -= scores.max(1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(1, keepdims=True)
    return scores
