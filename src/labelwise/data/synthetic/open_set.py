"""Rows of classes that nobody named: among the labelled ones (open-set noise) and in the unlabelled pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from labelwise.base import UNLABELED, Count, Fraction, InputError, Natural, Range
from labelwise.data.synthetic.drawing import (
    BoolArray,
    FloatArray,
    IntArray,
    RandomState,
    as_codes,
    as_prior,
    check,
    draw_codes,
    generator,
)
from labelwise.data.synthetic.mixtures import mixture


@dataclass(frozen=True, eq=False)
class OpenSetNoise:
    """Labelled rows some of which belong to none of the classes.

    Attributes
    ----------
    X
        Features ``(n, d)``, those of the corrupted rows replaced.
    y
        Given labels ``(n,)``: unchanged, so meaningless for the corrupted rows.
    is_corrupted
        Rows that belong to no class, bool ``(n,)``.
    """

    X: FloatArray
    y: IntArray
    is_corrupted: BoolArray


@dataclass(frozen=True, eq=False)
class OpenPool:
    """A few labelled rows and an unlabelled pool that also holds unknown classes.

    Attributes
    ----------
    X
        Features ``(n, d)``, labelled rows first.
    y
        Class codes ``(n,)``, ``UNLABELED`` in the pool.
    truth
        Right class of every row ``(n,)``; codes from `n_known` on are unknown classes.
    n_known
        Number of classes that have labels.
    """

    X: FloatArray
    y: IntArray
    truth: IntArray
    n_known: int

    @property
    def is_unknown(self) -> BoolArray:
        """Rows of a class without labels, bool ``(n,)``."""
        return np.asarray(self.truth >= self.n_known)


def open_set_noise(
    X: ArrayLike, y: ArrayLike, rate: float, *, outside: ArrayLike | None = None, random_state: RandomState = None
) -> OpenSetNoise:
    """Replace the features of a share of labelled rows by rows of no class, and keep their labels.

    Parameters
    ----------
    X, y
        Clean rows ``(n, d)`` and class codes ``(n,)``.
    rate
        Probability that a labelled row is replaced.
    outside
        Rows ``(m, d)`` to draw from, with replacement. By default Gaussians around points outside the cloud of `X`: at
        twice its largest distance from the mean.
    random_state
        Seed or generator.
    """
    rows, (codes, _) = np.array(X, dtype=np.float64), as_codes(y, None)
    if rows.ndim != 2 or len(rows) != len(codes):
        raise InputError(f"X must have shape (n, d) with n = {len(codes)}, the length of y. Got {rows.shape}.")
    check("rate", rate, Fraction)
    rng = generator(random_state)
    hit = (rng.random(len(rows)) < rate) & (codes != UNLABELED)
    if outside is None:
        rows[hit] = _far_off(rows, int(hit.sum()), rng)
    else:
        foreign = np.asarray(outside, dtype=np.float64)
        if foreign.ndim != 2 or foreign.shape[1] != rows.shape[1] or len(foreign) == 0:
            raise InputError(f"outside must have shape (m, {rows.shape[1]}), the columns of X. Got {foreign.shape}.")
        rows[hit] = foreign[rng.integers(0, len(foreign), int(hit.sum()))]
    return OpenSetNoise(rows, codes, hit)


def _far_off(rows: FloatArray, size: int, rng: np.random.Generator) -> FloatArray:
    centre, spread = rows.mean(0), rows.std(0).mean()
    reach = np.sqrt(((rows - centre) ** 2).sum(1).max())
    directions = rng.standard_normal((4, rows.shape[1]))
    directions *= 2 * reach / np.sqrt((directions**2).sum(1, keepdims=True))
    return np.asarray(centre + directions[rng.integers(0, 4, size)] + spread * rng.standard_normal((size, len(centre))))


def open_pool(
    n_labelled: int = 50,
    n_unlabelled: int = 1000,
    n_known: int = 3,
    n_unknown: int = 2,
    n_features: int = 8,
    *,
    unknown_share: float = 0.3,
    separation: float = 4.0,
    prior: ArrayLike | None = None,
    random_state: RandomState = None,
) -> OpenPool:
    """Draw labelled rows of known classes and a pool in which a share of rows is of unknown ones.

    Parameters
    ----------
    n_labelled
        Labelled rows; every known class gets at least one, so not below `n_known`.
    n_unlabelled
        Rows of the pool.
    n_known, n_unknown
        Number of classes with and without labels.
    n_features
        Columns of `X`.
    unknown_share
        Expected share of the pool that is of unknown classes; 0 makes the pool closed.
    separation
        Distance of the nearest two class means in standard deviations.
    prior
        Shares of the known classes; None is uniform.
    random_state
        Seed or generator.

    Examples
    --------
    >>> pool = open_pool(random_state=0)
    >>> int((pool.y >= 0).sum()), float(pool.is_unknown[50:].mean())
    (50, 0.318)
    """
    check("n_known", n_known, Range(low=2, whole=True))
    check("n_labelled", n_labelled, Range(low=n_known, whole=True))
    check("n_unlabelled", n_unlabelled, Count)
    check("n_unknown", n_unknown, Natural)
    check("unknown_share", unknown_share, Fraction)
    if unknown_share > 0 and n_unknown == 0:
        raise InputError(f"unknown_share is {unknown_share}, but n_unknown is 0. Set both to 0 for a closed pool.")
    rng = generator(random_state)
    source = mixture(n_known + n_unknown, n_features, separation=separation, random_state=rng)
    known = as_prior(prior, n_known)
    labelled = np.r_[np.arange(n_known), draw_codes(rng, known, n_labelled - n_known)]
    unknown = np.full(n_unknown, unknown_share / max(n_unknown, 1))
    pool = draw_codes(rng, np.r_[(1 - unknown_share) * known, unknown], n_unlabelled)
    truth = np.r_[rng.permutation(labelled), pool]
    y = np.where(np.arange(len(truth)) < n_labelled, truth, UNLABELED)
    return OpenPool(source.sample(truth, rng), y, truth, n_known)
