"""The representation that open-set methods put heads of their own on: its width, and a projection of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labelwise.learner import evaluating
from labelwise.nets import Network
from labelwise.nets.base import check_network as check_network
from labelwise.training import Data


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
