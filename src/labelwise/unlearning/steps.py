"""Forgetting by a loss of its own on the rows to forget: gradient ascent, and other labels instead."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import Card, Count, NonNegative, Positive
from labelwise.learner import MINI_BATCHES
from labelwise.losses.forgetting import kl_from
from labelwise.training import Batch, LossValue, Phase
from labelwise.unlearning.base import Unlearner

APART = "It removes rows from a model that is fitted already."
RANDOM_BATCHES = {"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES}


class Stepwise(Unlearner):
    """What methods share that step on a loss of forgotten rows plus one that holds the kept rows.

    A method writes `forgetting`, the loss of a batch of forgotten rows.

    Parameters
    ----------
    forget_steps
        Optimiser steps, >= 1, each on a batch of kept and one of forgotten rows.
    lr
        Peak learning rate, > 0.
    retain
        What holds the kept rows: ``labels`` (their loss), ``original`` (stay with the model before: KL of classes, squared
        difference of targets), or ``nothing``.
    retain_weight
        Weight of that, >= 0.
    """

    forget_steps: Annotated[int, Count] = 100
    lr: Annotated[float, Positive] = 1e-3
    retain: Literal["labels", "original", "nothing"] = "labels"
    retain_weight: Annotated[float, NonNegative] = 1.0

    def forgetting(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of forgotten rows."""
        raise NotImplementedError(f"{type(self).__name__} must define forgetting(batch).")

    def stages(self) -> list[Phase]:
        """Take `forget_steps` steps of the whole network."""
        return [Phase(self.loss, [self.net_], 1, self.lr, self.paired(self.forget_steps), self.forget_steps)]

    def loss(self, batch: Batch) -> LossValue:
        """Return the loss of the forgotten rows and that of the kept ones."""
        parts = {"forgetting": self.forgetting(batch.unlabelled)}
        if self.retain != "nothing":
            parts["retaining"] = self.retain_weight * self.retaining(batch)
        return parts

    def retaining(self, batch: Batch) -> Tensor:
        """Return what holds the kept rows."""
        if self.retain == "labels":
            return self.supervised(batch)
        now, before = self.net_(batch.x), self.origin_(batch.x)
        return (kl_from(before, now) if self.of_classes() else (now - before.detach()).square().mean(1)).mean()

    def likelihood(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the log-likelihoods of the labels now and before, each ``(b,)``."""
        with torch.no_grad():
            before = -self.row_losses(self.origin_(batch.x), batch.y)
        return -self.row_losses(self.net_(batch.x), batch.y), before


class GradientAscent(Stepwise):
    """Climb the loss of the forgotten rows, while the kept ones are held: the plainest way to unlearn.

    It has no end of its own: with many steps, or with nothing that holds the kept rows, the model is destroyed; see `NPO`.

    References
    ----------
    Golatkar et al., Eternal Sunshine of the Spotless Net, CVPR 2020; with the retain term also called gradient difference.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_digits(return_X_y=True)
    >>> model = Classifier(train=Train(epochs=15), random_state=0).fit(X, y)
    >>> after = GradientAscent(estimator=model, random_state=0).fit(X, y, forget=y == 3)
    >>> bool(after.score(X[y == 3], y[y == 3]) < 0.5 < after.score(X[y != 3], y[y != 3]))
    True
    """

    card = Card(
        year=2020, kind="learner", handles=frozenset({"forgetting"}), needs=frozenset({"forget"}), task="any",
        reference="Golatkar et al., Eternal Sunshine of the Spotless Net, CVPR 2020.",
        expected_failed_checks=RANDOM_BATCHES, apart=APART,
    )  # fmt: skip
    tune = {"lr": [3e-4, 1e-3, 3e-3], "retain_weight": [1.0, 5.0]}

    def forgetting(self, batch: Batch) -> Tensor:
        """Return minus the loss of the forgotten rows."""
        return -self.supervised(batch)


class Relabel(Stepwise):
    """Teach the forgotten rows another answer: a random class, all classes alike, or the second best one.

    Parameters
    ----------
    to
        ``random``: a class other than the label, drawn anew at every step; ``uniform``: every class alike, an "I don't
        know"; ``second``: the class that the model before found most likely after the label.

    References
    ----------
    Graves et al., Amnesiac Machine Learning, AAAI 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_digits(return_X_y=True)
    >>> model = Classifier(train=Train(epochs=15), random_state=0).fit(X, y)
    >>> after = Relabel(estimator=model, to="second", random_state=0).fit(X, y, forget=y == 3)
    >>> bool(after.score(X[y == 3], y[y == 3]) < 0.5 < after.score(X[y != 3], y[y != 3]))
    True
    """

    to: Literal["random", "uniform", "second"] = "random"

    card = Card(
        year=2021, kind="learner", handles=frozenset({"forgetting"}), needs=frozenset({"forget"}),
        reference="Graves et al., Amnesiac Machine Learning, AAAI 2021.",
        expected_failed_checks=RANDOM_BATCHES, apart=APART,
    )  # fmt: skip
    tune = {"lr": [3e-4, 1e-3, 3e-3], "to": ["random", "uniform", "second"]}

    def forgetting(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the other answer; of all rows, as it asks for no label where there is none."""
        return cross_entropy(self.net_(batch.x), self.instead(batch))

    def instead(self, batch: Batch) -> Tensor:
        """Return the shares of the answers to teach ``(b, K)``."""
        with torch.no_grad():
            scores = self.origin_(batch.x)
        if self.to == "uniform":
            return torch.full_like(scores, 1 / scores.shape[1])
        wanted = torch.rand_like(scores) if self.to == "random" else scores.clone()
        wanted = torch.where(one_hot(batch.y.clamp_min(0), scores.shape[1]) > 0, -torch.inf, wanted)
        return one_hot(wanted.argmax(1), scores.shape[1]).to(scores.dtype)
