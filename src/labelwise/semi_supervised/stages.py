"""What methods of several stages share: phases over all rows, phases over the labelled ones, and fresh networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Count, InputError
from labelwise.learner import SemiSupervised, row_mean
from labelwise.learner.pretraining import full_batches, projection, trunk, two_views
from labelwise.nets.auto import build
from labelwise.training import Batch, Data, LossValue, Phase

__all__ = ["Stages", "full_batches", "labelled_loss", "projection", "trunk", "two_views"]


class Stages(SemiSupervised):
    """Base of methods that train in stages, some of them on all rows and some on the labelled ones.

    Parameters
    ----------
    ratio
        Rows of a step over all rows, per row of ``train.batch_size``, >= 1.
    """

    ratio: Annotated[int, Count] = 1

    def everywhere(
        self, loss: Callable[[Batch], LossValue], modules: Sequence[nn.Module], epochs: int, lr: float | None = None
    ) -> Phase:
        """Return a stage over all rows, labelled or not."""
        rows = torch.arange(self.rows_)
        return self._phase(loss, modules, epochs, lr, rows, self.train_.batch_size * self.ratio)

    def on_labels(
        self, loss: Callable[[Batch], LossValue], modules: Sequence[nn.Module], epochs: int, lr: float | None = None
    ) -> Phase:
        """Return a stage over the labelled rows."""
        return self._phase(loss, modules, epochs, lr, self.known_.nonzero().squeeze(1), self.train_.batch_size)

    def _phase(
        self, loss: Callable[[Batch], LossValue], modules: Sequence[nn.Module], epochs: int, lr: float | None,
        rows: Tensor, size: int,
    ) -> Phase:  # fmt: skip
        steps = math.ceil(len(rows) / size)
        return Phase(loss, modules, epochs, lr, full_batches(rows, size, steps), steps)

    def build(self, data: Data) -> None:
        """Make the network, and note which rows have a label."""
        super().build(data)
        self.rows_, self.known_ = len(data), data.labelled

    def fresh(self, given: nn.Module | str) -> nn.Module:
        """Return a copy of a network of the user's, or a new one of that name."""
        if isinstance(given, nn.Module):
            return deepcopy(given)
        return build(given, self.inputs_.modality, self.inputs_.shape, self.n_outputs_)

    def _hold_out(self, data: Data) -> tuple[Data, Data | None]:
        if self.train_.validation:
            raise InputError(
                f"{type(self).__name__}.train must have validation=0. Got {self.train_.validation}. It trains in stages, "
                "and stopping one of them early would cut the others too: set the epochs of the stages instead."
            )
        return data, None


def labelled_loss(scores: Tensor, batch: Batch) -> Tensor:
    """Return the (weighted) mean cross-entropy of a batch's labelled rows; zero, with a graph, if there is none."""
    known = batch.y >= 0
    weight = None if batch.weight is None else batch.weight[known]
    return row_mean(cross_entropy(scores[known], batch.y[known], reduction="none"), weight)
