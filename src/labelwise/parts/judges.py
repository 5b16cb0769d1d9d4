"""Judges: functions that turn a proposal of targets into targets with a weight, or refuse them.

All outputs are detached: a target never carries a gradient.
"""

from __future__ import annotations

import torch
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


def mean_or_zero(values: Tensor) -> Tensor:
    """Return the mean, or a zero that still carries a graph when there is no value: an empty batch part costs nothing."""
    return values.mean() if values.numel() else values.sum()
