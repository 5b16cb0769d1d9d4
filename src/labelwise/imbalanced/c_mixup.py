"""C-Mixup: mixtures of rows whose targets are near."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.distributions import Beta

from labelwise.base import Card, Natural, Positive
from labelwise.imbalanced.tail_regressor import TailRegressor
from labelwise.learner import MINI_BATCHES
from labelwise.losses.base import Loss
from labelwise.losses.binary import SquaredError
from labelwise.nets.base import check_network
from labelwise.parts.mixers import near_partners
from labelwise.training import Batch, Data, LossValue, shuffled


class CMixupRegressor(TailRegressor):
    """Train for real targets on mixtures of two rows whose targets are near.

    Row i is mixed with a row j drawn with a chance proportional to ``exp(-|y_i - y_j|^2 / (2 bandwidth^2))``: ``l x_i +
    (1 - l) x_j`` with the target ``l y_i + (1 - l) y_j``, one ``l ~ Beta(alpha, alpha)`` a batch. Plain mixup (an infinite
    bandwidth) mixes rows of any two targets, where a straight line between them seldom is right.

    The chances are worked out for a batch at a time over all training rows, as the paper's matrix of all pairs, without
    holding it. Beyond `exact_rows` rows partners are drawn from a random pool of as many rows as the batch.

    Parameters
    ----------
    bandwidth
        In standard deviations of the target, > 0: from near 0 (plain training) to infinite (mixup). What matters most.
    alpha
        Of the Beta distribution of shares, > 0.
    mixed
        ``input``: the rows; ``hidden``: their features before the output layer (manifold mixup).
    exact_rows
        Up to so many training rows partners are drawn from all.

    References
    ----------
    Yao, Wang, Zhang, Zou, Finn: C-Mixup: Improving Generalization in Regression. NeurIPS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from labelwise.learner import Train
    >>> X = np.random.default_rng(0).exponential(size=(300, 1))
    >>> model = CMixupRegressor(train=Train(epochs=30, batch_size=32), random_state=0).fit(X, np.sqrt(X[:, 0]))
    >>> bool(model.score(X, np.sqrt(X[:, 0])) > 0.8)
    True
    """

    criterion: Loss = SquaredError()
    bandwidth: Annotated[float, Positive] = 0.3
    alpha: Annotated[float, Positive] = 2.0
    mixed: Literal["input", "hidden"] = "input"
    exact_rows: Annotated[int, Natural] = 20_000

    card = Card(
        paper=110, year=2022, kind="learner", handles=frozenset({"imbalance", "clean labels"}),
        supervision=frozenset({"real"}), task="regression", race=True,
        reference="Yao et al., C-Mixup: Improving Generalization in Regression, NeurIPS 2022.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"bandwidth": [0.03, 0.1, 0.3, 1.0], "alpha": [0.5, 2.0], "mixed": ["input", "hidden"]}

    def start(self, data: Data) -> None:
        """Refuse what cannot be mixed."""
        super().start(data)
        if self.mixed == "hidden":
            check_network(self.net_, type(self).__name__)
        else:
            self.refuse_texts()

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the labelled rows once, in random order, each batch followed by the rows' partners."""
        known = data.labelled.nonzero().squeeze(1)
        for rows in shuffled(known, self.train_.batch_size, generator, data.shard):
            pool = known
            if len(known) > self.exact_rows:
                more = torch.randint(len(known), (len(rows),), generator=generator).to(known.device)
                pool = torch.cat([rows, known[more]])
            weight = None if data.weight is None else data.weight[pool]
            if weight is not None and not bool(weight.any()):
                weight = None
            partners = pool[near_partners(data.y[rows], self.bandwidth, data.y[pool], weight)]
            yield data.batch(torch.cat([rows, partners]))

    def loss(self, batch: Batch) -> LossValue:
        """Return the criterion of the mixtures of the first half of the rows with the second."""
        net: Any = self.net_
        n = len(batch) // 2
        share = Beta(self.alpha, self.alpha).sample().to(batch.x.device)
        if self.mixed == "input":
            outputs = net(torch.lerp(batch.x[n:], batch.x[:n], share))
        else:
            features: Tensor = net.features(batch.x)
            outputs = net.head(torch.lerp(features[n:], features[:n], share))
        y = torch.lerp(batch.y[n:], batch.y[:n], share)
        weight = None if batch.weight is None else batch.weight[:n]
        return self.fitting(outputs, Batch(batch.x[:n], y, batch.index[:n], weight))
