"""Domains that differ in class shares only, or in inputs only, by known amounts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from labelwise.base import Count, InputError, NonNegative, Positive, Range
from labelwise.data.synthetic.drawing import (
    FloatArray,
    IntArray,
    RandomState,
    as_prior,
    check,
    draw_codes,
    generator,
    softmax,
)
from labelwise.data.synthetic.mixtures import Mixture, mixture


@dataclass(frozen=True, eq=False)
class PriorShift:
    """Domains with the same ``P(x | y)`` and different ``P(y)``.

    Attributes
    ----------
    X, y
        Features ``(n, d)`` and class codes ``(n,)``.
    domains
        Domain of each row ``(n,)``, the source is 0.
    priors
        Class shares that each domain was drawn from ``(D, K)``.
    mixture
        The shared class densities; ``mixture.posterior(X, priors[1])`` is exact in domain 1.
    """

    X: FloatArray
    y: IntArray
    domains: IntArray
    priors: FloatArray
    mixture: Mixture


@dataclass(frozen=True, eq=False)
class CovariateShift:
    """Two domains with the same ``P(y | x)`` and different ``P(x)``.

    Attributes
    ----------
    X, y
        Features ``(n, d)`` and class codes ``(n,)``.
    domains
        0 in the source, 1 in the target ``(n,)``.
    density_ratio
        ``p_target(x) / p_source(x)`` of each row ``(n,)``: the exact importance weights.
    posterior
        ``P(y | x)`` of each row ``(n, K)``, the same function in both domains.
    """

    X: FloatArray
    y: IntArray
    domains: IntArray
    density_ratio: FloatArray
    posterior: FloatArray


def prior_shift(
    n_rows: int | tuple[int, ...] = 1000,
    n_classes: int = 3,
    n_features: int = 8,
    *,
    n_domains: int = 2,
    concentration: float = 1.0,
    priors: ArrayLike | None = None,
    separation: float = 3.0,
    random_state: RandomState = None,
) -> PriorShift:
    """Draw domains that differ in their class shares only (label shift).

    Parameters
    ----------
    n_rows
        Rows of each domain, or one number for all.
    n_classes, n_features
        Sizes.
    n_domains
        Number of domains; the first, the source, has uniform shares. Ignored with `priors`.
    concentration
        The other domains' shares are drawn from a symmetric Dirichlet distribution: small values shift much.
    priors
        Class shares of every domain ``(D, K)``, if they are given.
    separation
        Distance of the nearest two class means in standard deviations.
    random_state
        Seed or generator.

    Examples
    --------
    >>> shifted = prior_shift(500, priors=[[0.5, 0.5], [0.9, 0.1]], n_classes=2, random_state=0)
    >>> float((shifted.y[shifted.domains == 1] == 0).mean())
    0.93
    """
    check("concentration", concentration, Positive)
    rng = generator(random_state)
    if priors is None:
        check("n_domains", n_domains, Count)
        drawn = rng.dirichlet(np.full(n_classes, concentration), n_domains - 1)
        shares = np.vstack([as_prior(None, n_classes), drawn])
    else:
        shares = np.stack([as_prior(row, n_classes, "priors") for row in np.atleast_2d(np.asarray(priors))])
    sizes = n_rows if isinstance(n_rows, tuple) else (n_rows,) * len(shares)
    if len(sizes) != len(shares):
        raise InputError(f"n_rows names {len(sizes)} domains, but there are {len(shares)}.")
    for size in sizes:
        check("n_rows", size, Count)
    source = mixture(n_classes, n_features, separation=separation, random_state=rng)
    y = np.concatenate([draw_codes(rng, row, size) for row, size in zip(shares, sizes, strict=True)])
    return PriorShift(source.sample(y, rng), y, np.repeat(np.arange(len(sizes)), sizes), shares, source)


def covariate_shift(
    n_source: int = 1000,
    n_target: int = 1000,
    n_classes: int = 2,
    n_features: int = 4,
    *,
    drift: float = 1.0,
    scale: float = 1.0,
    curvature: float = 1.0,
    random_state: RandomState = None,
) -> CovariateShift:
    """Draw a standard normal source and a target that is moved and stretched, labelled by one function of the input.

    Parameters
    ----------
    n_source, n_target, n_classes, n_features
        Sizes.
    drift
        Length by which the target's mean is moved, in a random direction.
    scale
        Standard deviation of the target in every direction.
    curvature
        Size of the quadratic part of the class scores. At 0 a linear classifier is right in both domains and
        reweighting cannot help it.
    random_state
        Seed or generator.

    Examples
    --------
    >>> moved = covariate_shift(random_state=0)
    >>> bool(0.9 < moved.density_ratio[moved.domains == 0].mean() < 1.1)
    True
    """
    for name, size in (("n_source", n_source), ("n_target", n_target), ("n_features", n_features)):
        check(name, size, Count)
    check("n_classes", n_classes, Range(low=2, whole=True))
    check("drift", drift, NonNegative)
    check("scale", scale, Positive)
    check("curvature", curvature, NonNegative)
    rng = generator(random_state)
    direction = rng.standard_normal(n_features)
    mean = drift * direction / np.sqrt((direction**2).sum())
    X = rng.standard_normal((n_source + n_target, n_features))
    X[n_source:] = mean + scale * X[n_source:]
    linear, square = rng.standard_normal((2, n_features, n_classes)) * 2 / np.sqrt(n_features)
    posterior = softmax(X @ linear + curvature * (X**2 - 1) @ square)
    y = (rng.random(len(X))[:, None] >= np.cumsum(posterior, axis=1)[:, :-1]).sum(1)
    log_ratio = ((X**2).sum(1) - (((X - mean) / scale) ** 2).sum(1)) / 2 - n_features * np.log(scale)
    return CovariateShift(X, y, (np.arange(len(X)) >= n_source).astype(np.int64), np.exp(log_ratio), posterior)
