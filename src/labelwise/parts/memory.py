"""State kept per training row or in arrival order: row memories and queues."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from labelwise.base import InputError


def gathered(*values: Tensor) -> tuple[Tensor, ...]:
    """Return each tensor's rows from all processes, in rank order; the tensors themselves when there is one process."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return values
    return tuple(_all_rows(value) for value in values)


def _all_rows(value: Tensor) -> Tensor:
    sizes = [torch.zeros((), dtype=torch.long, device=value.device) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, torch.tensor(len(value), device=value.device))
    longest = int(max(sizes))
    padded = value.new_zeros((longest, *value.shape[1:]))
    padded[: len(value)] = value
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(size)] for part, size in zip(parts, sizes, strict=True)])


class RowMemory(nn.Module):
    """A running mean per training row, shape ``(n_rows, width)``, addressed by the row's stable index.

    With several processes every process applies the updates of all, so that the memories stay equal.
    """

    rows: Tensor

    def __init__(self, n_rows: int, width: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("rows", torch.zeros(n_rows, width))

    @torch.no_grad()
    def update(self, index: Tensor, value: Tensor) -> Tensor:
        """Set ``rows[index] <- decay * rows[index] + (1 - decay) * value`` and return the new rows ``(b, width)``."""
        if value.shape[1:] != self.rows.shape[1:]:
            raise InputError(
                f"logits have {value.shape[1]} columns, but room was made for {self.rows.shape[1]}: bind anew."
            )
        new = torch.lerp(value.to(self.rows.dtype), self.rows[index], self.decay)
        all_index, all_new = gathered(index, new)
        self.rows[all_index] = all_new
        return new


class Queue(nn.Module):
    """The last `size` rows seen, shape ``(size, width)``, first in first out; `filled` says how many are real."""

    items: Tensor
    count: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("items", torch.zeros(size, width))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @property
    def filled(self) -> Tensor:
        """The real items, shape ``(min(count, size), width)``."""
        return self.items[: min(int(self.count), self.size)]

    @torch.no_grad()
    def push(self, value: Tensor) -> None:
        """Append rows ``(b, width)``, overwriting the oldest."""
        (value,) = gathered(value.detach())
        start, kept = int(self.count), value[-self.size :]
        skipped = len(value) - len(kept)
        slots = (torch.arange(len(kept), device=value.device) + start + skipped) % self.size
        self.items[slots] = kept.to(self.items.dtype)
        self.count += len(value)
