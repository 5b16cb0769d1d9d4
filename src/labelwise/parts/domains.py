"""Two domains: how far apart their rows are, and the gradient that brings them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from labelwise.base import Estimate, InputError
from labelwise.parts.threads import one_thread

MEDIAN_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


def ramp(progress: float, steepness: float = 10.0) -> float:
    """Return ``2 / (1 + exp(-steepness * progress)) - 1``: a weight that grows from 0 towards 1 over training.

    >>> [round(ramp(p), 3) for p in (0.0, 0.1, 0.5, 1.0)]
    [0.0, 0.462, 0.987, 1.0]
    """
    return 2 / (1 + math.exp(-steepness * progress)) - 1


class _Reverse(torch.autograd.Function):
    """Identity forward, ``-weight`` times the gradient backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None


def reverse(x: Tensor, weight: float = 1.0) -> Tensor:
    """Return `x` itself; what flows back through it is multiplied by ``-weight`` (Ganin et al. 2016).

    >>> x = torch.ones(2, requires_grad=True)
    >>> reverse(x, 0.5).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000])
    """
    reversed_: Tensor = _Reverse.apply(x, weight)  # type: ignore[no-untyped-call]
    return reversed_


class GradientReversal(nn.Module):
    """`reverse` as a layer, for networks built with ``nn.Sequential``; set `weight` as training goes on."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`."""
        return reverse(x, self.weight)


def mmd(a: Tensor, b: Tensor, bandwidths: Sequence[float] | None = None) -> Tensor:
    """Return the squared maximum mean discrepancy of two samples under a sum of Gaussian kernels.

    ``mean K(a, a) + mean K(b, b) - 2 mean K(a, b)`` with ``K(x, y) = sum_w exp(-|x - y|^2 / (2 w))``: the biased estimate,
    never negative; 0 where a sample is empty.

    Parameters
    ----------
    a, b
        Samples ``(n, d)`` and ``(m, d)``.
    bandwidths
        Variances w, > 0. None: the median squared distance within both samples, times 1/4, 1/2, 1, 2 and 4; it is not
        differentiated.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schölkopf and Smola, A Kernel Two-Sample Test, JMLR 2012.

    Examples
    --------
    >>> a = torch.zeros(3, 1)
    >>> float(mmd(a, a)), round(float(mmd(a, a + 1, bandwidths=[1.0])), 4)  # the second is 2 - 2 exp(-1/2)
    (0.0, 0.7869)
    """
    _check(a, b)
    if not len(a) or not len(b):
        return a.sum() * 0 + b.sum() * 0
    both = torch.cat([a, b])
    square = both.pow(2).sum(1)
    gap = (square[:, None] + square[None] - 2 * both @ both.T).clamp_min(0)
    kernel = torch.stack([(-gap / (2 * w)).exp() for w in _bandwidths(gap, bandwidths)]).sum(0)
    n = len(a)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def _bandwidths(gap: Tensor, given: Sequence[float] | None) -> list[float]:
    if given is not None:
        bad = [w for w in given if not w > 0]
        if bad or not len(given):
            raise InputError(f"bandwidths must hold numbers above 0, at least one. Got {list(given)}.")
        return [float(w) for w in given]
    middle = float(gap.detach().median()) or float(gap.detach().mean()) or 1.0
    return [middle * scale for scale in MEDIAN_SCALES]


def coral(a: Tensor, b: Tensor) -> Tensor:
    """Return ``|cov(a) - cov(b)|_F^2 / (4 d^2)``, the distance of second moments; 0 where a sample has under two rows.

    Parameters
    ----------
    a, b
        Samples ``(n, d)`` and ``(m, d)``.

    References
    ----------
    Sun and Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV Workshops 2016.

    Examples
    --------
    >>> a = torch.tensor([[0.0], [2.0]])  # variance 2; that of 2 a is 8
    >>> float(coral(a, 2 * a)), float(coral(a, a + 5))
    (9.0, 0.0)
    """
    _check(a, b)
    if len(a) < 2 or len(b) < 2:
        return a.sum() * 0 + b.sum() * 0
    gap = _covariance(a) - _covariance(b)
    return gap.pow(2).sum() / (4 * a.shape[1] ** 2)


def _covariance(a: Tensor) -> Tensor:
    centred = a - a.mean(0, keepdim=True)
    return centred.T @ centred / (len(a) - 1)


def _check(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"a and b must be (n, d) and (m, d). Got {tuple(a.shape)} and {tuple(b.shape)}.")


def proxy_a_distance(
    a: ArrayLike, b: ArrayLike, *, folds: int = 5, rows: int = 2000, level: float = 0.9, random_state: int | None = 0
) -> Estimate:
    """Return ``2 (1 - 2 err)`` of a fresh linear classifier that tells `a` from `b`, with its interval.

    0: rows of the two domains look alike to a linear classifier; 2: they are told apart without a mistake. The error is
    measured on held-out rows and balanced, so that unequal numbers of rows do not matter; below 0 counts as 0. The
    interval is that of a proportion (Wald with two rows added to each side), rows taken as independent.

    Parameters
    ----------
    a, b
        Rows of the two domains ``(n, d)`` and ``(m, d)``, two or more each: features of a fitted network, or raw ones.
    folds
        Of cross-validation, >= 2; no more than the smaller domain has rows.
    rows
        At most so many rows of each domain are used, drawn at random.
    level
        Confidence of the interval.
    random_state
        Seed of the folds and of the rows drawn.

    References
    ----------
    Ben-David, Blitzer, Crammer and Pereira, Analysis of Representations for Domain Adaptation, NIPS 2006.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(2, 200, 3))
    >>> float(proxy_a_distance(a, b).value) < 0.5, float(proxy_a_distance(a, b + 5).value) > 1.9
    (True, True)
    """
    rng = np.random.default_rng(random_state)
    first, second = (_some(np.asarray(part, dtype=np.float64), rows, rng) for part in (a, b))
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise InputError(
            f"a and b must be (n, d) and (m, d), two rows or more each. Got shapes {first.shape} and {second.shape}."
        )
    side = np.repeat([0, 1], [len(first), len(second)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500, class_weight="balanced"))
    parts = StratifiedKFold(min(folds, len(first), len(second)), shuffle=True, random_state=int(rng.integers(2**31)))
    with one_thread():
        wrong = cross_val_predict(model, np.concatenate([first, second]), side, cv=parts) != side
    error, half = _balanced(wrong[side == 0], wrong[side == 1], level)
    low, mid, high = (float(np.clip(2 * (1 - 2 * e), 0, 2)) for e in (error + half, error, error - half))
    return Estimate(mid, low, high, level)


def _balanced(first: NDArray[np.bool_], second: NDArray[np.bool_], level: float) -> tuple[float, float]:
    """Return the mean of two error rates and half the width of its interval."""
    variance = 0.0
    for wrong in (first, second):
        share = (wrong.sum() + 1) / (len(wrong) + 2)
        variance += share * (1 - share) / (len(wrong) + 2) / 4
    return float((first.mean() + second.mean()) / 2), float(norm.ppf((1 + level) / 2) * math.sqrt(variance))


def _some(part: NDArray[np.float64], rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return part if len(part) <= rows else part[rng.choice(len(part), rows, replace=False)]
