"""The likelihood of a row's true labels under a differentiable choice of k labels (DEXML)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import logsigmoid

from labelwise.base import Card, Count, InputError, Positive
from labelwise.losses.decoupled_softmax import REFERENCE, PairLoss, drawn, row_mean

STEPS = 32


def shift_of(scores: Tensor, k: Tensor, alpha: float, part: Tensor, steps: int = STEPS) -> Tensor:
    """Return the t of each row with ``sum over part of sigmoid(alpha (s + t)) = k``, (b, 1), by bisection.

    Parameters
    ----------
    scores
        ``(b, m)``.
    k
        ``(b, 1)``, each above 0 and below the number of labels in `part`.
    alpha
        Steepness, > 0.
    part
        Bool ``(b, m)``: the labels that are chosen from.
    steps
        Each halves the interval that holds t.
    """
    room = 10 / alpha
    low = -scores.masked_fill(~part, -torch.inf).amax(1, keepdim=True) - room
    high = -scores.masked_fill(~part, torch.inf).amin(1, keepdim=True) + room
    for _ in range(steps):
        middle = (low + high) / 2
        total = torch.where(part, torch.sigmoid(alpha * (scores + middle)), 0.0).sum(1, keepdim=True)
        less = total < k
        low, high = torch.where(less, middle, low), torch.where(less, high, middle)
    return (low + high) / 2


class _LogSoftTopK(Function):
    """Logarithms of the chances to be among the k chosen; the gradient goes through the constraint, not the bisection."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, k: Tensor, alpha: float, part: Tensor, steps: int) -> Tensor:
        logits = alpha * (scores + shift_of(scores, k, alpha, part, steps))
        ctx.save_for_backward(logits, part)
        ctx.alpha = alpha
        return logsigmoid(logits)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        logits, part = ctx.saved_tensors
        p = torch.sigmoid(logits)
        down = ctx.alpha * torch.sigmoid(-logits)  # of log p by its own logit
        v = torch.where(part, p * down, 0.0)
        u = torch.where(part, grad * down, 0.0)
        total = v.sum(1, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
        return u - v * (u.sum(1, keepdim=True) / total), None, None, None, None


def log_soft_top_k(
    scores: Tensor, k: Tensor | int, alpha: float, part: Tensor | None = None, steps: int = STEPS
) -> Tensor:
    """Return the logarithm of the chance of each label to be among the k chosen, ``(b, m)``.

    ``log sigmoid(alpha (s_j + t))`` with t such that the chances of a row add up to k.

    Parameters
    ----------
    scores
        ``(b, m)``.
    k
        How many are chosen: one number, or one a row ``(b,)``; at most one less than there are labels to choose from.
    alpha
        Steepness, > 0: the higher, the nearer to the k highest scores.
    part
        Bool ``(b, m)``: the labels to choose from; None all. What is returned for the others means nothing.
    steps
        Of the bisection.

    Examples
    --------
    >>> log_soft_top_k(torch.tensor([[3.0, 2.9, 0.0, -1.0]]), 2, alpha=5.0).exp().round(decimals=2)
    tensor([[1., 1., 0., 0.]])
    """
    wide = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    part = torch.ones_like(scores, dtype=torch.bool) if part is None else part
    wanted = torch.as_tensor(k, device=scores.device).expand(len(scores)).to(wide.dtype)[:, None]
    room = part.sum(1, keepdim=True).to(wide.dtype)
    wanted = torch.minimum(wanted, (room - 1).clamp_min(0.5))
    apply: Any = _LogSoftTopK.apply
    value: Tensor = apply(wide, wanted, alpha, part, steps)
    return value


class SoftTopK(PairLoss):
    """Raises the chance of the true labels to be among the k best, and cares for nothing beyond the k-th place.

    Mean over rows of the mean over positives p of ``-log sigmoid(alpha (s_p + t))``, where t makes the chances of all labels
    of the row add up to k. t is found by bisection; its derivative follows from the constraint, so the backward pass costs
    what a sigmoid costs: with ``v_j = alpha p_j (1 - p_j)`` and ``u_j = g_j alpha (1 - p_j)``, ``u - v sum(u) / sum(v)``.
    Where a row has more than k positives, k of them are drawn and the others take part in nothing.

    Parameters
    ----------
    k
        Places that count, >= 1: the k at which precision is measured; ``"positives"`` takes each row's own number.
    alpha
        Steepness of the sigmoid, > 0.

    References
    ----------
    Gupta, Khatri, Rawat, Bhojanapalli, Jain, Dhillon: Dual-Encoders for Extreme Multi-Label Classification. ICLR 2024
    (paper 41).

    Examples
    --------
    >>> scores = torch.tensor([[4.0, 3.0, -4.0, -5.0, -6.0]])
    >>> true = torch.tensor([[True, False, False, False, False]])
    >>> [round(float(SoftTopK(k=k)(scores, true)), 2) for k in (1, 2)]  # second best is good enough for k = 2
    [0.31, 0.0]
    """

    card = Card(
        paper=41, year=2024, reference=REFERENCE, kind="part", handles=frozenset({"missing labels"}),
        supervision=frozenset(), task="multi-label",
    )  # fmt: skip
    tune = {"k": [1, 5, 100, "positives"]}

    def __init__(self, k: int | Literal["positives"] = 5, alpha: float = 2.0) -> None:
        super().__init__()
        if k != "positives" and k not in Count:
            raise InputError(f"SoftTopK: k must be {Count}, or 'positives'. Got {k!r}.")
        if alpha not in Positive:
            raise InputError(f"SoftTopK: alpha must be {Positive}. Got {alpha!r}.")
        self.k, self.alpha = k, alpha

    def pointwise(self, scores: Tensor, pos: Tensor, neg: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the mean over its positives of each row, ``(b,)``."""
        if isinstance(self.k, str):
            taken, k = pos, pos.sum(1).clamp_min(1)
        else:
            taken, k = drawn(pos, self.k, generator), torch.full((len(pos),), self.k, device=pos.device)
        part = taken | neg
        alone = part.sum(1) < 2  # nothing to choose from
        log_p = log_soft_top_k(scores, k, self.alpha, part | alone[:, None])
        return row_mean(-log_p, taken & ~alone[:, None]).to(scores.dtype)
