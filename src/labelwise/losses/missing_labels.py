"""What to do where only some labels were stated: take the rest as negative, weigh that down, or stop believing it."""

from __future__ import annotations

from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card, InputError
from labelwise.losses.base import Loss


class AssumeNegative(Loss):
    """Binary cross-entropy that takes every unknown label as negative: the common reference for positives only.

    Wrong wherever an unknown label is in truth a yes; two ways soften that: `weight` counts assumed negatives less than
    stated ones, `smoothing` moves all targets from 1 and 0 to ``1 - smoothing / 2`` and ``smoothing / 2``. The value of a
    row is the sum of its entries' weighted cross-entropies over the number of labels.

    Parameters
    ----------
    weight
        Of an assumed negative, in [0, 1]; None takes ``1 / (L - 1)`` ("weak assume negative": made for one stated
        positive a row, whose weight all others then share).
    smoothing
        In [0, 1).

    References
    ----------
    Cole, Mac Aodha, Lorieul, Perona, Morris, Jojic: Multi-Label Learning from Single Positive Labels. CVPR 2021.

    Examples
    --------
    >>> y = torch.tensor([[1, -1, -1]])
    >>> [round(float(AssumeNegative(weight=w)(torch.zeros(1, 3), y)), 4) for w in (1.0, None, 0.0)]
    [0.6931, 0.4621, 0.231]
    """

    card = Card(
        year=2021, kind="loss", handles=frozenset({"missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}),
        reference="Cole et al., Multi-Label Learning from Single Positive Labels, CVPR 2021.",
    )  # fmt: skip
    tune = {"weight": [1.0, 0.3, None], "smoothing": [0.0, 0.1]}
    unknown = "negative"

    def __init__(self, weight: float | None = 1.0, smoothing: float = 0.0) -> None:
        super().__init__()
        if (weight is not None and not 0 <= weight <= 1) or not 0 <= smoothing < 1:
            raise InputError(
                f"AssumeNegative needs weight in [0, 1] or None, and smoothing in [0, 1). Got {weight}, {smoothing}."
            )
        self.weight, self.smoothing = weight, smoothing

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return each row's weighted sum over the number of labels."""
        n_labels = logits.shape[1]
        assumed = 1 / max(1, n_labels - 1) if self.weight is None else self.weight
        target = (y == 1).to(logits.dtype) * (1 - self.smoothing) + self.smoothing / 2
        entries = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return torch.where(y < 0, assumed * entries, entries).mean(1)


class LargeLoss(Loss):
    """Binary cross-entropy that takes unknown labels as negative, except those whose loss is among the largest.

    A network learns right labels before wrong ones: an assumed negative with a large loss is probably a missed positive.
    After every epoch a larger share of the entries of a batch, those of largest loss among the assumed negatives, is
    treated otherwise: left out (``reject``), or taken as positive for this step (``correct``). With ``keep`` a fixed small
    share is made positive for good at every step after the first epoch. Stated labels are never doubted.

    Parameters
    ----------
    mode
        ``reject`` (LL-R), ``correct`` (LL-Ct) or ``keep`` (LL-Cp, remembered by row: then `bind` and `index` matter).
    share
        Of a batch's entries, in [0, 1): reached at the end of training, growing evenly from 0, with ``reject`` and
        ``correct``; per epoch with ``keep``.

    References
    ----------
    Kim, Kim, Akata, Lee: Large Loss Matters in Weakly Supervised Multi-Label Classification. CVPR 2022.

    Examples
    --------
    >>> loss, y = LargeLoss("correct", share=0.25).bind(2, 2), torch.tensor([[1, -1], [-1, -1]])
    >>> scores, rows = torch.tensor([[2.0, 3.0], [-2.0, -2.0]]), torch.arange(2)
    >>> before = float(loss(scores, y, rows))
    >>> loss.advance(1.0)
    >>> round(before - float(loss(scores, y, rows)), 4)  # the entry of score 3 is now a positive: 3 less over 4 entries
    0.75
    """

    card = Card(
        year=2022, kind="loss", handles=frozenset({"missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}),
        reference="Kim et al., Large Loss Matters in Weakly Supervised Multi-Label Classification, CVPR 2022.",
    )  # fmt: skip
    tune = {"mode": ["reject", "correct", "keep"], "share": [0.01, 0.03, 0.1]}
    unknown = "negative"
    reads_index = True
    progress: Tensor
    corrected: Tensor

    def __init__(self, mode: Literal["reject", "correct", "keep"] = "reject", share: float = 0.03) -> None:
        super().__init__()
        if mode not in ("reject", "correct", "keep") or not 0 <= share < 1:
            raise InputError(
                f"LargeLoss needs mode 'reject', 'correct' or 'keep' and share in [0, 1). Got {mode!r}, {share}."
            )
        self.mode, self.share = mode, share
        self.register_buffer("progress", torch.zeros(()))
        self.register_buffer("corrected", torch.zeros(0, 0, dtype=torch.bool))

    def bind(self, n_rows: int, n_classes: int) -> Self:
        """Make room for what ``keep`` corrects."""
        self.corrected = torch.zeros(n_rows if self.mode == "keep" else 0, n_classes, dtype=torch.bool)
        self.progress = torch.zeros(())
        return self

    def advance(self, share: float) -> None:
        """Hear how far training is."""
        self.progress.fill_(share)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the mean over each row's entries, rejected ones counting 0."""
        positive, assumed = y == 1, y < 0
        if self.mode == "keep" and len(self.corrected):
            changed = self.corrected.to(y.device)[index] & assumed
            positive, assumed = positive | changed, assumed & ~changed
        entries = F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), reduction="none")
        large = self._large(entries.detach(), assumed)
        if self.mode == "reject":
            return (~large * entries).mean(1)
        if self.mode == "keep" and len(self.corrected) and torch.is_grad_enabled() and logits.requires_grad:
            self.corrected = self.corrected.to(y.device)
            self.corrected[index] |= large
        return torch.where(large, F.softplus(-logits), entries).mean(1)

    def _large(self, entries: Tensor, assumed: Tensor) -> Tensor:
        """Mark the assumed negatives of largest loss, as many as the schedule allows."""
        passed = float(self.progress)
        share = self.share * (float(passed > 0) if self.mode == "keep" else passed)
        allowed = min(int(share * entries.numel()), int(assumed.sum()))
        if not allowed:
            return torch.zeros_like(assumed)
        values = torch.where(assumed, entries, -torch.inf)
        chosen = values.flatten().topk(allowed).indices
        return torch.zeros_like(assumed).flatten().index_fill(0, chosen, True).view_as(assumed)
