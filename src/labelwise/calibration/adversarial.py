"""Adversarial training (Madry et al. 2018)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, InputError, NonNegative
from labelwise.calibration.differentiable import Units
from labelwise.calibration.trials import iris_trial
from labelwise.learner import MINI_BATCHES, ClassLearner
from labelwise.parts.attacks import pgd
from labelwise.training import Batch, Data, Train


class AdversarialTraining(ClassLearner):
    """Train on the worst change of every row within a ball: accurate on attacked rows, less so on clean ones.

    ``min_f E max_{|d| <= radius} CE(f(x + d), y)``, the inner maximum by projected gradient ascent on the network in
    evaluation mode.

    Parameters
    ----------
    radius
        Of the ball, >= 0, in the units of X (bytes of pictures count as [0, 1]).
    norm
        ``inf`` bounds every entry of a row, ``2`` its Euclidean length.
    ascents
        Gradient steps of the attack, >= 1; each costs as much as a step of training.
    bounds
        Smallest and largest possible entry of X, such as (0, 1) for pictures; None for no bounds.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras, Vladu: Towards Deep Learning Models Resistant to Adversarial Attacks. ICLR 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = AdversarialTraining(radius=0.2, train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    radius: Annotated[float, NonNegative] = 0.1
    norm: Literal["inf", "2"] = "inf"
    ascents: Annotated[int, Count] = 7
    bounds: tuple[float, float] | None = None

    card = Card(
        year=2018, kind="learner", handles=frozenset({"clean labels"}), cost="heavy",
        reference="Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        race=True,
        apart="It gives up accuracy on plain rows to withstand attacked ones, which a race does not have.",
    )  # fmt: skip
    tune = {"train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return iris, and a weak attack that is quickly made."""
        return iris_trial(fields={"ascents": 2})

    def start(self, data: Data) -> None:
        """Refuse texts, which have no small changes."""
        if self.inputs_.modality == "tokens":
            raise InputError("X: there are no small changes of a text to train against. Pass embeddings.")

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the attacked rows."""
        values = cross_entropy(self.net_(self.attacked(batch.x, batch.y)), batch.y, reduction="none")
        if batch.weight is None:
            return values.mean()
        return (batch.weight * values).sum() / batch.weight.sum().clamp_min(1e-12)

    def attacked(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the worst rows within the ball, as the network reads them."""
        units, training = Units(self.inputs_).to(x.device), self.net_.training
        self.net_.eval()

        def error(raw: Tensor) -> Tensor:
            return cross_entropy(self.net_(units(raw)), y, reduction="none")

        worst = pgd(error, units.back(x), self.radius, norm=self.norm, steps=self.ascents, bounds=self.bounds)
        self.net_.train(training)
        return torch.as_tensor(units(worst))
