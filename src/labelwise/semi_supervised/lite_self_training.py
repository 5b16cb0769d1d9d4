"""Self-training of small adapters on a frozen network, pseudo-labels weighed by a look-ahead (Wang et al. 2022, LiST)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Fraction, InputError
from labelwise.batch import endless
from labelwise.learner import MINI_BATCHES, row_mean
from labelwise.learner.template import PREDICT_ROWS
from labelwise.parts.ema import frozen
from labelwise.semi_supervised.pseudo_label_pretraining import imitation
from labelwise.semi_supervised.stages import Stages, labelled_loss, trunk
from labelwise.training import Batch, Data, Phase, Train, shuffled


class Adapter(nn.Module):
    """``h + up(relu(down(h)))`` of features ``(b, width)``; starts as the identity."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, h: Tensor) -> Tensor:
        """Return adapted features."""
        out: Tensor = h + self.up(self.down(h).relu())
        return out


class Lite(nn.Module):
    """A frozen trunk, then the small tail that is trained: an adapter and an output layer."""

    def __init__(self, features: nn.Module, tail: nn.Sequential) -> None:
        super().__init__()
        self.features, self.head = nn.Sequential(features, tail[0]), tail[1]

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, outputs)``."""
        out: Tensor = self.head(self.features(x))
        return out


class LiteSelfTraining(Stages):
    """A teacher's soft labels for small adapters on a frozen network, each weighed by whether it helps on true labels.

    The first teacher is an adapter and an output layer trained on the labels. In every round a student starts from their
    untrained weights and takes steps on ``sum_i w_i KL(teacher(u_i) || student(u_i))`` over rows without a label; it is then
    tuned on the labels and becomes the next teacher. With ``eps_i`` a weight of row i in a step of plain gradient descent,
    and L the loss on labelled rows after that step, ``w_i = max(0, -dL/d eps_i)`` at ``eps = 0``, scaled to sum to one: rows
    whose step would hurt on true labels are left out. The first steps of a round take sure rows alike.

    ``-dL/d eps_i`` is the product of two gradients, the row's and L's, so all weights come from one forward-mode derivative
    and nothing is unrolled. The frozen network reads every row once.

    Differs from the paper: an adapter after the features, not in every layer, and an output layer instead of a prompt, so
    that it works on any features; L is over one batch of labelled rows (``train.batch_size`` of them).

    Parameters
    ----------
    net
        A trained ``nn.Module`` with ``features`` and ``head``, whose features are kept frozen; with ``auto``, X holds
        embeddings ``(n, d)`` already.
    rounds
        Of self-training, >= 1.
    bottleneck
        Inner width of the adapter.
    weighting
        ``look-ahead`` as above; ``confidence`` takes sure rows alike in every step; ``none`` all rows alike.
    threshold
        Probability from which a teacher's label counts as sure, in [0, 1].
    warmup
        Share of a round's steps before the look-ahead starts, in [0, 1].
    finetune_epochs
        Passes of the labelled rows for the first teacher and after each round; a round takes ``train.epochs`` passes of the
        unlabelled rows.
    ratio
        Unlabelled rows per labelled row in a step, >= 1.

    Attributes
    ----------
    first_ : the first teacher's adapter and output layer.
    teacher_ : those of the last round's teacher.

    References
    ----------
    Wang, Mukherjee, Liu, Gao, Awadallah and Gao, LiST: Lite Prompted Self-training Makes Parameter-Efficient Few-shot
    Learners, NAACL Findings 2022 (paper 148). Ren, Zeng, Yang and Urtasun, Learning to Reweight Examples, ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = LiteSelfTraining(rounds=2, train=Train(epochs=5, batch_size=16, lr=1e-2), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    rounds: Annotated[int, Count] = 2
    bottleneck: Annotated[int, Count] = 32
    weighting: Literal["look-ahead", "confidence", "none"] = "look-ahead"
    threshold: Annotated[float, Fraction] = 0.8
    warmup: Annotated[float, Fraction] = 0.2
    finetune_epochs: Annotated[int, Count] = 150
    ratio: Annotated[int, Count] = 2

    card = Card(
        paper=148, year=2022, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Wang et al., LiST: Lite Prompted Self-training Makes Parameter-Efficient Few-shot Learners, 2022.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"threshold": [0.6, 0.9], "train": [Train(lr=lr, epochs=20, batch_size=64) for lr in (1e-3, 3e-3)]}

    def build(self, data: Data) -> None:
        """Freeze the network, let it read all rows, and put the tail that is trained behind it."""
        if isinstance(self.net, nn.Module):
            features, width = trunk(self.net)
        elif self.net == "auto" and self.inputs_.modality == "vectors":
            features, width = nn.Identity(), self.inputs_.shape[0]
        else:
            raise InputError(
                f"net={self.net!r} cannot be kept frozen: it would not be trained at all. Give a trained nn.Module, or "
                f"embeddings (n, d) as X with net='auto'. X holds {self.inputs_.modality}."
            )
        self.tail_ = nn.Sequential(Adapter(width, self.bottleneck), nn.Linear(width, self.n_outputs_))
        self.net_ = Lite(frozen(features), self.tail_).to(data.x.device)
        self.rows_, self.known_ = len(data), data.labelled
        read_once(data, self.net_.get_submodule("features")[0])  # type: ignore[index]

    def start(self, data: Data) -> None:
        """Keep the untrained weights, make room for the teachers, and count epochs and steps."""
        self.origin_, self.first_, self.teacher_ = (deepcopy(self.tail_) for _ in range(3))
        self.epochs_done_, self.step_ = torch.tensor(0), torch.tensor(0)
        self.warm_ = math.ceil(self.warmup * self.steps(data) * self.train_.epochs)

    def phases(self) -> list[Phase]:
        """Return the first teacher's stage, and of every round the student's and its tuning."""
        tune = self.on_labels(self.tune_loss, [self.tail_], self.finetune_epochs)
        return [tune, *[Phase(self.loss, [self.tail_], self.train_.epochs), tune] * self.rounds]

    def steps(self, data: Data) -> int:
        """Return the number of batches in a pass of the unlabelled rows."""
        return math.ceil(len(self._pool(data)) / (self._labelled_size(data) * self.ratio))

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield labelled batches, repeated as needed, each beside a part of one pass of the unlabelled rows."""
        size = self._labelled_size(data)
        labelled = endless(data.labelled.nonzero().squeeze(1), size, generator, data.shard)
        for rows in shuffled(self._pool(data), size * self.ratio, generator, data.shard):
            yield data.batch(next(labelled), unlabelled=data.batch(rows))

    def tune_loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy on labelled rows."""
        return labelled_loss(self.tail_(batch.x), batch)

    def loss(self, batch: Batch) -> Tensor:
        """Return the weighted distance from the teacher on unlabelled rows."""
        pool = batch.unlabelled
        with torch.no_grad():
            teacher = self.teacher_(pool.x)
        weight = self.weights(batch, teacher)
        if pool.weight is not None:
            weight = weight * pool.weight
        return (weight * imitation(self.tail_(pool.x), teacher)).sum()

    def weights(self, batch: Batch, teacher: Tensor) -> Tensor:
        """Return the weight of every unlabelled row of the batch; they sum to one, or to zero if no row is wanted."""
        if self.weighting == "none":
            return torch.full((len(teacher),), 1 / len(teacher), device=teacher.device)
        if self.weighting == "confidence" or int(self.step_) < self.warm_:
            return to_one((teacher.softmax(1).amax(1) >= self.threshold).to(teacher.dtype))
        return to_one(gains(self.tail_, batch.unlabelled.x, teacher, batch).clamp_min(0))

    def step_end(self) -> None:
        """Count the step."""
        self.step_ += 1

    def epoch_end(self) -> None:
        """At the end of a model's tuning make it the teacher; the next student starts from the untrained weights."""
        self.epochs_done_ += 1
        one = self.finetune_epochs + self.train_.epochs
        number, rest = divmod(int(self.epochs_done_) - self.finetune_epochs, one)
        if rest == 0 and number == 0:
            self.first_.load_state_dict(self.tail_.state_dict())
        if rest == 0 and number < self.rounds:
            self.teacher_.load_state_dict(self.tail_.state_dict())
            self.tail_.load_state_dict(self.origin_.state_dict())
            self.step_.zero_()

    @staticmethod
    def _pool(data: Data) -> Tensor:
        unlabelled = (~data.labelled).nonzero().squeeze(1)
        return unlabelled if len(unlabelled) else torch.arange(len(data), device=data.x.device)


@torch.no_grad()
def read_once(data: Data, features: nn.Module) -> None:
    """Replace the rows by their features under a frozen network."""
    blocks = torch.split(torch.arange(len(data), device=data.x.device), PREDICT_ROWS)
    data.x = torch.cat([features(data.batch(rows).x) for rows in blocks])


def to_one(weight: Tensor) -> Tensor:
    """Return weights that sum to (just under) one; zeros stay zeros."""
    return weight / (weight.sum() + 1e-6)


def gains(model: nn.Module, x: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
    """Return how fast a step on each row's pseudo-label lowers the loss on the labelled batch, ``(b,)``.

    ``-dL(w - sum_i eps_i g_i) / d eps_i`` at ``eps = 0``, which is ``g_i . grad L(w)``, per unit of the rate of the step.

    Parameters
    ----------
    model
        Maps rows to scores; its weights are w.
    x, teacher
        Rows with pseudo-labels and the teacher's scores of them; ``g_i`` is the gradient of row i's `imitation`.
    batch
        Labelled rows: L is their mean cross-entropy.
    """
    weights = {name: value.detach() for name, value in model.named_parameters()}

    def imitations(w: dict[str, Tensor]) -> Tensor:
        return imitation(functional_call(model, w, (x,)), teacher)

    def label_loss(w: dict[str, Tensor]) -> Tensor:
        return row_mean(cross_entropy(functional_call(model, w, (batch.x,)), batch.y, reduction="none"), batch.weight)

    gain: Tensor = jvp(imitations, (weights,), (grad(label_loss)(weights),))[1]
    return gain.detach()
