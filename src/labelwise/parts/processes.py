"""Several processes that train one model: who they are, what each one's part counts for, whether they agree."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor

from labelwise.parts.memory import gathered


def under_torchrun() -> bool:
    """Return whether torchrun has started this process beside others."""
    return "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def counted() -> tuple[int, int]:
    """Return how many processes torchrun has started on each node, and on how many nodes."""
    every = int(os.environ["WORLD_SIZE"])
    here = int(os.environ.get("LOCAL_WORLD_SIZE", every))
    return here, every // here


def mean(value: Tensor) -> Tensor:
    """Return the mean of a number over the processes, float64."""
    total = value.detach().double().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def share(mass: Tensor) -> Tensor:
    """Return what this process's mean counts for, 1 on average over the processes.

    Gradients of several processes are averaged, each process the same. Where their parts of a batch do not weigh the same,
    the mean over the whole batch is the mean of the parts times these shares. Where no part weighs anything (a step without
    labelled rows) all count the same.
    """
    average = mean(mass)
    return torch.where(average > 0, mass / average.clamp_min(1e-300), 1.0).to(torch.float32)


def agreed(numbers: Tensor) -> list[bool]:
    """Return for each of some numbers whether all processes have the same, up to rounding."""
    (every,) = gathered(numbers.double()[None])
    return [bool(same) for same in torch.isclose(every, every[0], rtol=1e-9, atol=0.0).all(0)]
