"""Binary cross-entropy of several labels per row, where a rare label must be found with a larger margin."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card, InputError, NonNegative
from labelwise.losses.base import Loss
from labelwise.losses.proba import checked


class LabelMargin(Loss):
    """Binary cross-entropy of scores whose positives are first lowered by a margin, largest for rare labels.

    ``BCE(z_l - y_l * margin / n_l^power, y_l)``, the mean over the known labels of a row, where n_l is how often label l is
    yes among the training labels; a label that never is counts as one. Unknown labels (-1) have no gradient. The margin
    belongs to training: predictions use the scores as they are, which are then too high for probabilities unless they are
    recalibrated (`labelwise.learner.LongTailMultiLabelClassifier`).

    `count` gives the frequencies, as every learner does before training; without it every label counts as one.

    Differs from the paper: the mean is over the known labels of each row, not over all entries of the batch.

    Parameters
    ----------
    margin
        Of a label with a single positive, >= 0; 0 is `MaskedBCE`.
    power
        How fast margins fall with frequency, >= 0.

    References
    ----------
    Biswas, Pham, Zhang: TransICD: Transformer Based Code-wise Attention Model for Explainable ICD Coding, 2021 (paper 57);
    after Cao et al.: Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019.

    Examples
    --------
    >>> y = torch.cat([torch.tensor([[1, 1]]), torch.tensor([[1, 0]]).expand(15, 2)])
    >>> loss = LabelMargin(margin=2.0).count(y)
    >>> loss.margins()
    tensor([1., 2.])
    >>> round(float(loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[1, 1]]))), 4)  # the margins take both to zero: log 2
    0.6931
    """

    card = Card(
        paper=57, year=2021, kind="loss", handles=frozenset({"imbalance", "missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), cost="light",
        reference="Biswas, Pham, Zhang: TransICD, 2021; Cao et al., NeurIPS 2019.",
    )  # fmt: skip
    tune = {"margin": [0.5, 1.0, 3.0]}
    positives: Tensor | None

    def __init__(self, margin: float = 3.0, power: float = 0.25) -> None:
        super().__init__()
        self.margin = checked(self, "margin", margin, NonNegative)
        self.power = checked(self, "power", power, NonNegative)
        self.register_buffer("positives", None)

    def count(self, y: Tensor) -> Self:
        """Take how often each label is yes in ``(n, L)``; return self."""
        self.positives = (y == 1).sum(0).clamp_min(1)
        return self

    def margins(self) -> Tensor:
        """Return the margin of each label ``(L,)``; before `count`, one for all ``(1,)``."""
        counts = torch.ones(1) if self.positives is None else self.positives
        return self.margin * counts.float() ** -self.power

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the mean over the known labels of each row; a row without any known label gives 0."""
        if self.positives is not None and len(self.positives) != logits.shape[1]:
            raise InputError(f"logits have {logits.shape[1]} labels, but {len(self.positives)} were counted.")
        yes, known = (y == 1).to(logits.dtype), (y >= 0).to(logits.dtype)
        lowered = logits - yes * self.margins().to(logits)
        value = F.binary_cross_entropy_with_logits(lowered, yes, reduction="none")
        return (known * value).sum(1) / known.sum(1).clamp_min(1)
