"""Judges: functions that turn a proposal of targets into targets with a weight, or refuse them.

All outputs are detached: a target never carries a gradient.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor


def confident(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return the most probable label ``(b,)`` and whether its probability reaches `threshold`, as floats ``(b,)``."""
    top, label = logits.detach().softmax(1).max(1)
    return label, (top >= threshold).to(logits.dtype)


def sharpen(p: Tensor, temperature: float) -> Tensor:
    """Return ``p^(1/T) / sum p^(1/T)`` row by row, detached; ``T = 1`` changes nothing, ``T -> 0`` is the argmax."""
    return (p.detach().clamp_min(1e-12).log() / temperature).softmax(1)


def aligned(p: Tensor, wanted: Tensor, running: Tensor) -> Tensor:
    """Distribution alignment: rescale ``p`` by ``wanted / running`` class shares and renormalise, detached."""
    ratio = p.detach() * (wanted / running.clamp_min(1e-6))
    return ratio / ratio.sum(1, keepdim=True)


def small_loss(losses: Tensor, keep: float) -> Tensor:
    """Return a mask ``(b,)`` of the share `keep` with the smallest losses (at least one row)."""
    n_keep = max(1, round(keep * len(losses)))
    mask = torch.zeros_like(losses, dtype=torch.bool)
    mask[losses.detach().argsort(stable=True)[:n_keep]] = True
    return mask


def high_loss_probability(losses: ArrayLike) -> NDArray[np.floating[Any]]:
    """Return the probability ``(n,)`` that each loss belongs to the upper of two Gaussians fitted to all of them.

    Losses are scaled to [0, 1] first, as DivideMix does; rows fitted late, and so with large losses, are suspected of a
    wrong label. Losses that are all alike give 0: nothing stands out.

    Raises
    ------
    ValueError
        If a loss is not finite.

    Examples
    --------
    >>> high_loss_probability([0.1, 0.2, 0.15, 3.0, 3.1]).round(2)
    array([0., 0., 0., 1., 1.])
    """
    values = np.asarray(losses, dtype=np.float64).reshape(-1, 1)
    if not np.isfinite(values).all():
        raise ValueError(f"losses must be finite. Row {int(np.argmin(np.isfinite(values)))} is not.")
    width = np.ptp(values)
    if len(values) < 2 or width == 0:
        return np.zeros(len(values))
    scaled = (values - values.min()) / width
    start = np.quantile(scaled, [[0.1], [0.9]])
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, means_init=start.reshape(2, 1), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten steps are the method, not a failure
        mixture.fit(scaled)
    posterior: NDArray[np.floating[Any]] = mixture.predict_proba(scaled)[:, int(mixture.means_.argmax())]
    return posterior


def mean_or_zero(values: Tensor) -> Tensor:
    """Return the mean, or a zero that still carries a graph when there is no value: an empty batch part costs nothing."""
    return values.mean() if values.numel() else values.sum()
