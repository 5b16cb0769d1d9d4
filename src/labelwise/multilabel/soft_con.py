"""Multi-label training with soft contrast: hidden layers of two rows as alike as their label sets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from labelwise.base import Card, Count, Fraction, InputError, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, MultiLabelClassifier
from labelwise.losses.base import Loss
from labelwise.losses.binary import MaskedBCE
from labelwise.losses.soft_con import REFERENCE, SoftCon
from labelwise.parts.ema import EMA
from labelwise.training import Batch, Data, LossValue, Phase, shuffled


class SoftConClassifier(MultiLabelClassifier):
    """Trains for several labels per row with `SoftCon` on the hidden layer as a regulariser; unlabelled rows help.

    ``criterion + contrast (L_instance + L_labels)``: a strong view goes through the network and a projection, a weak view
    through their moving average, without gradient; each row should find itself, and every pair be as alike as its label
    sets. Rows without any known label take part in the first part of the contrast only. The projection is thrown away.

    Differs from the paper: contrast beside the criterion in one training, not pre-training followed by a probe; views by
    kind of input in place of two seasons and masked patches.

    Parameters
    ----------
    criterion
        Loss of the scores.
    contrast
        Weight of the contrast, >= 0.
    temperature, target
        Of `labelwise.losses.SoftCon`.
    width
        Numbers in a projection, >= 1.
    decay
        Of the moving average, in [0, 1].

    References
    ----------
    Wang, Albrecht, Zhu: Multi-label guided soft contrastive learning for efficient Earth observation pretraining. 2024
    (paper 251).

    Examples
    --------
    >>> from labelwise.data.synthetic import partial_multilabel
    >>> from labelwise.learner import Train
    >>> drawn = partial_multilabel(300, 4, positive_rate=0.3, observed_negative=0.8, random_state=0)
    >>> model = SoftConClassifier(train=Train(epochs=10, batch_size=32), random_state=0).fit(drawn.X, drawn.y)
    >>> model.predict(drawn.X).shape
    (300, 4)
    """

    criterion: Loss = MaskedBCE()
    contrast: Annotated[float, NonNegative] = 0.1
    temperature: Annotated[float, Positive] = 0.2
    target: Literal["bce", "softmax"] = "bce"
    width: Annotated[int, Count] = 64
    decay: Annotated[float, Fraction] = 0.99

    card = Card(
        paper=251, year=2024, reference=REFERENCE, kind="learner", task="multi-label", supervision=frozenset({"multilabel"}),
        handles=frozenset({"missing labels", "few labels"}), race=True,
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"contrast": [0.03, 0.1, 0.3, 1.0], "target": ["bce", "softmax"]}

    def start(self, data: Data) -> None:
        """Start the criterion, the projection, its average and the contrast."""
        super().start(data)
        net: Any = self.net_
        if not isinstance(getattr(net, "features", None), nn.Module):
            raise InputError(
                f"SoftConClassifier needs a network with `features` and `head`. Got {type(net).__name__}; "
                "use MultiLabelClassifier, or a network that has them."
            )
        with torch.no_grad():
            hidden = net.features(data.batch(torch.arange(min(2, len(data)), device=data.x.device)).x).shape[1]
        self.projector_ = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, self.width))
        self.projector_.to(data.x.device)
        self.average_ = EMA(nn.Sequential(net.features, self.projector_), self.decay)
        self.soft_ = SoftCon(self.temperature, target=self.target)

    def phases(self) -> list[Phase]:
        """Return one stage that moves the network, the projection and the contrast's bias."""
        return [Phase(self.loss, [self.net_, self.projector_, self.soft_], self.train_.epochs)]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield all rows once, labelled or not."""
        everything = torch.arange(len(data), device=data.x.device)
        for rows in shuffled(everything, self.train_.batch_size, generator, data.shard):
            yield data.batch(rows)

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(len(data) / self.train_.batch_size)

    def loss(self, batch: Batch) -> LossValue:
        """Return the criterion of the rows with a label, and both parts of the contrast of all."""
        net: Any = self.net_
        known = (batch.y >= 0).any(1)
        weight = None if batch.weight is None else batch.weight[known]
        if known.any():
            labels = self.criterion_(net(batch.x[known]), batch.y[known], batch.index[known], weight)
        else:
            labels = net(batch.x).sum() * 0.0
        q: Tensor = self.projector_(net.features(batch.strong))
        with torch.no_grad():
            k = self.average_(batch.weak)
        soft = {f"soft {name}": self.contrast * part for name, part in self.soft_.parts(q, k, batch.y).items()}
        return {"labels": labels, **soft}

    def step_end(self) -> None:
        """Let the average follow."""
        net: Any = self.net_
        self.average_.update(nn.Sequential(net.features, self.projector_))
