"""Class shares of unlabelled rows, and the correction of probabilities to new shares.

Label shift: the class shares ``p(y)`` change between source and target, ``p(x | y)`` does not. Two estimators of the
target shares from a classifier trained on the source are here, as plain functions of arrays: `em_prior` (Saerens,
Latinne and Decaestecker 2002: the maximum likelihood) and `bbse_prior` (Lipton, Wang and Smola 2018: the confusion
matrix inverted). `correct` carries probabilities from one prior to another.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from labelwise.base import InputError

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]

BLOCK_ELEMENTS, BLOCK_ROWS = 1 << 18, 1 << 14
"""Most entries and rows of the probabilities handled at once: a block stays in the cache, so that a pass reads memory
once, and sums of so few rows keep float32 exact enough."""


def as_prior(prior: npt.ArrayLike, n_classes: int, name: str) -> Doubles:
    """Check that `prior` is a vector of `n_classes` positive shares, and scale it to sum one."""
    share = np.asarray(prior, dtype=np.float64)
    if share.shape != (n_classes,):
        raise InputError(f"{name} must have shape ({n_classes},), one share a class. Got shape {share.shape}.")
    bad = np.flatnonzero(~(np.isfinite(share) & (share > 0)))
    if bad.size:
        raise InputError(
            f"{name} must be positive for every class. Got {share[bad[0]]:g} for class {bad[0]}: leave the class out, "
            "or give it a small share."
        )
    return np.asarray(share / share.sum())


def as_proba(proba: npt.ArrayLike) -> Floats:
    """Check that `proba` is a matrix of non-negative numbers; float32 and float64 are taken without a copy."""
    array = np.asarray(proba)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"proba must be a non-empty (rows, classes) array of probabilities. Got shape {array.shape}.")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if not array.min() >= 0:
        raise _bad_row(array)
    return array


def _bad_row(proba: Floats) -> InputError:
    good = np.isfinite(proba).all(axis=1) & (proba >= 0).all(axis=1) & (proba.sum(axis=1) > 0)
    row = int(good.argmin())
    return InputError(
        f"proba must be finite, not negative, and not zero for every possible class. Got row {row}: {proba[row]}."
    )


def blocks(proba: Floats) -> Iterator[slice]:
    """Slices of the rows of `proba` that fit into the cache."""
    step = max(1, min(BLOCK_ROWS, BLOCK_ELEMENTS // proba.shape[1]))
    return (slice(start, start + step) for start in range(0, len(proba), step))


def em_step(proba: Floats, ratio: Doubles, weight: Doubles | None) -> tuple[Doubles, float]:
    """Mean over rows of ``p_k / sum_j ratio_j p_j``, EM's step but for the factor ``ratio``; mean log-likelihood."""
    gradient, likelihood, narrow = np.zeros(len(ratio)), 0.0, ratio.astype(proba.dtype)
    for rows in blocks(proba):
        block = proba[rows]
        total = block @ narrow
        inverse, logs = np.reciprocal(total), np.log(total)
        if weight is not None:
            inverse, logs = inverse * weight[rows].astype(block.dtype), logs * weight[rows]
        gradient += inverse @ block
        likelihood += float(logs.sum(dtype=np.float64))
    mass = float(len(proba) if weight is None else weight.sum())
    return gradient / mass, likelihood / mass


def _leap(start: Doubles, first: Doubles, second: Doubles) -> Doubles:
    """Point extrapolated from three iterates (SQUAREM, Varadhan and Roland 2008), kept inside the simplex."""
    move, turn = first - start, second - 2 * first + start
    length = max(1.0, float(np.sqrt((move @ move) / max(float(turn @ turn), 1e-300))))
    point: Doubles = np.maximum(start + 2 * length * move + length**2 * turn, second / 10)
    return np.asarray(point / point.sum())


def em_prior(
    proba: npt.ArrayLike,
    source_prior: npt.ArrayLike,
    *,
    tol: float = 1e-6,
    max_iter: int = 1000,
    sample_weight: npt.ArrayLike | None = None,
) -> Doubles:
    """Class shares of the rows of `proba` by expectation maximisation: the maximum likelihood under label shift.

    Iterates ``prior_k <- mean_i ratio_k p_ik / sum_j ratio_j p_ij`` with ``ratio = prior / source_prior``; every second
    iterate is extrapolated, and the extrapolation taken back where it lowers the likelihood.

    Parameters
    ----------
    proba
        (n, K) probabilities of a classifier calibrated on the source. Read block by block and never copied.
    source_prior
        (K,) positive class shares of the source.
    tol
        Stop when an iteration moves no share by more.
    max_iter
        Most passes over the rows; a `ConvergenceWarning` says when they are used up.
    sample_weight
        (n,) non-negative weights of the rows.

    Returns
    -------
    (K,) shares of the target, summing to one.

    References
    ----------
    Saerens, Latinne, Decaestecker: Adjusting the outputs of a classifier to new a priori probabilities. 2002.
    Varadhan, Roland: Simple and globally convergent methods for accelerating the convergence of any EM algorithm. 2008.

    Examples
    --------
    >>> em_prior([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]], [0.5, 0.5]).round(2)
    array([0.81, 0.19])
    """
    array = as_proba(proba)
    source = as_prior(source_prior, array.shape[1], "source_prior")
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)

    def step(prior: Doubles) -> tuple[Doubles, float]:
        with np.errstate(divide="ignore", invalid="ignore"):
            gradient, likelihood = em_step(array, prior / source, weight)
        update = prior * gradient / source
        if not np.isfinite(update).all():
            raise _bad_row(array)
        return update / update.sum(), likelihood

    point, safe, best = source, source, -np.inf
    for _ in range(0, max_iter, 2):
        first, likelihood = step(point)
        if likelihood < best:
            first, _ = step(safe)
            point = safe
        second, best = step(first)
        if np.abs(second - first).max() < tol:
            return second
        point, safe = _leap(point, first, second), second
    warnings.warn(f"em_prior did not settle to {tol:g} within {max_iter} passes.", ConvergenceWarning)
    return safe


def confusion(proba: npt.ArrayLike, codes: npt.ArrayLike, *, soft: bool = False) -> Doubles:
    """Joint shares ``C[i, j]`` of predicted class i and true class j; `soft` counts probabilities, not decisions."""
    array, truth = as_proba(proba), np.asarray(codes, dtype=np.int64)
    n_classes = array.shape[1]
    if soft:
        joint = np.stack([array[truth == k].sum(axis=0, dtype=np.float64) for k in range(n_classes)], axis=1)
    else:
        joint = np.bincount(array.argmax(axis=1) * n_classes + truth, minlength=n_classes**2).astype(np.float64)
        joint = joint.reshape(n_classes, n_classes)
    return np.asarray(joint / len(array))


def predicted_shares(proba: npt.ArrayLike, *, soft: bool = False) -> Doubles:
    """(K,) shares of the predicted classes, or the mean probabilities if `soft`."""
    array = as_proba(proba)
    if soft:
        return np.asarray(array.mean(axis=0, dtype=np.float64))
    return np.bincount(array.argmax(axis=1), minlength=array.shape[1]) / len(array)


def bbse_prior(joint: npt.ArrayLike, predicted: npt.ArrayLike) -> Doubles:
    """Class shares of the target from the source's confusion: solve ``joint @ ratio = predicted``.

    Negative ratios are set to zero and the shares scaled to sum one.

    Parameters
    ----------
    joint
        (K, K) joint shares of predicted (rows) and true (columns) class on held-out source rows: `confusion`.
    predicted
        (K,) shares of the predicted classes on the target: `predicted_shares`.

    References
    ----------
    Lipton, Wang, Smola: Detecting and correcting for label shift with black box predictors. ICML 2018.

    Examples
    --------
    >>> bbse_prior([[0.4, 0.1], [0.1, 0.4]], [0.74, 0.26]).round(3)
    array([0.9, 0.1])
    """
    matrix, shares = np.asarray(joint, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    source = as_prior(matrix.sum(axis=0), len(shares), "the column sums of joint")
    ratio = np.linalg.lstsq(matrix, shares, rcond=None)[0].clip(0)
    prior: Doubles = ratio * source
    return prior / prior.sum() if prior.sum() > 0 else source


def correct(proba: npt.ArrayLike, source_prior: npt.ArrayLike, target_prior: npt.ArrayLike) -> Floats:
    """Probabilities under `target_prior` from those under `source_prior`: times their ratio, rows to one.

    A row whose classes all have share zero in the target becomes the target's shares. The dtype is kept.

    Examples
    --------
    >>> correct([[0.5, 0.5]], [0.5, 0.5], [0.9, 0.1])
    array([[0.9, 0.1]])
    """
    array = as_proba(proba)
    source = as_prior(source_prior, array.shape[1], "source_prior")
    target = np.asarray(target_prior, dtype=np.float64)
    weighted = array * (target / source).astype(array.dtype)
    total = weighted.sum(axis=1, keepdims=True)
    empty = total[:, 0] <= 0
    weighted[empty], total[empty] = target, target.sum()
    weighted /= total
    return weighted
