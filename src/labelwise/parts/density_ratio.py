"""Density ratios ``p_target(x) / p_source(x)``: by a classifier of the two sets, and by least squares (RuLSIF)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from labelwise.parts.out_of_fold import out_of_fold_proba
from labelwise.parts.scaling import fit_scaling
from labelwise.parts.threads import one_thread

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

WIDTHS, RIDGES = (0.25, 0.5, 1.0, 2.0), (1e-3, 1e-2, 1e-1, 1.0)
"""What RuLSIF tries: kernel widths in median distances, and weights of the penalty."""


def effective_size(weights: NDArray[Any]) -> float:
    """Return how many equally weighted rows are worth as much, ``(sum w)^2 / sum w^2`` (Kish 1965).

    >>> effective_size(np.array([1.0, 1.0, 0.0, 0.0]))
    2.0
    """
    square = float((weights**2).sum())
    return float(weights.sum()) ** 2 / square if square > 0 else 0.0


def overlap_size(odds: NDArray[Any], is_target: Bools) -> float:
    """Return how many source rows look like the target: the effective size, and never more than the target's odds allow.

    The mean ratio on target rows is the mean square on source rows. Where the sets hardly overlap no source row shows large
    weights, and only the target rows tell.
    """
    n_source = int((~is_target).sum())
    return min(effective_size(odds[~is_target]), n_source / max(1.0, float(odds[is_target].mean())))


def held_out_odds(
    discriminator: Any, X: Any, is_target: Bools, folds: int, rng: np.random.Generator
) -> tuple[Doubles, Doubles]:
    """Return held-out scores of "is a target row" (n,), and the density ratio (n,) from their calibrated odds.

    Each row is scored by a clone that did not train on it; the probabilities are calibrated by a temperature and a bias.
    """
    codes = is_target.astype(np.int64)
    proba = out_of_fold_proba(discriminator, X, codes, 2, folds=folds, rng=rng)
    sure = np.clip(fit_scaling(proba, codes)(proba), 1e-6, 1 - 1e-6)
    return proba[:, 1], np.asarray(sure[:, 1] / sure[:, 0] * (~is_target).sum() / is_target.sum())


def rulsif(
    source: NDArray[Any], target: NDArray[Any], *, alpha: float = 0.1, kernels: int = 100, rng: np.random.Generator
) -> Doubles:
    """Return the relative density ratio ``p_t / (alpha p_t + (1 - alpha) p_s)`` of the source rows, by least squares.

    The ratio is a non-negative combination of Gaussian kernels at target rows. Width and penalty have the least
    leave-one-out error, which is known in closed form. At most ``1 / alpha``: large weights are damped.

    Parameters
    ----------
    source, target
        Rows (n, d) and (m, d), on one scale.
    alpha
        In [0, 1): 0 is the plain ratio (uLSIF).
    kernels
        Most kernels.
    rng
        Chooses their centres.

    References
    ----------
    Yamada, Suzuki, Kanamori, Hachiya, Sugiyama: Relative density-ratio estimation for robust distribution comparison.
    Neural Computation 2013. Kanamori, Hido, Sugiyama: A least-squares approach to direct importance estimation. 2009.
    """
    centres = target[rng.permutation(len(target))[:kernels]]
    far_s, far_t = (cdist(rows, centres, "sqeuclidean") for rows in (source, target))
    middle = max(float(np.median(far_t[far_t > 0])) if (far_t > 0).any() else 1.0, 1e-12)
    best, found = np.inf, np.ones(len(source))
    with one_thread():
        for width in WIDTHS:
            near_s, near_t = (np.exp(-far / (2 * middle * width**2)) for far in (far_s, far_t))
            for ridge in RIDGES:
                error = _left_out(near_s, near_t, alpha, ridge)
                if error < best:
                    best, found = error, near_s @ _solve(near_s, near_t, alpha, ridge)
    return np.asarray(found)


def _second(near_s: Doubles, near_t: Doubles, alpha: float) -> Doubles:
    source, target = near_s.T @ near_s / len(near_s), near_t.T @ near_t / len(near_t)
    return np.asarray((1 - alpha) * source + alpha * target)


def _solve(near_s: Doubles, near_t: Doubles, alpha: float, ridge: float) -> Doubles:
    """Return the coefficients that minimise the penalised squared error, negative ones set to zero."""
    matrix = _second(near_s, near_t, alpha) + ridge * np.eye(near_s.shape[1])
    return np.maximum(np.linalg.solve(matrix, near_t.mean(0)), 0)


def _left_out(near_s: Doubles, near_t: Doubles, alpha: float, ridge: float) -> float:
    """Return the squared error with row i of both sets left out for every i, by the Sherman-Morrison formula."""
    n = min(len(near_s), len(near_t))
    s, t = near_s[:n], near_t[:n]
    matrix = _second(near_s, near_t, alpha) + ridge * (len(near_s) - 1) / len(near_s) * np.eye(s.shape[1])
    mean, count_s, count_t = near_t.mean(0), len(near_s), len(near_t)
    solved = np.linalg.solve(matrix, np.column_stack([mean, s.T, t.T]))
    base, by_s, by_t = solved[:, :1], solved[:, 1 : n + 1], solved[:, n + 1 :]
    pull = count_s * np.ones(n) - (1 - alpha) * (s.T * by_s).sum(0)
    first = base + by_s * ((1 - alpha) * (s @ base[:, 0]) / pull)
    second = by_t + by_s * ((1 - alpha) * (s.T * by_t).sum(0) / pull)
    left = (count_s - 1) / (count_s * (count_t - 1)) * (count_t * first - second)
    left = np.maximum(left, 0)
    at_s, at_t = (s.T * left).sum(0), (t.T * left).sum(0)
    return float(((1 - alpha) * at_s**2 + alpha * at_t**2).mean() / 2 - at_t.mean())
