"""Early-learning regularisation (Liu et al. 2020)."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card
from labelwise.losses.base import Loss
from labelwise.parts.memory import RowMemory


class ELR(Loss):
    """Pull predictions towards their own running mean, so that a wrong label learnt late meets resistance.

    ``t_i <- decay t_i + (1 - decay) p_i / sum(p_i)``, then ``loss_i = CE(f_i, y_i) + weight log(1 - <p_i, t_i>)`` with
    ``p = softmax(f)`` clamped to ``[1e-4, 1 - 1e-4]`` and no gradient through ``t``.

    Parameters
    ----------
    weight
        Strength of the pull, >= 0; 0 is the cross-entropy. The authors use 3 (10 classes, symmetric noise), 1
        (asymmetric) and 7 (100 classes).
    decay
        Of the running mean, in [0, 1); 0.7 for symmetric, 0.9 for asymmetric noise or many classes.

    References
    ----------
    Liu, Niles-Weed, Razavian and Fernandez-Granda, Early-Learning Regularization Prevents Memorization of Noisy Labels,
    NeurIPS 2020 (paper 7).

    Examples
    --------
    >>> import torch
    >>> loss = ELR(weight=3.0).bind(n_rows=4, n_classes=3)
    >>> value = loss(torch.zeros(2, 3), torch.tensor([0, 2]), index=torch.tensor([1, 3]))
    >>> round(float(value), 4)
    0.7825
    """

    card = Card(
        paper=7, year=2020, kind="loss", handles=frozenset({"noise"}), cost="light",
        reference="Liu et al., Early-Learning Regularization Prevents Memorization of Noisy Labels, NeurIPS 2020.",
    )  # fmt: skip
    tune = {"weight": [1.0, 3.0, 7.0], "decay": [0.7, 0.9]}
    reads_index = True

    def __init__(self, weight: float = 3.0, decay: float = 0.7) -> None:
        super().__init__()
        self.weight, self.decay = weight, decay

    def bind(self, n_rows: int, n_classes: int) -> Self:
        """Start the running means of `n_rows` rows at zero."""
        self.memory = RowMemory(n_rows, n_classes, self.decay)
        return self

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return cross-entropy plus the regulariser of each row, and move the rows' running means."""
        assert index is not None
        p = logits.softmax(1).clamp(1e-4, 1 - 1e-4)
        target = self.memory.update(index, F.normalize(p.detach(), p=1, dim=1))
        agreement = (target * p).sum(1)
        return F.cross_entropy(logits, y, reduction="none") + self.weight * torch.log1p(-agreement)
