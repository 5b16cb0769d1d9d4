"""Reliability balancing: an unsure prediction is corrected by anchors in the space of features (ARBEx)."""

from __future__ import annotations

from math import gcd, log
from typing import Annotated, Any, cast

import torch
from torch import Tensor, nn

from labelwise.base import Card, Count, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, LongTailClassifier, Train, row_mean
from labelwise.learner.pretraining import trunk
from labelwise.learner.template import in_blocks
from labelwise.training import Batch, Data, LossValue

TINY = 1e-8


def certainty(p: Tensor) -> Tensor:
    """Return one minus the normalised entropy of each row (b, 1): 0 for the uniform distribution, 1 for a certain one.

    >>> certainty(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).flatten()
    tensor([0., 1.])
    """
    entropy = torch.special.entr(p).sum(1, keepdim=True)
    share: Tensor = (1 - entropy / log(p.shape[1])).clamp(0, 1)
    return share


def correction(geometric: Tensor, attention: Tensor) -> Tensor:
    """Return the mean of two distributions (b, K), each weighted by its certainty; the plain mean where neither is sure.

    >>> correction(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])).round(decimals=4)
    tensor([[1., 0.]])
    """
    g, a = certainty(geometric) + TINY, certainty(attention) + TINY
    return (g * geometric + a * attention) / (g + a)


def balanced(p: Tensor, corrected: Tensor) -> Tensor:
    """Return ``r p + (1 - r) c``, r the certainty of p: the correction speaks where the prediction is unsure.

    >>> balanced(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]]))
    tensor([[0.9000, 0.1000]])
    """
    share = certainty(p)
    return share * p + (1 - share) * corrected


class Anchors(nn.Module):
    """Points of each class in the space of features, and two distributions over classes that a row's place among them gives.

    Parameters
    ----------
    means
        One point a class ``(K, d)``; its anchors start round it.
    each
        Anchors a class, >= 1.
    spread
        Root mean square distance at which an anchor's say falls by a factor e, > 0.
    heads
        Most heads of the attention; the largest number up to it that divides it and d is taken.
    """

    def __init__(self, means: Tensor, each: int = 4, spread: float = 0.1, heads: int = 4) -> None:
        super().__init__()
        width = means.shape[1]
        noise = 0.1 * means.std() * torch.randn(len(means), each, width, device=means.device)
        self.points = nn.Parameter(means[:, None] + noise)
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.spread, self.heads = spread, gcd(heads, width)

    def distances(self, hidden: Tensor) -> Tensor:
        """Return root mean square distances ``(b, K, M)`` of features ``(b, d)``."""
        flat = self.points.flatten(0, 1)
        found = torch.cdist(hidden, flat, compute_mode="donot_use_mm_for_euclid_dist") / hidden.shape[1] ** 0.5
        shaped: Tensor = found.reshape(len(hidden), *self.points.shape[:2])
        return shaped

    def geometric(self, hidden: Tensor) -> Tensor:
        """Return the softmax of minus the distances over all anchors, summed over those of a class ``(b, K)``."""
        closeness = -self.distances(hidden) / self.spread
        return closeness.flatten(1).softmax(1).view_as(closeness).sum(2)

    def attention(self, hidden: Tensor) -> Tensor:
        """Return the attention of features to all anchors, mean of the heads, summed over those of a class ``(b, K)``."""
        query = self.query(hidden).unflatten(1, (self.heads, -1))
        key = self.key(self.points.flatten(0, 1)).unflatten(1, (self.heads, -1))
        match = torch.einsum("bhd,ahd->bha", query, key) / query.shape[2] ** 0.5
        share: Tensor = match.softmax(2).mean(1).reshape(len(hidden), *self.points.shape[:2]).sum(2)
        return share

    def crowding(self, reach: float) -> Tensor:
        """Return the mean of ``max(0, 1 - distance / reach)^2`` over pairs of anchors of different classes, in [0, 1]."""
        n_classes, each = self.points.shape[:2]
        flat, owner = self.points.flatten(0, 1), torch.arange(n_classes * each, device=self.points.device) // each
        first, second = torch.triu_indices(len(flat), len(flat), 1, device=flat.device)
        apart = owner[first] != owner[second]
        gap = (flat[first[apart]] - flat[second[apart]]).square().mean(1).add(TINY**2).sqrt()
        return (1 - gap / reach).clamp_min(0).square().mean()


class ReliabilityNetwork(nn.Module):
    """A network whose outputs are log probabilities, balanced as far as `trust`, in [0, 1], says."""

    trust: Tensor

    def __init__(self, features: nn.Module, head: nn.Module, anchors: Anchors, temperature: float) -> None:
        super().__init__()
        self.features, self.head, self.anchors, self.temperature = features, head, anchors, temperature
        self.register_buffer("trust", torch.zeros(()))

    def judged(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return balanced and plain probabilities of features, ``(b, K)`` each."""
        p = (self.head(hidden) / self.temperature).softmax(1)
        corrected = correction(self.anchors.geometric(hidden), self.anchors.attention(hidden))
        return (1 - self.trust) * p + self.trust * balanced(p, corrected), p

    def forward(self, x: Tensor) -> Tensor:
        """Return log probabilities ``(b, K)``."""
        return self.judged(self.features(x))[0].clamp_min(TINY).log()


class ReliabilityBalancing(LongTailClassifier):
    """Correct unsure predictions by anchors: points of each class in the space of features, learnt with the network.

    With p the softmax of the network's scores and r(.) one minus the normalised entropy, a row's features say
    ``c = (g r(g) + a r(a)) / (r(g) + r(a))``, where g falls with the distance to the anchors and a is the attention to
    them. The probabilities are ``r(p) p + (1 - r(p)) c``: a sure prediction stays, an unsure one is replaced. In training
    they are phased in linearly. To the criterion of these probabilities are added, phased in likewise,
    ``centre * r(p) * distance to the nearest anchor of the row's class``, and `apart` times a bounded penalty of anchors of
    different classes that are closer than `reach`.

    Differs from the paper: a row attends to anchors, not to the other rows of its batch (as in the authors' code, whose
    predictions so depend on the neighbours); anchors start round the class means, not all at zero; their separation is
    bounded, since the sum of distances that the paper maximises has no largest value; distances are root mean squares, so
    that no setting depends on the width. Class weights are the criterion's
    (`labelwise.losses.ClassBalanced`). The window attention transformer of the paper is not part of this.

    Parameters
    ----------
    anchors
        Points a class, >= 1.
    spread
        Root mean square distance at which an anchor's say falls by a factor e, > 0.
    temperature
        Divides the network's scores, > 0.
    centre, apart
        Weights of the two further terms, >= 0.
    reach
        Root mean square distance at which anchors of different classes no longer repel each other, > 0.

    Attributes
    ----------
    net_ : network whose outputs are log probabilities; ``net_.anchors.points`` are the anchors (K, anchors, width).

    References
    ----------
    Wasi et al., ARBEx: Attentive Feature Extraction with Reliability Balancing for Robust Facial Expression Learning, 2023
    (paper 226).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ReliabilityBalancing(train=Train(epochs=30, batch_size=16), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    anchors: Annotated[int, Count] = 4
    spread: Annotated[float, Positive] = 0.1
    temperature: Annotated[float, Positive] = 1.0
    centre: Annotated[float, NonNegative] = 0.5
    apart: Annotated[float, NonNegative] = 1.0
    reach: Annotated[float, Positive] = 1.0

    card = Card(
        paper=226, year=2023, kind="learner", handles=frozenset({"imbalance"}), race=True,
        reference="Wasi et al., ARBEx: Attentive Feature Extraction with Reliability Balancing, 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"centre": [0.1, 1.0], "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}

    def build(self, data: Data) -> None:
        """Make the network, and put anchors round the class means of its features as they are at the start."""
        super().build(data)
        features = trunk(self.net_)[0]
        rows = data.labelled.nonzero().squeeze(1)
        with torch.no_grad():
            hidden = in_blocks(features.eval(), data.x[rows])
        member = torch.nn.functional.one_hot(data.y[rows].long(), self.n_outputs_).to(hidden.dtype)
        means = member.T @ hidden / member.sum(0).clamp_min(1)[:, None]
        head = cast(nn.Module, self.net_.head)
        self.net_ = ReliabilityNetwork(features, head, Anchors(means, self.anchors, self.spread), self.temperature)

    def start(self, data: Data) -> None:
        """Start the criterion, and the growth of trust."""
        super().start(data)
        self.growth_ = 1 / max(1, self.train_.epochs * -(-self.steps(data) // self.train_.accumulate))

    def loss(self, batch: Batch) -> LossValue:
        """Return the criterion of the balanced probabilities, the pull to a row's own anchors and the anchors' repulsion."""
        net: Any = self.net_
        hidden = net.features(batch.x)
        final, p = net.judged(hidden)
        own = net.anchors.distances(hidden)[torch.arange(len(hidden)), batch.y].min(1).values
        pull = row_mean(certainty(p).squeeze(1) * own, batch.weight)
        return {
            "criterion": self.criterion_(final.clamp_min(TINY).log(), batch.y, batch.index, batch.weight),
            "centre": self.centre * net.trust * pull,
            "apart": self.apart * net.trust * net.anchors.crowding(self.reach),
        }

    def step_end(self) -> None:
        """Let the balanced probabilities count for more."""
        net: Any = self.net_
        net.trust.add_(self.growth_).clamp_(max=1.0)
