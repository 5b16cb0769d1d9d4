"""IOMatch (Li et al. 2023): inliers and outliers of the pool are both targets of one open classifier."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import Card, Count, Fraction, Natural, NonNegative
from labelwise.learner import MINI_BATCHES, OpenSet, SemiSupervised, row_mean
from labelwise.parts.alignment import Alignment
from labelwise.semi_supervised.embedding import (
    check_network,
    drawn_linear,
    feature_width,
    forward_together,
    projector,
)
from labelwise.training import Batch, Data, Phase, Train


class IOMatch(SemiSupervised, OpenSet):
    """Learn from a pool with unknown classes: K one-against-rest heads make (K+1)-way targets for inliers and outliers.

    On features e: a closed head phi(e), and on a projection g(e) a pair of scores "k or not" for each class (chi) and an
    open head psi of K+1 classes. From the weak view of a pool row, detached: ``p`` = aligned softmax of phi,
    ``o_k`` = P(k) by chi, ``q = [p_1 o_1 .. p_K o_K, sum_k p_k (1 - o_k)]``, which sums to 1. ::

        loss = CE(phi(x), y) + binary * (-log o_y - min over k != y of log(1 - o_k))
             + inlier * mean [max p >= threshold and q_{K+1} < 1/2] H(p, phi(strong(u)))
             + open * mean [max q >= open_confidence] H(q, psi(strong(u)))          (from epoch `open_after` on)

    Nothing has to be decided about a row before it is used: a likely outlier teaches psi, a likely inlier both heads.
    `outlier_score` is the probability psi gives to class K+1; `predict` is phi.

    Differs from the paper: AdamW and cosine schedule of `Train`, default views by modality, averaged weights only when
    ``Train(ema=...)`` asks for them.

    Parameters
    ----------
    threshold
        Aligned probability from which a weak view teaches the closed head, in [0, 1].
    open_confidence
        Largest entry of q from which a weak view teaches the open head, in [0, 1].
    binary, inlier, open
        Weights of the parts, >= 0.
    open_after
        Epochs before the open head is trained: until then the one-against-rest heads know nothing.
    length
        Batches remembered by the distribution alignment, >= 1.
    width
        Outputs of the projection g, >= 1.

    References
    ----------
    Zekun Li, Lei Qi, Yinghuan Shi, Yang Gao: IOMatch: Simplifying Open-Set Semi-Supervised Learning with Joint Inliers
    and Outliers Utilization. ICCV 2023 (paper 16).

    Examples
    --------
    >>> from labelwise.data.synthetic import open_pool
    >>> from labelwise.parts.open_set import auroc
    >>> sample = open_pool(30, 300, separation=6.0, random_state=0)
    >>> model = IOMatch(train=Train(epochs=15, batch_size=30), random_state=0).fit(sample.X, sample.y)
    >>> bool(auroc(model.outlier_score(sample.X), sample.is_unknown) > 0.8)
    True
    >>> model.predict_open(sample.X).shape
    (330,)
    """

    threshold: Annotated[float, Fraction] = 0.95
    open_confidence: Annotated[float, Fraction] = 0.5
    binary: Annotated[float, NonNegative] = 1.0
    inlier: Annotated[float, NonNegative] = 1.0
    open: Annotated[float, NonNegative] = 1.0
    open_after: Annotated[int, Natural] = 1
    length: Annotated[int, Count] = 128
    width: Annotated[int, Count] = 128

    card = Card(
        paper=16, year=2023, kind="learner", handles=frozenset({"few labels", "missing labels", "open set"}), cost="heavy",
        race=True, reference="Li et al., IOMatch, ICCV 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"threshold": [0.8, 0.95], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Put the projection, the one-against-rest pairs and the open head on the features."""
        net, k = check_network(self.net_, type(self).__name__), self.n_outputs_
        self.project_ = projector(feature_width(net, data), self.width)
        self.pairs_ = drawn_linear(self.width, 2 * k, bias=False)
        self.open_head_ = drawn_linear(self.width, k + 1)
        self.align_ = Alignment(k, self.length)
        self.epoch_ = torch.zeros((), dtype=torch.long)

    def predictor(self) -> nn.Module:
        """Return all heads as one module: the open head is averaged, and kept at its best epoch, with the network."""
        return nn.ModuleList([self.net_, self.project_, self.pairs_, self.open_head_])

    def phases(self) -> list[Phase]:
        """Return one stage that moves the network and the heads."""
        return [Phase(self.loss, [self.predictor()], self.train_.epochs)]

    def epoch_end(self) -> None:
        """Count epochs for the start of the open head."""
        self.epoch_ += 1

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the supervised, one-against-rest, inlier and open parts."""
        net, pool = check_network(self.net_, type(self).__name__), batch.unlabelled
        labelled, weak, strong = forward_together(net, batch.weak, pool.weak, pool.strong)
        p, q = self.targets(weak.detach())
        sure = (p.amax(1) >= self.threshold) & (q[:, -1] < 0.5)
        decided = q.amax(1) >= self.open_confidence
        started = float(int(self.epoch_) >= self.open_after)
        closed = cross_entropy(net.head(labelled), batch.y, reduction="none")
        pairs = one_against_rest(self.pairs(labelled), batch.y)
        taught = sure * cross_entropy(net.head(strong), p, reduction="none")
        opened = decided * cross_entropy(self.open_head_(self.project_(strong)), q, reduction="none")
        return {
            "supervised": row_mean(closed, batch.weight),
            "binary": self.binary * row_mean(pairs, batch.weight),
            "inlier": self.inlier * taught.mean(),
            "open": self.open * started * opened.mean(),
        }

    def pairs(self, features: Tensor) -> Tensor:
        """Return log-probabilities ``(b, 2, K)`` of "not k" and "k" for every class."""
        scores: Tensor = self.pairs_(self.project_(features))
        return scores.reshape(len(scores), 2, -1).log_softmax(1)

    @torch.no_grad()
    def targets(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return aligned closed-set targets ``(b, K)`` and open-set targets ``(b, K + 1)`` of weak views' features."""
        p = self.align_(check_network(self.net_, type(self).__name__).head(features).softmax(1))
        return p, open_targets(p, self.pairs(features).exp())

    def outlier_score(self, X: Any) -> NDArray[np.float64]:
        """Return the open head's probability of "no known class", shape ``(n,)``."""
        return np.asarray(self.open_proba(X)[:, -1])

    def open_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the open head's probabilities ``(n, K + 1)``, the last column for "no known class"."""
        self.outputs(X[:1])  # refuses what predict refuses
        features = check_network(self.net_, type(self).__name__).features
        open_net = nn.Sequential(features, self.project_, self.open_head_)
        scores = self._forward(torch.as_tensor(self.inputs_.transform(X)), open_net)
        return np.asarray(scores.double().softmax(1).numpy())


def one_against_rest(log_pairs: Tensor, y: Tensor) -> Tensor:
    """Return ``-log o_y - min over k != y of log(1 - o_k)`` of log-probabilities ``(b, 2, K)``, shape ``(b,)``."""
    own = one_hot(y, log_pairs.shape[2]).bool()
    positive = -log_pairs[:, 1][own]
    hardest = (-log_pairs[:, 0]).masked_fill(own, 0.0).amax(1)
    return positive + hardest


def open_targets(p: Tensor, pairs: Tensor) -> Tensor:
    """Return ``[p_k o_k .., sum_k p_k (1 - o_k)]`` of closed probabilities and pairs ``(b, 2, K)``: rows sum to 1.

    >>> open_targets(torch.tensor([[0.75, 0.25]]), torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]))
    tensor([[0.7500, 0.0000, 0.2500]])
    """
    return torch.cat([p * pairs[:, 1], (p * pairs[:, 0]).sum(1, keepdim=True)], 1)
