"""Smooth adversarial comp-sum losses (Mao, Mohri and Zhong 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from labelwise.base import Card, Count, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, ClassLearner
from labelwise.losses import CompSum
from labelwise.parts.attacks import Norm, pgd
from labelwise.training import Batch, Data, Train


def leads(scores: Tensor, y: Tensor) -> Tensor:
    """Return ``D``, the lead of the given class over every other one: ``h_y - h_k`` for ``k != y``, ``(b, K - 1)``."""
    n_classes = scores.shape[1]
    others = (torch.arange(n_classes - 1, device=y.device) + y[:, None] + 1) % n_classes
    return scores.gather(1, y[:, None]) - scores.gather(1, others)


class SmoothAdversarial(ClassLearner):
    """Train against small changes of the inputs by a smooth bound: a comp-sum loss plus how far the leads can be moved.

    ``loss = l_tau(h(x) / rho, y) + nu max_{|x' - x| <= radius} ||D(x') - D(x)||_2`` with ``D`` the leads of the given class.
    The maximum is searched by projected gradient ascent on that norm; the gradient passes through both ``D(x)`` and
    ``D(x')``. For ``nu >= sqrt(K - 1) / rho`` it is an upper bound of the adversarial margin loss.

    Parameters
    ----------
    radius
        Largest change of an input, >= 0: of standardised columns, or of pictures in [0, 1].
    norm
        ``inf``: every entry moves by at most `radius`; ``2``: every row.
    tau
        Of the comp-sum loss, >= 0; 1 is the cross-entropy. The default 0.4 and ``rho = nu = 1`` are the authors' choice as
        far as it is known.
    rho
        Margin scale, > 0.
    nu
        Weight of the moved leads, >= 0; 0 trains plainly.
    attack_steps
        Gradient steps of the search, >= 1.

    References
    ----------
    Mao, Mohri and Zhong, Cross-Entropy Loss Functions: Theoretical Analysis and Applications, ICML 2023 (paper 74).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SmoothAdversarial(radius=0.1, train=Train(epochs=20, batch_size=32), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.85)
    True
    """

    radius: Annotated[float, NonNegative] = 0.1
    norm: Norm = "inf"
    tau: Annotated[float, NonNegative] = 0.4
    rho: Annotated[float, Positive] = 1.0
    nu: Annotated[float, NonNegative] = 1.0
    attack_steps: Annotated[int, Count] = 5

    card = Card(
        paper=74, year=2023, kind="learner", handles=frozenset({"covariate shift"}), cost="heavy",
        reference="Mao, Mohri and Zhong, Cross-Entropy Loss Functions: Theoretical Analysis and Applications, ICML 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        race=True,
        apart="It gives up accuracy on plain rows to withstand attacked ones, which a race does not have.",
    )  # fmt: skip
    tune = {"nu": [0.3, 1.0, 3.0], "tau": [0.4, 1.0], "train": [Train(lr=lr, epochs=40) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Build the comp-sum loss."""
        self.criterion_ = CompSum(self.tau)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the comp-sum loss and the weighted movement of the leads."""
        scores = self.net_(batch.x)
        clean = self.criterion_(scores / self.rho, batch.y, weight=batch.weight)
        moved = leads(self.net_(self.attacked(batch)), batch.y) - leads(scores, batch.y)
        length = torch.linalg.vector_norm(moved, dim=1)
        weight = torch.ones_like(length) if batch.weight is None else batch.weight
        return {"comp_sum": clean, "movement": self.nu * (weight * length).sum() / weight.sum().clamp_min(1e-12)}

    def attacked(self, batch: Batch) -> Tensor:
        """Return the inputs within the radius whose leads moved furthest; the network is searched as it predicts."""
        mode, y = self.net_.training, batch.y
        self.net_.eval()
        with torch.no_grad():
            before = leads(self.net_(batch.x), y)
        bounds = (0.0, 1.0) if self.inputs_.modality == "images" else None
        found = pgd(
            lambda x: torch.linalg.vector_norm(leads(self.net_(x), y) - before, dim=1),
            batch.x, self.radius, norm=self.norm, steps=self.attack_steps, bounds=bounds,
        )  # fmt: skip
        self.net_.train(mode)
        return found
