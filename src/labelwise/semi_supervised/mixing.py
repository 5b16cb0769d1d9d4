"""What methods that mix labelled rows with the pool share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta

from labelwise.parts.mixers import Mix
from labelwise.training import Batch


def across(labelled: int, pool: int, alpha: float) -> Mix:
    """Draw the mix of ``cat([labelled, pool])`` in which every row meets a random row of the other part.

    A row keeps the larger share, drawn from Beta(alpha, alpha) once for each part: it stays nearest to its own label.

    >>> mix = across(2, 4, alpha=0.75)
    >>> bool((mix.partners[1, :2] >= 2).all() and (mix.partners[1, 2:] < 2).all() and (mix.shares[0] >= 0.5).all())
    True
    """
    other = torch.cat([labelled + torch.randint(pool, (labelled,)), torch.randint(labelled, (pool,))])
    share = Beta(alpha, alpha).sample((2,))
    own = torch.maximum(share, 1 - share).repeat_interleave(torch.tensor([labelled, pool]))
    return Mix(torch.stack([torch.arange(labelled + pool), other]), torch.stack([own, 1 - own]))


def mixed_across(labelled: Tensor, pool: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return labelled rows with a little of the pool in them, and the pool's rows with a little of the labelled ones."""
    mixed = across(len(labelled), len(pool), alpha).to(pool.device)(torch.cat([labelled, pool]))
    return mixed[: len(labelled)], mixed[len(labelled) :]


def weak_views(batch: Batch, n: int) -> list[Tensor]:
    """Return `n` weak views of the rows, drawn apart; the first is ``batch.weak``."""
    return [batch.weak, *(batch.x if batch.views is None else batch.views.weak(batch.x) for _ in range(n - 1))]


def strong_views(batch: Batch, n: int) -> list[Tensor]:
    """Return `n` strong views of the rows, drawn apart; the first is ``batch.strong``."""
    return [batch.strong, *(batch.x if batch.views is None else batch.views.strong(batch.x) for _ in range(n - 1))]
