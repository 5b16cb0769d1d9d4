"""EnsLoss (Dai 2024): every batch is trained by the derivatives of another, randomly drawn, calibrated loss."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card, Count, InputError, Natural
from labelwise.losses.base import Loss, check_weight
from labelwise.losses.proba import checked

TAIL = 1e-6
"""Subtracted from every derivative, so that none is zero."""


class EnsLoss(Loss):
    """Draw, at every step, the derivatives of a random convex calibrated loss of the margin, and no loss at all.

    Margins ``s``: ``f_y - f_other`` of two classes, else one against the rest, ``f_k`` for the label and ``-f_k`` for the
    others. As many draws ``u ~ N(0, 1)`` as margins become ``g = -min(BoxCox^-1(u), 1)``, are sorted, and the most negative
    goes to the smallest margin: derivatives that do not decrease in ``s`` and are negative at 0, as those of every convex
    calibrated loss. Beyond ``s = 1`` they are divided by ``s``, so that margins stop growing. The value is ``g s``: its
    gradient is ``g``, its size means nothing. Large learning rates with momentum diverge sooner than with cross-entropy.

    Differs from the paper: several classes by one against the rest; draws follow from `random_state` and the number of
    calls, so that a copy, or a run resumed from its state, repeats them.

    Parameters
    ----------
    period
        Epochs after which the Box-Cox exponent is drawn anew, >= 1 (calls of the loss where `bind` was not called). It
        starts at 0.
    powers
        Range of the exponent: (0, 1), or (-1, 1) as in parts of the authors' experiments.
    random_state
        Seed of the draws, a whole number >= 0.

    References
    ----------
    Ben Dai, EnsLoss: Stochastic Calibrated Loss Ensembles for Preventing Overfitting in Classification, 2024 (paper 58).

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[0.0, 2.0], [0.0, -1.0], [0.0, 0.5]], requires_grad=True)
    >>> EnsLoss()(logits, torch.tensor([1, 1, 1])).backward()
    >>> derivative = logits.grad[:, 1]
    >>> bool(derivative[1] <= derivative[2] <= derivative[0] < 0)  # margins -1, 0.5 and 2
    True
    """

    card = Card(
        paper=58, year=2024, kind="loss", handles=frozenset({"clean labels"}), cost="light",
        reference="Dai, EnsLoss: Stochastic Calibrated Loss Ensembles for Preventing Overfitting in Classification, 2024.",
        apart="It draws at random among losses that each do as well, and nothing in a table asks for that.",
    )  # fmt: skip
    tune = {"powers": [(0.0, 1.0), (-1.0, 1.0)], "period": [1, 10]}

    calls: Tensor
    rows_seen: Tensor

    def __init__(self, period: int = 10, powers: tuple[float, float] = (0.0, 1.0), random_state: int = 0) -> None:
        super().__init__()
        self.period = int(checked(self, "period", period, Count))
        self.random_state = int(checked(self, "random_state", random_state, Natural))
        if len(powers) != 2 or not -1 <= powers[0] <= powers[1] <= 1:
            raise InputError(f"EnsLoss: powers must be two numbers in [-1, 1], the smaller first. Got {powers!r}.")
        self.powers, self.n_rows = (float(powers[0]), float(powers[1])), 0
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("rows_seen", torch.zeros((), dtype=torch.int64))

    def bind(self, n_rows: int, n_classes: int) -> Self:
        """Learn how many rows an epoch has, and start at the first draw."""
        self.n_rows = n_rows
        self.calls.zero_()
        self.rows_seen.zero_()
        return self

    def forward(self, logits: Tensor, y: Tensor, index: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Return the weighted mean; rows of weight zero take no part in the sorting."""
        self.check(logits, y, index)
        check_weight(type(self), logits, weight)
        if weight is None or bool((weight > 0).all()):
            return super().forward(logits, y, index, weight)
        kept = weight > 0
        return super().forward(logits[kept], y[kept], None, weight[kept]) if kept.any() else 0 * logits.sum()

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return ``sum g s`` of each row, with newly drawn derivatives."""
        s = margins(logits, y)
        g = self.derivatives(s.detach())
        self.calls += 1
        self.rows_seen += len(y)
        return (g * s).sum(1)

    def derivatives(self, s: Tensor) -> Tensor:
        """Return the derivatives drawn for margins ``(b, m)`` at this call, of the same shape."""
        u = torch.randn(s.numel(), generator=self._stream(1, int(self.calls)), dtype=torch.float64)
        g = -inverse_box_cox(u, self.power()).clamp_max(1).sort(descending=True).values
        flat = s.flatten()
        assigned = torch.empty_like(flat)
        assigned[flat.argsort(stable=True)] = g.to(flat)
        return (assigned / flat.clamp_min(1) - TAIL).reshape(s.shape)

    def power(self) -> float:
        """Return the Box-Cox exponent of this call."""
        done = int(self.rows_seen) // self.n_rows if self.n_rows else int(self.calls)
        times = done // self.period
        low, high = self.powers
        draw = torch.rand((), generator=self._stream(0, times), dtype=torch.float64)
        return low + (high - low) * float(draw) if times else 0.0

    def _stream(self, kind: int, number: int) -> torch.Generator:
        mixed = (self.random_state * 1_000_003 + 2 * number + kind) * 2_654_435_761
        return torch.Generator().manual_seed(mixed % 2**63)


def margins(logits: Tensor, y: Tensor) -> Tensor:
    """Return margins ``(b, 1)`` of two classes, ``(b, K)`` of several, one against the rest."""
    sign = 2 * F.one_hot(y, logits.shape[1]).to(logits.dtype) - 1
    return (sign * logits).sum(1, keepdim=True) if logits.shape[1] == 2 else sign * logits


def inverse_box_cox(u: Tensor, power: float) -> Tensor:
    """Return ``exp(u)`` for power 0, else ``max(1 + power u, 0)^(1 / power)``."""
    return u.exp() if power == 0 else (1 + power * u).clamp_min(0) ** (1 / power)
