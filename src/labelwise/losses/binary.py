"""Losses of several labels per row, where some labels are unknown, and of real targets."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card
from labelwise.losses.base import Loss


class MaskedBCE(Loss):
    """Binary cross-entropy over the known labels of each row: 1 yes, 0 no, -1 unknown (no gradient).

    References
    ----------
    The ordinary multi-label loss; unknown labels are left out, never counted as negative.

    Examples
    --------
    >>> import torch
    >>> loss = MaskedBCE()
    >>> round(float(loss(torch.zeros(1, 3), torch.tensor([[1, 0, -1]]))), 4)
    0.6931
    """

    card = Card(
        year=None, kind="loss", handles=frozenset({"missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), reference="Standard multi-label loss with a mask.",
    )  # fmt: skip

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the mean over the known labels of each row; a row without any known label gives 0."""
        known = (y >= 0).to(logits.dtype)
        value = F.binary_cross_entropy_with_logits(logits, y.clamp_min(0).to(logits.dtype), reduction="none")
        return (known * value).sum(1) / known.sum(1).clamp_min(1)


class SquaredError(Loss):
    """Squared error over the known (not NaN) targets of each row.

    References
    ----------
    Least squares.

    Examples
    --------
    >>> import torch
    >>> float(SquaredError()(torch.tensor([[1.0]]), torch.tensor([[3.0]])))
    4.0
    """

    card = Card(
        year=None, kind="loss", handles=frozenset({"clean labels"}), task="regression",
        supervision=frozenset({"real"}), reference="Least squares.",
        apart="The plain Regressor trains with it.",
    )  # fmt: skip

    elementwise = True

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the mean squared error over the known targets of each row."""
        known = y.isfinite()
        error = (logits - y.nan_to_num()).square() * known
        return error.sum(1) / known.sum(1).clamp_min(1)
