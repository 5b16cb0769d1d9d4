"""Which rows make up some bags, and which place a row has within its bag by a score."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labelwise.base import InputError


def rows_of(bag: Tensor, bags: Tensor) -> Tensor:
    """Return the numbers of the rows of some bags, bag by bag in the order asked for.

    Parameters
    ----------
    bag
        Bag of every row, int64 ``(n,)``, not negative.
    bags
        Numbers of the wanted bags, each at most once or as often as its rows are wanted.

    Examples
    --------
    >>> rows_of(torch.tensor([0, 1, 0, 2]), torch.tensor([2, 0]))
    tensor([3, 0, 2])
    """
    sizes = torch.bincount(bag, minlength=int(bags.max()) + 1 if len(bags) else 0)
    starts = (sizes.cumsum(0) - sizes)[bags]
    wanted = sizes[bags]
    before = wanted.cumsum(0) - wanted
    place = torch.arange(int(wanted.sum()), device=bag.device) + (starts - before).repeat_interleave(wanted)
    return torch.argsort(bag, stable=True)[place]


def bag_ranks(scores: Tensor, bag: Tensor) -> Tensor:
    """Return the place of each row among the rows of its bag, int64 ``(n,)``: 0 has the highest score.

    Examples
    --------
    >>> bag_ranks(torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0, 1, 0]))
    tensor([1, 0, 0])
    """
    order = torch.argsort(scores, descending=True, stable=True)
    order = order[torch.argsort(bag[order], stable=True)]
    sizes = torch.bincount(bag)
    ranks = torch.empty_like(bag)
    ranks[order] = torch.arange(len(bag), device=bag.device) - (sizes.cumsum(0) - sizes)[bag[order]]
    return ranks


def read_bags(bags: Any, n_rows: int) -> tuple[NDArray[np.int64], int]:
    """Return the bag of each row and the number of bags; None makes a bag of every row.

    Raises
    ------
    InputError
        When there is not one whole number a row, or the numbers do not run from 0 without gaps.

    Examples
    --------
    >>> read_bags([0, 0, 1], 3)
    (array([0, 0, 1]), 2)
    """
    if bags is None:
        return np.arange(n_rows), n_rows
    numbers = np.asarray(bags)
    if numbers.shape != (n_rows,):
        raise InputError(f"bags must hold one number for each of the {n_rows} rows of X. Got shape {numbers.shape}.")
    if numbers.dtype.kind not in "iu":
        raise InputError(
            f"bags must be whole numbers from 0. Got {numbers.dtype}; np.unique(..., return_inverse=True)[1] makes them."
        )
    if n_rows == 0:
        return numbers.astype(np.int64), 0
    if numbers.min() < 0:
        raise InputError(f"bags must not be negative. Row {int(numbers.argmin())} holds {int(numbers.min())}.")
    present = np.unique(numbers)
    if len(present) <= present[-1]:
        gap = int(np.setdiff1d(np.arange(present[-1]), present)[0])
        raise InputError(f"bags must number the bags from 0 without gaps. No row is in bag {gap}.")
    return numbers.astype(np.int64), len(present)
