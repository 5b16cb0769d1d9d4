"""The skeleton FixMatch and UDA share: a supervised part plus agreement between two views of the unlabelled rows."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from labelwise.base import Fraction, NonNegative
from labelwise.learner import SemiSupervised
from labelwise.training import Batch


class Consistency(SemiSupervised):
    """``supervised(batch) + weight * mean over the pool of consistency``; rows in doubt count as zero in the mean.

    Parameters
    ----------
    threshold
        Probability from which a weak view's prediction teaches the strong view, in [0, 1].
    weight
        Of the consistency part, >= 0; 0 is supervised training on weak views.
    """

    threshold: Annotated[float, Fraction] = 0.95
    weight: Annotated[float, NonNegative] = 1.0

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the two parts; the pool's weak view is scored without gradient."""
        labelled, plain, strong = batch.weak, batch.unlabelled.weak, batch.unlabelled.strong
        labelled, strong = self.mixed(labelled, strong)
        supervised = self.supervised(self.net_(labelled), batch)
        agreement = self.consistency(self.target_scores(plain), self.net_(strong))
        return {"supervised": supervised, "consistency": self.weight * agreement.mean()}

    def mixed(self, labelled: Tensor, strong: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network learns from, made of labelled rows and the pool's strong views: by default just those."""
        return labelled, strong

    def target_scores(self, weak: Tensor) -> Tensor:
        """Return the scores that make the targets: the network's own, detached."""
        scores: Tensor = self.net_(weak).detach()
        return scores

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the labelled rows."""
        raise NotImplementedError(f"{type(self).__name__} must define supervised(logits, batch).")

    def consistency(self, weak: Tensor, strong: Tensor) -> Tensor:
        """Return one value per row of the pool from the scores of its weak (detached) and strong views."""
        raise NotImplementedError(f"{type(self).__name__} must define consistency(weak, strong).")
