"""ELR+ (Liu et al. 2020): early-learning regularisation with two networks, averaged weights and mixup."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.base import Card, Fraction, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, Pair, Train, TwoNetworks, evaluating, row_mean
from labelwise.parts.ema import EMA
from labelwise.parts.memory import RowMemory
from labelwise.parts.mixers import mixup
from labelwise.training import Batch, Data


class ELRPlus(TwoNetworks):
    """Each network is pulled towards the running mean of what the other's averaged weights predict.

    With g' the averaged weights of the *other* network, x the plain row and M a mixup of the batch:

    - ``t_i <- decay t_i + (1 - decay) softmax(g'(x_i))``, a store of each network's own
    - ``p = softmax(f(M(x)))`` clamped to ``[1e-4, 1 - 1e-4]``, and ``q = M(t)``
    - ``loss = CE(M(onehot y), f(M(x))) + ramp(step) weight log(1 - <p, q>)``; with `reweigh` the target of the
      cross-entropy is ``M(onehot y) q``, normalised
    - after the step ``f' <- a f' + (1 - a) f`` with ``a = ema exp(-5 (1 - min(step / S, 1))^2)``

    No gradient runs through t. Rows without a label are left out.

    Differs from the paper: the lengths of both ramps are shares of the training instead of 40,000 steps; both networks step
    on every batch, each in an order of rows of its own, instead of taking turns by the epoch; averaged networks predict in
    evaluation mode.

    Parameters
    ----------
    weight
        Strength of the pull, >= 0. The authors use 3 (10 classes, symmetric noise), 1 (asymmetric) and 7 (100 classes).
    decay
        Of the running means, in [0, 1]; 0.7 for symmetric, 0.9 for asymmetric noise or many classes.
    alpha
        Of mixup, > 0; a row keeps the larger share.
    ema
        Final decay of the averaged weights, in [0, 1].
    ema_ramp
        Share of the training over which that decay grows, in [0, 1]; the authors' 40,000 steps are about half.
    ramp
        Share of the training over which the pull grows, in [0, 1]; 0 for 10 classes, about 0.4 for 100.
    reweigh
        Multiply the cross-entropy's target by q: the authors' way with 100 classes. ``auto`` does so from 100 classes on.

    References
    ----------
    Liu, Niles-Weed, Razavian and Fernandez-Granda, Early-Learning Regularization Prevents Memorization of Noisy Labels,
    NeurIPS 2020 (paper 7).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> wrong = np.random.default_rng(0).random(150) < 0.3
    >>> model = ELRPlus(weight=1, decay=0.9, train=Train(epochs=30, batch_size=32), random_state=0)
    >>> model = model.fit(X, np.where(wrong, (y + 1) % 3, y))
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    weight: Annotated[float, NonNegative] = 3.0
    decay: Annotated[float, Fraction] = 0.7
    alpha: Annotated[float, Positive] = 1.0
    ema: Annotated[float, Fraction] = 0.997
    ema_ramp: Annotated[float, Fraction] = 0.5
    ramp: Annotated[float, Fraction] = 0.0
    reweigh: bool | Literal["auto"] = "auto"

    card = Card(
        paper=7, year=2020, kind="learner", handles=frozenset({"noise"}), cost="heavy", race=True,
        reference="Liu et al., Early-Learning Regularization Prevents Memorization of Noisy Labels, NeurIPS 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weight": [1.0, 3.0, 7.0], "train": [Train(lr=lr, epochs=60) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Start the averaged weights at the networks', and the running means at zero."""
        super().start(data)
        self.refuse_texts()
        self.teacher_, self.other_teacher_ = RampedEMA(self.net_), RampedEMA(self.other_)
        self.targets_, self.other_targets_ = (RowMemory(len(data), self.n_outputs_, self.decay) for _ in range(2))
        self.total_ = self.epoch_steps_ * self.train_.epochs
        self.reweigh_ = self.n_outputs_ >= 100 if self.reweigh == "auto" else bool(self.reweigh)

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield all labelled rows, for each network in an order of its own."""
        yield from self.pairs(data, generator)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of both networks, each taught by the other's averaged weights."""
        assert isinstance(batch, Pair)
        return {
            "first": self.member_loss(self.net_, self.other_teacher_, self.targets_, batch),
            "second": self.member_loss(self.other_, self.teacher_, self.other_targets_, batch.second),
        }

    def member_loss(self, net: nn.Module, teacher: EMA, targets: RowMemory, batch: Batch) -> Tensor:
        """Return one network's cross-entropy on mixed rows, and its pull towards the mixed running means."""
        mix = mixup(len(batch), self.alpha, larger=True).to(batch.x.device)
        with torch.no_grad(), evaluating(teacher):
            q = mix(targets.update(batch.index, teacher(batch.x).softmax(1)))
        logits, y = net(mix(batch.x)), mix(F.one_hot(batch.y, self.n_outputs_).to(q.dtype))
        if self.reweigh_:
            y = F.normalize(y * q, p=1, dim=1)
        p = logits.softmax(1).clamp(1e-4, 1 - 1e-4)
        pull = self.weight * rising(int(self.step_), self.ramp * self.total_) * torch.log1p(-(q * p).sum(1))
        return row_mean(F.cross_entropy(logits, y, reduction="none") + pull, batch.weight)

    def step_end(self) -> None:
        """Move the averaged weights."""
        super().step_end()
        decay = self.ema * rising(int(self.step_), self.ema_ramp * self.total_)
        self.teacher_.follow(self.net_, decay)
        self.other_teacher_.follow(self.other_, decay)


class RampedEMA(EMA):
    """Averaged weights whose decay is told at every step."""

    @torch.no_grad()
    def follow(self, module: nn.Module, decay: float) -> None:
        """Move the copy: ``w <- decay * w + (1 - decay) * w_module``; buffers are copied."""
        for mine, theirs in zip(self.module.parameters(), module.parameters(), strict=True):
            mine.lerp_(theirs.detach(), 1 - decay)
        for old, new in zip(self.module.buffers(), module.buffers(), strict=True):
            old.copy_(new)


def rising(step: int, length: float) -> float:
    """Return ``exp(-5 (1 - min(step / length, 1))^2)``, and 1 for a ramp of no length.

    >>> [round(rising(step, 100), 4) for step in (0, 50, 100, 200)]
    [0.0067, 0.2865, 1.0, 1.0]
    """
    return 1.0 if length <= 0 else math.exp(-5 * (1 - min(step / length, 1.0)) ** 2)
