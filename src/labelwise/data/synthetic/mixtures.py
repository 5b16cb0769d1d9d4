"""Gaussian mixtures whose class probabilities are known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from labelwise.base import Count, Positive, Range
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


@dataclass(frozen=True, eq=False)
class Mixture:
    """One round Gaussian a class.

    Attributes
    ----------
    means
        Centre of each class ``(K, d)``.
    scale
        Standard deviation in every direction.
    prior
        Share of each class ``(K,)``.
    """

    means: FloatArray
    scale: float
    prior: FloatArray

    def sample(self, y: IntArray, rng: np.random.Generator) -> FloatArray:
        """Draw one row for each class code."""
        return np.asarray(self.means[y] + self.scale * rng.standard_normal((len(y), self.means.shape[1])))

    def posterior(self, X: FloatArray, prior: ArrayLike | None = None) -> FloatArray:
        """Return ``P(class | row)``, by Bayes' rule, under this or another prior: ``(n, K)``."""
        shares = self.prior if prior is None else as_prior(prior, len(self.means))
        with np.errstate(divide="ignore"):  # a class that never occurs
            constant = np.log(shares) - (self.means**2).sum(1) / (2 * self.scale**2)
        return softmax(X @ self.means.T / self.scale**2 + constant)


@dataclass(frozen=True, eq=False)
class Blobs:
    """Rows of a Gaussian mixture.

    Attributes
    ----------
    X
        Features ``(n, d)``.
    y
        Class codes ``(n,)``.
    mixture
        Where they were drawn from; ``mixture.posterior(X)`` is the best any classifier can know.
    """

    X: FloatArray
    y: IntArray
    mixture: Mixture

    @property
    def posterior(self) -> FloatArray:
        """Exact class probabilities of the rows ``(n, K)``."""
        return self.mixture.posterior(self.X)


def blobs(
    n_rows: int = 1000,
    n_classes: int = 3,
    n_features: int = 8,
    *,
    separation: float = 3.0,
    scale: float = 1.0,
    prior: ArrayLike | None = None,
    random_state: RandomState = None,
) -> Blobs:
    """Draw rows from round Gaussians, one a class.

    Parameters
    ----------
    n_rows, n_classes, n_features
        Sizes; at least two classes.
    separation
        Distance between the two nearest class means, in standard deviations. With ``n_features >= n_classes`` all means
        are equally far apart.
    scale
        Standard deviation within a class.
    prior
        Class shares; None is uniform. See `long_tail`.
    random_state
        Seed or generator.

    Examples
    --------
    >>> sample = blobs(100, 3, 5, random_state=0)
    >>> sample.X.shape, sample.y.shape, sample.posterior.shape
    ((100, 5), (100,), (100, 3))
    """
    check("n_rows", n_rows, Count)
    rng = generator(random_state)
    source = mixture(n_classes, n_features, separation=separation, scale=scale, prior=prior, random_state=rng)
    y = draw_codes(rng, source.prior, n_rows)
    return Blobs(source.sample(y, rng), y, source)


def mixture(
    n_classes: int,
    n_features: int,
    *,
    separation: float = 3.0,
    scale: float = 1.0,
    prior: ArrayLike | None = None,
    random_state: RandomState = None,
) -> Mixture:
    """Place class means so that the nearest two are `separation` standard deviations apart; see `blobs`.

    >>> float(np.ptp(mixture(2, 1, separation=4.0, random_state=0).means).round(6))
    4.0
    """
    check("n_classes", n_classes, Range(low=2, whole=True))
    check("n_features", n_features, Count)
    check("separation", separation, Positive)
    check("scale", scale, Positive)
    rng = generator(random_state)
    means = _directions(n_classes, n_features, rng)
    return Mixture(means * separation * scale / _nearest(means), scale, as_prior(prior, n_classes))


def _directions(n_classes: int, n_features: int, rng: np.random.Generator) -> FloatArray:
    """Orthogonal where there is room, else random."""
    drawn = rng.standard_normal((n_features, n_classes))
    if n_features >= n_classes:
        drawn = np.linalg.qr(drawn)[0]
    return np.ascontiguousarray(drawn.T)


def _nearest(points: FloatArray) -> float:
    """Return the smallest distance between two points."""
    squares = (points**2).sum(1)
    distances = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    return float(np.sqrt(max(distances.min(), np.finfo(float).tiny)))
