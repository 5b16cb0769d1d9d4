"""The base of methods that learn from labelled and unlabelled rows together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from labelwise.base import Count
from labelwise.learner.template import ClassLearner
from labelwise.training import Batch, Data, shuffled


class SemiSupervised(ClassLearner):
    """Base of methods that learn from labelled and unlabelled rows together.

    Every step has `batch_size` labelled rows and, in ``batch.unlabelled``, `ratio` times as many rows of the pool. The
    pool is all rows of X, the labelled ones too, as in the authors' code of UDA and FixMatch; an epoch is one pass of it.

    Parameters
    ----------
    ratio
        Unlabelled rows per labelled row in a step, >= 1.
    """

    ratio: Annotated[int, Count] = 7

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch: one pass of the pool."""
        return math.ceil(len(data) / (self._labelled_size(data) * self.ratio))

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield labelled batches, repeated as needed, each beside a part of one pass of the pool."""
        size = self._labelled_size(data)
        everything = torch.arange(len(data), device=data.x.device)
        labelled = self._endless(data.labelled.nonzero().squeeze(1), size, generator, data.shard)
        for rows in shuffled(everything, size * self.ratio, generator, data.shard):
            yield data.batch(next(labelled), unlabelled=data.batch(rows))

    def _labelled_size(self, data: Data) -> int:
        return min(self.train_.batch_size, int(data.labelled.sum()))

    @staticmethod
    def _endless(rows: Tensor, size: int, generator: torch.Generator, shard: tuple[int, int]) -> Iterator[Tensor]:
        while True:
            for batch in shuffled(rows, size, generator, shard):
                if len(batch) * shard[1] == size:
                    yield batch
