"""Multi-label cluster discrimination: positives above zero, negatives below, each in a logarithm of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from labelwise.base import Card, InputError
from labelwise.losses.base import Loss


class MLCD(Loss):
    """Draws the scores of positive labels above zero and those of negative ones below, both as soft maxima.

    ``log(1 + sum over positives of e^-s) + log(1 + sum over negatives of e^s)`` with ``s = scale * score``. It equals
    ``log(1 + P + N + P N)`` for the two sums P and N; `joint` keeps only ``log(1 + P N)``, the multi-label cross-entropy
    that compares every positive with every negative and does not care where zero is. Unknown labels (-1) are in neither
    sum: to sample negatives, set the others to -1.

    Parameters
    ----------
    scale
        Of the scores, > 0; about 16 to 64 for cosines.
    joint
        Whether to use the undivided form, the baseline of the paper.

    References
    ----------
    Multi-label Cluster Discrimination for Visual Representation Learning, 2024 (paper 47). Su et al.: ZLPR, 2022.

    Examples
    --------
    >>> y = torch.tensor([[1, 0, -1]])
    >>> round(float(MLCD()(torch.zeros(1, 3), y)), 4), round(float(MLCD(joint=True)(torch.zeros(1, 3), y)), 4)
    (1.3863, 0.6931)
    """

    card = Card(
        paper=47, year=2024, kind="loss", handles=frozenset({"missing labels", "representation"}), task="multi-label",
        supervision=frozenset({"multilabel"}),
        reference="Multi-label Cluster Discrimination for Visual Representation Learning, 2024.",
    )  # fmt: skip
    tune = {"scale": [0.3, 1.0, 3.0]}

    def __init__(self, scale: float = 1.0, joint: bool = False) -> None:
        super().__init__()
        if not scale > 0:
            raise InputError(f"MLCD.scale must be above 0. Got {scale}.")
        self.scale, self.joint = scale, joint

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row; 0 for one without a known label."""
        z = self.scale * (logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits)
        positive = (-z).masked_fill(y != 1, -torch.inf)
        negative = z.masked_fill(y != 0, -torch.inf)
        if not self.joint:
            return (_log_one_plus(positive) + _log_one_plus(negative)).to(logits.dtype)
        some = (y == 1).any(1) & (y == 0).any(1)
        both = [part.masked_fill(~some[:, None], 0).logsumexp(1) for part in (positive, negative)]
        pairs = (both[0] + both[1]).masked_fill(~some, -torch.inf)
        return _log_one_plus(pairs[:, None]).to(logits.dtype)


def _log_one_plus(values: Tensor) -> Tensor:
    """Return ``log(1 + sum of e^v)`` of each row; entries of minus infinity add nothing."""
    return torch.cat([values.new_zeros(len(values), 1), values], 1).logsumexp(1)
