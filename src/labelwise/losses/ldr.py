"""Label-distributionally robust losses (Zhu, Ying and Yang 2023)."""

from __future__ import annotations

import math
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card
from labelwise.losses.base import Loss
from labelwise.parts.memory import gathered

_REFERENCE = (
    "Zhu, Ying and Yang, Label Distributionally Robust Losses for Multi-class Classification: Consistency, Robustness "
    "and Adaptivity, ICML 2023."
)


class LDR(Loss):
    """LDR-KL: the worst case over label distributions under a KL price, a softened margin over the wrong classes.

    ``loss = T log( mean_k exp((f_k - f_y + margin [k != y]) / T) )``. ``T -> 0`` is the Crammer-Singer hinge, ``T = 1``
    without margin is the cross-entropy less ``log K``, ``T -> inf`` the symmetric, noise-tolerant mean margin.

    Parameters
    ----------
    temperature
        ``T``, > 0: the price of leaving the uniform label distribution.
    margin
        Added to every wrong class, >= 0.
    normalize
        Divide softplus logits by their row mean first, as the authors' code does: the loss then cannot be lowered by
        scaling the logits, which is what makes a large temperature useful.

    References
    ----------
    Zhu, Ying and Yang, ICML 2023 (paper 43).

    Examples
    --------
    >>> import torch
    >>> loss = LDR(temperature=1.0, margin=0.0, normalize=False)
    >>> round(float(loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))), 4)
    -0.5662
    """

    card = Card(paper=43, year=2023, kind="loss", handles=frozenset({"noise"}), reference=_REFERENCE)
    tune = {"temperature": [0.1, 1.0, 10.0], "margin": [0.0, 0.1, 1.0]}

    def __init__(self, temperature: float = 1.0, margin: float = 0.1, normalize: bool = True) -> None:
        super().__init__()
        self.temperature, self.margin, self.normalize = temperature, margin, normalize

    def scaled(self, logits: Tensor) -> Tensor:
        """Return the logits whose size no longer matters."""
        if not self.normalize:
            return logits
        positive = F.softplus(logits)
        return positive / positive.mean(1, keepdim=True).clamp_min(torch.finfo(positive.dtype).tiny)  # all far below 0

    def temperatures(self, logits: Tensor, index: Tensor | None) -> Tensor | float:
        """Return the temperature of the batch, or one per row ``(b, 1)``."""
        return self.temperature

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the robust value of each row."""
        f = self.scaled(logits)
        t, n_classes = self.temperatures(f, index), f.shape[1]
        wrong = 1 - F.one_hot(y, n_classes).to(f.dtype)
        gap = f - f.gather(1, y[:, None]) + self.margin * wrong
        value: Tensor = t * (torch.logsumexp(gap / t, 1, keepdim=True) - math.log(n_classes))
        return value.squeeze(1)


class ALDR(LDR):
    """ALDR-KL: LDR with one temperature per row, low where the prediction is certain, high where it is not.

    ``T_i <- temperature (1 - KL(softmax(f_i / T_i), uniform) / (alpha log K))``: a row that fights its label keeps a
    large, noise-tolerant temperature. The term of the authors' loss that is constant in the logits is left out.

    Parameters
    ----------
    temperature
        Start and upper end of the rows' temperatures, > 0.
    margin
        Added to every wrong class, >= 0.
    alpha
        > 1: temperatures stay in ``[temperature (1 - 1/alpha), temperature]``.
    normalize
        Divide logits by their mean absolute value first, as the authors' code does.

    References
    ----------
    Zhu, Ying and Yang, ICML 2023 (paper 43).

    Examples
    --------
    >>> import torch
    >>> loss = ALDR(temperature=1.0, margin=0.0).bind(n_rows=2, n_classes=2)
    >>> value = loss(torch.tensor([[3.0, 1.0]]), torch.tensor([0]), index=torch.tensor([1]))
    >>> [round(float(t), 3) for t in loss.row_temperature.squeeze(1)]
    [1.0, 0.92]
    """

    card = Card(paper=43, year=2023, kind="loss", handles=frozenset({"noise"}), reference=_REFERENCE)
    tune = {"temperature": [1.0, 10.0], "margin": [0.0, 0.1, 1.0], "alpha": [2.0, 4.0]}
    reads_index = True

    row_temperature: Tensor

    def __init__(
        self, temperature: float = 10.0, margin: float = 0.1, alpha: float = 2.0, normalize: bool = True
    ) -> None:
        super().__init__(temperature, margin, normalize)
        self.alpha = alpha

    def bind(self, n_rows: int, n_classes: int) -> Self:
        """Start every row at the upper temperature."""
        self.register_buffer("row_temperature", torch.full((n_rows, 1), float(self.temperature)))
        return self

    def scaled(self, logits: Tensor) -> Tensor:
        """Return the logits over their mean absolute value."""
        return logits / logits.abs().mean(1, keepdim=True).clamp_min(1e-8) if self.normalize else logits

    @torch.no_grad()
    def temperatures(self, logits: Tensor, index: Tensor | None) -> Tensor:
        """Update and return the temperatures ``(b, 1)`` of the batch's rows."""
        assert index is not None
        p = (logits / self.row_temperature[index].to(logits.dtype)).softmax(1)
        certainty = 1 - torch.special.entr(p).sum(1, keepdim=True) / math.log(logits.shape[1])
        new: Tensor = self.temperature * (1 - certainty / self.alpha)
        rows, values = gathered(index, new.to(self.row_temperature.dtype))
        self.row_temperature[rows] = values
        return new
