"""Pre-training on a teacher's predictions, fine-tuning on the true labels (Guo 2020)."""

from __future__ import annotations

from copy import deepcopy
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Natural, Positive
from labelwise.learner import MINI_BATCHES, evaluating, row_mean
from labelwise.semi_supervised.stages import Stages, labelled_loss, projection, trunk, two_views
from labelwise.training import Batch, Data, Phase, Train


class PseudoLabelPretraining(Stages):
    """A fresh student is first taught all of the teacher's scores, then the true labels: pseudo first, gold last.

    1. Optionally, in-domain pre-training of the teacher's features on all rows (the contrastive loss of two views).
    2. The teacher is trained on the labels.
    3. A student that starts from the original weights, not the teacher's, is trained on
       ``KL(softmax(teacher(x)) || softmax(student(x)))`` of all rows as they are, without any filter by confidence.
    4. The student is fine-tuned on the labels alone.

    Because the labels come last, the teacher's mistakes are only a start that can be left; mixed with the labels in one
    loss, as in ordinary self-training, they stay part of what is learnt.

    Differs from the paper: any network and kind of rows in place of a pretrained language model (give yours as `net`), so
    stage 1 is contrastive, not masked tokens; labelled rows are among those of stage 3.

    Parameters
    ----------
    target
        ``logits``: the KL above; ``labels``: cross-entropy against the teacher's most probable class, which the paper finds
        worse.
    pretrain_epochs
        Passes of all rows in stage 1; 0 leaves it out.
    finetune_epochs
        Passes of the labelled rows in stages 2 and 4; stage 3 takes ``train.epochs`` passes of all rows.
    finetune_lr
        Peak rate of stage 4, > 0; None takes a fifth of ``train.lr``, as the paper's 1e-5 to 5e-5.
    temperature
        Of the contrastive loss, > 0.

    Attributes
    ----------
    teacher_ : the network of stage 2.

    References
    ----------
    Tong Guo, Predictions For Pre-training Language Models, 2020 (paper 159).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = PseudoLabelPretraining(train=Train(epochs=20, batch_size=32), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    target: Literal["logits", "labels"] = "logits"
    pretrain_epochs: Annotated[int, Natural] = 0
    finetune_epochs: Annotated[int, Count] = 40
    finetune_lr: Annotated[float, Positive] | None = None
    temperature: Annotated[float, Positive] = 0.1

    card = Card(
        paper=159, year=2020, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="light", race=True,
        reference="Guo, Predictions For Pre-training Language Models, 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"finetune_epochs": [20, 60], "train": [Train(lr=lr, epochs=30, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Copy the original weights for the teacher; give its features a projection head if they are pre-trained."""
        self.teacher_ = deepcopy(self.net_)
        if self.pretrain_epochs:
            self.trunk_, width = trunk(self.teacher_)
            self.projection_ = projection(width, layers=2)

    def phases(self) -> list[Phase]:
        """Return the three or four stages."""
        last = self.train_.lr / 5 if self.finetune_lr is None else self.finetune_lr
        stages = [
            self.on_labels(self.teach, [self.teacher_], self.finetune_epochs),
            self.everywhere(self.imitate, [self.net_], self.train_.epochs),
            self.on_labels(self.loss, [self.net_], self.finetune_epochs, last),
        ]
        if self.pretrain_epochs:
            first = self.everywhere(self.contrast, [self.trunk_, self.projection_], self.pretrain_epochs)
            stages.insert(0, first)
        return stages

    def contrast(self, batch: Batch) -> Tensor:
        """Return the contrastive loss of the teacher's features."""
        return two_views(batch, lambda x: self.projection_(self.trunk_(x)), self.temperature)

    def teach(self, batch: Batch) -> Tensor:
        """Return the teacher's cross-entropy on the labels."""
        return labelled_loss(self.teacher_(batch.x), batch)

    def imitate(self, batch: Batch) -> Tensor:
        """Return the student's distance from the teacher on all rows."""
        with torch.no_grad(), evaluating(self.teacher_):
            teacher = self.teacher_(batch.x)
        return row_mean(imitation(self.net_(batch.x), teacher, self.target), batch.weight)

    def loss(self, batch: Batch) -> Tensor:
        """Return the student's cross-entropy on the labels."""
        return labelled_loss(self.net_(batch.x), batch)


def imitation(student: Tensor, teacher: Tensor, target: Literal["logits", "labels"] = "logits") -> Tensor:
    """Return each row's ``KL(softmax(teacher) || softmax(student))``, or cross-entropy against the teacher's label."""
    if target == "labels":
        return cross_entropy(student, teacher.argmax(1), reduction="none")
    wanted = teacher.detach().log_softmax(1)
    return (wanted.exp() * (wanted - student.log_softmax(1))).sum(1)
