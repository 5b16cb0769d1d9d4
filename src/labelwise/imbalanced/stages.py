"""What long-tailed training in two stages shares: the second one's clock, and rows that may be used without labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.learner import LongTailClassifier
from labelwise.learner.pretraining import full_batches
from labelwise.training import Batch, Data, LossValue, Phase


class TwoStages(LongTailClassifier):
    """Base of long-tailed training with a stage before the ordinary one.

    The criterion hears only how much of the second stage has passed. Rows held out for the recalibration are in neither:
    `usable_` is the mask of all others, labelled or not.
    """

    def first_epochs(self) -> int:
        """Return the passes of the first stage."""
        raise NotImplementedError(f"{type(self).__name__} must define first_epochs().")

    def start(self, data: Data) -> None:
        """Start the criterion, and set the clock so that the second stage begins at zero."""
        super().start(data)
        self.epochs_done_ -= self.first_epochs()
        self.usable_ = torch.ones(len(data), dtype=torch.bool, device=data.x.device)
        self.usable_[self.calibration_rows_] = False

    def epoch_end(self) -> None:
        """Tell the criterion how much of the second stage has passed."""
        self.epochs_done_ += 1
        if self.epochs_done_ > 0:
            self.criterion_.advance(min(1.0, float(self.epochs_done_) / self.train_.epochs))

    def stage(
        self, loss: Callable[[Batch], LossValue], modules: Sequence[nn.Module], epochs: int, mask: Tensor
    ) -> Phase:
        """Return a stage of full batches over the rows of `mask`."""
        rows = mask.nonzero().squeeze(1)
        steps = math.ceil(len(rows) / self.train_.batch_size)
        return Phase(loss, modules, epochs, None, full_batches(rows, self.train_.batch_size, steps), steps)

    def _hold_out(self, data: Data) -> tuple[Data, Data | None]:
        if self.train_.validation:
            raise InputError(
                f"{type(self).__name__}.train must have validation=0. Got {self.train_.validation}. It trains in stages, "
                "and stopping one of them early would cut the other too: set the epochs of the stages instead."
            )
        return data, None
