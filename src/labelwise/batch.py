"""What a training step sees: rows as tensors, batches of them with their views, and phases of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.parts.views import Views

LossValue = Tensor | Mapping[str, Tensor]

MULTINOMIAL = 2**24
"""Most rows that ``torch.multinomial`` draws from."""


class Batch:
    """Rows of one step: inputs, targets, stable row numbers, and views made when first asked for.

    Not a dataclass on purpose: Fabric would copy a dataclass at every step.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        index: Tensor,
        weight: Tensor | None = None,
        domain: Tensor | None = None,
        views: Views | None = None,
        unlabelled: Batch | None = None,
    ) -> None:
        self.x, self.y, self.index, self.weight, self.domain = x, y, index, weight, domain
        self.views = views
        self._unlabelled = unlabelled

    def __len__(self) -> int:
        return len(self.x)

    @property
    def unlabelled(self) -> Batch:
        """The rows of the step whose labels are not used."""
        if self._unlabelled is None:
            raise InputError("this batch has no unlabelled part: the learner's batches() must provide one.")
        return self._unlabelled

    @cached_property
    def weak(self) -> Tensor:
        """The weak view of `x`, drawn once per batch."""
        return self.x if self.views is None else self.views.weak(self.x)

    @cached_property
    def strong(self) -> Tensor:
        """The strong view of `x`, drawn once per batch."""
        return self.x if self.views is None else self.views.strong(self.x)


@dataclass
class Data:
    """Training rows as tensors on the training device; pictures stay bytes until they are batched.

    Attributes: `x` ``(n, ...)``, `y` ``(n,)`` or ``(n, m)``, `labelled` mask ``(n,)``, optional `weight` and `domain`
    ``(n,)``, the learner's `views`, and the `shard` (rank, processes) whose part of every batch `shuffled` hands out.
    """

    x: Tensor
    y: Tensor
    labelled: Tensor
    weight: Tensor | None = None
    domain: Tensor | None = None
    views: Views | None = None
    shard: tuple[int, int] = (0, 1)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, rows: Tensor, unlabelled: Batch | None = None) -> Batch:
        """Return the rows as a `Batch`."""
        take = _optional_take(rows)
        x = self.x[rows]
        if x.dtype == torch.uint8:
            x = x.float().div_(255)
        return Batch(x, self.y[rows], rows, take(self.weight), take(self.domain), self.views, unlabelled)

    def to(self, device: torch.device) -> Data:
        """Return the same rows on another device."""
        move = _optional_move(device)
        return Data(
            self.x.to(device), self.y.to(device), self.labelled.to(device), move(self.weight), move(self.domain),
            self.views, self.shard,
        )  # fmt: skip


Batches = Callable[[Data, torch.Generator], Iterator[Batch]]
"""A maker of an epoch's batches."""


def _optional_take(rows: Tensor) -> Callable[[Tensor | None], Tensor | None]:
    return lambda value: None if value is None else value[rows]


def _optional_move(device: torch.device) -> Callable[[Tensor | None], Tensor | None]:
    return lambda value: None if value is None else value.to(device)


def shuffled(rows: Tensor, size: int, generator: torch.Generator, shard: tuple[int, int] = (0, 1)) -> Iterator[Tensor]:
    """Yield this process's part of random batches that together hold every row once.

    Several processes share the rows of every batch, one row more or less each. Where that would leave one with less than
    two rows, which batch normalisation cannot take, each takes the whole batch.
    """
    for batch in _random_batches(rows, size, generator):
        yield _part(batch, shard)


def _random_batches(rows: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
    for start in range(0, max(1, len(order)), size):
        yield order[start : start + size]


def _part(batch: Tensor, shard: tuple[int, int]) -> Tensor:
    rank, processes = shard
    return batch if len(batch) < 2 * processes else batch[rank::processes]


def class_balanced(
    rows: Tensor, codes: Tensor, size: int, generator: torch.Generator, shard: tuple[int, int] = (0, 1)
) -> Iterator[Tensor]:
    """Yield as many batches as `shuffled`, of rows drawn so that every class is as likely: class first, then a row of it.

    `codes` holds the class of each of `rows`. Rows of large classes are left out by chance, those of small ones come back.
    """
    if len(rows) > MULTINOMIAL:
        drawn = _drawn_by_class(codes.cpu(), generator)
    else:
        counts = torch.bincount(codes).double()
        drawn = torch.multinomial((1 / counts[codes]).cpu(), len(rows), replacement=True, generator=generator)
    yield from shuffled(rows[drawn.to(rows.device)], size, generator, shard)


def _drawn_by_class(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Draw as many places as there are `codes`: a class, each present one as likely, then a place of it."""
    order, counts = torch.argsort(codes, stable=True), torch.bincount(codes)
    present, starts = counts.nonzero().squeeze(1), counts.cumsum(0) - counts
    drawn = present[torch.randint(len(present), (len(codes),), generator=generator)]
    within = torch.rand(len(codes), dtype=torch.float64, generator=generator) * counts[drawn]
    return order[starts[drawn] + within.long()]


def endless(rows: Tensor, size: int, generator: torch.Generator, shard: tuple[int, int] = (0, 1)) -> Iterator[Tensor]:
    """Yield this process's part of full random batches of `rows`, pass after pass; of nothing, empty ones.

    All processes get as many rows: a size that they cannot share equally is rounded down. Small batches are shared as by
    `shuffled`.
    """
    processes = shard[1] if len(rows) >= shard[1] else 1
    size = max(min(size, len(rows)) // processes, min(1, len(rows))) * processes
    while True:
        if not size:
            yield rows
            continue
        for batch in _random_batches(rows, size, generator):
            if len(batch) == size:
                yield _part(batch, shard)


@dataclass
class Phase:
    """One stage of training: a loss, the modules whose weights it moves, and for how many epochs.

    Parameters
    ----------
    loss
        Function of a `Batch`, returning one number or named parts to be added up.
    modules
        The only modules whose weights this phase moves.
    epochs
        Passes over `batches`.
    lr
        Peak learning rate; None takes the learner's.
    batches
        Function of ``(data, generator)`` yielding batches; None takes the learner's.
    steps
        Number of batches in an epoch of `batches`; needed beside it.
    then
        A second phase whose loss is stepped on the same batch after this one, with an optimiser of its own; its epochs
        and batches are not used.
    """

    loss: Callable[[Batch], LossValue]
    modules: Sequence[nn.Module]
    epochs: int
    lr: float | None = None
    batches: Batches | None = None
    steps: int | None = None
    then: Phase | None = None
