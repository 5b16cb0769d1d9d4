"""The triplet loss between queries and class prototypes (SuSana)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labelwise.base import Card, InputError, Method, Positive

REFERENCE = "SuSana Distancia is all you need: two novel distance-based losses for few-shot classification, 2023."


def prototypes_of(z: Tensor, y: Tensor, n_classes: int) -> Tensor:
    """Return the mean embedding of each class ``(n_classes, d)``; every class occurs in `y`."""
    member = nn.functional.one_hot(y, n_classes).to(z.dtype)
    return member.T @ z / member.sum(0)[:, None].clamp_min(1)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return Euclidean distances ``(n, m)``, in single precision at least, with a gradient of zero where rows are equal."""
    half = (torch.float16, torch.bfloat16)
    a, b = (v.float() if v.dtype in half else v for v in (a, b))
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


class ProtoTriplet(Method, nn.Module):
    """Each query must be nearer to its own class's prototype than to the nearest other one, by a margin.

    ``mean over queries of max(0, d(q, c_y) - min over k != y of d(q, c_k) + margin)`` with Euclidean distances.

    Parameters
    ----------
    margin
        > 0.

    References
    ----------
    SuSana Distancia is all you need: Enforcing class separability in metric learning via two novel distance-based loss
    functions for few-shot image classification, 2023 (paper 22).

    Examples
    --------
    >>> prototypes = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> ProtoTriplet(margin=0.5)(torch.tensor([[0.4, 0.0]]), torch.tensor([0]), prototypes)  # 0.4 - 0.6 + 0.5
    tensor(0.3000)
    """

    card = Card(
        paper=22, year=2023, reference=REFERENCE, kind="part", handles=frozenset({"unseen classes", "few labels"}),
    )  # fmt: skip
    tune = {"margin": [0.2, 0.5, 1.0]}

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        if margin not in Positive:
            raise InputError(f"ProtoTriplet: margin must be {Positive}. Got {margin!r}.")
        self.margin = margin

    def forward(self, query: Tensor, y: Tensor, prototypes: Tensor) -> Tensor:
        """Return the mean over queries.

        Parameters
        ----------
        query
            Embeddings ``(n, d)``.
        y
            Their classes ``(n,)``, numbers of rows of `prototypes`.
        prototypes
            One vector a class ``(K, d)``, K >= 2; see `prototypes_of`.
        """
        if query.ndim != 2 or prototypes.ndim != 2 or query.shape[1] != prototypes.shape[1] or len(y) != len(query):
            shapes = f"{tuple(query.shape)}, {tuple(y.shape)} and {tuple(prototypes.shape)}"
            raise InputError(f"query must be (n, d), y (n,) and prototypes (K, d). Got {shapes}.")
        if len(prototypes) < 2:
            raise InputError("prototypes must hold at least 2 classes, of which one is the other's negative.")
        d = distances(query, prototypes)
        own = nn.functional.one_hot(y, len(prototypes)).bool()
        nearest_other = d.masked_fill(own, torch.inf).amin(1)
        return (d[own] - nearest_other + self.margin).clamp_min(0).mean().to(query.dtype)

    def extra_repr(self) -> str:
        """Show the constructor's argument."""
        return f"margin={self.margin}"
