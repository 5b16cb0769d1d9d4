"""Asymmetric focal loss of several labels per row: easy negatives count little, very easy ones nothing."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from labelwise.base import Card, InputError
from labelwise.losses.base import Loss

LEAST = 1e-8


def asymmetric_entries(
    yes: Tensor,
    no: Tensor,
    target: Tensor,
    gamma_positive: float | Tensor,
    gamma_negative: float | Tensor,
) -> Tensor:
    """Return ``-[t log yes + (1 - t) log no] (1 - p_t)^gamma``, no gradient through the focusing factor.

    Parameters
    ----------
    yes, no
        What counts as the probability of a positive and of a negative entry, ``(b, L)``; they need not add up to 1.
    target
        1 or 0, of the same shape and float type.
    gamma_positive, gamma_negative
        Focusing powers, numbers or of a shape that fits.
    """
    value = -target * yes.clamp_min(LEAST).log() - (1 - target) * no.clamp_min(LEAST).log()
    with torch.no_grad():
        told = target * yes + (1 - target) * no
        focus = (1 - told).clamp_min(0) ** (target * gamma_positive + (1 - target) * gamma_negative)
    return focus * value


class AsymmetricLoss(Loss):
    """Focal binary cross-entropy whose negatives fade out, so that many easy ones do not drown the few positives.

    ``-(1 - p)^gamma_positive log p`` for a positive entry, ``-q^gamma_negative log(1 - q)`` with ``q = max(p - margin,
    0)`` for a negative one; no gradient flows through the focusing factors. Mean over the entries of a row that count.
    With both powers and the margin 0 it is binary cross-entropy, with equal powers and margin 0 the focal loss.

    Differs from the paper: the mean over entries in place of the sum.

    Parameters
    ----------
    gamma_positive, gamma_negative
        Focusing powers, >= 0.
    margin
        Probability below which a negative entry counts nothing, in [0, 1).
    unknown
        ``left out``: unknown entries (-1) count nowhere; ``negative``: as negatives, for data of which only positives
        were stated.

    References
    ----------
    Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter, Zelnik-Manor: Asymmetric Loss For Multi-Label Classification.
    ICCV 2021.

    Examples
    --------
    >>> loss, scores = AsymmetricLoss(), torch.zeros(1, 3)
    >>> round(float(loss(scores, torch.tensor([[1, 0, -1]]))), 4)  # (log 2 + 0.45^4 * 0.598) / 2
    0.3588
    """

    card = Card(
        year=2021, kind="loss", handles=frozenset({"imbalance", "missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}),
        reference="Ridnik et al., Asymmetric Loss For Multi-Label Classification, ICCV 2021.",
    )  # fmt: skip
    tune = {"gamma_negative": [1.0, 2.0, 4.0], "margin": [0.0, 0.05]}

    def __init__(
        self,
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
        unknown: Literal["left out", "negative"] = "left out",
    ) -> None:
        super().__init__()
        if not (gamma_positive >= 0 and gamma_negative >= 0 and 0 <= margin < 1):
            raise InputError(
                "AsymmetricLoss needs gamma_positive >= 0, gamma_negative >= 0 and margin in [0, 1). "
                f"Got {gamma_positive}, {gamma_negative}, {margin}."
            )
        if unknown not in ("left out", "negative"):
            raise InputError(f"AsymmetricLoss.unknown must be 'left out' or 'negative'. Got {unknown!r}.")
        self.gamma_positive, self.gamma_negative, self.margin = gamma_positive, gamma_negative, margin
        self.unknown = unknown

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the mean over the entries of each row that count; a row without any gives 0."""
        z = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        counts = (y >= 0) | (self.unknown == "negative")
        target = (y == 1).to(z.dtype)
        no = ((-z).sigmoid() + self.margin).clamp_max(1)
        value = asymmetric_entries(z.sigmoid(), no, target, self.gamma_positive, self.gamma_negative)
        return ((counts * value).sum(1) / counts.sum(1).clamp_min(1)).to(logits.dtype)
