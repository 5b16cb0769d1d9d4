"""Training on cheap labels first and on trusted ones after (Mallen and Belrose 2024)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from torch import Tensor, nn

from labelwise.base import Card, Count, Fraction, InputError
from labelwise.learner import MINI_BATCHES, ClassLearner, started
from labelwise.losses.base import CrossEntropy, Loss
from labelwise.parts.out_of_fold import stratified_folds
from labelwise.supervision.arrays import boolean_mask
from labelwise.training import Batch, Batches, Data, Phase, shuffled


class SequentialFineTuning(ClassLearner):
    """Train on many cheap labels first, then on the few trusted ones, with one head and a fresh optimiser.

    Stage 1 sees the labelled rows that are not `trusted`, stage 2 the trusted ones; both move all weights. Each stage holds
    out a share of its rows, and its best epoch by area under the ROC curve on them (mean over classes) is what goes on: to
    stage 2, and to prediction. A stage without rows is left out.

    Differs from the paper: cheap labels are classes, not probabilities; ties between epochs go to the higher confidence in
    the held-out labels; few-shot prompts become a head that starts from class means. Its setting is ``seen=30_000`` with
    ``Train(batch_size=32)``; the paper starts from a pretrained network, given here as `net`.

    Parameters
    ----------
    criterion
        Loss of stage 1: any drop-in loss, such as `labelwise.losses.LogConfidence`. Stage 2 takes the cross-entropy.
    head
        ``random``, or ``means``: the output layer starts as the nearest class mean of the untrained features, over the rows
        of the first stage.
    validation
        Share of each stage's rows held out, at least two of them; 0, or a stage of under four rows, keeps the last epoch.
    seen
        Rows shown in each stage, repeats counted: a stage of n rows runs ``max(1, seen / n)`` epochs. None takes
        ``train.epochs`` for both.

    References
    ----------
    Mallen, Belrose, Balancing Label Quantity and Quality for Scalable Elicitation, 2024 (paper 88).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.data.synthetic import symmetric_noise
    >>> from labelwise.learner import Train
    >>> X, truth = load_iris(return_X_y=True)
    >>> trusted = np.arange(150) % 6 == 0
    >>> y = np.where(trusted, truth, symmetric_noise(truth, 0.3, random_state=0).y)
    >>> model = SequentialFineTuning(train=Train(epochs=40, batch_size=16), validation=0.0, random_state=0)
    >>> model = model.fit(X, y, trusted=trusted)
    >>> bool(model.score(X, truth) > 0.9)
    True
    """

    criterion: Loss = CrossEntropy()
    head: Literal["random", "means"] = "random"
    validation: Annotated[float, Fraction] = 0.2
    seen: Annotated[int, Count] | None = None

    card = Card(
        paper=88, year=2024, kind="learner", handles=frozenset({"noise"}), needs=frozenset({"trusted"}), cost="light",
        reference="Mallen, Belrose, Balancing Label Quantity and Quality for Scalable Elicitation, 2024.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        apart="It must be told which rows are trusted; a race scores by those rows, and tells no method.",
    )  # fmt: skip
    tune = {"head": ["random", "means"]}

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        domains: ArrayLike | None = None,
        trusted: ArrayLike | None = None,
    ) -> Self:
        """Train on the cheap rows, then on the trusted ones.

        Parameters
        ----------
        X, y, sample_weight, domains
            As in `Learner.fit`; rows without a label are left out.
        trusted
            Boolean mask ``(n,)`` of the rows whose label is trusted; None trusts none, and only stage 1 runs.
        """
        self.check_fields()
        if self.train is not None and self.train.validation:
            raise InputError(
                f"SequentialFineTuning.train must have validation=0. Got {self.train.validation}. Each stage holds rows "
                "out by itself: set SequentialFineTuning.validation."
            )
        self._trusted = trusted
        try:
            return super().fit(X, y, sample_weight, domains)
        finally:
            for name in ("_trusted", "_stages", "_data"):
                self.__dict__.pop(name, None)

    def start(self, data: Data) -> None:
        """Split the rows into stages, and make the head and the first stage's loss."""
        self.criterion_ = started(self.criterion, data, self.n_outputs_)
        self._data, self._stages = data, self._split(data)
        if self.head == "means":
            start_head(self.net_, data.batch(self._stages[0].rows))
        self.best_ = deepcopy(self.net_)
        self.best_score_, self.epochs_done_ = torch.tensor(-math.inf), torch.tensor(0)

    def phases(self) -> list[Phase]:
        """Return one phase a stage: each has an optimiser of its own."""
        size = self.train_.batch_size
        return [
            Phase(s.loss, [self.net_], s.epochs, batches=self._batches(s.rows), steps=math.ceil(len(s.rows) / size))
            for s in self._stages
        ]

    def cheap_loss(self, batch: Batch) -> Tensor:
        """Return the criterion on cheap labels."""
        value: Tensor = self.criterion_(self.net_(batch.x), batch.y, batch.index, batch.weight)
        return value

    def trusted_loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy on trusted labels."""
        value: Tensor = CrossEntropy()(self.net_(batch.x), batch.y, batch.index, batch.weight)
        return value

    def epoch_end(self) -> None:
        """Keep the stage's best weights; at its end go back to them."""
        self.epochs_done_ += 1
        ends = np.cumsum([stage.epochs for stage in self._stages])
        stage = self._stages[int(np.searchsorted(ends, int(self.epochs_done_)))]
        if len(stage.held):
            score = separation(self._forward(self._data.batch(stage.held).x), self._data.y[stage.held])
            if score > self.best_score_:
                self.best_score_ = torch.tensor(score)
                self.best_.load_state_dict(self.net_.state_dict())
        if int(self.epochs_done_) in ends and torch.isfinite(self.best_score_):
            self.net_.load_state_dict(self.best_.state_dict())
            self.best_score_ = torch.tensor(-math.inf)

    def _split(self, data: Data) -> list[Stage]:
        given = (
            np.zeros(len(data), bool) if self._trusted is None else boolean_mask(self._trusted, len(data), "trusted")
        )
        trusted = torch.as_tensor(given, device=data.labelled.device)
        rng = np.random.default_rng(self.seed_)
        kinds = ((self.cheap_loss, ~trusted), (self.trusted_loss, trusted))
        found = [(loss, (data.labelled & which).nonzero().squeeze(1)) for loss, which in kinds]
        return [self._stage(loss, rows, data.y, rng) for loss, rows in found if len(rows)]

    def _stage(self, loss: Callable[[Batch], Tensor], rows: Tensor, y: Tensor, rng: np.random.Generator) -> Stage:
        epochs = self.train_.epochs if self.seen is None else max(1, self.seen // len(rows))
        if self.validation == 0 or len(rows) < 4:
            return Stage(loss, rows, rows[:0], epochs)
        parts = max(2, min(round(1 / self.validation), len(rows) // 2))
        held = torch.as_tensor(stratified_folds(y[rows].cpu().numpy(), parts, rng) == 0, device=rows.device)
        return Stage(loss, rows[~held], rows[held], epochs)

    def _batches(self, rows: Tensor) -> Batches:
        def batches(data: Data, generator: torch.Generator) -> Iterator[Batch]:
            for some in shuffled(rows, self.train_.batch_size, generator, data.shard):
                yield data.batch(some)

        return batches


@dataclass(frozen=True)
class Stage:
    """A loss, the rows it trains on, the rows held out, and for how many epochs."""

    loss: Callable[[Batch], Tensor]
    rows: Tensor
    held: Tensor
    epochs: int


def separation(scores: Tensor, y: Tensor) -> float:
    """Return the area under the ROC curve, mean over classes, plus less than half a pair's worth of confidence.

    >>> round(separation(torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])), 1)
    1.0
    """
    p, codes = scores.double().softmax(1).cpu().numpy(), y.cpu().numpy()
    label = codes[:, None] == np.arange(p.shape[1])
    positive = label.sum(0)
    pairs = positive * (len(codes) - positive)
    above = (rankdata(p, axis=0) * label).sum(0) - positive * (positive + 1) / 2
    area = above[pairs > 0] / pairs[pairs > 0]
    confidence = float(p[np.arange(len(codes)), codes].mean())
    mean = float(area.mean()) if len(area) else 0.0
    return float(mean + confidence / (4 * label.shape[1] * max(1, int(pairs.max()))))


@torch.no_grad()
def start_head(net: nn.Module, batch: Batch) -> None:
    """Set the output layer so that it gives the posterior of normal classes with one variance around the class means.

    The variance is enlarged by the root of the width, because the features of a network depend on one another. Classes
    without a row keep a weight of zero and the bias of a class at the common mean.
    """
    features, head = getattr(net, "features", None), getattr(net, "head", None)
    if not isinstance(features, nn.Module) or not isinstance(head, nn.Linear):
        raise InputError(
            f"head='means' needs a network with `features` and a linear `head`. Got {type(net).__name__}; use head='random'."
        )
    hidden = features(batch.x)
    center = hidden.mean(0)
    label = F.one_hot(batch.y, head.out_features).to(hidden.dtype)
    means = (label.T @ (hidden - center)) / label.sum(0)[:, None].clamp_min(1)
    variance = (hidden - center - means[batch.y]).square().mean().clamp_min(1e-6) * math.sqrt(hidden.shape[1])
    head.weight.copy_(means / variance)
    head.bias.copy_(-means.square().sum(1) / (2 * variance) - head.weight @ center)
