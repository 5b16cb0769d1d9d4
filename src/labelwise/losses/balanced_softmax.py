"""Softmax in which every class is given its share of the rows: the logits then rank classes as if all were equal."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from labelwise.base import Card, NonNegative
from labelwise.losses.counted import CountedLoss, check_arguments


class BalancedSoftmax(CountedLoss):
    """Cross-entropy of ``logits + tau log(class shares)``: what frequency explains, the logits need not.

    ``tau`` 1 is the balanced softmax, whose best logits have the highest mean recall of classes; any ``tau`` is the
    logit-adjusted loss, 0 the cross-entropy. ``softmax(logits + tau log(shares))`` are the probabilities that it trains.

    Parameters
    ----------
    tau
        >= 0. A class without a row counts as having one.

    References
    ----------
    Ren et al.: Balanced Meta-Softmax for Long-Tailed Visual Recognition. NeurIPS 2020.
    Menon et al.: Long-tail learning via logit adjustment. ICLR 2021.

    Examples
    --------
    >>> y = torch.tensor([0, 0, 0, 1])
    >>> loss = BalancedSoftmax().count(y)
    >>> loss.pointwise(torch.zeros(4, 2), y).exp()  # one over the class shares
    tensor([1.3333, 1.3333, 1.3333, 4.0000])
    """

    card = Card(
        year=2020, kind="loss", handles=frozenset({"imbalance"}),
        reference="Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020.",
    )  # fmt: skip
    tune = {"tau": [0.5, 1.0, 1.5]}
    log_shares: Tensor

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        check_arguments(self, tau=(tau, NonNegative))
        self.tau = tau
        self.register_buffer("log_shares", None)

    def settle(self, counts: NDArray[np.float64]) -> None:
        """Keep the logarithms of the class shares."""
        found = np.maximum(counts, 1)
        self.log_shares = torch.as_tensor(np.log(found / found.sum()))

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the cross-entropy of each row's adjusted logits."""
        return F.cross_entropy(logits + self.tau * self.of_classes("log_shares", logits), y, reduction="none")
