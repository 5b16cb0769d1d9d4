"""Positive labels alone: a variational positive-unlabelled loss per label, with a temperature and a weight that adapt."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card, InputError
from labelwise.losses.base import Loss, check_weight

REFERENCE = "Positive Label Is All You Need for Multi-Label Classification, 2023."
COLDEST = 1e-2
"""Least temperature: where all scores of a batch are alike their spread would be 0."""


class PUMLC(Loss):
    """Learns from stated positives alone: everything else, unknown or stated negative, is unlabelled.

    For every label, over a batch: ``balance * log(mean of p over all rows) - mean of log p over its positives``, whose
    minimum, with a balance of 1, is the probability of the label up to a factor, without knowing how many positives are
    missing. ``p = sigmoid(z / t)`` with ``t = min(1, alpha * standard deviation of z)``; ``balance = (mean of p)^gamma``.
    Neither t nor the balance passes a gradient. The value is the mean over labels; a label without a positive in the batch
    keeps the first term.

    Scores rank rows; as probabilities they need a recalibration (`labelwise.multilabel.PUMLCClassifier` has one).

    Differs from the paper: the mean over labels in place of the sum. ``log`` of the mean is taken without a small constant.

    Parameters
    ----------
    alpha
        Of the temperature, > 0; larger is closer to no temperature.
    gamma
        Power of the balance, >= 0; 0 is the plain variational loss.

    References
    ----------
    Positive Label Is All You Need for Multi-Label Classification, 2023 (paper 79). Chen et al.: A Variational Approach for
    Learning from Positive and Unlabeled Data. NeurIPS 2020.

    Examples
    --------
    >>> y = torch.tensor([[1], [-1], [-1]])
    >>> right, wrong = torch.tensor([[4.0], [-4.0], [-4.0]]), torch.tensor([[-4.0], [4.0], [4.0]])
    >>> bool(PUMLC()(right, y) < 0 < PUMLC()(wrong, y))
    True
    """

    card = Card(
        paper=79, year=2023, kind="loss", handles=frozenset({"missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), reference=REFERENCE,
    )  # fmt: skip
    tune = {"alpha": [1.0, 2.0], "gamma": [0.0, 0.55, 0.85]}
    unknown = "used"

    def __init__(self, alpha: float = 1.0, gamma: float = 0.55) -> None:
        super().__init__()
        if not (alpha > 0 and gamma >= 0):
            raise InputError(f"PUMLC needs alpha > 0 and gamma >= 0. Got {alpha}, {gamma}.")
        self.alpha, self.gamma = alpha, gamma

    def forward(self, logits: Tensor, y: Tensor, index: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Return the loss of the batch; rows count by `weight` ``(b,)`` in every mean. See `Loss.forward`."""
        self.check(logits, y, index)
        check_weight(type(self), logits, weight)
        weight = logits.new_ones(len(logits)) if weight is None else weight
        value = self._values(logits, y, weight)
        return ((weight * value).sum() / weight.sum().clamp_min(torch.finfo(torch.float32).tiny)).to(logits.dtype)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return one value per row; their mean is the loss of the batch."""
        return self._values(logits, y, logits.new_ones(len(logits))).to(logits.dtype)

    def _values(self, logits: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        z = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        tiny = torch.finfo(torch.float32).tiny
        share = (weight / weight.sum().clamp_min(tiny)).to(z)[:, None]
        log_p = F.logsigmoid(z / self._temperature(z.detach(), share))
        log_mean = (log_p + share.clamp_min(tiny).log()).logsumexp(0).clamp_min(math.log(tiny))
        balance = log_mean.detach().exp() ** self.gamma
        positive = share * (y == 1)
        inside = positive.sum(0)
        pull = (y == 1) * log_p / inside.clamp_min(tiny)
        return (balance * log_mean - torch.where(inside > 0, pull, 0.0)).mean(1)

    def _temperature(self, z: Tensor, share: Tensor) -> Tensor:
        """Return the temperature of each label, ``(L,)``."""
        mean = (share * z).sum(0)
        spread = (share * (z - mean).square()).sum(0).sqrt()
        return (self.alpha * spread).clamp(COLDEST, 1.0)
