"""The inter and intra class nearest neighbours score, and the loss made of it (SuSana)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from labelwise.base import Card, Count, InputError, Method
from labelwise.losses.proto_triplet import REFERENCE, distances

FLOOR = 1e-7


class ICNNScore(NamedTuple):
    """The score in [0, 1] and its parts: closeness of one class, distance of others, share of own-class neighbours."""

    score: Tensor
    same: Tensor
    different: Tensor
    purity: Tensor


def icnn_score(
    z: Tensor, y: Tensor, k: int = 4, reference: Tensor | None = None, reference_y: Tensor | None = None
) -> ICNNScore:
    """Return how well the nearest neighbours of each row tell its class; gradients flow through the distances.

    Of each row's P nearest (P: rows of the largest class, at least k + 1) the first k are scored:

    - ``same = 1 - mean`` of the distances to neighbours of its class, in units of the distance to the nearest row of
      another class, and of their row's maximum where that exceeds 1;
    - ``different``: mean distance to neighbours of other classes in units of the largest one; 1 where there is none;
    - ``purity``: mean share of the k that are of its class (no gradient).

    ``score = ((same + different) / 2 + purity) / 2``, higher is better.

    Parameters
    ----------
    z, y
        Embeddings ``(n, d)`` and classes ``(n,)``.
    k
        Neighbours scored, >= 1; fewer where there are not so many rows.
    reference, reference_y
        Where neighbours are looked for, e.g. the support set of queries; by default the other rows of `z`.

    References
    ----------
    SuSana Distancia is all you need, 2023 (paper 22). Reconstructed from the authors' code: a row without a neighbour of
    another class among its P is measured by its farthest one.

    Examples
    --------
    >>> z = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    >>> float(icnn_score(z, torch.tensor([0, 0, 1, 1]), k=1).score) > 0.95
    True
    >>> float(icnn_score(z, torch.tensor([0, 1, 0, 1]), k=1).score) < 0.6
    True
    """
    if z.ndim != 2 or y.shape != z.shape[:1] or (reference is None) != (reference_y is None):
        raise InputError(
            f"z must be (n, d) and y (n,), reference and reference_y both given or not. Got {tuple(z.shape)}."
        )
    if k not in Count:
        raise InputError(f"k must be {Count}. Got {k!r}.")
    others, other_y = (z, y) if reference is None or reference_y is None else (reference, reference_y)
    d = distances(z, others)
    if reference is None:
        own = torch.eye(len(z), dtype=torch.bool, device=z.device)
        d = d.masked_fill(own, torch.inf)
    there = len(others) - (reference is None)
    if there < 1:
        raise InputError("z must have at least 2 rows, or a reference set: there is no neighbour to look at.")
    near = min(there, max(k + 1, int(torch.unique(other_y, return_counts=True)[1].max())))
    values, at = d.topk(near, dim=1, largest=False)
    return _parts(values, y[:, None] == other_y[at], min(k, near))


def _parts(values: Tensor, same: Tensor, k: int) -> ICNNScore:
    """Return the score from sorted distances ``(n, P)`` and whether each neighbour is of the row's class."""
    impostor = values.masked_fill(same, torch.inf).amin(1)
    unit = torch.where(torch.isfinite(impostor), impostor, values[:, -1]).clamp_min(FLOOR)
    relative = values[:, :k] / unit[:, None]
    relative = relative / relative.amax(1, keepdim=True).clamp_min(1)
    first, own = values[:, :k], same[:, :k]
    closeness = 1 - _mean_of_rows(relative, own, empty=1.0)
    apart = _mean_of_rows(first / first.max().clamp_min(FLOOR), ~own, empty=1.0)
    purity = own.to(values.dtype).mean()
    return ICNNScore(((closeness + apart) / 2 + purity) / 2, closeness, apart, purity)


def _mean_of_rows(values: Tensor, mask: Tensor, empty: float) -> Tensor:
    """Return the mean over rows, that have any, of the mean of their masked values; `empty` where no row has."""
    count = mask.sum(1)
    if not bool(mask.any()):
        return values.new_tensor(empty)
    means = torch.where(mask, values, 0.0).sum(1) / count.clamp_min(1)
    return means[count > 0].mean()


class ICNN(Method, nn.Module):
    """Minus the logarithm of the neighbours' score: draws rows of one class together and others apart, near ones first.

    ``-log(icnn_score(z, y))``; see `icnn_score`. Use it beside the cross-entropy of an episode, on the support set, on
    queries against the support set, or on both.

    Parameters
    ----------
    k
        Neighbours scored, >= 1.

    References
    ----------
    SuSana Distancia is all you need: Enforcing class separability in metric learning via two novel distance-based loss
    functions for few-shot image classification, 2023 (paper 22).

    Examples
    --------
    >>> z = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    >>> good, bad = (float(ICNN(k=1)(z, torch.tensor(y))) for y in ([0, 0, 1, 1], [0, 1, 0, 1]))
    >>> good < 0.05 < bad
    True
    """

    card = Card(
        paper=22, year=2023, reference=REFERENCE, kind="part", handles=frozenset({"unseen classes", "few labels"}),
    )  # fmt: skip

    def __init__(self, k: int = 4) -> None:
        super().__init__()
        if k not in Count:
            raise InputError(f"ICNN: k must be {Count}. Got {k!r}.")
        self.k = k

    def forward(
        self, z: Tensor, y: Tensor, reference: Tensor | None = None, reference_y: Tensor | None = None
    ) -> Tensor:  # fmt: skip
        """Return one number; arguments as in `icnn_score`."""
        return -torch.log(icnn_score(z, y, self.k, reference, reference_y).score.clamp_min(FLOOR)).to(z.dtype)

    def extra_repr(self) -> str:
        """Show the constructor's argument."""
        return f"k={self.k}"
