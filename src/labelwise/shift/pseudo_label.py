"""Target rows that teach themselves: pseudo-labels under a threshold and a ramp, and Noisy Student."""

from __future__ import annotations

from copy import deepcopy
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout

from labelwise.base import Card, Count, Fraction, InputError, NonNegative
from labelwise.learner import MINI_BATCHES, evaluating
from labelwise.parts.judges import confident
from labelwise.shift.learner import APART, DomainLearner
from labelwise.training import Batch, Data, Phase, Train


class DomainPseudoLabel(DomainLearner):
    """The network's own sure labels of target rows join the source labels, with a weight that grows over training.

    ``loss = CE(f(x_s), y_s) + strength * mean over target rows of [max p(x_t) >= threshold] CE(f(x_t), argmax p(x_t))``.
    The labels carry no gradient; rows in doubt count as zero in the mean. The weight grows linearly from 0 and reaches its
    maximum when `ramp` of the training is done.

    Differs from the paper: views of the rows are random only when `views` says so (``weak`` for both parts).

    Parameters
    ----------
    threshold
        Probability from which a target row's label counts, in [0, 1].
    weight
        Of the target part at its maximum, >= 0.
    ramp
        Share of the training after which the weight is at its maximum, in [0, 1]; 0 from the start.

    Attributes
    ----------
    domains_ : names of the source domains, and last that of the target.

    References
    ----------
    Lee, Pseudo-Label, ICML Workshops 2013, as run by Sagawa et al., Extending the WILDS Benchmark for Unsupervised
    Adaptation, ICLR 2022 (paper 168).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> there = X * [1, 1.2, 1, 1] + 0.3  # the same flowers, measured with another ruler
    >>> rows, labels = np.concatenate([X, there]), np.concatenate([y, np.full(150, -1)])
    >>> model = DomainPseudoLabel(train=Train(epochs=30, batch_size=32), random_state=0).fit(rows, labels)
    >>> bool(model.score(there, y) > 0.7)
    True
    """

    threshold: Annotated[float, Fraction] = 0.9
    weight: Annotated[float, NonNegative] = 1.0
    ramp: Annotated[float, Fraction] = 0.4

    card = Card(
        paper=168, year=2022, kind="learner", handles=frozenset({"covariate shift"}), needs=frozenset({"target rows"}),
        reference="Sagawa et al., Extending the WILDS Benchmark for Unsupervised Adaptation, ICLR 2022.", apart=APART,
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"threshold": [0.7, 0.9], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 3e-3)]}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the two parts; both domains are read in one pass."""
        scores = self.net_(torch.cat([batch.weak, batch.unlabelled.weak]))
        parts = {"supervised": self.supervised(scores[: len(batch)], batch)}
        if len(batch.unlabelled):
            parts["pseudo"] = self.grown() * own_labels(scores[len(batch) :], self.threshold).mean()
        return parts

    def grown(self) -> float:
        """Return the weight of the target part now."""
        return self.weight * (min(1.0, self.progress / self.ramp) if self.ramp else 1.0)


def own_labels(scores: Tensor, threshold: float) -> Tensor:
    """Return each row's cross-entropy against its own most probable class, zero for rows in doubt; ``(n,)``."""
    label, sure = confident(scores.detach(), threshold)
    return sure * cross_entropy(scores, label, reduction="none")


class NoisyStudent(DomainLearner):
    """A teacher trained on the source labels all target rows once; a new student learns both, with noise. Then again.

    1. Teacher: cross-entropy on source rows.
    2. A student from fresh weights: ``CE(f(strong x_s), y_s) + weight CE(f(strong x_t), teacher(x_t))``, its features under
       dropout; the teacher sees rows as they are. The student becomes the teacher of the next round.

    Differs from the paper: the student has the teacher's size; labels are the teacher's probabilities (``soft``) or its
    classes, without balancing by class.

    Parameters
    ----------
    rounds
        Students, >= 1; the teacher and each of them train for ``train.epochs``.
    weight
        Of the target part, >= 0.
    labels
        ``soft`` or ``hard``.
    dropout
        Share of the student's features set to zero while it learns, in [0, 1).

    Attributes
    ----------
    teacher_ : the last student's teacher.
    domains_ : names of the source domains, and last that of the target.

    References
    ----------
    Xie, Luong, Hovy and Le, Self-training with Noisy Student Improves ImageNet Classification, CVPR 2020, as run by Sagawa
    et al., Extending the WILDS Benchmark for Unsupervised Adaptation, ICLR 2022 (paper 168).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> there = X * [1, 1.2, 1, 1] + 0.3  # the same flowers, measured with another ruler
    >>> rows, labels = np.concatenate([X, there]), np.concatenate([y, np.full(150, -1)])
    >>> model = NoisyStudent(rounds=1, train=Train(epochs=30, batch_size=32), random_state=0).fit(rows, labels)
    >>> bool(model.score(there, y) > 0.7)
    True
    """

    rounds: Annotated[int, Count] = 2
    weight: Annotated[float, NonNegative] = 1.0
    labels: Literal["soft", "hard"] = "soft"
    dropout: Annotated[float, Fraction] = 0.2

    card = Card(
        paper=168, year=2022, kind="learner", handles=frozenset({"covariate shift"}), needs=frozenset({"target rows"}),
        reference="Sagawa et al., Extending the WILDS Benchmark for Unsupervised Adaptation, ICLR 2022.", apart=APART,
        cost="heavy", expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"labels": ["soft", "hard"], "train": [Train(lr=lr, epochs=30, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Keep a copy of the untrained weights for every student, and room for the teacher."""
        if self.train_.validation:
            raise InputError(
                f"NoisyStudent.train must have validation=0. Got {self.train_.validation}. It trains in stages, and "
                "stopping one of them early would cut the others too: set the epochs instead."
            )
        super().start(data)
        self.representation()
        self.origin_, self.teacher_ = deepcopy(self.net_), deepcopy(self.net_)
        self.epochs_done_ = torch.tensor(0)

    def phases(self) -> list[Phase]:
        """Return the teacher's stage and the students'."""
        student = Phase(self.loss, [self.net_], self.train_.epochs)
        return [Phase(self.teach, [self.net_], self.train_.epochs), *[student] * self.rounds]

    def epoch_end(self) -> None:
        """At the end of a stage make the network the teacher, and start the next student from fresh weights."""
        self.epochs_done_ += 1
        stage, rest = divmod(int(self.epochs_done_), self.train_.epochs)
        if rest == 0 and stage <= self.rounds:
            self.teacher_.load_state_dict(self.net_.state_dict())
            self.net_.load_state_dict(self.origin_.state_dict())

    def teach(self, batch: Batch) -> Tensor:
        """Return the teacher's cross-entropy on source rows."""
        return self.supervised(self.net_(batch.weak), batch)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the student's loss on noisy rows of both domains."""
        seen = torch.cat([batch.strong, batch.unlabelled.strong])
        z = dropout(self.representation().features(seen), self.dropout)
        scores: Tensor = self.net_.head(z)  # type: ignore[operator]
        parts = {"supervised": self.supervised(scores[: len(batch)], batch)}
        if len(batch.unlabelled):
            target = taught(self.teacher_, batch.unlabelled.x, self.labels)
            parts["pseudo"] = self.weight * cross_entropy(scores[len(batch) :], target)
        return parts


@torch.no_grad()
def taught(teacher: nn.Module, x: Tensor, labels: str) -> Tensor:
    """Return the teacher's probabilities of rows as they are, or its classes."""
    with evaluating(teacher):
        scores: Tensor = teacher(x)
    return scores.softmax(1) if labels == "soft" else scores.argmax(1)
