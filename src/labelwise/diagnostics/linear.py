"""A linear discriminant with out-of-fold scores in closed form: the diagnostics' fast, deterministic classifier.

One pass over the rows collects counts, sums and the Gram matrix of every fold; leaving a fold out is a subtraction. So
the cost is that of one covariance matrix, O(n d^2), for any number of folds: seconds for a million rows. Rows are read and
scaled block by block, so that they may lie in a file larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from labelwise.base import UNLABELED, InputError
from labelwise.parts.blocks import Block
from labelwise.parts.moments import Columns, columns, scale_of
from labelwise.parts.work import ROWS, Rows, Scale, Source, Span, Store, Work, inner, parts, read, source_of

Floats = NDArray[np.floating]
Codes = NDArray[np.int64]

SAMPLE = 20_000
"""Most rows on which shrinkage and temperature are chosen."""
SHRINKAGE = (1e-3, 3e-2, 0.3, 0.9)
"""Weights of the spherical part of the covariance that are tried; the out-of-fold log loss chooses."""
Model = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Slopes (d, K) and offsets (K,)."""


class _Sums(NamedTuple):
    """Sufficient statistics of some rows: class counts (K,), class sums (K, d), second moments (d, d)."""

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    gram: NDArray[np.float64]

    def minus(self, other: _Sums) -> _Sums:
        return _Sums(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


def scaled(X: Floats) -> NDArray[np.float32]:
    """Return columns centred and divided by their standard deviation (constant ones become zero), clipped.

    The clip, `labelwise.parts.work.CLIP`, keeps one broken cell from owning the covariance.
    """
    mean, deviation = X.mean(0, dtype=np.float64), X.std(0, dtype=np.float64)
    return scale_of(Columns(mean, deviation, mean, mean))(X)


def assign_folds(codes: Codes, folds: int, rng: np.random.Generator) -> Codes:
    """Return a fold for every labelled row, -1 for the others; each class is dealt out evenly in random order."""
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    order = order[codes[order] != UNLABELED]
    fold = np.full(len(codes), -1, dtype=np.int64)
    fold[order] = np.arange(len(order)) % folds
    return fold


def _nothing(n_classes: int, d: int) -> _Sums:
    return _Sums(np.zeros(n_classes), np.zeros((n_classes, d)), np.zeros((d, d)))


def _sums(Z: Floats, codes: Codes, n_classes: int) -> _Sums:
    total = _nothing(n_classes, Z.shape[1])
    for start in range(0, len(Z), ROWS):
        _add(total, Z[start : start + ROWS], codes[start : start + ROWS])
    return total


def _add(total: _Sums, Z: Floats, codes: Codes) -> None:
    """Add the statistics of some labelled rows."""
    if not len(Z):
        return
    order = np.argsort(codes, kind="stable")
    classes, first = np.unique(codes[order], return_index=True)
    total.counts[:] += np.bincount(codes, minlength=len(total.counts))
    total.sums[classes] += np.add.reduceat(Z[order], first, axis=0, dtype=np.float64)
    total.gram[:] += Z.T @ Z


def _fold_sums(
    source: Source, scale: Scale, codes: Store, fold: Store, n_classes: int, folds: int, span: Span
) -> Block:
    """Return the statistics of every fold over a span of rows, folds first."""
    every = [_nothing(n_classes, len(scale.centre)) for _ in range(folds)]
    y, f = codes.open(), fold.open()
    for start, stop in inner(span):
        Z, here = scale(read(source, start, stop)), np.asarray(f[start:stop])
        for number, total in enumerate(every):
            rows = here == number
            _add(total, Z[rows], np.asarray(y[start:stop])[rows])
    return {name: np.stack([getattr(total, name) for total in every]) for name in _Sums._fields}


def _weights(s: _Sums, shrinkages: tuple[float, ...]) -> list[Model]:
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
    X: Floats | Rows, codes: Codes, n_classes: int, *, folds: int = 5, rng: np.random.Generator | None = None,
    work: Work | None = None, known: Columns | None = None,
) -> NDArray[np.float32]:  # fmt: skip
    """Return class probabilities of every row from a discriminant that did not see the row's label.

    Linear discriminant analysis on standardised features, its covariance shrunk towards a sphere; shrinkage and one
    temperature minimise the out-of-fold log loss (on at most 20,000 rows). Rows without a label get the
    probabilities of the discriminant of all labelled rows.

    Parameters
    ----------
    X
        Finite features (n, d), in memory or `labelwise.parts.work.Rows` of a file.
    codes
        Class codes (n,), -1 where unlabelled; at least two classes.
    n_classes
        Number of columns K of the result.
    folds
        Number of folds, at least 2.
    rng
        Deals the rows out to folds.
    work
        Works on the blocks of rows; with a scratch folder the result is a memory map in it.
    known
        `labelwise.parts.moments.columns` of X, if it is known already.

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
    work, fold = work or Work(), assign_folds(codes, folds, rng)
    X = X if isinstance(X, Rows) else np.asarray(X)
    source, scale = source_of(X), scale_of(columns(X, work, "columns-of-discriminant") if known is None else known)
    where = work.shared("folds", fold.astype(np.int8 if folds < 128 else np.int64))
    labels, result_bytes = work.shared("codes", codes), 8 * folds * (X.shape[1] + n_classes) * X.shape[1]
    sums = partial(_fold_sums, source, scale, labels, where, n_classes, folds)
    each = _added(work.map("discriminant", sums, parts(len(X), result_bytes)))
    total = _Sums(*(values.sum(0) for values in each))
    models = [_weights(total.minus(_Sums(*(values[k] for values in each))), SHRINKAGE) for k in range(folds)]
    choice, beta = _tune(X, scale, codes, fold, models, rng)
    last = [_weights(total, SHRINKAGE)[choice], *(model[choice] for model in models)]
    shape = (len(X), n_classes)
    write = partial(_probabilities, source, scale, where, last, beta)
    return work.filled("linear", shape, np.float32, write, parts(len(X))).open()


def _added(blocks: Iterator[Block]) -> _Sums:
    """Return the sums of blocks, added in their order."""
    total = _Sums(**next(blocks))
    for block in blocks:
        for name, values in block.items():
            getattr(total, name)[...] += values
    return total


def _probabilities(
    source: Source, scale: Scale, fold: Store, models: list[Model], beta: float, out: Store, span: Span
) -> None:  # fmt: skip
    """Write the probabilities of a span, each row's by the model that did not see its label; the first has seen all."""
    target, f = out.open("r+"), fold.open()
    for start, stop in inner(span):
        Z, here = scale(read(source, start, stop)), np.asarray(f[start:stop])
        block = np.empty((stop - start, len(models[0][1])), dtype=np.float32)
        for number, (slopes, offsets) in enumerate(models):
            rows = here == number - 1
            block[rows] = _softmax((Z[rows] @ slopes + offsets) * np.float32(beta))
        target[start:stop] = block


def discriminant(train: Floats, codes: Codes, test: Floats, *, shrinkage: float = 0.03) -> NDArray[np.float64]:
    """Return scores of the `test` rows that grow with the probability of class 1 of 0 and 1."""
    ((slopes, offsets),) = _weights(_sums(train, codes, 2), (shrinkage,))
    scores: NDArray[np.float64] = (test @ slopes + offsets).astype(np.float64)
    return scores[:, 1] - scores[:, 0]


def _tune(
    X: Floats | Rows, scale: Scale, codes: Codes, fold: Codes, models: list[list[Model]], rng: np.random.Generator
) -> tuple[int, float]:
    """Return the index of the best shrinkage and its inverse temperature."""
    labelled = np.flatnonzero(fold >= 0)
    sample = labelled if len(labelled) <= SAMPLE else np.sort(rng.choice(labelled, SAMPLE, replace=False))
    Z, fits = scale(X[sample]), []
    for choice in range(len(SHRINKAGE)):
        scores = np.empty((len(sample), models[0][0][0].shape[1]), dtype=np.float32)
        for k, model in enumerate(models):
            here = fold[sample] == k
            slopes, offsets = model[choice]
            scores[here] = Z[here] @ slopes + offsets
        fits.append(_temperature(scores, codes[sample]))
    choice = int(np.argmin([loss for _, loss in fits]))
    return choice, fits[choice][0]


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    scores -= scores.max(1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(1, keepdims=True)
    return scores
