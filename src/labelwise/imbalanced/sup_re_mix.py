"""SupReMix: a representation in the order of the targets, learnt from mixtures of embeddings, then regression on it."""

from __future__ import annotations

from typing import Annotated, Any

import torch

from labelwise.base import Card, Count, Natural, NonNegative, Positive
from labelwise.imbalanced.tail_regressor import TailRegressor
from labelwise.learner import MINI_BATCHES
from labelwise.losses.sup_re_mix import draw_mixtures, sup_re_mix
from labelwise.nets.base import check_network
from labelwise.training import Batch, Data, LossValue, Phase


class SupReMixRegressor(TailRegressor):
    """Pre-train for real targets by contrast with mixed pairs, then fit a regression on the representation.

    Stage 1 draws rows of equal targets together and pushes others away, the farther their targets the harder; mixtures of
    the row with others are hard negatives, mixtures of rows below and above it that average to its target are hard
    positives (`labelwise.losses.sup_re_mix`). So the representation comes to lie in the order of the targets. Stage 2 fits
    the output layer by the criterion, and the whole network with it if `fine_tune`.

    Differs from the paper: targets are standardised, so `window` and `push` are per standard deviation (5 years of ages
    with a standard deviation of 20 are 0.25, 1 a year is 20); hard positives are drawn rather than all triples taken; a
    tolerance says which real targets count as equal.

    Parameters
    ----------
    temperature
        Of the cosines, > 0.
    window
        Rows of a hard positive are at most so many standard deviations from the row, on either side, > 0.
    push
        How much farther targets are pushed harder, per standard deviation, >= 0.
    tolerance
        Targets that differ by at most so many standard deviations are equal, >= 0.
    alpha, beta
        The share of the row itself in a hard negative is drawn from Beta(alpha, beta), > 0.
    pairs
        Hard positives a row, >= 0; memory grows with it, not with the number of triples.
    pretrain_epochs
        Of stage 1; `train` says the rest.
    fine_tune
        Stage 2 moves the whole network, not only the output layer.

    References
    ----------
    Wu et al.: Mixup Your Own Pairs (SupReMix). 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from labelwise.learner import Train
    >>> X = np.random.default_rng(0).exponential(size=(300, 1))
    >>> model = SupReMixRegressor(train=Train(epochs=30, batch_size=32), random_state=0).fit(X, np.sqrt(X[:, 0]))
    >>> bool(model.score(X, np.sqrt(X[:, 0])) > 0.8)
    True
    """

    temperature: Annotated[float, Positive] = 0.2
    window: Annotated[float, Positive] = 0.25
    push: Annotated[float, NonNegative] = 20.0
    tolerance: Annotated[float, NonNegative] = 0.02
    alpha: Annotated[float, Positive] = 2.0
    beta: Annotated[float, Positive] = 8.0
    pairs: Annotated[int, Natural] = 64
    pretrain_epochs: Annotated[int, Count] = 20
    fine_tune: bool = True
    one_target = True

    card = Card(
        paper=93, year=2023, kind="learner", handles=frozenset({"imbalance", "representation"}),
        supervision=frozenset({"real"}), task="regression", race=True,
        reference="Wu et al., Mixup Your Own Pairs, 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {
        "temperature": [0.1, 0.2, 0.5], "push": [2.0, 20.0], "pretrain_epochs": [10, 30], "fine_tune": [True, False],
    }  # fmt: skip

    def start(self, data: Data) -> None:
        """Check that there is a representation."""
        super().start(data)
        check_network(self.net_, type(self).__name__)

    def phases(self) -> list[Phase]:
        """Return pre-training of the representation, and regression on it."""
        net: Any = self.net_
        moved = [net] if self.fine_tune else [net.head]
        return [Phase(self.contrast, [net.features], self.pretrain_epochs), Phase(self.loss, moved, self.train_.epochs)]

    def epoch_end(self) -> None:
        """Count the epochs; the criterion hears of those of stage 2 only."""
        self.epochs_done_ += 1
        passed = (float(self.epochs_done_) - self.pretrain_epochs) / self.train_.epochs
        self.criterion_.advance(min(1.0, max(0.0, passed)))

    def contrast(self, batch: Batch) -> LossValue:
        """Return the contrast of two views of each row."""
        net: Any = self.net_
        again = batch.x if batch.views is None else batch.views.weak(batch.x)
        z, y = net.features(torch.cat([batch.weak, again])), batch.y[:, 0].repeat(2)
        mixtures = draw_mixtures(y, self.window, self.pairs, self.alpha, self.beta, self.tolerance)
        value = sup_re_mix(
            z, y, mixtures, temperature=self.temperature, push=self.push, tolerance=self.tolerance
        )  # fmt: skip
        if batch.weight is None:
            return value.mean()
        return (batch.weight.repeat(2) * value).mean()
