"""Distributions of scores over ordered levels: soft labels from a mean and a spread, moments, and the fidelity of pairs."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from torch import Tensor

from labelwise.base import InputError

Doubles = NDArray[np.float64]

NARROW, OFF, FLAT = 0.2, 0.1, 1e-2
"""Below a spread of `NARROW`, or where the repaired mean is more than `OFF` off, two levels share the label; no repair is
made where the labels before it lean to one side by less than `FLAT`."""


def two_hot(mean: ArrayLike, levels: int = 5) -> Doubles:
    """Return labels ``(n, levels)`` on the two levels beside the mean, in shares that have this mean.

    >>> two_hot([2.25, 5.0]).tolist()
    [[0.0, 0.75, 0.25, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]
    """
    m = np.asarray(mean, dtype=np.float64)
    return np.asarray(np.maximum(0.0, 1 - np.abs(m[:, None] - np.arange(1, levels + 1))))


def soft_levels(
    mean: ArrayLike, spread: ArrayLike, levels: int = 5, shape: Literal["density", "mass"] = "density",
    repair: bool = True,
) -> Doubles:  # fmt: skip
    """Return the distribution over levels ``1 .. levels`` of scores with this mean and standard deviation, ``(n, levels)``.

    The normal density at each level, or its mass around it (half a level to either side), is repaired so that it sums to 1
    and has the wanted mean: ``p' = max(a p + b, 0)`` with ``a = (m - c) / (sum (k - c) p_k)``, ``b = (1 - a sum p) /
    levels`` and c the middle level. Where p leans to neither side there is nothing to divide by, and p is only scaled to
    sum to 1. Where the spread is unknown or below 0.2, or the mean stays more than 0.1 off, `two_hot` takes its place.

    Parameters
    ----------
    mean, spread
        On the scale of levels ``(n,)``: means in ``[1, levels]``, spreads >= 0 or NaN where unknown.
    levels
        At least 2.
    shape
        ``density`` or ``mass``.
    repair
        False only scales to sum to 1.

    References
    ----------
    You et al.: Teaching Large Language Models to Regress Accurate Image Quality Scores using Score Distribution. CVPR 2025.

    Examples
    --------
    >>> p = soft_levels([2.6], [1.0])
    >>> p.round(3).tolist(), (p @ np.arange(1, 6)).round(6).tolist()
    ([[0.105, 0.351, 0.39, 0.148, 0.006]], [2.6])
    """
    m, s = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (mean, spread))
    check_levels(m, s, levels)
    k, centre = np.arange(1, levels + 1), (levels + 1) / 2
    p = _normal(m, s, k, shape)
    total, lean = p.sum(1), p @ (k - centre)
    if repair:
        flat = np.abs(lean) < FLAT
        a = np.where(flat, 1 / np.where(total > 0, total, 1), (m - centre) / np.where(flat, 1, lean))
        b = np.where(flat, 0.0, (1 - a * total) / levels)
        p = np.maximum(a[:, None] * p + b[:, None], 0)
    sums = p.sum(1, keepdims=True)
    p = p / np.where(sums > 0, sums, 1)
    poor = ~(s >= NARROW) | (sums[:, 0] <= 0) | (np.abs(p @ k - m) > (OFF if repair else np.inf))
    return np.asarray(np.where(poor[:, None], two_hot(m, levels), p))


def check_levels(mean: Doubles, spread: Doubles, levels: int) -> None:
    """Raise `InputError` unless means lie on the levels and spreads are not negative."""
    if not levels >= 2:
        raise InputError(f"levels must be at least 2. Got {levels!r}.")
    if mean.ndim != 1 or mean.shape != spread.shape:
        raise InputError(f"mean and spread must both be (n,). Got {mean.shape} and {spread.shape}.")
    outside = ~((mean >= 1 - 1e-9) & (mean <= levels + 1e-9))
    if outside.any():
        row = int(outside.argmax())
        raise InputError(f"mean must lie in [1, {levels}], the scale of levels. Got {mean[row]:g} in row {row}.")
    if (spread < 0).any():
        row = int((spread < 0).argmax())
        raise InputError(f"spread must not be negative. Got {spread[row]:g} in row {row}.")


def _normal(m: Doubles, s: Doubles, k: NDArray[Any], shape: str) -> Doubles:
    wide = np.where(s >= NARROW, s, 1.0)[:, None]  # narrower ones are not used
    if shape == "density":
        return np.asarray(norm.pdf(k, m[:, None], wide))
    return np.asarray(norm.cdf(k + 0.5, m[:, None], wide) - norm.cdf(k - 0.5, m[:, None], wide))


def moments(p: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance ``(n,)`` of distributions ``(n, K)`` over levels ``1 .. K``.

    >>> moments(torch.tensor([[0.5, 0.0, 0.5]]))
    (tensor([2.]), tensor([1.]))
    """
    k = torch.arange(1, p.shape[1] + 1, dtype=p.dtype, device=p.device)
    mean = p @ k
    return mean, (p * (k - mean[:, None]).square()).sum(1)


def prefers(mean: Tensor, variance: Tensor) -> Tensor:
    """Return the probability that row i's score exceeds row j's ``(n, n)``, scores normal and independent."""
    gap = mean[:, None] - mean
    z = gap / (variance[:, None] + variance + 1e-8).sqrt()
    return 0.5 * (1 + torch.erf(z / math.sqrt(2)))


def fidelity(
    mean: Tensor, variance: Tensor, true_mean: Tensor, true_variance: Tensor, source: Tensor | None = None
) -> Tensor:
    """Return the fidelity loss of each row, ``(n,)``, mean over the other rows of its source; 0 for a row without any.

    ``1 - sqrt(P G) - sqrt((1 - P) (1 - G))`` where P is the probability that the row's score exceeds the other's by the
    predicted moments and G by the true ones: how far the two disagree on who is better, whatever the scale of a source.

    Parameters
    ----------
    mean, variance
        Predicted, ``(n,)``.
    true_mean, true_variance
        Of the raters, ``(n,)``. Where a variance is unknown (NaN) in a pair, G is 1, 0 or one half by the means alone, and P
        takes every variance as 1.
    source
        Data set of each row ``(n,)``; only rows of one are compared. None: all are.

    References
    ----------
    Tsai et al.: FRank. SIGIR 2007. You et al., CVPR 2025 (paper 72).

    Examples
    --------
    >>> m, v = torch.tensor([1.0, 4.0]), torch.tensor([0.5, 0.5])
    >>> fidelity(m, v, m.flip(0), v).round(decimals=4)  # the wrong one is better
    tensor([0.9266, 0.9266])
    """
    unknown = true_variance.isnan()
    pair_unknown = unknown[:, None] | unknown
    predicted = torch.where(pair_unknown, prefers(mean, torch.ones_like(variance)), prefers(mean, variance))
    order = 0.5 * (1 + torch.sign(true_mean[:, None] - true_mean))
    wanted = torch.where(pair_unknown, order, prefers(true_mean, true_variance.nan_to_num())).detach()
    agree = (predicted * wanted + 1e-8).sqrt() + ((1 - predicted) * (1 - wanted) + 1e-8).sqrt()
    pairs = ~torch.eye(len(mean), dtype=torch.bool, device=mean.device)
    if source is not None:
        pairs = pairs & (source[:, None] == source)
    return torch.where(pairs, 1 - agree, 0.0).sum(1) / pairs.sum(1).clamp_min(1)


def from_ratings(ratings: ArrayLike) -> tuple[Doubles, Doubles]:
    """Return means and standard deviations ``(n,)`` of raters' scores ``(n, raters)``, NaN where nobody or one rated.

    >>> from_ratings([[1.0, 3.0, np.nan], [np.nan, 4.0, np.nan]])
    (array([2., 4.]), array([1.41421356,        nan]))
    """
    given = np.asarray(ratings, dtype=np.float64)
    count = np.isfinite(given).sum(1)
    mean = np.divide(np.nansum(given, 1), count, out=np.full(len(given), np.nan), where=count > 0)
    squares = np.nansum((given - mean[:, None]) ** 2, 1)
    spread = np.sqrt(np.divide(squares, count - 1, out=np.full(len(given), np.nan), where=count > 1))
    return mean, spread
