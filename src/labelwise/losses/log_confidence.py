"""The log-confidence loss: believe one's own sure predictions more and more, beside cheap labels (Burns et al. 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card, InputError
from labelwise.losses.base import Loss


def balanced_predictions(p: Tensor, share: Tensor) -> Tensor:
    """Return hard predictions ``(b,)`` in which class c has about ``share[c]`` of the rows.

    Every class claims its most probable rows. For two classes this is one threshold at a quantile of the batch; with more, a
    row claimed by several classes or by none takes the most probable of them.

    >>> balanced_predictions(torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]), torch.tensor([2 / 3, 1 / 3]))
    tensor([0, 0, 1])
    """
    place = p.argsort(dim=0, descending=True, stable=True).argsort(0)
    claimed = place < (share * len(p)).round()
    return torch.where(claimed.any(1, keepdim=True), p * claimed, p).argmax(1)


class LogConfidence(Loss):
    """Cross-entropy towards a mix of the cheap label and the network's own hard prediction.

    ``CE(f, (1 - a) y + a s)``: s is the detached hard prediction, balanced so that each class is predicted as often in the
    batch as it is labelled, and a rises linearly from 0 to `peak` over the first `warmup_steps` steps with a gradient. The
    network so keeps what it is sure of where a cheap label contradicts it. For training on labels of a weaker source.

    Differs from the paper: more than two classes, by `balanced_predictions`. The balance is that of the batch, so a row of
    weight zero still takes part in it.

    Parameters
    ----------
    peak
        Final weight of the network's own predictions, in [0, 1]; 0 is the cross-entropy.
    warmup_steps
        Steps over which the weight rises, >= 0.

    References
    ----------
    Burns et al., Weak-to-Strong Generalization, 2023, in the form used for quantity against quality of labels by Mallen and
    Belrose, Balancing Label Quantity and Quality for Scalable Elicitation, 2024 (paper 88).

    Examples
    --------
    >>> loss = LogConfidence(peak=0.5, warmup_steps=0)
    >>> logits, y = torch.tensor([[2.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 0, 1, 1])
    >>> loss.pointwise(logits, y)  # the third label contradicts a sure prediction and costs half of its 3.05
    tensor([0.1269, 1.1269, 1.5486, 0.0486])
    """

    card = Card(
        paper=88, year=2024, kind="loss", handles=frozenset({"noise"}), cost="light",
        reference="Mallen, Belrose, Balancing Label Quantity and Quality for Scalable Elicitation, 2024.",
        apart="It is the loss of SequentialFineTuning, whose first stage it serves.",
    )  # fmt: skip
    tune = {"peak": [0.25, 0.5, 0.75]}
    step: Tensor

    def __init__(self, peak: float = 0.5, warmup_steps: int = 200) -> None:
        super().__init__()
        if not 0 <= peak <= 1 or warmup_steps < 0:
            raise InputError(f"LogConfidence needs 0 <= peak <= 1 and warmup_steps >= 0. Got {peak}, {warmup_steps}.")
        self.peak, self.warmup_steps = peak, warmup_steps
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the cross-entropy of each row; `y` may be class codes ``(b,)`` or soft targets ``(b, K)``."""
        soft = F.one_hot(y, logits.shape[1]) if y.ndim == 1 else y
        soft = soft.to(logits.dtype)
        own = balanced_predictions(logits.detach().softmax(1), soft.mean(0))
        weight = self._weight()
        target = (1 - weight) * soft + weight * F.one_hot(own, logits.shape[1]).to(logits.dtype)
        if torch.is_grad_enabled() and logits.requires_grad:
            self.step += 1
        return F.cross_entropy(logits, target, reduction="none")

    def _weight(self) -> float:
        return self.peak * min(1.0, float(self.step) / self.warmup_steps) if self.warmup_steps else self.peak
