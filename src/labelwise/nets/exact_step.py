"""A backward pass that takes an output layer's own gradient step, and what it needs of the forward pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Seen(NamedTuple):
    """What a step needs of the forward pass: rows ``(b, d)``, their products with Q and U, and the targets' rows of V."""

    h: Tensor
    hq: Tensor
    hu: Tensor
    classes: Tensor
    rows: Tensor


class Exact(torch.autograd.Function):
    """The layer's sums, and a backward pass that takes the layer's gradient step and returns the gradient of its input."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, lever: Tensor, layer: Any, index: Tensor) -> Any:
        """Return what `FactoredOutput.sums` does."""
        seen = layer.see(hidden, index)
        ctx.layer, ctx.seen, ctx.at, ctx.dtype = layer, seen, layer.moves, hidden.dtype
        return layer.sums(seen)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_target: Tensor, g_q: Tensor, g_s: Tensor) -> Any:
        """Take the step; return the gradient of `hidden`."""
        if ctx.at != ctx.layer.moves:
            raise RuntimeError(
                "FactoredOutput moved since this loss was computed: call backward once, after each loss."
            )
        g_hidden = ctx.layer.step(ctx.seen, g_target, g_q, g_s)
        return g_hidden.to(ctx.dtype), None, None, None


def by_class(index: Tensor, g_target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct targets (u,) and the gradients ``(b, u)``: a target named twice in a row has their sum."""
    places, inverse = torch.unique(index, return_inverse=True)
    Y = torch.zeros(len(g_target), len(places), dtype=g_target.dtype, device=g_target.device)
    return places, Y.scatter_add_(1, inverse, g_target)
