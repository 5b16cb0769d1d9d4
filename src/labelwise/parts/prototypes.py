"""One vector per class, kept as a running mean of the features seen with that label."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Prototypes(nn.Module):
    """Running class means of unit-length features, shape ``(K, d)``."""

    vectors: Tensor
    seen: Tensor

    def __init__(self, n_classes: int, width: int, decay: float = 0.9) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("vectors", torch.zeros(n_classes, width))
        self.register_buffer("seen", torch.zeros(n_classes, dtype=torch.bool))

    @torch.no_grad()
    def update(self, features: Tensor, label: Tensor, weight: Tensor | None = None) -> None:
        """Fold in features ``(b, d)`` of rows with class codes ``(b,)``; the first sight of a class sets its vector."""
        weight = torch.ones_like(label, dtype=features.dtype) if weight is None else weight
        one_hot = F.one_hot(label, len(self.vectors)).to(features.dtype) * weight[:, None]
        mass = one_hot.sum(0)
        here = mass > 0
        mean = (one_hot.T @ F.normalize(features.detach(), dim=1))[here] / mass[here, None]
        decay = torch.where(self.seen[here], self.decay, 0.0)[:, None].to(mean.dtype)
        self.vectors[here] = F.normalize(decay * self.vectors[here] + (1 - decay) * mean, dim=1)
        self.seen |= here

    def forward(self, features: Tensor) -> Tensor:
        """Return cosine similarities to the class vectors, shape ``(b, K)``; unseen classes score -1."""
        similarity = F.normalize(features, dim=1) @ self.vectors.T
        return similarity.masked_fill(~self.seen, -1.0)
