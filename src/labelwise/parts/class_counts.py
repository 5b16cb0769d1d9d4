"""What a long tail is described by: class counts, priors, weights, margins, and many, medium and few."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError

Doubles = NDArray[np.float64]
Codes = NDArray[np.integer[Any]]

SHOTS = ("many", "medium", "few")
"""Names of the three parts of a long tail, in the order of their codes 0, 1, 2."""


def as_counts(counts: ArrayLike) -> Doubles:
    """Return class counts (K,), finite and not negative, at least one above 0.

    Raises
    ------
    InputError
        When they are not.
    """
    found = np.asarray(counts, dtype=np.float64)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise InputError(
            "counts must be the rows of each class, shape (K,): finite, not negative, one of them above 0. "
            f"Got shape {found.shape}, the first {found.ravel()[:5].tolist()}."
        )
    return found


def prior(counts: ArrayLike, smoothing: float = 0.0) -> Doubles:
    """Return class shares (K,); `smoothing` is added to every count, so that an empty class has a share above 0.

    >>> prior([3, 1]).tolist()
    [0.75, 0.25]
    """
    found = as_counts(counts) + smoothing
    return np.asarray(found / found.sum())


def effective_number(counts: ArrayLike, beta: float = 0.9999) -> Doubles:
    """Return ``(1 - beta^n) / (1 - beta)``, how many different rows n rows are worth (Cui et al., CVPR 2019).

    `beta` in [0, 1): 0 counts every class once, near 1 gives the counts.

    >>> effective_number([1, 2], beta=0.5).tolist()
    [1.0, 1.5]
    """
    found = as_counts(counts)
    if not 0 <= beta < 1:
        raise InputError(f"beta must be in [0, 1). Got {beta}.")
    return np.asarray(-np.expm1(found * np.log(beta)) / (1 - beta) if beta else np.minimum(found, 1))


def class_weights(
    counts: ArrayLike, kind: Literal["inverse", "square root", "effective"] = "effective", beta: float = 0.9999
) -> Doubles:
    """Return a weight a class, (K,), whose mean over classes that have rows is 1; classes without rows weigh 0.

    ``inverse`` of the count, of its ``square root``, or of the ``effective`` number of rows.

    >>> class_weights([3, 1, 0], "inverse").tolist()
    [0.5, 1.5, 0.0]
    """
    found = as_counts(counts)
    size = {"inverse": found, "square root": np.sqrt(found), "effective": effective_number(found, beta)}[kind]
    weight = np.divide(1.0, size, out=np.zeros_like(size), where=found > 0)
    return np.asarray(weight * (found > 0).sum() / weight.sum())


def margins(counts: ArrayLike, largest: float = 0.5, power: float = 0.25) -> Doubles:
    """Return label-distribution-aware margins (K,): ``n^-power``, scaled so that the rarest class has `largest`.

    A count of 0 is taken as 1. Cao et al., NeurIPS 2019: power 1/4.

    >>> margins([16, 1]).tolist()
    [0.25, 0.5]
    """
    raw = np.maximum(as_counts(counts), 1) ** -power
    return np.asarray(largest * raw / raw.max())


def class_shots(counts: ArrayLike, many: int = 100, few: int = 20) -> NDArray[np.int64]:
    """Return the part of the tail that each class is in, (K,): 0 many, 1 medium, 2 few, names in `SHOTS`.

    More than `many` rows are many, fewer than `few` are few, as is usual for long-tailed benchmarks. Where all classes
    would land in one part, they are split into thirds by their counts instead; equal counts stay together.

    >>> class_shots([500, 60, 3]).tolist(), class_shots([90, 80, 70, 60, 50, 50]).tolist()
    ([0, 1, 2], [0, 0, 1, 1, 2, 2])
    """
    found = as_counts(counts)
    part = np.where(found > many, 0, np.where(found < few, 2, 1))
    if len(set(part.tolist())) > 1 or len(found) < 3:
        return np.asarray(part)
    ahead = (found[None, :] > found[:, None]).sum(1)  # classes larger than this one: equal counts share a place
    return np.asarray(3 * ahead // len(found))


def by_shot(values: ArrayLike, shots: Codes) -> dict[str, float]:
    """Return the mean of a value a class (K,), such as its recall, in each part of the tail; NaN classes are left out.

    >>> by_shot([1.0, 0.5, 0.0], np.array([0, 1, 2]))
    {'many': 1.0, 'medium': 0.5, 'few': 0.0}
    """
    found, parts = np.asarray(values, dtype=np.float64), np.asarray(shots)
    chosen = {name: found[(parts == code) & np.isfinite(found)] for code, name in enumerate(SHOTS)}
    return {name: float(inside.mean()) for name, inside in chosen.items() if len(inside)}
