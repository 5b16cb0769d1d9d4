"""What stages before or beside the labels share: batches of all rows, a network's features, the contrastive start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.batch import endless
from labelwise.losses.nt_xent import nt_xent
from labelwise.training import Batch, Batches, Data


def full_batches(rows: Tensor, size: int, steps: int) -> Batches:
    """Return a maker of `steps` batches of `size` random rows: none is small, so that batch statistics exist."""

    def batches(data: Data, generator: torch.Generator) -> Iterator[Batch]:
        drawn = endless(rows.to(data.x.device), size, generator, data.shard)
        for _ in range(steps):
            yield data.batch(next(drawn))

    return batches


def trunk(net: nn.Module, name: str = "net") -> tuple[nn.Module, int]:
    """Return a network's features and their width.

    Raises
    ------
    InputError
        If it has no ``features``, or no linear ``head`` that tells the width.
    """
    features, head = getattr(net, "features", None), getattr(net, "head", None)
    if not isinstance(features, nn.Module) or not isinstance(head, nn.Linear):
        raise InputError(
            f"{name}: {type(net).__name__} must have modules `features` and `head`, the head an nn.Linear, as the networks "
            "of labelwise.nets do."
        )
    return features, head.in_features


def projection(width: int, outputs: int = 128, layers: int = 3) -> nn.Sequential:
    """Return the projection head of SimCLR v2: linear layers with batch norm, the last one without bias and ReLU."""
    inner = [
        nn.Sequential(nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()) for _ in range(layers - 1)
    ]
    return nn.Sequential(*inner, nn.Sequential(nn.Linear(width, outputs, bias=False), nn.BatchNorm1d(outputs)))


def two_views(batch: Batch, embed: Callable[[Tensor], Tensor], temperature: float) -> Tensor:
    """Return `nt_xent` of the embeddings of two strong views of a batch, scored together for common batch statistics."""
    strong: Any = batch.views.strong if batch.views is not None else nn.Identity()
    a, b = embed(torch.cat([strong(batch.x), strong(batch.x)])).chunk(2)
    return nt_xent(a, b, temperature)
