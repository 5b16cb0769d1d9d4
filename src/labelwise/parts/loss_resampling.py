"""Resampling by loss within groups: users, annotators, sites, whatever makes losses comparable only among themselves."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from labelwise.base import InputError


class GroupwiseLossResampler:
    """Draw a group, a pool of its rows, and then one row of the pool, the likelier the smaller its loss.

    A row's loss says little across groups, because some groups are harder than others; within its group a low loss means
    that the row is likely clean. ``P(row) = softmax(-loss / tau)`` over the pool.

    Parameters
    ----------
    groups
        Group number of each row ``(n,)``, integers >= 0; every group is as likely as any other, however large.
    pool
        Rows of a pool, >= 1. They are different rows as long as the group has that many.
    tau
        Temperature, > 0; infinite chooses at random, near 0 always takes the smallest loss.

    References
    ----------
    Zhang et al.: Personalized Denoising Implicit Feedback for Robust Recommender System. WWW 2025 (paper 121).

    Examples
    --------
    >>> sampler = GroupwiseLossResampler([0, 0, 0, 1], pool=2, tau=0.1)
    >>> rows = sampler.draw(100, torch.Generator().manual_seed(0))
    >>> rows.shape, sorted(set(rows[:, 0].tolist()))
    (torch.Size([100, 2]), [0, 1, 2, 3])
    >>> loss = torch.tensor([0.0, 5.0, 5.0, 1.0])
    >>> sorted(set(rows[torch.arange(100), sampler.choose(loss[rows])][(rows == 0).any(1)].tolist()))
    [0]
    """

    def __init__(self, groups: ArrayLike | Tensor, pool: int = 5, tau: float = 0.1) -> None:
        codes = torch.as_tensor(groups)
        if codes.ndim != 1 or codes.is_floating_point() or len(codes) == 0 or int(codes.min()) < 0:
            raise InputError(f"groups must be whole numbers >= 0, one a row, (n,). Got {codes.dtype}, {codes.shape}.")
        if pool < 1 or not tau > 0:
            raise InputError(f"pool must be at least 1 and tau above 0. Got pool={pool}, tau={tau}.")
        self.pool, self.tau = pool, tau
        self.counts = codes.bincount()
        self.groups, self.starts = codes, self.counts.cumsum(0) - self.counts
        self.present = self.counts.nonzero().squeeze(1)
        self.order = codes.argsort(stable=True)

    def shuffle(self, generator: torch.Generator | None = None) -> None:
        """Put the rows of every group in a new order, from which `draw` takes runs."""
        shuffled = torch.randperm(len(self.groups), generator=generator).to(self.groups.device)
        self.order = shuffled[self.groups[shuffled].argsort(stable=True)]

    def draw(self, size: int, generator: torch.Generator | None = None, pool: int | None = None) -> Tensor:
        """Return row numbers ``(size, pool)``, each line from one group.

        A pool is a run of the group's order, from a random place round the end: after `shuffle` a random subset.
        """
        device, width = self.groups.device, self.pool if pool is None else pool
        group = self.present[torch.randint(len(self.present), (size,), generator=generator).to(device)]
        first = torch.rand(size, generator=generator, dtype=torch.float64).to(device)
        count = self.counts[group][:, None]
        place = ((first[:, None] * count).long() + torch.arange(width, device=device)) % count
        rows: Tensor = self.order[self.starts[group][:, None] + place]
        return rows

    def choose(self, losses: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the place in the pool ``(b,)`` drawn for each line of `losses` ``(b, pool)``."""
        p = (-losses.detach() / self.tau).softmax(1)
        return torch.multinomial(p, 1, generator=generator).squeeze(1)
