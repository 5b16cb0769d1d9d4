"""Scores of frozen features against one vector a class, as of a picture tower and a text tower, with learnable prompts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class Shift(nn.Module):
    """A learnable vector added to every row, at first zero: a prompt on the side of the features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(width))

    def forward(self, v: Tensor) -> Tensor:
        """Return the moved rows."""
        return v + self.offset


class Adapter(nn.Module):
    """``share * A(v) + (1 - share) * v`` with A a bottleneck of two layers."""

    def __init__(self, width: int, share: float = 0.2) -> None:
        super().__init__()
        self.share = share
        narrow = max(1, width // 4)
        self.layers = nn.Sequential(
            nn.Linear(width, narrow, bias=False), nn.ReLU(), nn.Linear(narrow, width, bias=False)
        )

    def forward(self, v: Tensor) -> Tensor:
        """Return the adapted rows, of length 1."""
        mixed = self.share * normalize(self.layers(v), dim=1) + (1 - self.share) * v
        return normalize(mixed, dim=1)


class FeatureTower(nn.Module):
    """Rows ``x * scale + center``, of length 1, changed by a prompt or adapter, of length 1 again."""

    scale: Tensor
    center: Tensor

    def __init__(self, scale: Tensor, center: Tensor, change: nn.Module) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("center", center)
        self.change = change

    def frozen(self, x: Tensor) -> Tensor:
        """Return rows of length 1 as they come, without the prompt."""
        return normalize(x * self.scale + self.center, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return rows of length 1 (b, d)."""
        return normalize(self.change(self.frozen(x)), dim=1)


class ClassTower(nn.Module):
    """``logit_scale * v . t'`` with ``t' = (t + offset)`` of length 1; the offset is one for all classes, or one a class."""

    vectors: Tensor

    def __init__(self, vectors: Tensor, logit_scale: float, per_class: bool) -> None:
        super().__init__()
        self.logit_scale = logit_scale
        self.register_buffer("vectors", normalize(vectors, dim=1))
        self.offset = nn.Parameter(torch.zeros(len(vectors) if per_class else 1, vectors.shape[1]))

    def frozen(self, v: Tensor) -> Tensor:
        """Return the cosines (b, K) to the class vectors as they were given."""
        return v @ self.vectors.T

    def forward(self, v: Tensor) -> Tensor:
        """Return scores (b, K)."""
        return self.logit_scale * v @ normalize(self.vectors + self.offset, dim=1).T


class TwoTowers(nn.Module):
    """``head(features(x))``: class scores of frozen features by their angle to one vector a class.

    Parameters
    ----------
    vectors
        Class vectors (K, d).
    scale, center
        What gives standardised rows back as they were, (d,).
    change
        `Shift` or `Adapter` on the side of the features, or ``nn.Identity()``.
    logit_scale
        Factor of the cosines.
    per_class
        Whether every class vector has an offset of its own.
    """

    def __init__(
        self, vectors: Tensor, scale: Tensor, center: Tensor, change: nn.Module, logit_scale: float, per_class: bool
    ) -> None:
        super().__init__()
        self.features = FeatureTower(scale, center, change)
        self.head = ClassTower(vectors, logit_scale, per_class)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (b, K)."""
        scores: Tensor = self.head(self.features(x))
        return scores

    @torch.no_grad()
    def zero_shot(self, x: Tensor) -> Tensor:
        """Return the cosines (b, K) without anything learnt."""
        cosines: Tensor = self.head.frozen(self.features.frozen(x))
        return cosines
