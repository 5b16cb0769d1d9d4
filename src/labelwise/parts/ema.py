"""Exponential moving averages of weights and of class shares."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


class EMA(nn.Module):
    """A frozen copy of a module whose weights follow it slowly (a mean teacher, Tarvainen and Valpola 2017).

    The first updates use the smaller decay ``1 - 1 / (step + 1)``, so that the random start is forgotten; buffers
    (batch-norm statistics, counters) are copied as they are.
    """

    step: Tensor

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        self.decay = decay
        self.module = deepcopy(module).requires_grad_(False)
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """Return the averaged module's output for `x`."""
        out: Tensor = self.module(x)
        return out

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the copy towards `module`: ``w <- decay * w + (1 - decay) * w_module``."""
        self.step += 1
        decay = min(self.decay, 1 - 1 / (int(self.step) + 1))
        mine, theirs = ([p.detach() for p in m.parameters()] for m in (self.module, module))
        if mine:
            torch._foreach_lerp_(mine, theirs, 1 - decay)
        for old, new in zip(self.module.buffers(), module.buffers(), strict=True):
            old.copy_(new)


class ClassShares(nn.Module):
    """Running mean of predicted class probabilities, shape ``(K,)``: what distribution alignment divides by."""

    shares: Tensor

    def __init__(self, n_classes: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("shares", torch.full((n_classes,), 1.0 / n_classes))

    @torch.no_grad()
    def update(self, p: Tensor) -> Tensor:
        """Fold in a batch of probabilities ``(b, K)`` and return the running mean."""
        self.shares.lerp_(p.detach().mean(0), 1 - self.decay)
        return self.shares


def frozen(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose weights take no gradient; gradients still flow through it to its input."""
    return deepcopy(module).requires_grad_(False).eval()
