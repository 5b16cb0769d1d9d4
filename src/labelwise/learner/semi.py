"""The base of methods that learn from labelled and unlabelled rows together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike

from labelwise.base import Count, InputError
from labelwise.learner.template import ClassLearner
from labelwise.supervision.pool import check_every_class, with_pool
from labelwise.training import Batch, Data, endless, shuffled


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

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        domains: ArrayLike | None = None,
        pool: Any = None,
    ) -> Self:
        """Train on rows `X` with labels `y`, some of them missing, and on a pool without labels.

        Parameters
        ----------
        X, y, sample_weight, domains
            As in `Learner.fit`; unlabelled rows have ``y == -1`` (None for text classes).
        pool
            Further rows like those of `X`, all unlabelled, of weight 1: the same as rows of `X` without a label.

        Raises
        ------
        InputError, ValueError
            For fields out of range, X, y or a pool that do not fit (rows are named), and a category of `y` without a row.
        """
        check_every_class(y)
        if pool is not None:
            if domains is not None:
                raise InputError("domains beside a pool: put the pool's rows into X with y = -1, and give all domains.")
            n_labelled = len(np.asarray(y))
            X, y = with_pool(X, y, pool)
            if sample_weight is not None:
                sample_weight = np.concatenate([np.asarray(sample_weight), np.ones(len(y) - n_labelled)])
        return super().fit(X, y, sample_weight, domains)

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch: one pass of the pool."""
        return math.ceil(len(data) / (self._labelled_size(data) * self.ratio))

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield labelled batches, repeated as needed, each beside a part of one pass of the pool."""
        size = self._labelled_size(data)
        everything = torch.arange(len(data), device=data.x.device)
        labelled = endless(data.labelled.nonzero().squeeze(1), size, generator, data.shard)
        for rows in shuffled(everything, size * self.ratio, generator, data.shard):
            yield data.batch(next(labelled), unlabelled=data.batch(rows))

    def _labelled_size(self, data: Data) -> int:
        return min(self.train_.batch_size, int(data.labelled.sum()))
