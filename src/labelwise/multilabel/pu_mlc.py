"""PU-MLC: several labels a row from stated positives alone."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from sklearn.base import clone
from torch import Tensor

from labelwise.base import Card, Fraction, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, LongTailMultiLabelClassifier
from labelwise.losses.base import Loss
from labelwise.losses.pu_mlc import PUMLC, REFERENCE
from labelwise.parts.mixers import mixup
from labelwise.training import Batch, Data, LossValue


def mixed_consistency(mixed: Tensor, target: Tensor) -> Tensor:
    """Return ``(log t - log p)^2``, the mean over entries: the predictions of mixed rows against their mixed targets.

    Parameters
    ----------
    mixed
        Scores of the mixed rows ``(b, L)``.
    target
        Mixed targets ``(b, L)`` in [0, 1].
    """
    return ((target + 1e-10).log() - F.logsigmoid(mixed)).square().mean()


class PUMLCClassifier(LongTailMultiLabelClassifier):
    """Learn several labels a row from stated positives alone: whatever is not a stated yes is unlabelled.

    The variational positive-unlabelled loss of each label (`labelwise.losses.PUMLC`); mixed rows must be predicted as the
    mix of their rows, where a stated positive counts 1 and any other entry what the network says of it; averaged weights
    predict. Stated negatives are used for the calibration only.

    Differs from the paper: terms are means over labels, in place of sums; no local-global convolutions; the batch is mixed
    with one permutation of itself, in place of one half with the other.

    Parameters
    ----------
    criterion
        The loss, with its temperature and balance.
    consistency
        Weight of the mixed rows' term, >= 0.
    mix
        Shares are drawn from Beta(mix, mix), once a batch, > 0.
    flow
        Whether a gradient flows through the targets that the network gives itself, as in the authors' code.
    ema
        Decay of the averaged weights, in [0, 1]; the paper's 0.9997 is for long training. ``train.ema``, when given, goes
        first.

    References
    ----------
    Positive Label Is All You Need for Multi-Label Classification, 2023 (paper 79).

    Examples
    --------
    >>> from labelwise.data.synthetic import partial_multilabel
    >>> from labelwise.learner import Train
    >>> drawn = partial_multilabel(300, 4, observed_negative=0.0, random_state=0)
    >>> model = PUMLCClassifier(train=Train(epochs=10, batch_size=64), random_state=0).fit(drawn.X, drawn.y)
    >>> model.meaning_, model.predict_proba(drawn.X).shape
    ('stated', (300, 4))
    """

    criterion: Loss = PUMLC()
    consistency: Annotated[float, NonNegative] = 1.0
    mix: Annotated[float, Positive] = 0.3
    flow: bool = True
    ema: Annotated[float, Fraction] = 0.98

    card = Card(
        paper=79, year=2023, kind="learner", handles=frozenset({"missing labels"}), task="multi-label", race=True,
        supervision=frozenset({"multilabel"}), reference=REFERENCE,
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {
        "criterion": [PUMLC(alpha=alpha, gamma=gamma) for alpha, gamma in ((1.0, 0.55), (2.0, 0.85), (1.0, 0.0))],
        "consistency": [0.0, 0.3, 1.0],
    }

    def start(self, data: Data) -> None:
        """Start the criterion and ask for averaged weights."""
        super().start(data)
        if self.consistency:
            self.refuse_texts(instead=", or use consistency=0")
        if self.train_.ema is None:
            self.train_ = clone(self.train_).set_params(ema=self.ema)

    def loss(self, batch: Batch) -> LossValue:
        """Return the positive-unlabelled loss and the consistency of mixed rows."""
        scores = self.net_(batch.x)
        parts = {"positive": self.criterion_(scores, batch.y, batch.index, batch.weight)}
        if self.consistency and len(batch) > 1:
            mix = mixup(len(batch), self.mix).to(batch.x.device)
            own = scores if self.flow else scores.detach()
            target = (batch.y == 1) + (batch.y != 1) * own.sigmoid()
            parts["consistency"] = self.consistency * mixed_consistency(self.net_(mix(batch.x)), mix(target))
        return parts
