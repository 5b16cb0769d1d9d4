"""Focal loss: rows that are already right count less."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card, NonNegative
from labelwise.losses.base import Loss
from labelwise.losses.counted import check_arguments


class Focal(Loss):
    """Cross-entropy times ``(1 - p_y)^gamma``: the surer a row is already, the less it counts.

    ``gamma`` 0 is the cross-entropy. It knows nothing of class counts: ``ClassBalanced(base=Focal())`` adds their weights.

    Parameters
    ----------
    gamma
        >= 0; 2 in the paper, 1 is usual for long-tailed classes.

    References
    ----------
    Lin, Goyal, Girshick, He, Dollár: Focal Loss for Dense Object Detection. ICCV 2017.

    Examples
    --------
    >>> y = torch.tensor([0])
    >>> for z in (0.0, 3.0):
    ...     print(round(float(Focal(2.0)(torch.tensor([[z, 0.0]]), y)), 4))
    0.1733
    0.0001
    """

    card = Card(
        year=2017, kind="loss", handles=frozenset({"imbalance"}),
        reference="Lin et al., Focal Loss for Dense Object Detection, ICCV 2017.",
    )  # fmt: skip
    tune = {"gamma": [0.5, 1.0, 2.0]}

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        check_arguments(self, gamma=(gamma, NonNegative))
        self.gamma = gamma

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the focal loss of each row."""
        total = torch.logsumexp(logits, 1)
        others = logits.scatter(1, y[:, None], -torch.inf)
        log_wrong = torch.logsumexp(others, 1) - total  # the logarithm keeps the slope finite where p is 1
        return (self.gamma * log_wrong).exp() * F.cross_entropy(logits, y, reduction="none")
