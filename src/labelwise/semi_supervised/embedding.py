"""The representation that open-set methods put heads of their own on: its width, and a projection of it."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.learner import evaluating
from labelwise.nets import Network
from labelwise.training import Data


def check_network(net: nn.Module, method: str) -> Network:
    """Return `net` when it has ``features`` and ``head``; raise `InputError` naming `method` when not."""
    missing = [name for name in ("features", "head") if not isinstance(getattr(net, name, None), nn.Module)]
    if missing:
        raise InputError(
            f"net: {type(net).__name__} has no {' and no '.join(missing)} module, but {method} puts heads of its own on "
            "the representation. Give a network with `features` and `head`, or one of the built-in ones."
        )
    return cast(Network, net)


@torch.no_grad()
def feature_width(net: Network, data: Data) -> int:
    """Return the number of features, read off a few rows so that any network will do."""
    rows = data.batch(torch.arange(min(2, len(data)), device=data.x.device)).x
    with evaluating(net):
        return int(net.features(rows).shape[1])


def projector(width: int, size: int) -> nn.Sequential:
    """Return two layers with a ReLU between: from `width` features to an embedding of `size`."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, size))


def drawn_linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """Return a linear layer with Xavier-normal weights and no offset to start with."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_normal_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def forward_together(net: Network, *parts: Tensor) -> tuple[Tensor, ...]:
    """Return the features of several batches from one pass, so that batch norm sees all of them at once."""
    features: Tensor = net.features(torch.cat(parts))
    return torch.split(features, [len(part) for part in parts])
