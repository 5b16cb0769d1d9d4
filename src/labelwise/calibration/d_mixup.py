"""Training on convex combinations of several rows: confidence that one temperature could not mend."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from labelwise.base import Card, InputError, Positive, Range
from labelwise.learner import MINI_BATCHES
from labelwise.learner.plain import Plain
from labelwise.learner.template import ClassLearner
from labelwise.parts.mixers import dirichlet_mix
from labelwise.training import Batch, Data, Train


class DMixup(Plain, ClassLearner):
    """Trains on mixtures of d rows, each row's label weighing as its share: mixup at d = 2, softer beyond.

    A batch is mixed with d - 1 permutations of itself by shares ``l ~ Dirichlet(a, ..., a)``, drawn once a batch:
    ``sum_i l_i loss(f(sum_i l_i x_i), y_i)``. Raw rows are never shown. Where classes overlap, or labels are wrong, a
    network that fits every training row is as confident there as elsewhere, and no single temperature mends both; one
    that is trained on mixtures is not. Calibrate it afterwards all the same (`TemperatureScaling`): with d > 2 it tends to
    be under-confident.

    Parameters
    ----------
    d
        Rows in a mixture; 1 is plain training.
    concentration
        a: 1 draws shares uniformly, larger makes them more equal, smaller keeps rows nearly raw.
    net, train, random_state
        As in every learner (`labelwise.learner.Learner`).
    views
        Not used.
    criterion
        Any `labelwise.losses.Loss`; cross-entropy in the paper.

    References
    ----------
    Muthu Chidambaram, Rong Ge: On the Limitations of Temperature Scaling for Distributions with Overlaps. ICLR 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Train
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DMixup(d=3, train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.85)
    True
    """

    d: Annotated[int, Range(low=1, whole=True)] = 2
    concentration: Annotated[float, Positive] = 1.0

    card = Card(
        paper=236, year=2024, reference="Chidambaram, Ge: On the Limitations of Temperature Scaling ... (ICLR 2024)",
        kind="learner", handles=frozenset({"calibration", "noise"}), race=True,
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"d": [2, 3, 5], "train": [Train(lr=lr, epochs=40) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Refuse inputs that cannot be mixed, and make room for the criterion's state."""
        if self.inputs_.modality == "tokens":
            raise InputError("DMixup mixes rows of numbers, but X holds texts. Encode the texts as vectors first.")
        super().start(data)

    def loss(self, batch: Batch) -> Tensor:
        """Return the criterion of the mixture under each partner's label, weighted by shares."""
        mix = dirichlet_mix(len(batch), self.d, self.concentration).to(batch.x.device)
        logits = self.net_(mix(batch.x))
        values: list[Tensor] = []
        for partner, share in zip(mix.partners, mix.shares, strict=True):
            weight = None if batch.weight is None else batch.weight[partner]
            values.append(share[0] * self.criterion_(logits, batch.y[partner], batch.index[partner], weight))
        return torch.stack(values).sum()
