"""Mean teacher (Tarvainen and Valpola 2017)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Fraction, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, SemiSupervised, Train, evaluating, row_mean
from labelwise.parts.ema import EMA
from labelwise.parts.schedules import ramp_up
from labelwise.semi_supervised.mixing import mixed_across, weak_views
from labelwise.training import Batch, Data, Phase


class StudentTeacher(SemiSupervised):
    """Base of methods in which a student learns from the running mean of its own weights; the teacher predicts.

    `student_` is trained; `net_`, the network that predicts, is the teacher's.

    Parameters
    ----------
    decay
        Of the teacher's weights, in [0, 1]; the first updates use the smaller ``1 - 1 / (step + 1)``.
    """

    decay: Annotated[float, Fraction] = 0.9

    def start(self, data: Data) -> None:
        """Start the teacher at the student's weights."""
        self.student_ = self.net_
        self.teacher_ = EMA(self.student_, self.decay)
        self.net_ = self.teacher_.module
        self.step_ = torch.zeros((), dtype=torch.long)
        self.total_ = self.steps(data) * self.train_.epochs / self.train_.accumulate

    def phases(self) -> list[Phase]:
        """Return one stage, which moves the student."""
        return [Phase(self.loss, [self.student_], self.train_.epochs)]

    @torch.no_grad()
    def taught(self, x: Tensor) -> Tensor:
        """Return the teacher's scores ``(b, K)``, in evaluation mode."""
        with evaluating(self.teacher_):
            scores: Tensor = self.teacher_(x)
        return scores

    def step_end(self) -> None:
        """Move the teacher towards the student."""
        self.step_ += 1
        self.teacher_.update(self.student_)


class MeanTeacher(StudentTeacher):
    """A student agrees with the running mean of its own weights on differently perturbed rows of the pool.

    With f the student, f' the teacher, and two weak views of every row u of the pool:

    ``loss = CE(f(weak(x)), y) + ramp(t) * weight * mean_u mean_k (softmax f(weak(u)) - softmax f'(weak'(u)))^2``,
    and after each step ``f' <- decay f' + (1 - decay) f``. The teacher predicts.

    Differs from the paper: AdamW and cosine schedule of `Train`; the default decay is for hundreds of steps, not for the
    authors' hundred thousand (0.999).

    Parameters
    ----------
    weight
        Of the agreement once it has grown, >= 0. The authors use 100 with a mean over classes, paper 138 uses 1.
    ramp
        Share of the training over which the weight grows as ``exp(-5 (1 - t)^2)``, in [0, 1].
    mixup
        Alpha > 0 of a mixup of labelled rows with rows of the pool; each keeps the larger share and its own target.
        None does not mix. Paper 138 uses 0.75.

    References
    ----------
    Tarvainen and Valpola, Mean Teachers are Better Role Models, NeurIPS 2017; mixup as in the comparison of paper 138.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = MeanTeacher(train=Train(epochs=30, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    weight: Annotated[float, NonNegative] = 5.0
    ramp: Annotated[float, Fraction] = 1.0
    mixup: Annotated[float, Positive] | None = None

    card = Card(
        paper=138, year=2017, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Tarvainen and Valpola, Mean Teachers are Better Role Models, NeurIPS 2017.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weight": [1.0, 10.0], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Start the teacher; refuse to mix texts."""
        if self.mixup is not None:
            self.refuse_texts(instead=", or set mixup=None")
        super().start(data)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the labelled rows' cross-entropy and the disagreement of student and teacher on the pool."""
        labelled, (seen, shown) = batch.weak, weak_views(batch.unlabelled, 2)
        target = self.taught(shown).softmax(1)
        if self.mixup is not None:
            labelled, seen = mixed_across(labelled, seen, self.mixup)
        supervised = cross_entropy(self.student_(labelled), batch.y, reduction="none")
        gap = (self.student_(seen).softmax(1) - target) ** 2
        grown = self.weight * ramp_up(int(self.step_), round(self.ramp * self.total_))
        return {"supervised": row_mean(supervised, batch.weight), "consistency": grown * gap.mean()}
