"""Projection heads: what stands between the representation and the loss in pre-training, and is thrown away after."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.base import InputError


def similar_decay(width: int, decay: float = 1.05, reference: int = 2048) -> float:
    """Return the decay k at which ``width * log k`` is that of `decay` at `reference` features.

    >>> round(similar_decay(128), 3)
    2.183
    """
    return float(decay ** (reference / width))


class FixedReweighting(nn.Module):
    """A frozen diagonal in place of a learnt projection head: ``h_j = k^-(j-1) z_j`` for ``j = 1 .. D`` (paper 101).

    It makes the loss see features of unequal strength, so that the representation before it keeps those that a loss on
    equal features would drop. Discard it after pre-training; ``decay = 1`` is no head at all.

    Parameters
    ----------
    width
        Number of features D.
    decay
        k >= 1; None takes the paper's 1.05 at 2048 features with ``D log k`` kept, see `similar_decay`.

    Examples
    --------
    >>> FixedReweighting(3, decay=2.0)(torch.ones(1, 3))
    tensor([[1.0000, 0.5000, 0.2500]])
    """

    weight: Tensor

    def __init__(self, width: int, decay: float | None = None) -> None:
        super().__init__()
        decay = similar_decay(width) if decay is None else decay
        if decay < 1:
            raise InputError(f"decay must be at least 1 (1 is no head). Got {decay}.")
        powers = torch.arange(width, dtype=torch.float64)
        self.register_buffer("weight", (decay**-powers).float())

    def forward(self, z: Tensor) -> Tensor:
        """Return the reweighted features ``(b, D)``."""
        return z * self.weight


class SoftThreshold(nn.Module):
    """Symmetric soft threshold ``relu(u - b) - relu(-u - b)`` with one learnt ``b``, from 0, where it is the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(()))

    def forward(self, u: Tensor) -> Tensor:
        """Return `u` drawn towards zero by the threshold."""
        return F.relu(u - self.threshold) - F.relu(-u - self.threshold)


class CosineHead(nn.Linear):
    """Output layer whose scores are cosines of the features and learnt class vectors: no class wins by its length.

    Parameters
    ----------
    in_features, out_features
        Width of the representation, and number of scores.

    Examples
    --------
    >>> head = CosineHead(3, 2)
    >>> bool((head(1000 * torch.randn(5, 3)).abs() <= 1 + 1e-6).all())
    True
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        """Return cosines ``(b, out_features)``."""
        return F.linear(F.normalize(z, dim=1), F.normalize(self.weight, dim=1))


def projection_head(kind: Literal["mlp", "linear", "threshold", "fixed", "none"], width: int) -> nn.Module:
    """Return a projection head of `width` inputs and outputs.

    Parameters
    ----------
    kind
        ``mlp`` is linear-ReLU-linear, ``linear`` three linear layers, ``threshold`` two linear layers that start as the
        identity with a `SoftThreshold` between them, ``fixed`` `FixedReweighting`, ``none`` the identity.
    width
        Number of features.

    Examples
    --------
    >>> z = torch.randn(2, 4)
    >>> bool(torch.allclose(projection_head("threshold", 4)(z), z))
    True
    """
    if kind == "none":
        return nn.Identity()
    if kind == "fixed":
        return FixedReweighting(width)
    if kind == "threshold":
        return nn.Sequential(_identity(width), SoftThreshold(), _identity(width))
    if kind == "linear":
        return nn.Sequential(*[nn.Linear(width, width) for _ in range(3)])
    if kind == "mlp":
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    raise InputError(f"kind must be 'mlp', 'linear', 'threshold', 'fixed' or 'none'. Got {kind!r}.")


def _identity(width: int) -> nn.Linear:
    layer = nn.Linear(width, width)
    with torch.no_grad():
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layer
