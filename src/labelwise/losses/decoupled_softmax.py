"""A softmax over many labels in which the true labels of a row do not compete with one another (DEXML)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from labelwise.base import Card, Count, InputError, Method

REFERENCE = "Gupta et al.: Dual-Encoders for Extreme Multi-Label Classification. ICLR 2024."


class PairLoss(Method, nn.Module):
    """What losses of scores and masks share: reading the masks, drawing positives, the mean over rows that have one."""

    def __init__(self, sampled: int | None = None) -> None:
        super().__init__()
        if sampled is not None and sampled not in Count:
            raise InputError(f"{type(self).__name__}: sampled must be None or {Count}. Got {sampled!r}.")
        self.sampled = sampled

    def forward(
        self, scores: Tensor, pos_mask: Tensor, neg_mask: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the mean over the rows that have a positive; zero where none has.

        Parameters
        ----------
        scores
            ``(b, m)`` scores of m labels, already divided by the temperature.
        pos_mask
            Bool ``(b, m)``: the labels that are true.
        neg_mask
            Bool ``(b, m)``: the labels known to be false. None takes every label that is not true for false. What is in
            neither mask has no influence at all.
        generator
            Draws the positives where `sampled` is set; None takes torch's own.

        Raises
        ------
        InputError
            When the shapes differ, or a label is in both masks.
        """
        pos, neg = read_masks(scores, pos_mask, neg_mask)
        value = self.pointwise(scores, pos, neg, generator)
        return value.sum() / pos.any(1).sum().clamp_min(1)

    def pointwise(self, scores: Tensor, pos: Tensor, neg: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one value a row, ``(b,)``; zero for rows without a positive."""
        raise NotImplementedError


def read_masks(scores: Tensor, pos_mask: Tensor, neg_mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return both masks as bool; raise `InputError` where they do not fit the scores or each other."""
    pos = pos_mask.bool()
    neg = ~pos if neg_mask is None else neg_mask.bool()
    if scores.ndim != 2 or pos.shape != scores.shape or neg.shape != scores.shape:
        raise InputError(
            f"scores, pos_mask and neg_mask must have one shape (b, m). Got {tuple(scores.shape)}, "
            f"{tuple(pos.shape)} and {tuple(neg.shape)}."
        )
    if neg_mask is not None and bool((pos & neg).any()):
        row, label = (int(i) for i in (pos & neg).nonzero()[0])
        raise InputError(f"label {label} of row {row} is in pos_mask and in neg_mask: a label is true or false.")
    return pos, neg


def drawn(pos: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Return a mask of `count` random positives of each row, all of them where there are fewer.

    >>> drawn(torch.tensor([[True, True, False, True]]), 2).sum(1)
    tensor([2])
    """
    count = min(count, pos.shape[1])
    chance = torch.rand(pos.shape, generator=generator, device=pos.device).masked_fill(~pos, -1.0)
    first = chance.topk(count, dim=1).indices
    return torch.zeros_like(pos).scatter_(1, first, True) & pos


def masked_logsumexp(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the logsumexp of each row over the mask, ``(b,)``; very low, with a gradient of zero, where it is empty."""
    low = torch.finfo(scores.dtype).min / 4
    return torch.logsumexp(scores.masked_fill(~mask, low), 1)


def row_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of each row over the mask, ``(b,)``; zero where it is empty."""
    return torch.where(mask, values, 0.0).sum(1) / mask.sum(1).clamp_min(1)


class DecoupledSoftmax(PairLoss):
    """A softmax in which each true label competes with the false ones, not with the row's other true labels.

    Mean over rows of the mean over positives p of ``-log e^s_p / (e^s_p + sum over negatives e^s_j)``, that is
    ``softplus(N - s_p)`` with N the logsumexp over the negatives. The ordinary softmax has its optimum where all positives
    of a row have the same score, so it pulls an easy one down to the others; here each may be as high as it likes.

    Parameters
    ----------
    sampled
        Positives drawn at each call from every row; None takes all. A positive not drawn takes part in nothing.

    References
    ----------
    Gupta, Khatri, Rawat, Bhojanapalli, Jain, Dhillon: Dual-Encoders for Extreme Multi-Label Classification. ICLR 2024
    (paper 41).

    Examples
    --------
    >>> scores = torch.tensor([[5.0, 1.0, 0.0]])
    >>> loss = DecoupledSoftmax()(scores, torch.tensor([[True, True, False]]))  # (log(1 + e^-5) + log(1 + e^-1)) / 2
    >>> round(float(loss), 4)
    0.16
    """

    card = Card(
        paper=41, year=2024, reference=REFERENCE, kind="part", handles=frozenset({"missing labels"}),
        supervision=frozenset(), task="multi-label",
    )  # fmt: skip
    tune = {"sampled": [None, 1]}

    def pointwise(self, scores: Tensor, pos: Tensor, neg: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the mean over its positives of each row, ``(b,)``."""
        taken = pos if self.sampled is None else drawn(pos, self.sampled, generator)
        return row_mean(softplus(masked_logsumexp(scores, neg)[:, None] - scores), taken)
