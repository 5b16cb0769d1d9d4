"""Pre-train without labels, fine-tune on few, distil on all (Chen et al. 2020, SimCLR v2)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from labelwise.base import Card, Count, Fraction, InputError, Positive, Range
from labelwise.learner import MINI_BATCHES, evaluating, row_mean
from labelwise.semi_supervised.stages import Stages, labelled_loss, projection, trunk, two_views
from labelwise.training import Batch, Data, Phase, Train


class Extended(nn.Module):
    """A trunk and the first layers of its projection head, with an output layer that starts at zero."""

    def __init__(self, features: nn.Module, layers: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        self.features = nn.Sequential(features, layers)
        self.head = nn.Linear(width, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, outputs)``."""
        out: Tensor = self.head(self.features(x))
        return out


class PretrainFinetuneDistill(Stages):
    """Contrastive pre-training of all rows, fine-tuning on the labelled ones, distillation into a fresh network.

    1. ``nt_xent`` of two strong views of all rows, through a projection head of three layers.
    2. The trunk and the first `head_layers` layers of that head get an output layer that starts at zero; all of it is
       trained on the labels, ``CE(f(weak(x)), y)``.
    3. ``-t^2 sum_k softmax(teacher / t)_k log softmax(student / t)_k`` on weak views of all rows, teacher fixed, moves a
       fresh `student`; optionally mixed with the labels.

    Differs from the paper: optimiser and cosine schedule of `Train` in place of LARS, with its weight decay in every stage;
    default views by modality; batches of hundreds, not thousands.

    Parameters
    ----------
    student
        Network of stage 3: a name as for `net`, or an ``nn.Module`` of your own; ``auto`` is self-distillation when `net`
        is ``auto`` too. None leaves stage 3 out and predicts with the fine-tuned network.
    temperature
        Of the contrastive loss, > 0.
    distill_temperature
        t of stage 3, > 0: 1 for a smaller student, 0.1 for self-distillation.
    head_layers
        Layers of the projection head kept for fine-tuning, 0 to 3: 1 is "from the first layer", 0 drops the head.
    width
        Outputs of the projection head.
    pretrain_epochs, finetune_epochs
        Passes of all rows in stage 1, and of the labelled rows in stage 2; stage 3 takes ``train.epochs`` passes of all
        rows.
    labels_share
        Share of the labels' cross-entropy in stage 3, in [0, 1); 0 distils only.
    ratio
        Rows of a step in stages 1 and 3, per row of ``train.batch_size``: contrast wants large batches.

    Attributes
    ----------
    teacher_ : the fine-tuned network (the same as `net_` when nothing is distilled).

    References
    ----------
    Chen, Kornblith, Swersky, Norouzi and Hinton, Big Self-Supervised Models are Strong Semi-Supervised Learners, NeurIPS
    2020 (paper 10).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> train = Train(epochs=20, batch_size=32)
    >>> model = PretrainFinetuneDistill(pretrain_epochs=10, finetune_epochs=20, train=train, random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    student: nn.Module | str | None = "auto"
    temperature: Annotated[float, Positive] = 0.1
    distill_temperature: Annotated[float, Positive] = 1.0
    head_layers: Annotated[int, Range(low=0, high=3, whole=True)] = 1
    width: Annotated[int, Count] = 128
    pretrain_epochs: Annotated[int, Count] = 60
    finetune_epochs: Annotated[int, Count] = 60
    labels_share: Annotated[float, Fraction] = 0.0
    ratio: Annotated[int, Count] = 4

    card = Card(
        paper=10, year=2020, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Chen et al., Big Self-Supervised Models are Strong Semi-Supervised Learners, NeurIPS 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"temperature": [0.1, 0.5], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Make the projection head, the network that is fine-tuned on top of it, and the student."""
        features, width = trunk(self.net_)
        self.trunk_, self.projection_ = features, projection(width, self.width)
        kept = self.projection_[: self.head_layers]
        self.teacher_ = Extended(features, kept, self.width if self.head_layers == 3 else width, self.n_outputs_)
        self.net_ = self.teacher_ if self.student is None else self.fresh(self.student)
        self._check_student(data)

    def phases(self) -> list[Phase]:
        """Return the two or three stages."""
        stages = [
            self.everywhere(self.contrast, [self.trunk_, self.projection_], self.pretrain_epochs),
            self.on_labels(self.loss, [self.teacher_], self.finetune_epochs),
        ]
        if self.student is not None:
            stages.append(self.everywhere(self.distill, [self.net_], self.train_.epochs))
        return stages

    def contrast(self, batch: Batch) -> Tensor:
        """Return the contrastive loss of stage 1."""
        return two_views(batch, lambda x: self.projection_(self.trunk_(x)), self.temperature)

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of stage 2."""
        return labelled_loss(self.teacher_(batch.weak), batch)

    def distill(self, batch: Batch) -> dict[str, Tensor]:
        """Return the distillation of stage 3, and the labels' part of it where there is one."""
        with torch.no_grad(), evaluating(self.teacher_):
            target = self.teacher_(batch.weak)
        scores = self.net_(batch.weak)
        distilled = row_mean(distillation(scores, target, self.distill_temperature), batch.weight)
        if self.labels_share == 0:
            return {"distilled": distilled}
        share = self.labels_share
        return {"distilled": (1 - share) * distilled, "supervised": share * labelled_loss(scores, batch)}

    def _check_student(self, data: Data) -> None:
        with torch.no_grad(), evaluating(self.net_):
            found = self.net_(data.batch(torch.arange(2, device=data.x.device)).x).shape[1]
        if found != self.n_outputs_:
            raise InputError(f"student has {found} outputs, but y has {self.n_outputs_} classes: give it that many.")


def distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return ``-t^2 sum_k softmax(teacher / t)_k log softmax(student / t)_k`` of each row ``(b,)``, teacher detached.

    >>> even = torch.zeros(1, 2)
    >>> distillation(even, even, temperature=2.0)  # 4 log 2
    tensor([2.7726])
    """
    target = (teacher.detach() / temperature).softmax(1)
    return -(temperature**2) * (target * log_softmax(student / temperature, 1)).sum(1)
