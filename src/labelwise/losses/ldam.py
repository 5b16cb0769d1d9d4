"""Margins that are larger for rarer classes, and weights that set in late."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from labelwise.base import Card, NonNegative, Positive
from labelwise.losses.counted import CountedLoss, check_arguments
from labelwise.parts.class_counts import class_weights, margins


class LDAM(CountedLoss):
    """Cross-entropy of ``scale (z - margin_y at y)``: a class of n rows must win by a margin that grows as ``n^(-1/4)``.

    From `defer` on, each row also has its class's weight, one over the effective number of rows (LDAM-DRW). The scores z
    are meant to be cosines, as `labelwise.nets.CosineHead` gives them (``LongTailClassifier(criterion=LDAM(),
    head="cosine")``). On an ordinary output layer they are one over `scale` of what is usually called logits: set
    ``scale=1`` where their softmax should be probabilities without recalibration. Equal counts leave one margin for all.

    Parameters
    ----------
    largest
        Margin of the rarest class, >= 0; 0 leaves a scaled cross-entropy.
    scale
        > 0; the larger, the harder the margin.
    defer
        Share of training before the class weights are switched on, in [0, 1]; 1 nearly never does.

    References
    ----------
    Cao, Wei, Gaidon, Arechiga, Ma: Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss. NeurIPS 2019.

    Examples
    --------
    >>> y = torch.tensor([0] * 16 + [1])
    >>> loss = LDAM().bind(17, 2).count(y)
    >>> loss.margins
    tensor([0.2500, 0.5000], dtype=torch.float64)
    """

    card = Card(
        year=2019, kind="loss", handles=frozenset({"imbalance"}),
        reference="Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019.",
    )  # fmt: skip
    tune = {"largest": [0.2, 0.5], "scale": [10.0, 30.0]}
    margins: Tensor
    weights: Tensor

    def __init__(self, largest: float = 0.5, scale: float = 30.0, defer: float = 0.8) -> None:
        super().__init__(defer)
        check_arguments(self, largest=(largest, NonNegative), scale=(scale, Positive))
        self.largest, self.scale = largest, scale
        self.register_buffer("margins", None)
        self.register_buffer("weights", None)

    def settle(self, counts: NDArray[np.float64]) -> None:
        """Keep the margins and the class weights."""
        self.margins = torch.as_tensor(margins(counts, self.largest))
        self.weights = torch.as_tensor(class_weights(counts, "effective"))

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row."""
        margin = self.of_classes("margins", logits)[y]
        lowered = logits.scatter_add(1, y[:, None], -margin[:, None])
        value = F.cross_entropy(self.scale * lowered, y, reduction="none")
        return self.of_classes("weights", logits)[y] * value if self.switched_on() else value
