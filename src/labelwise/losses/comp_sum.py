"""Comp-sum losses: one family from the sum-exponential through cross-entropy to the mean absolute error."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card, Range
from labelwise.losses.base import Loss
from labelwise.losses.proba import checked


class CompSum(Loss):
    """``((1 / p_y)^(1 - tau) - 1) / (1 - tau)``: with ``tau`` the loss moves from steep to noise-tolerant.

    ``tau = 0`` is the sum-exponential loss, 1 the cross-entropy, ``1 < tau < 2`` the generalised cross-entropy with
    ``q = tau - 1``, and 2 the mean absolute error ``1 - p_y``. Computed in log-space, so that no exponent overflows
    before the loss itself does.

    Parameters
    ----------
    tau
        >= 0. 1.7 is the usual choice for noisy labels (GCE with q = 0.7).

    References
    ----------
    Mao, Mohri and Zhong, Cross-Entropy Loss Functions: Theoretical Analysis and Applications, ICML 2023 (paper 74);
    Zhang and Sabuncu, Generalized Cross Entropy Loss, NeurIPS 2018.

    Examples
    --------
    >>> import torch
    >>> logits, y = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([0])
    >>> [round(float(CompSum(tau)(logits, y)), 4) for tau in (0.0, 1.0, 2.0)]
    [0.7358, 0.5514, 0.4239]
    """

    card = Card(
        paper=74, year=2023, kind="loss", handles=frozenset({"noise"}),
        reference="Mao, Mohri and Zhong, Cross-Entropy Loss Functions: Theoretical Analysis and Applications, ICML 2023.",
    )  # fmt: skip
    tune = {"tau": [1.0, 1.3, 1.5, 1.7, 1.8]}

    def __init__(self, tau: float = 1.7) -> None:
        super().__init__()
        self.tau = tau

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the family's value for each row."""
        surprise = F.cross_entropy(logits, y, reduction="none")  # log S = -log p_y
        slope = 1 - self.tau
        return surprise if slope == 0 else torch.expm1(slope * surprise) / slope


class GCE(CompSum):
    """Generalised cross-entropy ``(1 - p_y^q) / q``: the comp-sum loss with ``tau = 1 + q``.

    Parameters
    ----------
    q
        In (0, 1]: 0 would be the cross-entropy, 1 is the mean absolute error.
    truncate
        In [0, 1): rows with ``p_y`` up to here keep the value ``(1 - truncate^q) / q`` and have no gradient (the truncated
        loss; the authors use 0.5, after some epochs without). 0 is the loss itself.

    Raises
    ------
    InputError
        For arguments outside these ranges.

    References
    ----------
    Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels, NeurIPS 2018;
    as a member of the family: paper 74.

    Examples
    --------
    >>> import torch
    >>> round(float(GCE(q=1.0)(torch.zeros(1, 4), torch.tensor([2]))), 4)
    0.75
    """

    card = Card(
        paper=None, year=2018, kind="loss", handles=frozenset({"noise"}),
        reference="Zhang and Sabuncu, Generalized Cross Entropy Loss, NeurIPS 2018.",
        apart="It is one setting of CompSum, which races in its place.",
    )  # fmt: skip
    tune = {"q": [0.3, 0.5, 0.7, 0.9]}

    def __init__(self, q: float = 0.7, truncate: float = 0.0) -> None:
        super().__init__(tau=1 + checked(self, "q", q, Range(0, 1, low_open=True)))
        self.q, self.truncate = q, checked(self, "truncate", truncate, Range(0, 1, high_open=True))

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row, cut off where ``p_y <= truncate``."""
        value = super().pointwise(logits, y, index)
        return value if self.truncate == 0 else value.clamp_max((1 - self.truncate**self.q) / self.q)
