"""ShrinkMatch (Yang et al. 2023)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Fraction, NonNegative
from labelwise.learner import MINI_BATCHES, row_mean
from labelwise.parts.alignment import Alignment
from labelwise.semi_supervised.consistency import Consistency
from labelwise.semi_supervised.embedding import check_network, feature_width
from labelwise.training import Batch, Data, Phase, Train


class Shrunk(NamedTuple):
    """The smallest set of classes each row must be rid of to be certain, see `shrink`."""

    order: Tensor
    """Classes ``(b, K)`` from the most to the least probable."""

    first: Tensor
    """Rank c ``(b,)`` of the first class that stays beside the best; those between are removed. K where none is found."""

    confidence: Tensor
    """Probability ``(b,)`` of the best class among those that stay; that of all classes where none is found."""

    found: Tensor
    """Whether removing some, but not all, other classes makes the row certain, ``(b,)``."""


class ShrinkMatch(Consistency):
    """Rows in doubt learn too: the classes they are mistaken for are left out, until the best one is certain.

    With ``q = softmax f(weak(u))``, sure rows ``max q >= threshold`` learn ``H(q, f(strong(u)))`` as in FixMatch. For every
    other row the classes are ranked by q, and ranks 1 .. c-1 are removed for the smallest c >= 2 at which
    ``q_0 / (q_0 + q_c + ... + q_(K-1)) >= threshold``; an auxiliary head h on the features of the strong view learns

    ``shrink = max q * -log(exp h_0 / (exp h_0 + exp h_c + ... + exp h_(K-1)))`` (zero where no c < K will do), and

    ``loss = CE(f(weak(x)), y) + weight * (mean_u sure part + certain_ * shrink_weight * mean_u shrink)``

    where `certain_` is the running share of sure rows in the epoch: doubtful rows count little while the network is young.
    Needs three classes or more to differ from FixMatch with soft targets.

    Differs from the paper: AdamW and cosine schedule of `Train`; averaged weights only when ``Train(ema=...)`` asks for
    them; views by modality. As in the released code the running share starts anew every epoch.

    Parameters
    ----------
    shrink_weight
        Of the doubtful rows' part, >= 0; 0 is FixMatch with soft targets.
    decay
        Of the running share of sure rows, in [0, 1].
    alignment
        Batches over which predictions are averaged to align q with uniform class shares (32 in the released code); None
        leaves q as it is.

    Attributes
    ----------
    sure_, used_ : tensors of shape ()
        Shares of the pool's rows in the last epoch: those that are sure, and all with a part in the loss.

    References
    ----------
    Yang, Zhao, Qi, Qi, Feng and Shi, Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning, ICCV 2023
    (paper 3).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = ShrinkMatch(train=Train(epochs=30, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    shrink_weight: Annotated[float, NonNegative] = 1.0
    decay: Annotated[float, Fraction] = 0.999
    alignment: Annotated[int, Count] | None = None

    card = Card(
        paper=3, year=2023, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Yang et al., Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning, ICCV 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"threshold": [0.8, 0.95], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Put the auxiliary head on the features."""
        net, k = check_network(self.net_, type(self).__name__), self.n_outputs_
        self.head_ = auxiliary_head(feature_width(net, data), k)
        if self.alignment is not None:
            self.align_ = Alignment(k, self.alignment)
        self.certain_ = torch.tensor(torch.nan, device=data.x.device)
        self.counts_ = torch.zeros(3, device=data.x.device)
        self.sure_, self.used_ = self.counts_[:2].clone()

    def phases(self) -> list[Phase]:
        """Return one stage, which moves the network and the auxiliary head."""
        return [Phase(self.loss, [self.net_, self.head_], self.train_.epochs)]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the parts of labelled rows, sure rows and rows in doubt."""
        pool = batch.unlabelled
        supervised = cross_entropy(self.net_(batch.weak), batch.y, reduction="none")
        q = self.target(self.net_(pool.weak).detach())
        net = check_network(self.net_, type(self).__name__)
        hidden = net.features(pool.strong)
        sure = q.max(1).values >= self.threshold
        agreement = sure * cross_entropy(net.head(hidden), q, reduction="none")
        shrunk, found = shrink_loss(q, self.head_(hidden), self.threshold)
        self.count(sure, found)
        return {
            "supervised": row_mean(supervised, batch.weight),
            "consistency": self.weight * agreement.mean(),
            "shrink": self.weight * self.shrink_weight * self.certain_.clone() * shrunk.mean(),
        }

    def target(self, scores: Tensor) -> Tensor:
        """Return the soft targets ``(b, K)`` of the pool, aligned where `alignment` asks for it."""
        p = scores.softmax(1)
        return p if self.alignment is None else self.align_(p)

    @torch.no_grad()
    def count(self, sure: Tensor, found: Tensor) -> None:
        """Fold a batch into the running share of sure rows, and count the rows that are learnt from."""
        share = sure.float().mean()
        self.certain_ = share if bool(self.certain_.isnan()) else torch.lerp(share, self.certain_, self.decay)
        self.counts_ += torch.stack([each.sum() for each in (sure, sure | found, torch.ones_like(sure))])

    def epoch_end(self) -> None:
        """Note the shares of rows learnt from, and forget the running share."""
        self.sure_, self.used_ = self.counts_[:2] / self.counts_[2].clamp_min(1)
        self.certain_, self.counts_ = torch.full_like(self.certain_, torch.nan), torch.zeros_like(self.counts_)


def shrink(q: Tensor, threshold: float) -> Shrunk:
    """Find, for every row of probabilities ``(b, K)``, how many runners-up must go before the best class is certain.

    ``c`` is the smallest of 2 .. K-1 with ``q_0 / (q_0 + q_c + ... + q_(K-1)) >= threshold`` over classes ranked by q. The
    confidence only rises with c, so that all candidates of all rows are compared at once.

    >>> told = shrink(torch.tensor([[0.5, 0.45, 0.03, 0.02]]), 0.9)
    >>> int(told.first), round(float(told.confidence), 3)
    (2, 0.909)
    """
    ranked, order = q.sort(dim=1, descending=True, stable=True)
    best, tail = ranked[:, :1], ranked.flip(1).cumsum(1).flip(1)[:, 2:]
    enough = best / (best + tail) >= threshold
    found = enough.any(1)
    gone = enough.int().argmax(1) if enough.shape[1] else torch.zeros_like(order[:, 0])
    confidence = ranked[:, 0] / (ranked[:, 0] + (tail.gather(1, gone[:, None])[:, 0] if tail.shape[1] else 0))
    k = torch.full_like(gone, q.shape[1])
    return Shrunk(order, torch.where(found, gone + 2, k), torch.where(found, confidence, ranked[:, 0]), found)


def shrink_loss(q: Tensor, scores: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return the loss ``(b,)`` of rows in doubt in their shrunk class space, and which rows ``(b,)`` have one.

    Parameters
    ----------
    q
        Probabilities ``(b, K)`` of the weak views, without gradient.
    scores
        Of the auxiliary head ``(b, K)`` on the strong views.
    threshold
        Probability from which a row is certain.
    """
    told = shrink(q, threshold)
    part = told.found & (q.max(1).values < threshold)
    rank = torch.arange(q.shape[1], device=q.device)
    removed = (rank >= 1) & (rank < told.first[:, None])
    ranked = scores.gather(1, told.order).masked_fill(removed, -torch.inf)
    value = q.max(1).values * cross_entropy(ranked, torch.zeros_like(told.first), reduction="none")
    return torch.where(part, value, torch.zeros_like(value)), part


def auxiliary_head(width: int, outputs: int) -> nn.Sequential:
    """Return the paper's head: two layers of a quarter of the width with batch norm, and an output layer."""
    size = max(1, width // 4)
    hidden = [
        layer
        for inputs in (width, size)
        for layer in (nn.Linear(inputs, size), nn.BatchNorm1d(size), nn.LeakyReLU(0.1))
    ]
    return nn.Sequential(*hidden, nn.Linear(size, outputs))
