"""Weights of classes by their numbers of rows, around any loss, switched on late if wanted."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labelwise.base import Card, InputError, Range
from labelwise.losses.base import CrossEntropy, Loss
from labelwise.losses.counted import CountedLoss, check_arguments
from labelwise.parts.class_counts import class_weights


class ClassBalanced(CountedLoss):
    """Any loss of class codes, times a weight for the row's class that falls with the class's number of rows.

    ``loss_i = w_{y_i} base_i`` with ``w_k`` one over the count, its square root, or the effective number ``(1 - beta^n) /
    (1 - beta)``, scaled to mean 1 over classes. Equal counts change nothing.

    Parameters
    ----------
    kind
        ``inverse``, ``square root`` or ``effective``.
    beta
        Of the effective number, in [0, 1): 0 weighs nothing, near 1 is ``inverse``.
    base
        The loss that is weighted, with one value a row; None takes the cross-entropy.
    defer
        Share of training before the weights are switched on, in [0, 1]: 0.8 is deferred re-weighting, which first learns
        the representation from all rows alike.

    References
    ----------
    Cui, Jia, Lin, Song, Belongie: Class-Balanced Loss Based on Effective Number of Samples. CVPR 2019.
    Cao, Wei, Gaidon, Arechiga, Ma: Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss. NeurIPS 2019
    (deferred re-weighting).

    Examples
    --------
    >>> y = torch.tensor([0, 0, 0, 1])
    >>> loss = ClassBalanced(kind="inverse").count(y)
    >>> loss.pointwise(torch.zeros(4, 2), y)  # 0.5 and 1.5 times log 2
    tensor([0.3466, 0.3466, 0.3466, 1.0397])
    """

    card = Card(
        year=2019, kind="loss", handles=frozenset({"imbalance"}),
        reference="Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019.",
    )  # fmt: skip
    tune = {"kind": ["inverse", "square root"], "defer": [0.0, 0.8]}
    weights: Tensor

    def __init__(
        self, kind: Literal["inverse", "square root", "effective"] = "effective", beta: float = 0.9999,
        base: Loss | None = None, defer: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(defer)
        if kind not in ("inverse", "square root", "effective"):
            raise InputError(f"ClassBalanced.kind must be 'inverse', 'square root' or 'effective'. Got {kind!r}.")
        check_arguments(self, beta=(beta, Range(low=0, high=1, high_open=True)))
        self.kind, self.beta = kind, beta
        self.base = CrossEntropy() if base is None else base
        self.reads_index = self.base.reads_index
        self.register_buffer("weights", None)

    def settle(self, counts: NDArray[np.float64]) -> None:
        """Keep the class weights."""
        kind: Literal["inverse", "square root", "effective"] = self.kind
        self.weights = torch.as_tensor(class_weights(counts, kind, self.beta))

    def bind(self, n_rows: int, n_classes: int) -> Self:
        """Make room for the base loss's rows, and take all classes as equal until `count`; return self."""
        self.base.bind(n_rows, n_classes)
        return super().bind(n_rows, n_classes)

    def count(self, y: Tensor) -> Self:
        """Take in the class codes of all training rows, and hand them to the base loss; return self."""
        self.base.count(y)
        return super().count(y)

    def advance(self, share: float) -> None:
        """Hear that `share` of training has passed, and tell the base loss."""
        self.base.advance(share)
        super().advance(share)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the base loss of each row times the weight of its class."""
        value = self.base.pointwise(logits, y, index)
        return self.of_classes("weights", logits)[y] * value if self.switched_on() else value
