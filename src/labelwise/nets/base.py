"""What every network offers: ``features`` (the representation) and ``head`` (the output layer)."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from labelwise.base import InputError


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


def check_network(net: nn.Module, method: str) -> Network:
    """Return `net` when it has ``features`` and ``head``; raise `InputError` naming `method` when not."""
    missing = [name for name in ("features", "head") if not isinstance(getattr(net, name, None), nn.Module)]
    if missing:
        raise InputError(
            f"net: {type(net).__name__} has no {' and no '.join(missing)} module, but {method} works on "
            "the representation. Give a network with `features` and `head`, or one of the built-in ones."
        )
    return cast(Network, net)
