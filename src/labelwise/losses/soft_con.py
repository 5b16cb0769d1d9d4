"""Soft contrast: two rows should be as alike as their label sets are."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.base import Card, InputError, Method, Positive
from labelwise.losses.label_sets import Alike, label_cosine
from labelwise.losses.pair_contrast import cosines, pair_contrast

REFERENCE = (
    "Wang et al.: Multi-label guided soft contrastive learning for efficient Earth observation pretraining, 2024."
)


class SoftCon(Method, nn.Module):
    """Contrast of two views: each row finds itself, and every pair is as alike as its label sets are.

    ``l_ij = cos(q_i, k_j) / t``. The first part is ``-mean_i log softmax_j(l_ij)_i`` over all rows; the second, over pairs
    with a known label in common, the binary cross-entropy of ``sigmoid(l_ij + bias)`` and ``S_ij = cos(y_i, y_j)``, mean
    over pairs; or with ``target="softmax"`` the cross-entropy of ``softmax_j(l_ij)`` and ``S_ij / sum_j S_ij``.
    The bias is learnt: without it a pair at right angles is half alike. Rows without any known label take part in the
    first part alone.

    Differs from the paper: its text does not give the second part's form, and both are offered.

    Parameters
    ----------
    temperature
        t > 0.
    weight
        Of the second part, >= 0.
    target
        ``"bce"`` judges each pair by itself, ``"softmax"`` a row's pairs among one another.
    instance
        Whether the first part is added.

    References
    ----------
    Wang, Albrecht, Zhu: Multi-label guided soft contrastive learning for efficient Earth observation pretraining. 2024
    (paper 251).

    Examples
    --------
    >>> z = torch.eye(3)  # three rows at right angles, both views alike
    >>> y = torch.tensor([[1, 0], [0, 1], [0, 1]])
    >>> parts = SoftCon(temperature=1.0).parts(z, z, y)
    >>> {name: round(float(value.detach()), 3) for name, value in parts.items()}
    {'instance': 0.551, 'labels': 0.567}
    """

    card = Card(
        paper=251, year=2024, reference=REFERENCE, kind="part", handles=frozenset({"representation", "missing labels"}),
        supervision=frozenset(), task="multi-label", needs=frozenset({"views"}),
    )  # fmt: skip
    tune = {"temperature": [0.1, 0.2, 0.5], "target": ["bce", "softmax"]}

    def __init__(
        self,
        temperature: float = 0.2,
        weight: float = 1.0,
        target: Literal["bce", "softmax"] = "bce",
        instance: bool = True,
    ) -> None:
        super().__init__()
        if temperature not in Positive:
            raise InputError(f"SoftCon: temperature must be {Positive}. Got {temperature!r}.")
        if weight < 0:
            raise InputError(f"SoftCon: weight must be at least 0. Got {weight!r}.")
        if target not in ("bce", "softmax"):
            raise InputError(f"SoftCon: target must be 'bce' or 'softmax'. Got {target!r}.")
        self.temperature, self.weight, self.target, self.instance = temperature, weight, target, instance
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, q: Tensor, k: Tensor, y: Tensor) -> Tensor:
        """Return the sum of the parts.

        Parameters
        ----------
        q, k
            Embeddings ``(b, d)`` of two views of the same rows; gradients reach those that have one.
        y
            Labels ``(b, L)``: 1 yes, 0 no, -1 unknown.
        """
        return torch.stack(list(self.parts(q, k, y).values())).sum()

    def parts(self, q: Tensor, k: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return both parts by name, the second times its weight."""
        if q.shape != k.shape or len(y) != len(q) or y.ndim != 2:
            raise InputError(
                f"SoftCon expects q and k (b, d) and y (b, L). Got {tuple(q.shape)}, {tuple(k.shape)}, {tuple(y.shape)}."
            )
        similarity = cosines(q, k, self.temperature)
        alike = label_cosine(y)
        soft = self._each_pair(similarity, alike) if self.target == "bce" else _among_pairs(similarity, alike)
        parts = {"instance": pair_contrast(similarity, _own(similarity)).mean()} if self.instance else {}
        return parts | {"labels": self.weight * soft}

    def _each_pair(self, similarity: Tensor, alike: Alike) -> Tensor:
        known = alike.known.to(similarity.dtype)
        scores = similarity + self.bias.to(similarity.dtype)
        value = F.binary_cross_entropy_with_logits(scores, alike.value.to(scores.dtype), weight=known, reduction="sum")
        return value / known.sum().clamp_min(1)

    def extra_repr(self) -> str:
        """Show the constructor's arguments."""
        return f"temperature={self.temperature}, weight={self.weight}, target={self.target!r}"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {name: getattr(self, name) for name in ("temperature", "weight", "target", "instance")}


def _own(similarity: Tensor) -> Tensor:
    return torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)


def _among_pairs(similarity: Tensor, alike: Alike) -> Tensor:
    """Cross-entropy among the pairs whose likeness is known; those not known are no candidates."""
    weight = torch.where(alike.known, alike.value, 0.0)
    left_out = torch.zeros_like(similarity).masked_fill(~alike.known, -torch.inf)
    return pair_contrast(similarity, weight, left_out).sum() / (weight.sum(1) > 0).sum().clamp_min(1)
