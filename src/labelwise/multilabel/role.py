"""ROLE: the unknown labels are estimated together with the network, held to an expected number of positives."""

from __future__ import annotations

from typing import Annotated, Any, Self

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from scipy.special import logit
from torch import Tensor, nn

from labelwise.base import Card, InputError, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, LongTailMultiLabelClassifier
from labelwise.training import Batch, Data, LossValue, Phase

SPEED = 10.0
"""How much faster than the network's weights the estimates move, as in the paper."""


class Estimates(nn.Module):
    """A free score for every entry of the label matrix; `SPEED` times a weight, so that it learns that much faster."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start / SPEED)

    def forward(self, index: Tensor) -> Tensor:
        """Return the scores of some rows ``(b, L)``."""
        return SPEED * self.weight[index]


def count_gap(score: Tensor, expected: float) -> Tensor:
    """Return the squared gap between the mean number of positives a row and the expected one, over the labels squared.

    >>> round(float(count_gap(torch.zeros(3, 4), expected=1.0)), 4)  # 2 are predicted of 4, 1 is expected
    0.0625
    """
    return ((score.sigmoid().sum(1).mean() - expected) / score.shape[1]).square()


class ROLE(LongTailMultiLabelClassifier):
    """Estimate the unknown labels and the network together; each learns from the other, both from what was stated.

    Every unknown entry has a score of its own that is trained like a weight. The loss is symmetric: the network is drawn to
    the estimates and the estimates to the network, both fit the stated labels, and both are held to the expected number of
    positives a row, without which all might become positive.

    Differs from the paper: stated negatives are used beside stated positives; estimates start at the expected rate.

    Parameters
    ----------
    expected_positives
        Mean number of positives a row, > 0. None estimates it from the known entries, label by label; where none of them is
        a no (positives only) that is not possible and the number of stated positives, a lower bound, is taken: give it then.
    count_weight
        Of the term that holds to it, >= 0.

    Attributes
    ----------
    estimated_labels_ : the estimates for the training rows after training, probabilities ``(n, L)``.

    References
    ----------
    Cole, Mac Aodha, Lorieul, Perona, Morris, Jojic: Multi-Label Learning from Single Positive Labels. CVPR 2021.

    Examples
    --------
    >>> from labelwise.data.synthetic import partial_multilabel
    >>> from labelwise.learner import Train
    >>> drawn = partial_multilabel(300, 4, observed_negative=0.0, random_state=0)
    >>> model = ROLE(expected_positives=0.8, train=Train(epochs=10, batch_size=32), random_state=0).fit(drawn.X, drawn.y)
    >>> tuple(model.estimated_labels_.shape)
    (300, 4)
    """

    expected_positives: Annotated[float, Positive] | None = None
    count_weight: Annotated[float, NonNegative] = 1.0

    card = Card(
        year=2021, kind="learner", handles=frozenset({"missing labels"}), task="multi-label", race=True,
        supervision=frozenset({"multilabel"}),
        reference="Cole et al., Multi-Label Learning from Single Positive Labels, CVPR 2021.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"count_weight": [0.3, 1.0, 3.0]}

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train, then settle probabilities and thresholds on the rows held out.

        Parameters and errors are those of `Learner.fit`.
        """
        super().fit(X, y, sample_weight, domains)
        estimates: Any = self.estimates_
        self.estimated_labels_ = estimates(slice(None)).detach().sigmoid()
        del self.estimates_
        return self

    def start(self, data: Data) -> None:
        """Give every entry its score."""
        super().start(data)
        y = data.y[data.labelled]
        if self.expected_positives is not None and self.expected_positives > y.shape[1]:
            raise InputError(
                f"ROLE.expected_positives must be at most the number of labels, {y.shape[1]}. "
                f"Got {self.expected_positives:g}."
            )
        yes = (y == 1).sum(0)
        known = (y >= 0).sum(0) if (y == 0).any() else torch.full_like(yes, len(y))
        guessed = float((yes / known.clamp_min(1)).sum())
        self.expected_ = guessed if self.expected_positives is None else float(self.expected_positives)
        rate = float(logit(min(max(self.expected_ / y.shape[1], 1e-3), 1 - 1e-3)))
        start = torch.where(data.y >= 0, 6.0 * data.y - 3.0, rate)
        self.estimates_ = Estimates(start)

    def phases(self) -> list[Phase]:
        """Return one stage that moves the network and the estimates."""
        return [Phase(self.loss, [self.net_, self.estimates_], self.train_.epochs)]

    def loss(self, batch: Batch) -> LossValue:
        """Return the two cross-entropies, on stated entries and towards each other, and the two counts."""
        net, own = self.net_(batch.x), self.estimates_(batch.index)
        return {
            "network": (self._side(net, own.detach(), batch) + self._side(own, net.detach(), batch)) / 2,
            "count": self.count_weight * (count_gap(net, self.expected_) + count_gap(own, self.expected_)) / 2,
        }

    def _side(self, score: Tensor, other: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy of one side: to the other's probability everywhere, and to what was stated."""
        towards = F.binary_cross_entropy_with_logits(score, other.sigmoid(), reduction="none").mean(1)
        truth = self.criterion_.pointwise(score, batch.y, batch.index)
        value = towards + truth
        if batch.weight is None:
            return value.mean()
        return (batch.weight * value).sum() / batch.weight.sum().clamp_min(1e-12)
