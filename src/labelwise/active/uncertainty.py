"""How unsure a model is of each row: numbers from probabilities, larger where a label would tell more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError

Floats = NDArray[np.floating[Any]]


def as_proba(proba: ArrayLike, name: str = "proba") -> Floats:
    """Return class probabilities as finite floats ``(n, K)``, K >= 2."""
    p = np.asarray(proba)
    p = p if p.dtype in (np.float32, np.float64) else p.astype(np.float64)
    if p.ndim != 2 or p.shape[1] < 2:
        raise InputError(
            f"{name} must have one row a row and a column for each of K >= 2 classes. Got shape {p.shape}."
        )
    _check_finite(p, name)
    return p


def as_passes(passes: ArrayLike, name: str = "passes") -> Floats:
    """Return the probabilities of several models as finite floats ``(passes, n, K)``, at least two passes."""
    p = np.asarray(passes, dtype=np.float64)
    if p.ndim != 3 or len(p) < 2 or p.shape[2] < 2:
        raise InputError(f"{name} must have shape (passes, n, K) with at least 2 passes and classes. Got {p.shape}.")
    if not np.isfinite(p).all():
        _check_finite(p.transpose(1, 0, 2).reshape(p.shape[1], -1), name)
    return p


def _check_finite(rows: Floats, name: str) -> None:
    each = np.isfinite(rows)
    if not each.all():
        fine = each.all(axis=1)
        raise InputError(f"{name} must be finite. Row {int(fine.argmin())} is not.")


def least_confidence(proba: ArrayLike) -> Floats:
    """Return 1 - the largest probability, ``(n,)``, in [0, 1 - 1/K]."""
    return np.asarray(1 - as_proba(proba).max(axis=1))


def margin(proba: ArrayLike) -> Floats:
    """Return 1 - (largest - second largest probability), ``(n,)``, in [0, 1]: 1 where two classes tie.

    >>> margin([[0.5, 0.3, 0.2]])
    array([0.8])
    """
    p = as_proba(proba)
    second, first = np.partition(p, -2, axis=1)[:, -2:].T
    return np.asarray(1 - (first - second))


def entropy(proba: ArrayLike) -> Floats:
    """Return the entropy in nats, ``(n,)``, in [0, log K]."""
    p = as_proba(proba)
    return np.asarray(np.maximum(-_log_sum(p), 0))


def bald(passes: ArrayLike) -> Floats:
    """Return the mutual information of prediction and model, ``(n,)``, in nats: entropy of the mean - mean entropy.

    High where the passes are sure of different classes, 0 where they agree, however unsure each may be.
    """
    p = as_passes(passes)
    mean = p.mean(axis=0)
    return np.asarray(np.maximum(_log_sum(p).mean(axis=0) - _log_sum(mean), 0))


def _log_sum(p: Floats) -> Floats:
    """Return the sum of ``p log p`` over the last axis, where 0 log 0 is 0; a product of rows is the fast way to sum."""
    return np.asarray(np.einsum("...k,...k->...", p, np.log(np.maximum(p, np.finfo(p.dtype).tiny))))


def variance_ratio(passes: ArrayLike) -> Floats:
    """Return the share of passes whose most probable class is not that of their mean, ``(n,)``, in [0, 1]."""
    p = as_passes(passes)
    return np.asarray((p.argmax(axis=2) != p.mean(axis=0).argmax(axis=1)).mean(axis=0))
