"""Dice losses: overlap of what is predicted with what is there, instead of the likelihood of every row."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from labelwise.base import Card, InputError, NonNegative, Positive
from labelwise.losses.base import Loss, check_weight
from labelwise.losses.counted import check_arguments


class SelfAdjustingDice(Loss):
    """One minus the Dice overlap of probabilities and labels, where easy entries count less: aims at F1.

    Every class is a yes-or-no question with probability p and label t. With ``q = (1 - p)^alpha p``, ``TP = q t``, ``FP = q
    (1 - t)``, ``FN = (1 - q) t`` (squared: ``q^2``, ``(1 - q)^2``), the loss is

    ``1 - (2 TP + smooth) / (2 TP + 2 false_positive FP + 2 false_negative FN + smooth)``,

    of each entry (``sample``, the paper's form) or of the sums over the batch (``set``), and then summed over classes. A
    half for both errors is Dice, other values Tversky's index.

    Scores and labels may be ``(b, K)`` with codes ``(b,)`` (softmax, each class against the rest), ``(b, 1)`` with codes 0
    and 1 (sigmoid), or ``(b, L)`` with labels ``(b, L)`` (sigmoid). Code and label -1 mean unknown, such as padding, and
    add nothing.

    The factor ``(1 - p)^alpha`` is part of the gradient, so probabilities of positives are pulled to ``1 / (1 + alpha)``,
    not to 1, and negatives above it are pushed up. They are no honest probabilities: recalibrate them
    (`labelwise.learner.LongTailClassifier`).

    Differs from the paper: the default is the form of sums. The form of entries weighs a negative about as a positive, and
    a network trained with it from its first weights mostly ends at predicting the largest class; so does either form with
    `alpha` near 1. The released code mixes the two (numerator of a row, denominator of the batch).

    Parameters
    ----------
    alpha
        >= 0: how much less easy entries count; 0 is the plain Dice loss, which with ``smooth=1`` may give a rare class up.
    smooth
        > 0; the larger, the more a plain negative counts.
    reduction_form
        ``sample`` (the paper's) or ``set``.
    squared
        Squares in the denominator, as above.
    false_positive, false_negative
        Weights of the two errors, > 0.
    hard_negatives
        Of each class's negatives in the batch, only the most probable count, at most so many for each positive; None: all.

    References
    ----------
    Li et al.: Dice Loss for Data-imbalanced NLP Tasks. ACL 2020 (paper 59).

    Examples
    --------
    >>> logits, y = torch.tensor([[4.0], [-4.0], [0.0]]), torch.tensor([1, 0, -1])
    >>> SelfAdjustingDice(alpha=0.0, reduction_form="sample").pointwise(logits, y)
    tensor([0.0060, 0.0177, 0.0000])
    """

    reads_sets = True
    reads_one_column = True
    card = Card(
        paper=59, year=2020, kind="loss", handles=frozenset({"imbalance"}),
        reference="Li et al., Dice Loss for Data-imbalanced NLP Tasks, ACL 2020.",
    )  # fmt: skip
    tune = {"alpha": [0.1, 0.5], "smooth": [0.01, 1.0]}

    def __init__(
        self, alpha: float = 0.1, smooth: float = 1.0, reduction_form: Literal["sample", "set"] = "set",
        squared: bool = False, false_positive: float = 0.5, false_negative: float = 0.5,
        hard_negatives: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        check_arguments(
            self, alpha=(alpha, NonNegative), smooth=(smooth, Positive), false_positive=(false_positive, Positive),
            false_negative=(false_negative, Positive),
            hard_negatives=(1.0 if hard_negatives is None else hard_negatives, Positive),
        )  # fmt: skip
        if reduction_form not in ("sample", "set"):
            raise InputError(f"SelfAdjustingDice.reduction_form must be 'sample' or 'set'. Got {reduction_form!r}.")
        self.alpha, self.smooth, self.reduction_form, self.squared = alpha, smooth, reduction_form, squared
        self.false_positive, self.false_negative, self.hard_negatives = false_positive, false_negative, hard_negatives

    def forward(self, logits: Tensor, y: Tensor, index: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Return the (weighted) mean over rows, or the loss of the batch as a set; see `Loss.forward`."""
        if self.reduction_form == "sample" or weight is None:
            return super().forward(logits, y, index, weight)
        self.check(logits, y, index)
        check_weight(type(self), logits, weight)
        weight = weight.to(logits.dtype)
        used = weight > 0
        mean = (weight.sum() / used.sum().clamp_min(1)).clamp_min(torch.finfo(weight.dtype).tiny)
        return self._of_set(logits, y, (weight / mean).to(logits)) * used.any()

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row; in the ``set`` form that of the batch for each."""
        if self.reduction_form == "set":
            return self._of_set(logits, y, torch.ones_like(logits[:, 0])).expand(len(logits))
        q, t, kept = self._entries(logits, y)
        return (kept * (1 - self._overlap(*self._hits_and_errors(q, t)))).sum(1)

    def _of_set(self, logits: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        q, t, kept = self._entries(logits, y)
        counted = kept * weight[:, None]
        sums = [(counted * part).sum(0) for part in self._hits_and_errors(q, t)]
        return (1 - self._overlap(*sums)).sum()

    def _entries(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return adjusted probabilities, labels 0 and 1, and which entries count, each ``(b, K)``."""
        softmax = y.ndim == 1 and logits.shape[1] > 1
        p = logits.softmax(1) if softmax else logits.sigmoid()
        codes = y if y.ndim == 2 else y[:, None]
        t = codes == torch.arange(logits.shape[1], device=y.device) if softmax else codes == 1
        kept = (codes != -1).expand_as(p) & self._hard_enough(p.detach(), t, codes != -1)
        wrong = (1 - p).clamp_min(torch.finfo(p.dtype).eps)  # the slope of a root is infinite at 0
        return wrong**self.alpha * p, t.to(p), kept.to(p)

    def _hits_and_errors(self, q: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gap = (q - t).square() if self.squared else (q - t).abs()
        return q * t, gap * (1 - t), gap * t

    def _overlap(self, hits: Tensor, false_positive: Tensor, false_negative: Tensor) -> Tensor:
        errors = 2 * self.false_positive * false_positive + 2 * self.false_negative * false_negative
        return (2 * hits + self.smooth) / (2 * hits + errors + self.smooth)

    def _hard_enough(self, p: Tensor, t: Tensor, known: Tensor) -> Tensor:
        """Return positives, and the most probable negatives of each class, as many as are wanted for each positive."""
        if self.hard_negatives is None:
            return torch.ones_like(t)
        negative = ~t & known
        most = (self.hard_negatives * (t & known).sum(0)).floor()
        order = torch.where(negative, p, -torch.inf).argsort(dim=0, descending=True, stable=True)
        place = torch.empty_like(order).scatter_(
            0, order, torch.arange(len(p), device=p.device)[:, None].expand_as(order)
        )
        return t | (negative & (place < most))
