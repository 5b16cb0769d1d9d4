from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from labelwise.base import InputError
from labelwise.data.synthetic import charging_curves
from labelwise.learner import Train
from labelwise.nets.curves import CurveTransformer
from labelwise.shift import GPT4Battery
from labelwise.shift.gpt4battery import DEGREE, TIMES, off_circuit


@cache
def trained():
    old = charging_curves(2, 40, 32, random_state=0)
    return GPT4Battery(train=Train(epochs=40, batch_size=16, lr=3e-3), random_state=0).fit(old.X, old.health)


def error(model, curves, mode):
    return np.abs(model.set_params(mode=mode).predict(curves.X) - curves.health)


@pytest.mark.slow
def test_curves_of_the_same_chemistry_are_answered_well_with_or_without_adaptation():
    new = charging_curves(1, 40, 32, random_state=5)
    plain, adapted = error(trained(), new, "none").mean(), error(trained(), new, "continual").mean()
    assert plain < 0.04 and adapted < plain + 0.005


@pytest.mark.slow
def test_reset_forgets_and_continual_does_not():
    drifting = charging_curves(1, 30, 32, drift=0.3, random_state=5)
    model = trained().set_params(mode="reset", window=1)
    late = model.predict(drifting.X)[-1:]
    assert late == pytest.approx(model.predict(drifting.X[-1:]), abs=0.02)  # up to the random patches that are hidden
    assert not np.array_equal(model.set_params(mode="continual").predict(drifting.X)[-1:], late)
    model.set_params(window=4)


def test_a_call_starts_from_the_trained_weights():
    drifting = charging_curves(1, 10, 32, drift=0.3, random_state=5)
    before = [weight.clone() for weight in trained().net_.parameters()]
    model = trained().set_params(mode="continual")
    assert np.array_equal(model.predict(drifting.X), model.predict(drifting.X))
    assert all(torch.equal(a, b) for a, b in zip(before, model.net_.parameters(), strict=True))


def test_the_completion_gets_better_and_only_the_translator_moves():
    model, drifting = trained(), charging_curves(1, 20, 32, drift=0.4, random_state=5)
    x = torch.as_tensor(model.inputs_.transform(drifting.X))[-4:]
    import copy

    net = copy.deepcopy(model.net_).eval().requires_grad_(False)
    before = model._completion_losses(net, x).mean()
    for _ in range(5):
        model._follow(net, x, torch.Generator().manual_seed(0))
    assert model._completion_losses(net, x).mean() < before
    moved = {
        n for (n, a), b in zip(net.named_parameters(), model.net_.parameters(), strict=True) if not torch.equal(a, b)
    }
    assert moved == {"features.embed.weight", "features.embed.bias", "features.prompt"}


def test_steps_that_do_not_help_are_taken_back():
    model, drifting = trained(), charging_curves(1, 10, 32, drift=0.4, random_state=5)
    wild = model.set_params(adapt_lr=100.0, mode="continual").predict(drifting.X)
    plain = model.set_params(mode="none").predict(drifting.X)
    model.set_params(adapt_lr=1e-3)
    assert np.array_equal(wild, plain) or np.abs(wild - plain).max() < 1e-4


def test_hidden_patches_are_not_seen():
    torch.manual_seed(0)
    net, x = CurveTransformer(2, 20, 1).eval(), torch.randn(3, 2, 20)
    hidden = torch.tensor([[False, True, False]] * 3)
    other = x.clone()
    other[:, :, 8:16] += 5
    assert torch.equal(net.completed(x, hidden), net.completed(other, hidden))
    assert net.features.cut(x).shape == (3, 3, 16)
    assert torch.equal(net.features.cut(x)[:, 0], x[:, :, :8].flatten(1))


def test_the_circuit_agrees_with_non_negative_least_squares():
    rng, time = np.random.default_rng(0), np.linspace(0, 1, 48)
    curve = rng.normal(size=(5, 48))
    curve[0] = 3 + time - time**2 + 0.4 * (1 - np.exp(-time / 0.1))  # on the circuit
    curve[1] = 3 + time - 0.4 * (1 - np.exp(-time / 0.1))  # a negative resistance is none
    smooth = time[:, None] ** np.arange(DEGREE + 1)
    wanted = []
    for row in curve:
        found = []
        for tau in TIMES:
            basis = np.column_stack([smooth, -smooth, 1 - np.exp(-time / tau)])
            found.append(nnls(basis, row)[1] ** 2 / 48)
        wanted.append(min(found))
    got = off_circuit(torch.as_tensor(curve)).numpy()
    assert got == pytest.approx(wanted, abs=1e-6)
    assert got[0] < 1e-10 < 1e-6 < got[1]


def test_the_gradient_of_the_physics_term():
    curve = torch.randn(3, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(off_circuit, (curve,))
    old = charging_curves(1, 20, random_state=0)
    model = GPT4Battery(physics=0.5, train=Train(epochs=2), random_state=0).fit(old.X, old.health)
    assert np.isfinite(model.predict(old.X[:3])).all()


def test_the_generator():
    still, moving = (charging_curves(2, 30, drift=d, noise=0, random_state=3) for d in (0.0, 0.2))
    assert moving.X[:, 0] - still.X[:, 0] == pytest.approx(moving.distortion)
    assert np.abs(moving.distortion[0]).max() == 0 < np.abs(moving.distortion[29]).max() <= 0.2
    assert (np.diff(still.X[0, 0]) > 0).all() and (still.health[:30] == still.health[:30][::-1].copy()[::-1]).all()
    assert still.X[29, 0, -1] > still.X[0, 0, -1]  # an old cell is full earlier


def test_bad_input():
    X, y = np.zeros((10, 2, 16)), np.arange(10.0)
    with pytest.raises(InputError, match="physics needs one channel"):
        GPT4Battery(physics=1.0).fit(X, y)
    with pytest.raises(InputError, match="reads curves"):
        GPT4Battery().fit(X[:, 0], y)
