"""Threshold-consistent margin (Zhang et al. 2024): one threshold of similarity should serve all classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from labelwise.base import UNLABELED, Card, Fraction, InputError, Method, NonNegative


class ThresholdConsistentMargin(Method, nn.Module):
    """Regulariser of embeddings: pulls pairs of a class above one similarity, pushes others below another.

    ``positive_weight * mean of (m+ - s) over pairs of one class with s <= m+``
    ``+ negative_weight * mean of (s - m-) over pairs of two classes with s >= m-``,
    with cosines ``s``; a mean over no pair is 0. Added to any loss that trains embeddings (proxy, triplet,
    multi-similarity). Only hard pairs are touched, so that what is in order stays as it is.

    Parameters
    ----------
    positive_margin, negative_margin
        ``m+`` and ``m-``, cosines in [-1, 1].
    positive_weight, negative_weight
        Of the two parts, >= 0.

    References
    ----------
    Zhang et al.: Threshold-Consistent Margin Loss for Open-World Deep Metric Learning. ICLR 2024.

    Examples
    --------
    >>> rows = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])  # cosines 0.6, 0.8 and 0.96
    >>> loss = ThresholdConsistentMargin()(rows, torch.tensor([0, 0, 1]))  # 0.9 - 0.6, mean of 0.8 - 0.5 and 0.96 - 0.5
    >>> round(float(loss), 4)
    0.68
    """

    card = Card(
        paper=84, year=2024, kind="part", handles=frozenset({"calibration", "unseen classes"}), cost="light",
        reference="Zhang et al., Threshold-Consistent Margin Loss for Open-World Deep Metric Learning, ICLR 2024.",
    )  # fmt: skip
    tune = {"positive_margin": [0.7, 0.8, 0.9], "negative_margin": [0.3, 0.4, 0.5]}

    def __init__(
        self,
        positive_margin: float = 0.9,
        negative_margin: float = 0.5,
        positive_weight: float = 1.0,
        negative_weight: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value in (("positive_margin", positive_margin), ("negative_margin", negative_margin)):
            if abs(value) not in Fraction:
                raise InputError(f"ThresholdConsistentMargin.{name} must be a cosine in [-1, 1]. Got {value!r}.")
        for name, value in (("positive_weight", positive_weight), ("negative_weight", negative_weight)):
            if value not in NonNegative:
                raise InputError(f"ThresholdConsistentMargin.{name} must be {NonNegative}. Got {value!r}.")
        self.positive_margin, self.negative_margin = positive_margin, negative_margin
        self.positive_weight, self.negative_weight = positive_weight, negative_weight

    def forward(self, embeddings: Tensor, y: Tensor) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        embeddings
            Rows ``(b, d)``; they are scaled to length 1.
        y
            Class codes ``(b,)``; a row labelled -1 is in no pair.

        Raises
        ------
        InputError
            When shapes do not fit.
        """
        if embeddings.ndim != 2 or y.shape != embeddings.shape[:1]:
            raise InputError(
                "ThresholdConsistentMargin expects embeddings of shape (b, d) and y of shape (b,). "
                f"Got {tuple(embeddings.shape)} and {tuple(y.shape)}."
            )
        exact = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
        rows = normalize(exact, dim=1, eps=torch.finfo(embeddings.dtype).eps)
        s = rows @ rows.T
        known = (y != UNLABELED)[:, None] & (y != UNLABELED)
        same = known & (y[:, None] == y) & ~torch.eye(len(y), dtype=torch.bool, device=y.device)
        loose = _mean(self.positive_margin - s, same & (s <= self.positive_margin))
        close = _mean(s - self.negative_margin, known & (y[:, None] != y) & (s >= self.negative_margin))
        return (self.positive_weight * loose + self.negative_weight * close).to(embeddings.dtype)

    def extra_repr(self) -> str:
        """Show the constructor's arguments."""
        return ", ".join(f"{name}={value}" for name, value in vars(self).items() if isinstance(value, float))


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp_min(1)
