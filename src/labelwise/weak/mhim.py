"""Masked hard instance mining: a slow teacher hides the easy rows of a bag from its student (Tang et al. 2023)."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Fraction, InputError, NonNegative, Positive
from labelwise.batch import Batch, Data, Phase
from labelwise.nets.bag_pooling import AttentionPooling
from labelwise.parts.bag_rows import bag_ranks
from labelwise.training import Train
from labelwise.weak.set_learner import APART, SetLearner, bags_of


class MHIM(SetLearner):
    """Find hard positive rows too: a teacher hides the rows that make a bag easy, its student learns from the others.

    First a plain attention model is trained. It becomes the teacher, and follows the student slowly from then on. In every
    step the teacher reads the whole bags and scores their rows; of the ``mask_high / drop_share`` rows with the highest
    scores a random part is hidden, so that ``mask_high`` of a bag go, and perhaps some of the lowest scores and of all. The
    student learns ``CE(student of what is left, y) + consistency * H(softmax(z_teacher / t), softmax(z_student))`` on bag
    vectors z. It predicts from whole bags.

    Differs from the paper: several bags a step; shares made for bags of tens of rows, where the authors hide one to five
    in a hundred of thousands; redundant rows are dropped, not merged as in the later version.

    Parameters
    ----------
    pooling
        ``gated`` or ``attention``: the teacher scores by it.
    mask_high
        Share of a bag's rows to hide among the most telling ones.
    drop_share
        Which part of the candidates is hidden: ``mask_high / drop_share`` of the rows are candidates, > 0.
    mask_low, mask_random
        Shares of a bag's least telling rows, and of any rows, to hide as well.
    anneal
        Let `mask_high` shrink to 0 along a cosine.
    row_score
        What is telling: the ``attention`` of a row, or the highest class probability (``class``) of its part in the bag.
    consistency
        Weight of the agreement of student's and teacher's bag vectors.
    temperature
        Of the teacher's bag vector, > 0.
    decay
        Of the teacher's weights; the authors take 0.9997 for long training.
    teacher_epochs
        Epochs of plain training for the first teacher.
    student
        What the student starts from: the teacher's ``features``, ``all`` of it, or ``nothing``.

    References
    ----------
    Tang et al., Multiple Instance Learning Framework with Masked Hard Instance Mining for Whole Slide Image
    Classification, ICCV 2023 (paper 91).

    Examples
    --------
    >>> from labelwise.data.synthetic import two_kind_bags
    >>> drawn = two_kind_bags(40, (20, 30), random_state=0)
    >>> model = MHIM(teacher_epochs=10, train=Train(epochs=20, batch_size=256), random_state=0)
    >>> model = model.fit(drawn.X, drawn.y, bags=drawn.bags)
    >>> bool(model.score(drawn.X, drawn.y, bags=drawn.bags) > 0.9)
    True
    """

    mask_high: Annotated[float, Fraction] = 0.1
    drop_share: Annotated[float, Fraction] = 1.0
    mask_low: Annotated[float, Fraction] = 0.0
    mask_random: Annotated[float, Fraction] = 0.0
    anneal: bool = False
    row_score: Literal["attention", "class"] = "attention"
    consistency: Annotated[float, NonNegative] = 0.5
    temperature: Annotated[float, Positive] = 0.1
    decay: Annotated[float, Fraction] = 0.99
    teacher_epochs: Annotated[int, Count] = 20
    student: Literal["features", "all", "nothing"] = "features"

    card = Card(
        paper=91, year=2023, kind="learner", handles=frozenset({"missing labels"}), supervision=frozenset({"sets"}),
        apart=APART, reference="Tang et al., Multiple Instance Learning Framework with Masked Hard Instance Mining for "
        "Whole Slide Image Classification, ICCV 2023.",
    )  # fmt: skip
    tune = {
        "mask_high": [0.05, 0.1, 0.2],
        "consistency": [0.0, 0.5],
        "train": [Train(lr=lr, epochs=30, batch_size=512) for lr in (1e-3, 3e-3)],
    }

    def start(self, data: Data) -> None:
        """Make the teacher; count epochs to know when it starts to teach."""
        if not isinstance(self.pool_, AttentionPooling):
            raise InputError(
                f"MHIM.pooling must be 'gated' or 'attention', by which rows are scored. Got {self.pooling!r}."
            )
        if self.drop_share == 0:
            raise InputError("MHIM.drop_share must be above 0: of no candidates nothing can be hidden.")
        self.teacher_net_, self.teacher_pool_ = self.made_network(data), self.made_pool(data)
        self.epoch_ = torch.zeros((), dtype=torch.long)

    def phases(self) -> list[Phase]:
        """Return the training of the teacher, then of the student."""
        teacher = [self.teacher_net_, self.teacher_pool_]
        return [Phase(self.plain, teacher, self.teacher_epochs), *super().phases()]

    def plain(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the teacher-to-be on whole bags."""
        bag, y = bags_of(batch)
        return cross_entropy(self._teacher_head(self.teacher_pool_(self._teacher_rows(batch.x), bag, len(y))), y)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of what the teacher leaves, and the agreement with its bag vectors."""
        bag, y = bags_of(batch)
        target, keep = self.taught(batch.x, bag, len(y))
        vector = self.pool_(self.net_.features(batch.x[keep]), bag[keep], len(y))  # type: ignore[operator]
        agreement = cross_entropy(vector, (target / self.temperature).softmax(1))
        return {
            "supervised": cross_entropy(self.net_.head(vector), y),  # type: ignore[operator]
            "consistency": self.consistency * agreement,
        }

    @torch.no_grad()
    def taught(self, x: Tensor, bag: Tensor, n_bags: int) -> tuple[Tensor, Tensor]:
        """Return the teacher's vectors of whole bags, and the rows that it leaves to the student ``(n,)``."""
        self.teacher_net_.eval()
        hidden = self._teacher_rows(x)
        share = self.teacher_pool_.weights(hidden, bag, n_bags)
        score = share
        if self.row_score == "class":
            score = self._teacher_head(share[:, None] * hidden).softmax(1).amax(1)
        high = self.mask_high * self._annealed()
        keep = unmasked(score, bag, high, self.drop_share, self.mask_low, self.mask_random)
        return self.teacher_pool_(hidden, bag, n_bags), keep

    def step_end(self) -> None:
        """Move the teacher towards the student once there is one."""
        if int(self.epoch_) < self.teacher_epochs:
            return
        teacher, student = ([w.detach() for w in m.parameters()] for m in (self._teacher(), self.predictor()))
        with torch.no_grad():
            torch._foreach_lerp_(teacher, student, 1 - self.decay)
            for old, new in zip(self._teacher().buffers(), self.predictor().buffers(), strict=True):
                old.copy_(new)

    def epoch_end(self) -> None:
        """Count; when the teacher is trained, let the student start from it."""
        self.epoch_ += 1
        if int(self.epoch_) != self.teacher_epochs:
            return
        if self.student == "all":
            self.predictor().load_state_dict(deepcopy(self._teacher().state_dict()))
        elif self.student == "features":
            self._features(self.net_).load_state_dict(deepcopy(self._features(self.teacher_net_).state_dict()))

    def _annealed(self) -> float:
        if not self.anneal:
            return 1.0
        done = (int(self.epoch_) - self.teacher_epochs) / max(1, self.train_.epochs)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _teacher(self) -> nn.Module:
        return nn.ModuleList([self.teacher_net_, self.teacher_pool_])

    def _teacher_rows(self, x: Tensor) -> Tensor:
        hidden: Tensor = self._features(self.teacher_net_)(x)
        return hidden

    def _teacher_head(self, vectors: Tensor) -> Tensor:
        scores: Tensor = self.teacher_net_.head(vectors)  # type: ignore[operator]
        return scores

    @staticmethod
    def _features(net: nn.Module) -> nn.Module:
        features: nn.Module = net.features  # type: ignore[assignment]
        return features


def unmasked(
    score: Tensor, bag: Tensor, high: float, drop_share: float, low: float = 0.0, chance: float = 0.0
) -> Tensor:
    """Return which rows stay ``(n,)``: hidden are some of the highest scores in each bag, the lowest, and random ones.

    Parameters
    ----------
    score, bag
        Of every row ``(n,)``.
    high
        Share of a bag to hide among its ``high / drop_share`` highest scores, rounded.
    drop_share
        In (0, 1].
    low, chance
        Share of a bag to hide of its lowest scores, rounded down, and of all rows at random.

    Notes
    -----
    A bag of which nothing would be left is left whole.

    Examples
    --------
    >>> unmasked(torch.tensor([0.9, 0.1, 0.8, 0.2]), torch.zeros(4, dtype=torch.long), high=0.25, drop_share=1.0)
    tensor([False,  True,  True,  True])
    """
    size = torch.bincount(bag)[bag]
    rank = bag_ranks(score, bag)
    candidate = rank < (size * high / drop_share).ceil()
    place = bag_ranks(candidate + torch.rand_like(score), bag)  # candidates first, in random order
    hidden = (candidate & (place < (size * high).round())) | (size - 1 - rank < (size * low).floor())
    hidden |= torch.rand_like(score) < chance
    left = torch.bincount(bag, (~hidden).float())[bag]
    return ~hidden | (left == 0)
