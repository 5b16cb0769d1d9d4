"""DAC, diversify and conquer (Kong et al. 2025): heads that may differ tell rows that the labels say nothing about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from labelwise.base import Card, Count, Fraction, Natural, NonNegative, Positive, Range
from labelwise.learner import MINI_BATCHES, OpenSet, SemiSupervised, row_mean
from labelwise.parts.judges import confident
from labelwise.parts.memory import Queue, RowMemory
from labelwise.parts.schedules import otsu
from labelwise.semi_supervised.embedding import (
    check_network,
    drawn_linear,
    feature_width,
    forward_together,
    projector,
)
from labelwise.training import Batch, Data, Phase, Train


class DAC(SemiSupervised, OpenSet):
    """Several heads agree on the labels and are pushed apart on the pool: where they disagree, a row is an outlier.

    M heads ``p^h`` read the detached representation, so they move only their projection. ``d_i = exp(-D_i / temperature)``
    with ``D_i`` the mean difference ``|p^h - p^h'|`` over pairs of heads and classes, scaled to [0, 1] over the pool and
    averaged over epochs (`decay`), is the inlier score ``j_i``. Otsu's threshold t of all of them gives the weights
    ``w_i = min(1, (j_i / t)^sharpness)``. ::

        loss = CE(f(x), y) + mean over heads CE(p^h(x), y) + diversity * mean over pairs MI(p^h, p^h' | pool)
             + regular * mean over heads [max p^h(u) >= threshold] CE(p^h(strong(u)), argmax p^h(u))
             + consistency * mean w_u [max p(u) >= threshold] CE(f(strong(u)), argmax p(u))      (from epoch `after` on)
             + distil * mean H([p(u) j_u, 1 - j_u], neighbours' mean of the same for strong(u))  (from epoch `after` on)

    MI is the mutual information of two heads' classes over the batch. In the last part the neighbours are recent weak
    views in a queue, weighted by ``softmax(z . z' / similarity)``.

    `outlier_score` is one minus the scaled agreement, with the extremes of the training rows, stretched so that Otsu's
    threshold of the training rows lies at 1/2, where `predict_open` cuts.

    Differs from the paper: layer normalisation stands before the heads' projection, not before the closed head; averages
    of ``j`` are corrected for their start at zero, and Otsu's threshold is taken once an epoch, both because a fit here
    may have ten epochs instead of 256; the queue never holds more rows than the data.

    Parameters
    ----------
    heads
        M, >= 2.
    threshold
        Probability from which a weak view's class teaches its strong view, in [0, 1].
    consistency, regular, diversity, distil
        Weights of the parts, >= 0.
    after
        Epochs before the pool teaches the network.
    decay
        Of the running inlier scores, in [0, 1).
    temperature, sharpness, similarity
        Of the agreement, of the weights, and of the neighbours' softmax, > 0.
    bank
        Most rows in the queue, >= 1.
    width
        Outputs of the projection, >= 1.

    Attributes
    ----------
    score_ : RowMemory
        Running inlier scores of the training rows, ``inlier_score()`` reads them.

    References
    ----------
    Heejo Kong, Sung-Jin Kim, Gunho Jung, Seong-Whan Lee: Diversify and Conquer: Open-Set Disagreement for Robust
    Semi-Supervised Learning with Outliers. 2025 (paper 4).

    Examples
    --------
    >>> from labelwise.data.synthetic import open_pool
    >>> from labelwise.parts.open_set import auroc
    >>> sample = open_pool(30, 300, separation=6.0, random_state=0)
    >>> model = DAC(train=Train(epochs=15, batch_size=30), random_state=0).fit(sample.X, sample.y)
    >>> bool(auroc(model.outlier_score(sample.X), sample.is_unknown) > 0.7)
    True
    """

    heads: Annotated[int, Range(low=2, whole=True)] = 10
    threshold: Annotated[float, Fraction] = 0.95
    consistency: Annotated[float, NonNegative] = 1.0
    regular: Annotated[float, NonNegative] = 1.0
    diversity: Annotated[float, NonNegative] = 0.1
    distil: Annotated[float, NonNegative] = 1.5
    after: Annotated[int, Natural] = 1
    decay: Annotated[float, Range(low=0, high=1, high_open=True)] = 0.9
    temperature: Annotated[float, Positive] = 1.0
    sharpness: Annotated[float, Positive] = 1.5
    similarity: Annotated[float, Positive] = 0.1
    bank: Annotated[int, Count] = 16384
    width: Annotated[int, Count] = 128

    card = Card(
        paper=4, year=2025, kind="learner", handles=frozenset({"few labels", "missing labels", "open set"}), cost="heavy",
        race=True, reference="Kong et al., Diversify and Conquer, 2025.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"diversity": [0.1, 1.0], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Put the heads on the features; make room for a score per row and for the queue."""
        wide, k = feature_width(check_network(self.net_, type(self).__name__), data), self.n_outputs_
        self.project_ = nn.Sequential(nn.LayerNorm(wide), projector(wide, self.width))
        self.heads_ = drawn_linear(self.width, self.heads * k)
        self.agreement_ = RowMemory(len(data), 1, decay=0.0)
        self.score_ = RowMemory(len(data), 1, self.decay)
        self.bank_ = Queue(min(self.bank, len(data)), self.width + k + 1)
        self.epoch_, self.passes_ = (torch.zeros((), dtype=torch.long) for _ in range(2))
        self.cut_ = torch.full((), 0.5)

    def predictor(self) -> nn.Module:
        """Return network and heads as one module: averaged, and kept at their best epoch, together."""
        return nn.ModuleList([self.net_, self.project_, self.heads_])

    def phases(self) -> list[Phase]:
        """Return one stage that moves the network and the heads."""
        return [Phase(self.loss, [self.predictor()], self.train_.epochs)]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Count the pass of the pool, which scores every row once more, and yield its batches."""
        self.passes_ += 1
        yield from super().batches(data, generator)

    def epoch_end(self) -> None:
        """Count the epoch, and take Otsu's threshold of the inlier scores."""
        self.epoch_ += 1
        self.cut_.fill_(otsu(self.inlier_score().cpu().numpy()))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the parts of the network and of the heads; the pool's weak views make targets only."""
        net, pool = check_network(self.net_, type(self).__name__), batch.unlabelled
        again = batch.x if batch.views is None else batch.views.weak(batch.x)
        labelled, weak, strong = forward_together(net, torch.cat([batch.weak, again]), pool.weak, pool.strong)
        closed = cross_entropy(net.head(labelled), batch.y.repeat(2), reduction="none")
        weight = None if batch.weight is None else batch.weight.repeat(2)
        embedding, logits = self.project_(weak.detach()), net.head(weak).detach()
        on_weak = self.split(self.heads_(embedding))
        inlier = self.remember(pool.index, on_weak.detach().softmax(2))
        parts = {"supervised": row_mean(closed, weight), **self.head_parts(batch, labelled, on_weak, strong)}
        return parts | self.pool_parts(logits, embedding.detach(), strong, inlier)

    def head_parts(self, batch: Batch, labelled: Tensor, on_weak: Tensor, strong: Tensor) -> dict[str, Tensor]:
        """Return what moves the heads: labels, their own sure labels on strong views, and their mutual information."""
        given, on_strong = (self.split(self.heads_(self.project_(f.detach()))) for f in (labelled, strong))
        y = batch.y.repeat(2)[:, None].expand(-1, self.heads)
        right = cross_entropy(given.flatten(0, 1), y.flatten(), reduction="none").reshape(y.shape).mean(1)
        label, sure = confident(on_weak.flatten(0, 1), self.threshold)
        return {
            "heads": row_mean(right, None if batch.weight is None else batch.weight.repeat(2)),
            "regular": self.regular * (sure * cross_entropy(on_strong.flatten(0, 1), label, reduction="none")).mean(),
            "diversity": self.diversity * mutual_information(on_weak.softmax(2)),
        }

    def pool_parts(self, logits: Tensor, embedding: Tensor, strong: Tensor, inlier: Tensor) -> dict[str, Tensor]:
        """Return what the pool teaches the network, nothing at first; then remember the weak views."""
        zero = strong.sum() * 0.0
        taught, distilled = zero, zero
        targets = torch.cat([logits.softmax(1) * inlier[:, None], 1 - inlier[:, None]], 1)
        if int(self.epoch_) >= self.after and len(self.bank_.filled):
            label, sure = confident(logits, self.threshold)
            trust = (inlier / self.cut_.clamp_min(1e-8)).clamp(0, 1) ** self.sharpness
            scores = check_network(self.net_, type(self).__name__).head(strong)
            taught = (trust * sure * cross_entropy(scores, label, reduction="none")).mean()
            near = self.neighbours(normalize(self.project_(strong), dim=1))
            distilled = -(targets * near.clamp_min(1e-8).log()).sum(1).mean()
        self.bank_.push(torch.cat([normalize(embedding, dim=1), targets], 1))
        return {"consistency": self.consistency * taught, "distil": self.distil * distilled}

    def split(self, scores: Tensor) -> Tensor:
        """Return the scores of all heads side by side as ``(b, M, K)``."""
        return scores.reshape(len(scores), self.heads, -1)

    def neighbours(self, embedding: Tensor) -> Tensor:
        """Return the mean target ``(b, K + 1)`` of the queue, weighted by similarity to each embedding."""
        recent = self.bank_.filled.clone()  # the queue moves on before the backward pass
        keys, targets = recent[:, : self.width], recent[:, self.width :]
        return (embedding @ keys.T / self.similarity).softmax(1) @ targets

    @torch.no_grad()
    def remember(self, rows: Tensor, p: Tensor) -> Tensor:
        """Fold the heads' agreement on `rows` into the memories; return their running inlier scores ``(b,)``."""
        value = self.agreement_.update(rows, agreement(p, self.temperature)[:, None])[:, 0]
        self.score_.update(rows, scaled(value, *self.extremes())[:, None])
        return self.inlier_score()[rows]

    def inlier_score(self) -> Tensor:
        """Return the running inlier scores of the training rows ``(n,)``, in [0, 1]."""
        return (self.score_.rows[:, 0] / (1 - self.decay ** max(1, int(self.passes_)))).clamp(0, 1)

    def extremes(self) -> tuple[Tensor, Tensor]:
        """Return the smallest and the largest agreement of the rows seen so far."""
        seen = self.agreement_.rows[:, 0]
        seen = seen[seen > 0]
        return seen.min(), seen.max()

    def outlier_score(self, X: Any) -> NDArray[np.float64]:
        """Return one minus the heads' scaled agreement, 1/2 at Otsu's threshold of the training rows, shape ``(n,)``."""
        self.outputs(X[:1])  # refuses what predict refuses
        heads = nn.Sequential(check_network(self.net_, type(self).__name__).features, self.project_, self.heads_)
        scores = self._forward(torch.as_tensor(self.inputs_.transform(X)), heads)
        value = agreement(self.split(scores).softmax(2), self.temperature)
        inlier = scaled(value, *self.extremes()).double().numpy()
        return np.asarray(np.interp(inlier, [0.0, float(self.cut_), 1.0], [1.0, 0.5, 0.0]))


def mutual_information(p: Tensor) -> Tensor:
    """Return the mean over pairs of heads of the mutual information of their classes; `p` is ``(b, M, K)``.

    The joint distribution of two heads is the mean over rows of the outer product of their probabilities.
    """
    first, second = torch.triu_indices(p.shape[1], p.shape[1], offset=1)
    joint = torch.einsum("bpk,bpl->pkl", p[:, first], p[:, second]) / len(p)
    mean = p.mean(0)
    apart = mean[first][:, :, None] * mean[second][:, None, :]
    return (joint * (joint.clamp_min(1e-12).log() - apart.clamp_min(1e-12).log())).sum((1, 2)).mean()


def agreement(p: Tensor, temperature: float) -> Tensor:
    """Return ``exp(-D / temperature)`` ``(b,)``, D the mean of ``|p^h - p^h'|`` over all h, h' and classes.

    In order of size the h-th of M values counts ``2 h - M + 1`` times in the sum of differences, so that no M by M table
    is needed.
    """
    m = p.shape[1]
    times = 2 * torch.arange(m, device=p.device, dtype=p.dtype) - m + 1
    difference = 2 * (p.sort(1).values * times[:, None]).sum(1) / m**2
    return torch.exp(-difference.mean(1) / temperature)


def scaled(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return values stretched so that `low` is 0 and `high` is 1, and cut there."""
    return ((value - low) / (high - low + 1e-8)).clamp(0, 1)
