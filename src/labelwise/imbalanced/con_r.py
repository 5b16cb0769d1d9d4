"""ConR: any regression loss, regularised by a contrast of rows that are confused with one another."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch

from labelwise.base import Card, NonNegative, Positive
from labelwise.imbalanced.tail_regressor import TailRegressor
from labelwise.learner import MINI_BATCHES
from labelwise.losses.con_r import con_r
from labelwise.nets.base import check_network
from labelwise.training import Batch, Data, LossValue


class ConRRegressor(TailRegressor):
    """Train for real targets while features of rows with near predictions but far targets are pushed apart.

    ``criterion + weight * ConR`` (`labelwise.losses.con_r`): a rare row that is predicted like a common one is confused; the
    contrast pushes their features apart, and draws those of like targets together, the rarer the harder. The criterion is
    any; so is the weighting of its rows.

    Differs from the paper: targets are standardised, so `window`, `eta` and `weight` are per standard deviation of the
    target (with ages, of a standard deviation of 20 years, the paper's 1 year, 0.01 and 4 are 0.05, 0.2 and 0.2 here); the
    criterion sees the rows as they are, and the contrast each row with one weak view of it.

    Parameters
    ----------
    weighting
        Of rows in the criterion, and of how hard rare rows push: see `LDSRegressor`.
    weight
        Of the regulariser, >= 0.
    window
        Targets are alike within so many standard deviations, >= 0; about the noise of the targets.
    eta
        How much farther targets are pushed harder, per standard deviation, >= 0.
    temperature
        Of the cosines, > 0.

    References
    ----------
    Keramati, Meng, Evans: ConR: Contrastive Regularizer for Deep Imbalanced Regression. ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from labelwise.learner import Train
    >>> X = np.random.default_rng(0).exponential(size=(300, 1))
    >>> model = ConRRegressor(train=Train(epochs=30, batch_size=32), random_state=0).fit(X, np.sqrt(X[:, 0]))
    >>> bool(model.score(X, np.sqrt(X[:, 0])) > 0.8)
    True
    """

    weighting: Literal["none", "inverse", "square root"] = "square root"
    weight: Annotated[float, NonNegative] = 0.2
    window: Annotated[float, NonNegative] = 0.1
    eta: Annotated[float, NonNegative] = 0.2
    temperature: Annotated[float, Positive] = 0.07

    card = Card(
        paper=87, year=2024, kind="learner", handles=frozenset({"imbalance"}), supervision=frozenset({"real"}),
        task="regression", race=True,
        reference="Keramati et al., ConR: Contrastive Regularizer for Deep Imbalanced Regression, ICLR 2024.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {
        "weight": [0.05, 0.2, 1.0], "window": [0.05, 0.1, 0.3], "temperature": [0.07, 0.2],
        "weighting": ["none", "square root"],
    }  # fmt: skip

    def start(self, data: Data) -> None:
        """Check that there is a representation."""
        super().start(data)
        check_network(self.net_, type(self).__name__)

    def loss(self, batch: Batch) -> LossValue:
        """Return the criterion, and the contrast of the rows and their views."""
        net: Any = self.net_
        features = net.features(batch.x)
        outputs = net.head(features)
        fitting = self.fitting(outputs, batch)
        if not self.weight:
            return fitting
        second = net.features(batch.weak)
        row_weight = None if batch.weight is None else batch.weight.repeat(2)
        contrast = con_r(
            torch.cat([features, second]), batch.y.repeat(2, 1), torch.cat([outputs, net.head(second)]), row_weight,
            window=self.window, eta=self.eta, temperature=self.temperature,
        )  # fmt: skip
        return {"fitting": fitting, "contrast": self.weight * contrast.mean()}
