"""Losses whose sum over all labels is constant, which symmetric label noise cannot mislead, and SCE, which adds one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from labelwise.base import Card, NonNegative, Range
from labelwise.losses.base import Loss
from labelwise.losses.proba import checked, log_own, log_proba

Negative = Range(high=0, high_open=True)


class MAE(Loss):
    """Mean absolute error of probabilities, ``1 - p_y``: half of ``sum_k |p_k - [k = y]|``.

    Sums to ``K - 1`` over the labels, hence tolerant to symmetric noise; slow to learn many classes, because rows with a
    small ``p_y`` have almost no gradient. The comp-sum loss with ``tau = 2``.

    References
    ----------
    Ghosh, Kumar and Sastry, Robust Loss Functions under Label Noise for Deep Neural Networks, AAAI 2017.

    Examples
    --------
    >>> import torch
    >>> round(float(MAE()(torch.zeros(1, 4), torch.tensor([2]))), 4)
    0.75
    """

    card = Card(
        year=2017, kind="loss", handles=frozenset({"noise"}),
        reference="Ghosh, Kumar and Sastry, Robust Loss Functions under Label Noise for Deep Neural Networks, AAAI 2017.",
        apart="It is the robust half of SCE and ActivePassive, which race in its place.",
    )  # fmt: skip

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return ``1 - p_y`` of each row."""
        return -torch.expm1(log_own(logits, y))


class RCE(Loss):
    """Reverse cross-entropy ``-sum_k p_k log [k = y] = -log_zero (1 - p_y)``: `MAE`, scaled.

    Parameters
    ----------
    log_zero
        What stands for the logarithm of zero, < 0; ``log 1e-4`` in the authors' code.

    References
    ----------
    Wang, Ma, Chen, Luo, Yi and Bailey, Symmetric Cross Entropy for Robust Learning with Noisy Labels, ICCV 2019.

    Examples
    --------
    >>> import torch
    >>> round(float(RCE(log_zero=-4.0)(torch.zeros(1, 4), torch.tensor([2]))), 4)
    3.0
    """

    card = Card(
        year=2019, kind="loss", handles=frozenset({"noise"}),
        reference="Wang et al., Symmetric Cross Entropy for Robust Learning with Noisy Labels, ICCV 2019.",
        apart="It is one half of SCE, which races in its place.",
    )  # fmt: skip

    def __init__(self, log_zero: float = math.log(1e-4)) -> None:
        super().__init__()
        self.log_zero = checked(self, "log_zero", log_zero, Negative)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the reverse cross-entropy of each row."""
        return self.log_zero * torch.expm1(log_own(logits, y))


class NCE(Loss):
    """Normalised cross-entropy: ``log p_y / sum_k log p_k``, the label's share of the cross-entropies with every label.

    Sums to 1 over the labels, hence tolerant to symmetric noise; alone it learns too little, see `ActivePassive`.

    References
    ----------
    Ma, Huang, Wang, Romano, Erfani and Bailey, Normalized Loss Functions for Deep Learning with Noisy Labels, ICML 2020.

    Examples
    --------
    >>> import torch
    >>> round(float(NCE()(torch.zeros(1, 4), torch.tensor([2]))), 4)
    0.25
    """

    card = Card(
        year=2020, kind="loss", handles=frozenset({"noise"}),
        reference="Ma et al., Normalized Loss Functions for Deep Learning with Noisy Labels, ICML 2020.",
        apart="It is one half of ActivePassive, which races in its place.",
    )  # fmt: skip

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the share of each row, in [0, 1]."""
        log_p = log_proba(logits)
        return log_p.gather(1, y[:, None]).squeeze(1) / log_p.sum(1)


class SCE(Loss):
    """Symmetric cross-entropy: ``alpha CE + beta RCE`` with ``RCE = -log_zero (1 - p_y)``.

    The cross-entropy learns, the noise-tolerant reverse one keeps wrong labels from being learnt.

    Parameters
    ----------
    alpha, beta
        Weights of the two, >= 0. The authors use (0.1, 1) for 10 classes and (6, 0.1) for 100. ``alpha = 1 - b`` and
        ``beta = b`` is the one-parameter form of other comparisons.
    log_zero
        What stands for the logarithm of zero, < 0: -4 in comparisons, ``log 1e-4 = -9.2`` in the authors' code.

    References
    ----------
    Wang, Ma, Chen, Luo, Yi and Bailey, Symmetric Cross Entropy for Robust Learning with Noisy Labels, ICCV 2019.

    Examples
    --------
    >>> import torch
    >>> round(float(SCE(alpha=1.0, beta=0.5)(torch.zeros(1, 4), torch.tensor([2]))), 4)
    2.8863
    """

    card = Card(
        year=2019, kind="loss", handles=frozenset({"noise"}),
        reference="Wang et al., Symmetric Cross Entropy for Robust Learning with Noisy Labels, ICCV 2019.",
    )  # fmt: skip
    tune = {"alpha": [0.03, 0.1, 0.3, 1.0]}

    def __init__(self, alpha: float = 0.1, beta: float = 1.0, log_zero: float = -4.0) -> None:
        super().__init__()
        self.alpha = checked(self, "alpha", alpha, NonNegative)
        self.beta = checked(self, "beta", beta, NonNegative)
        self.log_zero = checked(self, "log_zero", log_zero, Negative)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the weighted sum of each row."""
        log_p = log_own(logits, y)
        return -self.alpha * log_p + self.beta * self.log_zero * torch.expm1(log_p)


class JS(Loss):
    """Jensen-Shannon divergence of label and prediction, scaled: from cross-entropy (weight 0) to `MAE` (weight 1).

    ``(weight KL(e_y || m) + (1 - weight) KL(p || m)) / -((1 - weight) log(1 - weight))`` with ``m = weight e_y + (1 -
    weight) p``. Bounded, hence tolerant to noise; the scale gives it these two limits.

    Parameters
    ----------
    weight
        Of the label in the mixture, in (0, 1).

    References
    ----------
    Englesson and Azizpour, Generalized Jensen-Shannon Divergence Loss for Learning with Noisy Labels, NeurIPS 2021; the
    form of one prediction (their generalised form adds the predictions of further views).

    Examples
    --------
    >>> import torch
    >>> round(float(JS(weight=0.5)(torch.zeros(1, 4), torch.tensor([2]))), 4)
    1.0976
    """

    card = Card(
        year=2021, kind="loss", handles=frozenset({"noise"}),
        reference="Englesson and Azizpour, Generalized Jensen-Shannon Divergence Loss, NeurIPS 2021.",
    )  # fmt: skip
    tune = {"weight": [0.1, 0.3, 0.5, 0.7, 0.9]}

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = checked(self, "weight", weight, Range(0, 1, low_open=True, high_open=True))

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the scaled divergence of each row; a function of ``p_y`` alone."""
        log_p, rest = log_own(logits, y), math.log1p(-self.weight)
        p = log_p.exp()
        log_m = torch.log(self.weight + (1 - self.weight) * p)
        of_prediction = p * (log_p - log_m) + rest * torch.expm1(log_p)
        return (self.weight * log_m - (1 - self.weight) * of_prediction) / ((1 - self.weight) * rest)
