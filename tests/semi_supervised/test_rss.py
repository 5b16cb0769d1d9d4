"""Robust self-training: the inner maximum against closed forms and against a search; what the loss is made of."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from examples import out_of_domain_pool
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.datasets import load_iris
from torch import nn

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.nets import ConvNet
from labelwise.semi_supervised import RobustSelfTraining
from labelwise.semi_supervised.rss import robust_hinge, robust_ramp, squared_distance, worst
from labelwise.training import Batch

X, Y = load_iris(return_X_y=True)
FEW = np.where(np.arange(150) % 10 == 0, Y, -1)
prices = st.floats(0.05, 20)
lengths = st.floats(0.1, 5)


@settings(max_examples=40)
@given(st.floats(-6, 6), lengths, prices)
def test_closed_forms_are_the_maximum_over_moves_along_the_weight(margin: float, norm: float, price: float) -> None:
    """Moves across the weight cost without gain, so the maximum is over one number: searched on a fine grid."""
    move = np.linspace(0, norm / (2 * price) + abs(margin) / norm + 1e-3, 50_001)
    hinge = np.maximum(0, 1 - margin + norm * move)
    for loss, closed in ((hinge, robust_hinge), (np.minimum(hinge, 1), robust_ramp)):
        value = closed(torch.tensor([margin], dtype=torch.float64), torch.tensor(norm, dtype=torch.float64), price)
        assert float(value) == pytest.approx((loss - price * move**2).max(), abs=1e-4)


def test_an_infinite_price_gives_the_plain_losses() -> None:
    margin, norm = torch.linspace(-3, 3, 13), torch.tensor(2.0)
    torch.testing.assert_close(robust_hinge(margin, norm, math.inf), (1 - margin).clamp_min(0))
    torch.testing.assert_close(robust_ramp(margin, norm, math.inf), (1 - margin).clamp(0, 1))


@settings(max_examples=40)
@given(st.integers(0, 2**31 - 1), prices)
def test_the_ascent_finds_the_hinge_maximum_of_a_linear_classifier(seed: int, price: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    w, x = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (1, 8))
    y = torch.tensor([1.0, -1.0] * 4, dtype=torch.float64)
    x = x + 0.05 * y[:, None] * w  # a hinge without a slope cannot be climbed: see the next test
    hinge = lambda z: (1 - y * (z @ w[0])).clamp_min(0)  # noqa: E731
    z = worst(hinge, x, price)
    reached = hinge(z) - price * squared_distance(z, x)
    expected = robust_hinge(y * (x @ w[0]), w.norm(), price)
    sloped = hinge(x) > 0
    torch.testing.assert_close(reached[sloped], expected[sloped])
    assert (reached <= expected + 1e-9).all()


def test_rows_without_a_slope_stay() -> None:
    x = torch.tensor([[5.0, 0.0]])
    torch.testing.assert_close(worst(lambda z: (1 - z[:, 0]).clamp_min(0), x, 0.1), x)


def test_the_ascent_comes_near_a_searched_maximum_of_cross_entropy() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    objective = lambda z: F.cross_entropy(net(z), y, reduction="none")  # noqa: E731
    z = worst(objective, x, 1.0, steps=50)
    reached = (objective(z) - squared_distance(z, x)).detach().numpy()
    assert (reached >= objective(x).detach().numpy() - 1e-12).all()
    for i in range(5):

        def loss(v: np.ndarray, i: int = i) -> float:
            moved = torch.as_tensor(v)[None]
            return -float(F.cross_entropy(net(moved), y[i : i + 1]).detach()) + float(((moved - x[i]) ** 2).sum())

        assert reached[i] == pytest.approx(-minimize(loss, x[i].numpy(), method="Nelder-Mead", tol=1e-9).fun, abs=2e-3)


def ready(net: nn.Module, **fields: float | None) -> RobustSelfTraining:
    method = RobustSelfTraining(**fields)
    method.net_, method.n_outputs_, method.step_, method.grown_ = net, 3, torch.tensor(4), 4
    return method


def batch_of(x: torch.Tensor, y: torch.Tensor, pool: torch.Tensor) -> Batch:
    return Batch(
        x, y, torch.arange(len(x)), unlabelled=Batch(pool, torch.full((len(pool),), -1), torch.arange(len(pool)))
    )


def test_without_moves_it_is_self_training() -> None:
    torch.manual_seed(1)
    net, x, y, pool = nn.Linear(4, 3), torch.randn(6, 4), torch.arange(6) % 3, torch.randn(9, 4)
    method = ready(net, robustness=None, pool_robustness=None, weight=0.5)
    parts = method.loss(batch_of(x, y, pool))
    torch.testing.assert_close(parts["supervised"], F.cross_entropy(net(x), y))
    torch.testing.assert_close(parts["pool"], 0.5 * F.cross_entropy(net(pool), net(pool).argmax(1)))
    method.step_ -= 4
    early = method.loss(batch_of(x, y, pool))["pool"]
    torch.testing.assert_close(early, parts["pool"] * math.exp(-5))


def test_a_price_makes_the_loss_larger_and_infinity_is_its_limit() -> None:
    torch.manual_seed(2)
    net, x, y, pool = nn.Linear(4, 3), torch.randn(6, 4), torch.arange(6) % 3, torch.randn(9, 4)
    values = []
    for price in (0.1, 1.0, 1e6, None):
        method = ready(net, robustness=price, pool_robustness=price, ascent=20)
        values.append([float(part.detach()) for part in method.loss(batch_of(x, y, pool)).values()])
    for cheap, dear in pairwise(values):
        assert all(a >= b - 1e-4 for a, b in zip(cheap, dear, strict=True))
    np.testing.assert_allclose(values[2], values[3], atol=1e-4)


def test_the_ascent_leaves_weights_and_batch_statistics_alone() -> None:
    torch.manual_seed(3)
    net, x = ConvNet(1, 3, width=4), torch.rand(6, 1, 8, 8)
    method = ready(net.train())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    target = method.own_targets(x)
    with torch.no_grad():
        from_rest = net.eval()(x)
    net.train()
    assert torch.equal(target.argmax(1), from_rest.argmax(1))
    worst(lambda z: net.eval()(z).sum(1), x, 1.0)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(weight.grad is None for weight in net.parameters())


def test_texts_are_refused() -> None:
    with pytest.raises(InputError, match="Encode"):
        RobustSelfTraining(train=Train(epochs=1)).fit(["a b", "c d", "a", "c"], [0, 1, -1, -1])


@pytest.mark.parametrize(("net", "lr"), [("linear", 5e-2), ("mlp", 2e-3)])
def test_iris_is_learned_from_few_labels(net: str, lr: float) -> None:
    model = RobustSelfTraining(net=net, train=Train(epochs=20, batch_size=15, lr=lr), random_state=0).fit(X, FEW)
    assert model.score(X, Y) > 0.75


def test_the_example_gains_from_a_shifted_pool() -> None:
    """Ten labels in 200 dimensions are next to nothing; a thousand moved rows, allowed to move, are worth far more."""
    got = [out_of_domain_pool.scores(seed, labelled=10, pool=1000, shift=0.5) for seed in range(3)]
    mean = {name: np.mean([row[name] for row in got]) for name in got[0]}
    assert mean["robust"] > mean["labels only"] + 0.05
    assert mean["robust"] > mean["self-training"]
