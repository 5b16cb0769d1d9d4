"""Rows that come in bags: sums, means, maxima and weights within each bag, and batches that keep bags whole.

`bag` holds the number of each row's bag, int64 ``(n,)`` from 0 to ``n_bags - 1``; rows of a bag need not lie side by
side. Values are ``(n, ...)``, results ``(n_bags, ...)``, and gradients flow. A bag without rows gets 0 as its sum and
mean, and minus infinity as its maximum.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from labelwise.base import InputError


def bag_sum(values: Tensor, bag: Tensor, n_bags: int) -> Tensor:
    """Return the sum of the values of each bag, shape ``(n_bags, ...)``.

    Examples
    --------
    >>> bag_sum(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 0]), 2)
    tensor([5., 2.])
    """
    _check(values, bag, n_bags)
    return values.new_zeros(n_bags, *values.shape[1:]).index_add(0, bag, values)


def bag_mean(values: Tensor, bag: Tensor, n_bags: int) -> Tensor:
    """Return the mean of the values of each bag, shape ``(n_bags, ...)``.

    Examples
    --------
    >>> bag_mean(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 0]), 2)
    tensor([2.5000, 2.0000])
    """
    total = bag_sum(values, bag, n_bags)
    sizes = torch.bincount(bag, minlength=n_bags).clamp(min=1).to(values.dtype)
    return total / sizes.reshape(-1, *[1] * (values.ndim - 1))


def bag_max(values: Tensor, bag: Tensor, n_bags: int) -> Tensor:
    """Return the largest value of each bag, shape ``(n_bags, ...)``; equal ones share the gradient.

    Examples
    --------
    >>> bag_max(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 0]), 2)
    tensor([4., 2.])
    """
    _check(values, bag, n_bags)
    lowest = values.new_full((n_bags, *values.shape[1:]), -torch.inf)
    return lowest.scatter_reduce(0, _spread(bag, values), values, "amax")


def bag_softmax(scores: Tensor, bag: Tensor, n_bags: int) -> Tensor:
    """Return weights of the rows ``(n, ...)`` that sum to one within each bag, in every column: attention weights.

    Examples
    --------
    >>> bag_softmax(torch.tensor([0.0, 9.0, 0.0]), torch.tensor([0, 1, 0]), 2)
    tensor([0.5000, 1.0000, 0.5000])
    """
    weight = (scores - bag_max(scores.detach(), bag, n_bags)[bag]).exp()
    return weight / bag_sum(weight, bag, n_bags)[bag]


def whole_bags(bag: Tensor, bags: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of row numbers that never split a bag: bags in random order, until `size` rows are reached.

    Parameters
    ----------
    bag
        Bag of every row, int64 ``(n,)``, not negative.
    bags
        Numbers of the bags that take part; those without rows are passed over.
    size
        Fewest rows of a batch, at least 1; only the last batch may hold fewer.
    generator
        Draws the order of the bags.

    Examples
    --------
    >>> batches = whole_bags(torch.tensor([0, 1, 0, 2]), torch.tensor([0, 2]), 1, torch.Generator().manual_seed(0))
    >>> sorted(batch.tolist() for batch in batches)
    [[0, 2], [3]]
    """
    if size < 1:
        raise InputError(f"size must be at least 1 row. Got {size}.")
    sizes = torch.bincount(bag, minlength=int(bags.max()) + 1 if len(bags) else 0)
    drawn = bags[torch.randperm(len(bags), generator=generator).to(bags.device)]
    place = bag.new_full((len(sizes),), len(bags))
    place[drawn] = torch.arange(len(bags), device=bag.device)
    rows = torch.argsort(place[bag], stable=True)
    ends = sizes[drawn].cumsum(0)
    first, total = 0, int(ends[-1]) if len(ends) else 0
    while first < total:
        last = int(torch.searchsorted(ends, torch.tensor(first + size, device=ends.device)))
        end = int(ends[min(last, len(ends) - 1)])
        yield rows[first:end]
        first = end


def _spread(bag: Tensor, values: Tensor) -> Tensor:
    return bag.reshape(-1, *[1] * (values.ndim - 1)).expand_as(values)


def _check(values: Tensor, bag: Tensor, n_bags: int) -> None:
    if bag.shape != values.shape[:1]:
        raise InputError(f"bag must hold one number a row, shape ({len(values)},). Got shape {tuple(bag.shape)}.")
    if len(bag) and (int(bag.min()) < 0 or int(bag.max()) >= n_bags):
        found = int(bag.min()) if int(bag.min()) < 0 else int(bag.max())
        raise InputError(f"bag must hold numbers from 0 to {n_bags - 1}, for {n_bags} bags. Got {found}.")
