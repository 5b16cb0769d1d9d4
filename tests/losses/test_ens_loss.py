"""EnsLoss: what every drawn set of derivatives has, what a draw depends on, and the transformation against scipy's."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import inv_boxcox
from sklearn.datasets import load_breast_cancer

from labelwise.base import InputError
from labelwise.learner import Classifier, Train
from labelwise.losses import EnsLoss
from labelwise.losses.ens_loss import TAIL, inverse_box_cox, margins


@given(st.integers(0, 10_000), st.integers(2, 5), st.sampled_from([(0.0, 1.0), (-1.0, 1.0)]))
def test_derivatives_rise_with_the_margin_and_are_negative(seed, n_classes, powers):
    rng = np.random.default_rng(seed)
    loss = EnsLoss(powers=powers, period=1, random_state=seed)
    for _ in range(3):  # the exponent changes at every call
        logits = torch.tensor(3 * rng.normal(size=(12, n_classes)), requires_grad=True)
        y = torch.tensor(rng.integers(n_classes, size=12))
        s = margins(logits.detach(), y)
        g = loss.derivatives(s) + TAIL
        at = s.flatten().sort()
        ordered = g.flatten()[at.indices]
        assert (g <= 0).all() and (g >= -1).all()
        low = at.values <= 1
        assert (ordered[low].diff() >= 0).all()  # convex up to 1
        assert (ordered[~low] * at.values[~low]).diff().ge(-1e-12).all()  # and a slow tail beyond
        (gradient,) = torch.autograd.grad(loss.pointwise(logits, y).sum(), logits)
        sign = 2 * torch.nn.functional.one_hot(y, n_classes) - 1
        expected = (g - TAIL) * sign
        torch.testing.assert_close(gradient, expected.to(gradient))


def test_margins():
    logits, y = torch.tensor([[1.0, 3.0], [4.0, 1.0]]), torch.tensor([1, 1])
    assert margins(logits, y).tolist() == [[2.0], [-3.0]]
    assert margins(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([1])).tolist() == [[-1.0, 2.0, -3.0]]


@given(st.floats(-1, 1), st.integers(0, 1000))
def test_inverse_box_cox_is_scipys(power, seed):
    power = 0.0 if abs(power) < 1e-3 else power
    u = np.random.default_rng(seed).normal(size=20)
    u = u[1 + power * u > 0]
    np.testing.assert_allclose(inverse_box_cox(torch.tensor(u), power).numpy(), inv_boxcox(u, power), rtol=1e-9)


def test_draws_repeat_with_the_seed_and_differ_between_calls():
    logits, y = torch.randn(32, 3, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 3

    def two(loss):
        return [loss.pointwise(logits, y) for _ in range(2)]

    first, second = two(EnsLoss(random_state=1))
    assert not torch.equal(first, second)
    again, other = two(EnsLoss(random_state=1)), two(EnsLoss(random_state=2))
    assert torch.equal(first, again[0]) and torch.equal(second, again[1])
    assert not torch.equal(first, other[0])
    loss = EnsLoss(random_state=1)
    loss.pointwise(logits, y)
    resumed = EnsLoss(random_state=1)
    resumed.load_state_dict(deepcopy(loss.state_dict()))
    assert torch.equal(resumed.pointwise(logits, y), second)


def test_the_exponent_changes_after_so_many_epochs():
    loss = EnsLoss(period=2).bind(n_rows=8, n_classes=2)
    logits, y = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])
    seen = []
    for _ in range(12):  # six epochs of two batches
        seen.append(loss.power())
        loss(logits, y)
    assert seen[:4] == [0.0] * 4
    assert len(set(seen)) == 3 and seen[4] == seen[7] != seen[8] == seen[11]
    assert all(0 <= power <= 1 for power in seen)


def test_training_repeats_and_leaves_the_global_generator_alone():
    X, y = load_breast_cancer(return_X_y=True)
    model = Classifier(criterion=EnsLoss(), train=Train(epochs=10, progress=False), random_state=0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two = (model.fit(X, y).outputs(X) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(one, two)
    assert model.score(X, y) > 0.95


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"period": 0}, "period must be"),
        ({"powers": (1.0, 0.0)}, "powers must be"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, told):
    with pytest.raises(InputError, match=told):
        EnsLoss(**arguments)
