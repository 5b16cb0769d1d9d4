"""Future self-training (Du et al. 2022): the teacher follows where its student is about to go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Fraction, InputError, Natural, NonNegative
from labelwise.learner import MINI_BATCHES, Train, row_mean
from labelwise.parts.judges import confident
from labelwise.semi_supervised.mean_teacher import StudentTeacher
from labelwise.training import Batch, Data


class FutureSelfTraining(StudentTeacher):
    """Before a student takes a step, its teacher learns from the steps the student would take, which are then undone.

    With student f, teacher f' and ``loss(f; f') = CE(f(weak(x)), y) + weight * mean_u sure CE(f(strong(u)), label)``, where
    ``label = argmax f'(weak(u))`` and sure is ``max softmax f'(weak(u)) >= threshold``, a step of training is:

    - keep the student's weights; `horizon` times: step the student down ``loss(f; f')``, then
      ``f' <- decay f' + (1 - decay) f`` (``deep``); or take that many single steps from the same weights on batches of their
      own, then move the teacher once, to the mean of where they led (``wide``)
    - put the student's weights and buffers back; step down ``loss(f; f')`` with the teacher's new labels; move the teacher

    ``horizon=1`` is the plain method, ``horizon=3`` with ``deep`` or ``wide`` are FST-D and FST-W, and ``horizon=0`` is
    self-training with a mean teacher. The teacher predicts. **A step costs ``horizon + 1`` gradients**: compare with a mean
    teacher of ``horizon + 1`` times the epochs.

    Differs from the paper: classification instead of segmentation. As in the released code steps that are undone leave
    their trace in the optimiser's moments, and the learning rate's schedule counts them.

    Parameters
    ----------
    horizon
        Steps looked ahead, >= 0.
    variant
        ``deep`` (one after the other, on the batch of the real step) or ``wide`` (side by side, on other batches).
    threshold
        Probability from which the teacher's label is learnt, in [0, 1].
    weight
        Of the pool's part, >= 0.

    References
    ----------
    Du, Shen, Wang, Fei, Li, Wu, Zhao, Fu and Liu, Learning from Future: A Novel Self-Training Framework for Semantic
    Segmentation, NeurIPS 2022 (paper 19).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = FutureSelfTraining(train=Train(epochs=30, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    horizon: Annotated[int, Natural] = 1
    variant: Literal["deep", "wide"] = "deep"
    threshold: Annotated[float, Fraction] = 0.9
    weight: Annotated[float, NonNegative] = 1.0

    card = Card(
        paper=19, year=2022, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Du et al., Learning from Future: A Novel Self-Training Framework, NeurIPS 2022.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"threshold": [0.8, 0.95], "train": [Train(lr=lr, epochs=20, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Start the teacher; the engine's steps must be whole ones, to be undone."""
        if self.train_.accumulate > 1:
            raise InputError(
                f"Train.accumulate must be 1 for FutureSelfTraining, which undoes whole steps. Got {self.train_.accumulate}."
            )
        super().start(data)
        self._present: dict[str, Tensor] = {}
        self._futures: list[list[Tensor]] = []

    def steps(self, data: Data) -> int:
        """Return the number of steps in an epoch, those that are undone among them."""
        return super().steps(data) * (self.horizon + 1)

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield for every real step the batches of the steps before it that are undone, then its own."""
        further = self._further(data, generator)
        for batch in super().batches(data, generator):
            for _ in range(self.horizon):
                yield batch if self.variant == "deep" else next(further)
            yield batch

    def _further(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        while True:
            yield from super().batches(data, generator)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the labelled rows' part, and that of the pool's strong views against the teacher's labels."""
        if self.horizon and not self._present:
            self._present = snapshot(self.student_)
        label, sure = confident(self.taught(batch.unlabelled.weak), self.threshold)
        supervised = cross_entropy(self.student_(batch.weak), batch.y, reduction="none")
        unsupervised = sure * cross_entropy(self.student_(batch.unlabelled.strong), label, reduction="none")
        return {"supervised": row_mean(supervised, batch.weight), "consistency": self.weight * unsupervised.mean()}

    def step_end(self) -> None:
        """Show the teacher where the step led, and undo it if it was not the real one."""
        ahead = int(self.step_) % (self.horizon + 1)
        if ahead == self.horizon:
            super().step_end()
            self._present = {}
            return
        self.step_ += 1
        if self.variant == "deep":
            self.teacher_.update(self.student_)
        else:
            self._futures.append([p.detach().clone() for p in self.student_.parameters()])
        if ahead == self.horizon - 1 and self.variant == "wide":
            set_weights(self.student_, [torch.stack(each).mean(0) for each in zip(*self._futures, strict=True)])
            self.teacher_.update(self.student_)
            self._futures = []
        if ahead == self.horizon - 1 or self.variant == "wide":
            self.student_.load_state_dict(self._present)


def snapshot(net: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a network's weights and buffers."""
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


@torch.no_grad()
def set_weights(net: nn.Module, weights: list[Tensor]) -> None:
    """Put weights into a network; its buffers stay."""
    for mine, theirs in zip(net.parameters(), weights, strict=True):
        mine.copy_(theirs)
