"""Mixers: convex combinations of a batch with permutations of itself, and patches of one picture pasted into another.

A mix is drawn once and applied to whatever goes with the rows: inputs, soft targets, features, losses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta, Dirichlet


@dataclass(frozen=True, eq=False)
class Mix:
    """Which rows are mixed, and in which shares.

    Attributes
    ----------
    partners
        Row numbers ``(d, b)``: row j of the mixed batch holds rows ``partners[:, j]``. The first partner is the row itself.
    shares
        Of each partner, ``(d, b)``; columns sum to 1.
    """

    partners: Tensor
    shares: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the mixed rows of a floating tensor ``(b, ...)``."""
        shares = self.shares.to(rows.dtype).reshape(*self.shares.shape, *[1] * (rows.ndim - 1))
        return (shares * rows[self.partners]).sum(0)

    def to(self, device: torch.device) -> Mix:
        """Return the same mix on another device."""
        return Mix(self.partners.to(device), self.shares.to(device))


def mixup(rows: int, alpha: float = 1.0, *, larger: bool = False, per_row: bool = False) -> Mix:
    """Draw the mix of a batch with one random permutation of itself (Zhang et al. 2018).

    Parameters
    ----------
    rows
        Size of the batch, >= 1.
    alpha
        The share of a row itself is drawn from Beta(alpha, alpha), > 0.
    larger
        The row itself keeps the larger share (as in MixMatch), so that a mixed row stays nearest to its own.
    per_row
        Draw a share for every row instead of one for the batch.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> mix = mixup(4, larger=True)
    >>> bool((mix.shares[0] >= 0.5).all()), mix(torch.ones(4, 3)).sum().item()
    (True, 12.0)
    """
    share = Beta(alpha, alpha).sample((rows if per_row else 1,)).expand(rows)
    if larger:
        share = torch.maximum(share, 1 - share)
    return Mix(torch.stack([torch.arange(rows), torch.randperm(rows)]), torch.stack([share, 1 - share]))


def dirichlet_mix(rows: int, parts: int, concentration: float = 1.0) -> Mix:
    """Draw the mix of a batch with ``parts - 1`` permutations of itself, shares from one Dirichlet draw a batch.

    ``parts=2, concentration=1`` is mixup with alpha 1; ``parts=1`` leaves the batch as it is.
    """
    shares = Dirichlet(torch.full((parts,), float(concentration))).sample() if parts > 1 else torch.ones(1)
    others = [torch.randperm(rows) for _ in range(parts - 1)]
    return Mix(torch.stack([torch.arange(rows), *others]), shares[:, None].expand(parts, rows))


def cutmix(x: Tensor, other: Tensor, share: float) -> tuple[Tensor, float]:
    """Paste a rectangle of `other` into the pictures `x`, both ``(b, c, h, w)`` (Yun et al. 2019).

    Parameters
    ----------
    x, other
        Pictures of the same shape.
    share
        Wanted share of `x` that stays, in [0, 1]. The rectangle has a uniform centre and is clipped at the border.

    Returns
    -------
    The pictures, and the share of `x` that did stay.
    """
    height, width = x.shape[-2:]
    reach = (1 - share) ** 0.5 / 2
    row, column = torch.rand(2).tolist()
    top, bottom = (round(min(max(row + side * reach, 0), 1) * height) for side in (-1, 1))
    left, right = (round(min(max(column + side * reach, 0), 1) * width) for side in (-1, 1))
    mixed = x.clone()
    mixed[..., top:bottom, left:right] = other[..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def near_partners(
    y: Tensor, bandwidth: float, candidates: Tensor | None = None, weight: Tensor | None = None
) -> Tensor:
    """Draw a partner for each row with a chance that falls with the distance of their targets (Yao et al. 2022).

    ``P(j | i)`` is proportional to ``weight_j exp(-|y_i - y_j|^2 / (2 bandwidth^2))``; a row may draw itself. A small
    bandwidth draws rows of nearly the same target, an infinite one any row, as mixup does.

    Parameters
    ----------
    y
        Targets of the rows ``(b, m)``; NaN is unknown and counts as no difference: such a row draws anyone.
    bandwidth
        In the unit of y, > 0.
    candidates
        Targets of the rows to draw from ``(n, m)``; by default the rows themselves. Memory is that of ``(b, n)`` chances.
    weight
        Of candidates ``(n,)``, not negative, one of them above 0.

    Returns
    -------
    Numbers of the drawn candidates ``(b,)``.

    Examples
    --------
    >>> y = torch.tensor([[0.0], [0.1], [9.0]])
    >>> near_partners(y, 0.5)[2].item()  # nobody else is near
    2
    """
    others = y if candidates is None else candidates
    square = torch.zeros(len(y), len(others), device=y.device)
    for column, other in zip(y.T, others.T, strict=True):
        square += (column[:, None] - other).square().nan_to_num().float()
    log_chance = -square / (2 * bandwidth**2)
    if weight is not None:
        log_chance = log_chance + weight.float().log()
    return torch.multinomial(log_chance.softmax(1), 1)[:, 0]
