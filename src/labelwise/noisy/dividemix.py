"""DivideMix (Li, Socher and Hoi 2020): learning with wrong labels as semi-supervised learning."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import Card, Count, Fraction, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, Pair, Train, TwoNetworks, endless, evaluating, row_mean
from labelwise.parts.judges import high_loss_probability, mean_or_zero, sharpen
from labelwise.parts.mixers import mixup
from labelwise.training import Batch, Data, Phase


class DivideMix(TwoNetworks):
    """Each network takes the rows that the other finds hard for unlabelled ones, and learns from both parts by MixMatch.

    After `warmup` epochs of cross-entropy, at the start of every epoch two Gaussians are fitted to the losses of each
    network; w, the probability of the lower one, is handed to the *other* network f (with partner g), which keeps the label
    y where ``w > threshold``. In a batch, with two weak views of every row and p the mean of their probabilities by f:

    - kept rows: ``t = sharpen(w onehot(y) + (1 - w) p)`` (co-refinement)
    - other rows: ``t = sharpen((p_f + p_g) / 2)`` (co-guessing)
    - mixup of all rows and targets, each row keeping the larger share, then
      ``loss = CE(t, f(x)) over kept + lambda_u(epoch) mean (t - softmax f(x))^2 over others + KL(uniform || mean p)``

    Rows without a label join the others, as a pool.

    Differs from the paper: the networks take their steps in turn, not their epochs; a batch is half kept and half other
    rows, and an epoch as many batches as plain training has, whatever the division.

    Parameters
    ----------
    warmup
        Epochs of cross-entropy before the first division, >= 1. The authors use 10 of 300 (30 for 100 classes).
    threshold
        Probability of a right label above which it is kept, in [0, 1].
    temperature
        Of the targets, > 0; below 1 sharpens.
    alpha
        Of mixup, > 0.
    lambda_u
        Weight of the other rows, >= 0. The authors use 0 for little noise or asymmetric noise, 25 for half, up to 150.
    ramp
        Epochs after the warm-up over which `lambda_u` grows from 0, >= 1.
    penalty
        Weight of the negative entropy of predictions during the warm-up, >= 0; the authors use 1 for asymmetric noise.

    Attributes
    ----------
    clean_probability_ : tensor of shape (2, n)
        Probability of a right label by the losses of each network at the last division; 0 for rows without a label.

    References
    ----------
    Li, Socher and Hoi, DivideMix: Learning with Noisy Labels as Semi-supervised Learning, ICLR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> wrong = np.random.default_rng(0).random(150) < 0.3
    >>> model = DivideMix(warmup=5, lambda_u=0, penalty=1, train=Train(epochs=20, batch_size=32), random_state=0)
    >>> model = model.fit(X, np.where(wrong, (y + 1) % 3, y))
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    warmup: Annotated[int, Count] = 10
    threshold: Annotated[float, Fraction] = 0.5
    temperature: Annotated[float, Positive] = 0.5
    alpha: Annotated[float, Positive] = 4.0
    lambda_u: Annotated[float, NonNegative] = 25.0
    ramp: Annotated[int, Count] = 16
    penalty: Annotated[float, NonNegative] = 0.0

    card = Card(
        year=2020, kind="learner", handles=frozenset({"noise"}), cost="heavy", race=True,
        reference="Li, Socher and Hoi, DivideMix: Learning with Noisy Labels as Semi-supervised Learning, ICLR 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"lambda_u": [0.0, 25.0], "train": [Train(lr=lr, epochs=40) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Count all given labels as right until the first division."""
        super().start(data)
        self.refuse_texts()
        self.clean_probability_ = data.labelled.float().repeat(2, 1)

    def phases(self) -> list[Phase]:
        """Return one stage in which both networks step on every batch, one after the other."""
        second = Phase(lambda batch: self.member_loss(1, cast(Pair, batch).second), [self.other_], self.train_.epochs)
        return [Phase(lambda batch: self.member_loss(0, batch), [self.net_], self.train_.epochs, then=second)]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield batches for both networks: of all labels during the warm-up, then divided anew every epoch."""
        if int(self.epoch_) < self.warmup:
            yield from self.pairs(data, generator)
            return
        self.divide(data, data.labelled.nonzero().squeeze(1))
        streams = [self.divided(member, data, generator) for member in (0, 1)]
        for first, second in islice(zip(*streams, strict=True), self.steps(data)):
            yield Pair(first, second)

    def divide(self, data: Data, rows: Tensor) -> None:
        """Tell rows with low losses from rows with high ones, by each network."""
        for member, net in enumerate(self.members()):
            losses = cross_entropy(self.scores(net, data, rows), data.y[rows], reduction="none")
            clean = 1 - torch.as_tensor(high_loss_probability(losses.cpu().numpy()), dtype=torch.float32)
            self.clean_probability_[member, rows] = clean.to(losses.device)

    def divided(self, member: int, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield half-batches of the rows whose label this network keeps, beside half-batches of the others, endlessly."""
        kept = data.labelled & (self.clean_probability_[1 - member] > self.threshold)
        kept = kept if bool(kept.any()) else data.labelled
        size = max(1, self.train_.batch_size // 2)
        parts = (part.nonzero().squeeze(1) for part in (kept, ~kept))
        for labelled, other in zip(*(endless(part, size, generator, data.shard) for part in parts), strict=True):
            yield data.batch(labelled, unlabelled=data.batch(other))

    def member_loss(self, member: int, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of one network: cross-entropy during the warm-up, then MixMatch on the divided rows."""
        net, partner = self.members()[member], self.members()[1 - member]
        if int(self.epoch_) >= self.warmup:
            return self.mixmatch(net, partner, batch, self.clean_probability_[1 - member, batch.index])
        logits = net(batch.weak)
        parts = {"labelled": row_mean(cross_entropy(logits, batch.y, reduction="none"), batch.weight)}
        if self.penalty:
            parts["penalty"] = -self.penalty * torch.special.entr(logits.softmax(1)).sum(1).mean()
        return parts

    def mixmatch(self, net: nn.Module, partner: nn.Module, batch: Batch, clean: Tensor) -> dict[str, Tensor]:
        """Return the parts of the loss on kept rows `batch` and other rows ``batch.unlabelled``."""
        views, others = two_views(batch), two_views(batch.unlabelled)
        refined = self.refined(net, views, batch.y, clean)
        guessed = self.guessed(net, partner, others) if len(others[0]) else refined[:0]
        mix = mixup(2 * (len(refined) + len(guessed)), self.alpha, larger=True).to(refined.device)
        logits, target = net(mix(torch.cat([*views, *others]))), mix(torch.cat([refined, refined, guessed, guessed]))
        n = 2 * len(refined)
        weight = None if batch.weight is None else batch.weight.repeat(2)
        error = (logits[n:].softmax(1) - target[n:]) ** 2
        return {
            "labelled": row_mean(cross_entropy(logits[:n], target[:n], reduction="none"), weight),
            "unlabelled": self.ramped() * mean_or_zero(error),
            "balance": -(logits.softmax(1).mean(0) * logits.shape[1]).clamp_min(1e-12).log().mean(),
        }

    @torch.no_grad()
    def refined(self, net: nn.Module, views: list[Tensor], y: Tensor, clean: Tensor) -> Tensor:
        """Return targets of kept rows: the label as far as it is trusted, for the rest the network's own opinion."""
        own = torch.stack([net(view).softmax(1) for view in views]).mean(0)
        return sharpen(torch.lerp(own, one_hot(y, own.shape[1]).to(own.dtype), clean[:, None]), self.temperature)

    @torch.no_grad()
    def guessed(self, net: nn.Module, partner: nn.Module, views: list[Tensor]) -> Tensor:
        """Return targets of other rows: what both networks think of both views."""
        with evaluating(partner):
            p = torch.stack([member(view).softmax(1) for member in (net, partner) for view in views]).mean(0)
        return sharpen(p, self.temperature)

    def ramped(self) -> float:
        """Return the weight of the other rows now."""
        epoch = int(self.step_) / self.epoch_steps_
        return self.lambda_u * min(1.0, max(0.0, (epoch - self.warmup) / self.ramp))


def two_views(batch: Batch) -> list[Tensor]:
    """Return two weak views of the rows, drawn apart."""
    return [batch.weak, batch.x if batch.views is None else batch.views.weak(batch.x)]
