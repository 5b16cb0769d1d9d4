"""COMIC: long tails and missing positives of several labels, by a corrector, a modifier and a balancer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from labelwise.base import Card, Fraction, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, LongTailMultiLabelClassifier, redrawn
from labelwise.losses.asymmetric import asymmetric_entries
from labelwise.nets.base import check_network
from labelwise.nets.heads import CosineHead
from labelwise.training import Batch, Data, LossValue, Phase

HEAD, TAIL, BALANCED = 0, 1, 2
"""The three networks and the sampling of their rows: as they come, by the rarest labels, every label alike."""
CALM = 0.05
"""What a negative's probability is raised by: the clip of the asymmetric loss."""
RAISED = 1.2
"""Factor on the probability of a negative that often goes with the row's positives."""


def label_weights(counts: Tensor, power: float) -> Tensor:
    """Return ``(1 - log(share / largest share))^power``, (L,): 1 for the most frequent label, more for rare ones.

    >>> label_weights(torch.tensor([100.0, 1.0]), 1 / 3).round(decimals=2)
    tensor([1.0000, 1.7800])
    """
    n = counts.clamp_min(1)
    return (1 - (n / n.max()).log()) ** power


def together(y: Tensor) -> Tensor:
    """Return how often each label is positive among rows where another is, (L, L), rows sum to 1; 0 on the diagonal."""
    yes = (y == 1).float()
    both = (yes.T @ yes).fill_diagonal_(0)
    return both / both.sum(1, keepdim=True).clamp_min(1)


def core(yes: Tensor, no: Tensor, target: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Return the weighted asymmetric focal loss, the sum over labels and mean over rows."""
    return (weight * asymmetric_entries(yes, no, target, 0.0, gamma + weight)).sum(1).mean()


def modifier(yes: Tensor, y: Tensor, partners: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Return the loss that spares negatives which often go with the row's positives.

    Parameters
    ----------
    yes
        Probabilities ``(b, L)``.
    y
        Labels ``(b, L)``; 1 is positive, all else negative.
    partners
        Of `together`.
    weight
        Of labels, (L,).
    gamma
        Focusing power of negatives, to which the label's weight is added.
    """
    target = (y == 1).to(yes)
    a = target @ partners
    a = a / a.sum(1, keepdim=True).clamp_min(1e-12)
    no = (1 - yes + CALM).clamp_max(1)
    no = torch.where(a > 0, (RAISED * no).clamp_max(1), no)
    return core(yes * (1 - a), no, target, weight, gamma)


class COMIC(LongTailMultiLabelClassifier):
    """Correct missing positives, spare negatives that go with positives, and balance a head and a tail network.

    Three networks with cosine outputs: the head network sees rows as they come, the tail network rows of rare labels, the
    balanced network, which predicts, every label alike. Each is trained by a *corrector*, which after the first epoch
    takes an unknown entry as positive where its probability is above `threshold` and above the batch's mean, and by a
    *modifier*; both are asymmetric focal losses with larger weights for rarer labels. The *balancer* hands what head and
    tail know to the balanced network. Unknown entries (-1) count as negative unless corrected; stated negatives stay.

    Differs from the paper: the distilled product of two softmaxes is used as a probability; recalled labels are counted on
    the head network's rows; losses are means over rows; the diagonal of the co-occurrences is left out.

    Parameters
    ----------
    criterion
        Not used: the losses are the method's own.
    balance
        ``distill``: the balanced network is drawn to the softmax of head and tail, each by its share of squared losses;
        ``mean``: it bears the mean of the three modifier losses, as in the authors' released code.
    threshold
        Probability above which an unknown entry may be taken as positive, in [0, 1].
    correction
        Weight of the corrector, >= 0.
    margin
        Taken off the scores of known positives in the corrector, >= 0.
    gamma
        Focusing power of negatives, >= 0.
    scale
        Of the cosines, > 0.
    momentum
        Of each network's running mean feature, in [0, 1].

    Attributes
    ----------
    recalled_ : unknown entries of the training rows that the balanced network takes as positive, bool ``(n, L)``.

    References
    ----------
    Learning in Imperfect Environment: Multi-Label Classification with Long-Tailed Distribution and Partial Labels, 2023
    (paper 61).

    Examples
    --------
    >>> from labelwise.data.synthetic import partial_multilabel
    >>> from labelwise.learner import Train
    >>> drawn = partial_multilabel(300, 4, observed_positive=0.6, observed_negative=0.0, random_state=0)
    >>> model = COMIC(train=Train(epochs=10, batch_size=64), random_state=0).fit(drawn.X, drawn.y)
    >>> tuple(model.recalled_.shape)
    (300, 4)
    """

    balance: Literal["distill", "mean"] = "distill"
    threshold: Annotated[float, Fraction] = 0.7
    correction: Annotated[float, NonNegative] = 0.2
    margin: Annotated[float, NonNegative] = 1.0
    gamma: Annotated[float, NonNegative] = 3.0
    scale: Annotated[float, Positive] = 16.0
    momentum: Annotated[float, Fraction] = 0.9

    card = Card(
        paper=61, year=2023, kind="learner", handles=frozenset({"imbalance", "missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), race=True, cost="heavy",
        reference="Learning in Imperfect Environment: Multi-Label Classification with Long-Tailed Distribution and "
        "Partial Labels, 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"balance": ["distill", "mean"], "threshold": [0.7, 0.9], "gamma": [1.0, 3.0]}

    def build(self, data: Data) -> None:
        """Make the balanced network, its output layer a cosine one; `head_` and `tail_` are drawn anew."""
        super().build(data)
        net = check_network(self.net_, type(self).__name__)
        net.head = Scaled(net.head.in_features, self.n_outputs_, self.scale)
        self.head_, self.tail_ = redrawn(net), redrawn(net)

    def start(self, data: Data) -> None:
        """Count the labels, and draw up how often rows are sampled for each network."""
        super().start(data)
        y = data.y[data.labelled]
        yes = (y == 1).float()
        yes = torch.cat([yes, (yes.sum(1, keepdim=True) == 0).float()], 1)  # no positive: a label of its own
        counts = yes.sum(0)
        rare = torch.where(counts > 0, 1 / counts.clamp_min(1), 0.0)
        self.chances_ = torch.stack([torch.ones(len(y), device=y.device), yes @ rare.square(), yes @ rare])
        self.counts_, self.partners_ = counts[:-1], together(y)
        self.found_ = torch.zeros_like(self.counts_)
        self.means_ = torch.zeros(3, check_network(self.net_, "COMIC").width, device=y.device)

    def phases(self) -> list[Phase]:
        """Return one stage that moves the three networks."""
        return [Phase(self.loss, [self.net_, self.head_, self.tail_], self.train_.epochs)]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield batches of three equal parts: rows as they come, by rare labels, by labels alike."""
        rows, size = data.labelled.nonzero().squeeze(1), self.train_.batch_size
        n = size * math.ceil(len(rows) / size)
        drawn = [torch.randperm(len(rows), generator=generator)]
        drawn += [
            torch.multinomial(self.chances_[kind].cpu(), n, True, generator=generator) for kind in (TAIL, BALANCED)
        ]
        parts = [torch.split(rows[part.to(rows.device)], size) for part in drawn]
        for natural, rare, alike in zip(*parts, strict=True):
            yield data.batch(torch.cat([natural, rare[: len(natural)], alike[: len(natural)]]))

    def loss(self, batch: Batch) -> LossValue:
        """Return the three networks' corrector and modifier losses, and the balancer's."""
        x, y = batch.x.chunk(3), batch.y.chunk(3)
        nets: list[Any] = [self.head_, self.tail_, self.net_]
        weight = label_weights(self.counts_, 1 / 3)
        corrected, modified, z = [], [], torch.zeros(())
        for kind, net in enumerate(nets):
            feature = net.features(x[kind])
            z = net.head(feature)
            corrected.append(self._corrector(net.head(self._turned(feature, kind)), y[kind], kind))
            modified.append(modifier(z.sigmoid(), y[kind], self.partners_, weight, self.gamma))
        if self.balance == "mean":
            balanced = torch.stack(modified).mean()
        else:
            balanced = self._distilled(x[BALANCED], y[BALANCED], z, modified, weight)
        return {
            "corrector": self.correction * torch.stack(corrected).sum(),
            "modifier": torch.stack(modified).sum(),
            "balancer": balanced,
        }

    def _turned(self, feature: Tensor, kind: int) -> Tensor:
        """Return the feature without (head) or with more (tail) of the network's mean feature; the balanced one's as is."""
        if kind == BALANCED:
            return feature
        unit = F.normalize(feature, dim=1)
        with torch.no_grad():
            self.means_[kind].lerp_(unit.mean(0), 1 - self.momentum)
        mean = F.normalize(self.means_[kind], dim=0)
        share = (unit @ mean)[:, None]
        return unit - share * mean if kind == HEAD else unit + 2 * share * mean

    def _corrector(self, z: Tensor, y: Tensor, kind: int) -> Tensor:
        """Return the loss of stated and recalled positives, over the number of positives."""
        stated = y == 1
        yes = (z - self.margin * stated).sigmoid()
        positive = stated
        if self.epochs_done_ > 0:
            recalled = recall(yes.detach(), y, self.threshold)
            positive = stated | recalled
            if kind == HEAD:
                self.found_ += recalled.sum(0)
        weight = label_weights(self.counts_ + self.found_, 1 / 6)
        value = core(yes, (1 - yes + CALM).clamp_max(1), positive.to(yes), weight, self.gamma)
        return value * len(y) / positive.sum().clamp_min(1)

    def _distilled(self, x: Tensor, y: Tensor, z: Tensor, modified: list[Tensor], weight: Tensor) -> Tensor:
        squares = torch.stack(modified[:2]).detach().square()
        shares = squares / squares.sum().clamp_min(1e-12)
        with torch.no_grad():
            told = [net(x).softmax(1) for net in (self.head_, self.tail_)]
        own = z.softmax(1)
        values = [modifier(teacher * own, y, self.partners_, weight, self.gamma) for teacher in told]
        return (shares * torch.stack(values)).sum()

    def epoch_end(self) -> None:
        """Count recalled labels afresh in every epoch."""
        super().epoch_end()
        self.found_.zero_()

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train, then settle probabilities and thresholds on the rows held out.

        Parameters and errors are those of `Learner.fit`; `sample_weight` is used for the calibration only.
        """
        super().fit(X, y, sample_weight, domains)
        labels = torch.as_tensor(self.read_targets(y)[0])
        self.recalled_ = recall(torch.as_tensor(self.outputs(X)).sigmoid(), labels, self.threshold)
        return self


class Scaled(CosineHead):
    """A cosine output layer times a scale."""

    def __init__(self, in_features: int, out_features: int, scale: float) -> None:
        super().__init__(in_features, out_features)
        self.scale = scale

    def forward(self, z: Tensor) -> Tensor:
        """Return scaled cosines ``(b, out_features)``."""
        return self.scale * super().forward(z)


def recall(yes: Tensor, y: Tensor, threshold: float) -> Tensor:
    """Return which unknown entries are taken as positive: probable, and more so than the label's mean over the rows."""
    return (y < 0) & (yes > threshold) & (yes > yes.mean(0))
