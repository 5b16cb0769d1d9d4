"""Robust self-training on an out-of-domain pool (Saberi et al. 2024), and its closed forms for linear classifiers."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import Card, Count, Fraction, InputError, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, SemiSupervised, evaluating, row_mean
from labelwise.parts.attacks import Objective
from labelwise.parts.schedules import ramp_up
from labelwise.training import Batch, Data


class RobustSelfTraining(SemiSupervised):
    """Rows may be moved at a price before they are learned: the pool's move pushes the boundary to where rows are few.

    ``phi_g(x, y) = max over z of CE(f(z), y) - g |z - x|^2``,
    ``loss = mean phi_robustness(x, y) + weight * mean phi_pool_robustness(u, argmax f(u))``,
    the pool's labels being the network's own at this moment. A small price g lets rows move far, which puts more weight on
    those near the boundary; None is an infinite price: no move, plain self-training. The pool need not be of the same
    distribution as the labelled rows, only near it. The inner maximum is found by gradient ascent, ``z <- z + step_size /
    (t + 1) * gradient`` for t = 0 .. steps - 1, and z is then held fixed.

    With two classes and a linear network the maximum has closed forms: `robust_hinge`, `robust_ramp`.

    Differs from the paper: the pool's targets are the network's classes (or probabilities), detached, where the authors'
    code passes raw scores; the ascent sees the network in evaluation mode; z never ends worse than where it started, so
    that the price stays paid; the pool's weight grows over the first `warmup` of the steps, because the labels of a fresh
    network may be one class everywhere, and would then stay so.

    Parameters
    ----------
    robustness, pool_robustness
        Price g of a squared unit of move for labelled rows and for the pool, > 0, in units of the network's input
        (vectors are standardised); None forbids moves.
    weight
        Of the pool, >= 0; 0 is robust training on the labelled rows.
    warmup
        Share of the steps over which that weight grows from 0.007 of itself, in [0, 1]; 0 starts with all of it.
    targets
        ``hard`` classes or ``soft`` probabilities for the pool.
    ascent
        Steps of the inner maximum, >= 1.
    step_size
        Of its first step, > 0; None takes ``1 / (2 g)``, which reaches the maximum at once where the loss is linear.

    References
    ----------
    Amir Hossein Saberi, Amir Najafi, Alireza Heidari, Mohammad Hosein Movasaghinia, Abolfazl Motahari, Babak Khalaj:
    Out-Of-Domain Unlabeled Data Improves Generalization. ICLR 2024 (paper 0).

    Examples
    --------
    >>> import numpy as np
    >>> from labelwise.learner import Train
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = RobustSelfTraining(train=Train(epochs=20, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    robustness: Annotated[float, Positive] | None = 10.0
    pool_robustness: Annotated[float, Positive] | None = 1.0
    weight: Annotated[float, NonNegative] = 1.0
    warmup: Annotated[float, Fraction] = 0.5
    targets: Literal["hard", "soft"] = "hard"
    ascent: Annotated[int, Count] = 5
    step_size: Annotated[float, Positive] | None = None
    ratio: Annotated[int, Count] = 4

    card = Card(
        paper=0, year=2024, kind="learner", cost="heavy", race=True,
        handles=frozenset({"few labels", "missing labels", "covariate shift"}),
        reference="Saberi et al., Out-Of-Domain Unlabeled Data Improves Generalization, ICLR 2024.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"pool_robustness": [0.1, 1.0, 10.0], "weight": [0.1, 1.0]}

    def start(self, data: Data) -> None:
        """Refuse texts, whose codes cannot be moved; count steps for the pool's weight."""
        if self.inputs_.modality == "tokens":
            raise InputError("X holds texts, whose codes cannot be moved by a gradient. Encode them as vectors first.")
        self.step_ = torch.zeros((), dtype=torch.long)
        self.grown_ = round(self.warmup * self.steps(data) * self.train_.epochs)

    def step_end(self) -> None:
        """Count the step."""
        self.step_ += 1

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the robust losses of the labelled rows and of the pool under the network's own labels."""
        labelled = self.robust(batch.x, one_hot(batch.y, self.n_outputs_).to(batch.x.dtype), self.robustness)
        parts = {"supervised": row_mean(labelled, batch.weight)}
        if self.weight:
            x = batch.unlabelled.x
            own = self.robust(x, self.own_targets(x), self.pool_robustness)
            parts["pool"] = self.weight * ramp_up(int(self.step_), self.grown_) * own.mean()
        return parts

    @torch.no_grad()
    def own_targets(self, x: Tensor) -> Tensor:
        """Return what the network says of rows as they are, ``(b, K)``."""
        with evaluating(self.net_):
            p: Tensor = self.net_(x).softmax(1)
        return p if self.targets == "soft" else one_hot(p.argmax(1), p.shape[1]).to(p.dtype)

    def robust(self, x: Tensor, target: Tensor, price: float | None) -> Tensor:
        """Return ``phi_price`` of rows and targets ``(b, K)``, shape ``(b,)``."""
        if price is None:
            return cross_entropy(self.net_(x), target, reduction="none")
        with evaluating(self.net_):
            moved = worst(
                lambda z: cross_entropy(self.net_(z), target, reduction="none"), x, price, self.ascent, self.step_size
            )
        return cross_entropy(self.net_(moved), target, reduction="none") - price * squared_distance(moved, x)


def worst(objective: Objective, x: Tensor, price: float, steps: int = 10, step_size: float | None = None) -> Tensor:
    """Return inputs ``(b, ...)`` of largest ``objective(z) - price |z - x|^2`` that gradient ascent from `x` meets.

    Parameters
    ----------
    objective
        Maps inputs to one value a row ``(b,)``; rows must not depend on each other.
    x
        Where to start. Never changed.
    price
        Of a squared unit of move, > 0.
    steps, step_size
        Step t has size ``step_size / (t + 1)``; by default ``1 / (2 price)``.

    Examples
    --------
    >>> worst(lambda z: z.sum(1), torch.zeros(1, 2), price=0.5)  # a slope of 1 in both, and 1 / (2 price) = 1
    tensor([[1., 1.]])
    """
    size = 1 / (2 * price) if step_size is None else step_size
    start, z = x.detach(), x.detach()
    best, top = z, torch.full((len(z),), -math.inf, device=x.device)
    for t in range(steps + 1):
        with torch.enable_grad():
            moved = z.clone().requires_grad_()
            value = objective(moved) - price * squared_distance(moved, start)
            (gradient,) = torch.autograd.grad(value.sum(), moved)
        better = value.detach() > top
        top = torch.where(better, value.detach(), top)
        best = torch.where(better.reshape(-1, *[1] * (x.ndim - 1)), z, best)
        z = z + size / (t + 1) * gradient
    return best


def squared_distance(z: Tensor, x: Tensor) -> Tensor:
    """Return ``|z - x|^2`` of every row ``(b,)``."""
    return (z - x).flatten(1).square().sum(1)


def robust_hinge(margin: Tensor, norm: Tensor, price: float) -> Tensor:
    """Return ``max over z of max(0, 1 - y w.z) - price |z - x|^2`` of a linear classifier.

    It is ``max(0, 1 - y w.x + |w|^2 / (4 price))``: moving by ``|w| / (2 price)`` against the label is best.

    Parameters
    ----------
    margin
        ``y w.x`` of the rows ``(n,)``; ``|w.x|`` for rows with the classifier's own label.
    norm
        ``|w|``.
    price
        > 0; ``math.inf`` is the plain hinge.

    Examples
    --------
    >>> robust_hinge(torch.tensor([2.0]), torch.tensor(2.0), price=0.5)
    tensor([1.])
    """
    return (1 - margin + norm**2 / (4 * price)).clamp_min(0)


def robust_ramp(margin: Tensor, norm: Tensor, price: float) -> Tensor:
    """Return ``max over z of min(1, max(0, 1 - y w.z)) - price |z - x|^2`` of a linear classifier.

    As `robust_hinge` for margins above ``|w|^2 / (2 price)``; rows nearer to the boundary move onto it, where the loss is
    1, and pay ``price * (margin / |w|)^2``.

    Parameters
    ----------
    margin, norm, price
        As in `robust_hinge`.

    Examples
    --------
    >>> robust_ramp(torch.tensor([-1.0, 1.0, 4.5]), torch.tensor(2.0), price=0.5)
    tensor([1.0000, 0.8750, 0.0000])
    """
    if math.isinf(price):
        return (1 - margin).clamp(0, 1)
    onto = 1 - price * (margin / norm.clamp_min(1e-12)) ** 2
    near = torch.where(margin <= 0, torch.ones_like(margin), onto)
    return torch.where(margin > norm**2 / (2 * price), robust_hinge(margin, norm, price), near).clamp_min(0)
