"""Weighted binary cross-entropy with a pull of correlated labels towards one another."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card, InputError
from labelwise.losses.base import Loss


class HybridMultiLabel(Loss):
    """Binary cross-entropy with capped weights for rare positives, plus a penalty where correlated labels disagree.

    ``bce_weight`` times the mean over known labels of the cross-entropy, in which a positive of label c counts ``w_c =
    min(cap, (n - n_c) / n_c)``; plus ``correlation_weight`` times the mean over pairs ``|R| (u_c - sign(R) u_c')^2``, where
    R is the phi coefficient of the pair among the training labels and ``u = p - 1/2``: labels that go together should be
    equally probable, labels that exclude each other opposite. Unknown labels (-1) take part in the second term only.

    The label counts are those of `count`, given once for all training labels; without it they are gathered from the batches,
    and a batch is judged by the counts before it (the first one as plain binary cross-entropy).

    Differs from the paper: the correlation term is a reconstruction, since the paper's text gives no formula; the third,
    contrastive term needs the hidden layer and lives in `labelwise.multilabel.HybridMultiLabelClassifier`.

    Parameters
    ----------
    bce_weight, correlation_weight
        Weights of the two terms, >= 0.
    cap
        Largest weight of a positive, >= 1.

    References
    ----------
    Improving Arabic Multi-Label Emotion Classification using Stacked Embeddings and Hybrid Loss Function, 2024 (paper 62).

    Examples
    --------
    >>> y = torch.tensor([[1, 1], [0, 0], [0, 0], [0, 0]])
    >>> loss = HybridMultiLabel().count(y)
    >>> loss.positive_weight(), loss.correlation()[0, 1]
    (tensor([3., 3.]), tensor(1.))
    >>> round(float(loss(torch.zeros(4, 2), y)), 4)  # log 2, where a positive counts three times
    1.0397
    """

    card = Card(
        paper=62, year=2024, kind="loss", handles=frozenset({"imbalance", "missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), cost="light",
        reference="Improving Arabic Multi-Label Emotion Classification using Stacked Embeddings and Hybrid Loss, 2024.",
    )  # fmt: skip
    tune = {"correlation_weight": [0.0, 0.1, 1.0], "cap": [5.0, 20.0]}
    unknown = "used"
    together: Tensor
    first_only: Tensor
    neither: Tensor

    def __init__(self, bce_weight: float = 1.0, correlation_weight: float = 0.1, cap: float = 20.0) -> None:
        super().__init__()
        if bce_weight < 0 or correlation_weight < 0 or cap < 1:
            raise InputError(
                "HybridMultiLabel needs bce_weight >= 0, correlation_weight >= 0 and cap >= 1. "
                f"Got {bce_weight}, {correlation_weight}, {cap}."
            )
        self.bce_weight, self.correlation_weight, self.cap = bce_weight, correlation_weight, cap
        self.fixed = False
        for name in ("together", "first_only", "neither"):
            self.register_buffer(name, None)

    def bind(self, n_rows: int, n_classes: int) -> Self:
        """Start the counts of pairs of labels at zero, unless `count` has given them."""
        if not self.fixed:
            self._reset(n_classes, torch.device("cpu"))
        return self

    def count(self, y: Tensor) -> Self:
        """Take the counts of all training labels ``(n, L)``, 1 yes, 0 no, -1 unknown, and keep them; return self."""
        self._reset(y.shape[1], y.device)
        self._add(y)
        self.fixed = True
        return self

    def positive_weight(self) -> Tensor:
        """Return the weight of a positive of each label, (L,); 1 for labels without any known entry."""
        positive = self.together.diagonal()
        weight = (self.neither.diagonal() / positive).clamp(max=self.cap)
        return torch.where(positive + self.neither.diagonal() > 0, weight, 1.0).float()

    def correlation(self) -> Tensor:
        """Return the phi coefficient of each two labels over rows where both are known, (L, L); 0 where undefined."""
        both, one, other, none = self.together, self.first_only, self.first_only.T, self.neither
        scale = ((both + one) * (other + none) * (both + other) * (one + none)).sqrt()
        return torch.where(scale > 0, (both * none - one * other) / scale, 0.0).float()

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row; a row without any known label keeps the correlation term."""
        counted = None if self.together is None else len(self.together)
        if counted != logits.shape[1]:
            if self.fixed:
                raise InputError(f"logits have {logits.shape[1]} labels, but {counted} were counted.")
            self._reset(logits.shape[1], logits.device)
        known, dtype = y >= 0, logits.dtype
        entry = F.binary_cross_entropy_with_logits(
            logits, y.clamp_min(0).to(dtype), reduction="none", pos_weight=self.positive_weight().to(logits)
        )
        value = (known * entry).sum(1) / known.sum(1).clamp_min(1)
        value = self.bce_weight * value + self.correlation_weight * self._disagreement(logits)
        if not self.fixed and torch.is_grad_enabled() and logits.requires_grad:
            self._add(y)
        return value

    def _disagreement(self, logits: Tensor) -> Tensor:
        """Mean over pairs of ``|R| (u - sign(R) u')^2``, as a quadratic form: no array of rows by pairs."""
        R = self.correlation().to(logits).fill_diagonal_(0)
        u, n_labels = logits.sigmoid() - 0.5, len(R)
        total = u.square() @ R.abs().sum(0) - ((u @ R) * u).sum(1)
        return total / max(1, n_labels * (n_labels - 1) // 2)

    def _reset(self, n_labels: int, device: torch.device) -> None:
        for name in ("together", "first_only", "neither"):
            setattr(self, name, torch.zeros(n_labels, n_labels, dtype=torch.float64, device=device))

    @torch.no_grad()
    def _add(self, y: Tensor) -> None:
        yes, no = (y == 1).double(), (y == 0).double()
        if self.together.device != yes.device:
            self.to(yes.device)
        self.together += yes.T @ yes
        self.first_only += yes.T @ no
        self.neither += no.T @ no
