"""What every network offers: ``features`` (the representation) and ``head`` (the output layer)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Network(nn.Module):
    """``head(features(x))``; `config` holds the constructor's arguments, so that a network can be rebuilt from JSON."""

    features: nn.Module
    head: nn.Linear

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = config

    @property
    def width(self) -> int:
        """Number of features before the head."""
        return self.head.in_features

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, outputs)``."""
        out: Tensor = self.head(self.features(x))
        return out
