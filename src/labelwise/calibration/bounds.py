"""Interval bounds: what a small network can say of any row within a box around a given one."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.calibration.differentiable import Units
from labelwise.nets.base import Network


@torch.no_grad()
def interval_bounds(module: nn.Module, center: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """Return center and reach of a box that holds the module's outputs for every input within ``center +- reach``.

    Raises
    ------
    InputError
        For layers other than linear ones, ReLU, flattening and their stacks.
    """
    if isinstance(module, Units):
        return module(center), reach / module.scale
    if isinstance(module, (nn.Sequential, Network)):
        for part in module if isinstance(module, nn.Sequential) else (module.features, module.head):
            center, reach = interval_bounds(part, center, reach)
        return center, reach
    if isinstance(module, nn.Linear):
        return module(center), nn.functional.linear(reach, module.weight.abs())
    if isinstance(module, nn.ReLU):
        low, high = (center - reach).relu(), (center + reach).relu()
        return (low + high) / 2, (high - low) / 2
    if isinstance(module, nn.Flatten):
        return module(center), module(reach)
    if isinstance(module, nn.Identity) or (isinstance(module, nn.Dropout) and not module.training):
        return center, reach
    raise InputError(f"no interval bounds for {type(module).__name__}: it takes linear layers and ReLU.")


@torch.no_grad()
def probability_margin(module: nn.Module, x: Tensor, radius: float, scale: float = 1.0) -> Tensor:
    """Return a lower bound ``(b,)`` of how far the predicted class's probability stays above any other within a box.

    Probabilities are ``softmax(scale * module(x))``. Zero where the prediction itself may change. For every rival the worst
    corner is its largest logit, the smallest one of the predicted class and the largest of all others.
    """
    exact = deepcopy(module).double()
    center, reach = interval_bounds(exact, x.double(), torch.full_like(x, radius, dtype=torch.float64))
    low, high = scale * (center - reach), scale * (center + reach)
    best = center.argmax(1, keepdim=True)
    ceiling = high.scatter(1, best, low.gather(1, best))
    weight = ceiling.softmax(1)
    rival = weight.scatter(1, best, 0.0).max(1).values
    return (weight.gather(1, best).squeeze(1) - rival).clamp_min(0)
