"""Losses of rows of which only a statement about their bag is known: bag level, instance level, and between the two."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from labelwise.base import Fraction, InputError
from labelwise.parts.bags import bag_max, bag_mean


class BagLoss(nn.Module):
    """``(1 - rho) * bag level + rho * instance level``; every bag counts alike, however many rows it has.

    The bag level compares a bag's label with the mean of the outputs of its rows; the instance level compares it with the
    output of each row, as if every row had the bag's label, and averages within the bag.

    Parameters
    ----------
    rho
        Weight of the instance level in [0, 1].
    """

    def __init__(self, rho: float = 0.5) -> None:
        super().__init__()
        if rho not in Fraction:
            raise InputError(f"{type(self).__name__}: rho must be {Fraction}. Got {rho!r}.")
        self.rho = rho

    def bag_level(self, scores: Tensor, y: Tensor, bag: Tensor) -> Tensor:
        """Return the loss of each bag's mean output, ``(B,)``."""
        raise NotImplementedError(f"{type(self).__name__} must define bag_level.")

    def instance_level(self, scores: Tensor, y: Tensor, bag: Tensor) -> Tensor:
        """Return the loss of each row under its bag's label, ``(n,)``."""
        raise NotImplementedError(f"{type(self).__name__} must define instance_level.")

    def forward(self, scores: Tensor, y: Tensor, bag: Tensor) -> Tensor:
        """Return the mean over bags.

        Parameters
        ----------
        scores
            Outputs of the rows ``(n, K)``.
        y
            Labels of the bags ``(B, K)``.
        bag
            Bag of each row ``(n,)``, 0 to B - 1; every bag has a row.
        """
        value = scores.new_zeros(())
        if self.rho < 1:
            value = value + (1 - self.rho) * self.bag_level(scores, y, bag).mean()
        if self.rho > 0:
            value = value + self.rho * bag_mean(self.instance_level(scores, y, bag), bag, len(y)).mean()
        return value


class BagCrossEntropy(BagLoss):
    """Cross-entropy of class shares: ``-sum_k y_k log(mean of p_k)`` per bag, ``-sum_k y_k log p_k`` per row.

    With ``rho=0`` the loss known as DLLP; with ``rho=1`` every row is told its bag's proportions as a soft label.

    Parameters
    ----------
    rho
        Weight of the instance level in [0, 1].

    Examples
    --------
    >>> scores = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> half, same_bag = torch.tensor([[0.5, 0.5]]), torch.tensor([0, 0])
    >>> print(f"{BagCrossEntropy(0.0)(scores, half, same_bag):.3f} {BagCrossEntropy(1.0)(scores, half, same_bag):.3f}")
    0.693 1.127
    """

    def bag_level(self, scores: Tensor, y: Tensor, bag: Tensor) -> Tensor:
        """Return the cross-entropy of each bag's mean probabilities, ``(B,)``, worked out in logs."""
        log_p = log_softmax(scores, 1)
        top = bag_max(log_p.detach(), bag, len(y))
        mean = bag_mean((log_p - top[bag]).exp(), bag, len(y)).log() + top
        return -(y * mean).sum(1)

    def instance_level(self, scores: Tensor, y: Tensor, bag: Tensor) -> Tensor:
        """Return the cross-entropy of each row with its bag's shares, ``(n,)``."""
        return -(y[bag] * log_softmax(scores, 1)).sum(1)


class BagSquaredError(BagLoss):
    """Squared error of means: ``(y - mean of f)^2`` per bag, ``(y - f)^2`` per row, summed over targets.

    The instance level is the bag level plus the variance of the outputs within bags, so `rho` is the weight of a penalty
    that pulls the outputs of a bag together: less variance, more bias.

    Parameters
    ----------
    rho
        Weight of the instance level in [0, 1].
    """

    def bag_level(self, scores: Tensor, y: Tensor, bag: Tensor) -> Tensor:
        """Return the squared error of each bag's mean output, ``(B,)``."""
        return (bag_mean(scores, bag, len(y)) - y).square().sum(1)

    def instance_level(self, scores: Tensor, y: Tensor, bag: Tensor) -> Tensor:
        """Return the squared error of each row with its bag's mean, ``(n,)``."""
        return (scores - y[bag]).square().sum(1)


def bags_of(bag: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return labels of a batch's bags ``(B, K)``, taken from any of their rows, and each row's bag, 0 to B - 1."""
    numbers, local = torch.unique(bag, return_inverse=True)
    labels = values.new_empty(len(numbers), values.shape[1])
    labels[local] = values
    return labels, local
