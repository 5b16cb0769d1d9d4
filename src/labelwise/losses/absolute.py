"""The absolute error of real targets."""

from __future__ import annotations

from torch import Tensor

from labelwise.base import Card
from labelwise.losses.base import Loss


class AbsoluteError(Loss):
    """Absolute error over the known (not NaN) targets of each row: a far-off target pulls no harder than a near one.

    References
    ----------
    Least absolute deviations.

    Examples
    --------
    >>> import torch
    >>> float(AbsoluteError()(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, float("nan")]])))
    2.0
    """

    card = Card(
        year=None, kind="loss", handles=frozenset({"clean labels"}), task="regression",
        supervision=frozenset({"real"}), reference="Least absolute deviations.",
    )  # fmt: skip

    elementwise = True

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the mean absolute error over the known targets of each row."""
        known = y.isfinite()
        error = (logits - y.nan_to_num()).abs() * known
        return error.sum(1) / known.sum(1).clamp_min(1)
