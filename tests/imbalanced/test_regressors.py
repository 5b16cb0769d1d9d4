"""ConR, SupReMix and C-Mixup regressors: their limits are plain training; partners against slow counting; bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from labelwise.base import InputError
from labelwise.imbalanced import CMixupRegressor, ConRRegressor, LDSRegressor, SupReMixRegressor
from labelwise.learner import Regressor, Train
from labelwise.losses import AbsoluteError, SquaredError, con_r
from labelwise.parts.mixers import near_partners

QUICK = Train(epochs=5, batch_size=32, progress=False)
SHORT = Train(epochs=2, batch_size=32, progress=False)
ALL = [ConRRegressor, SupReMixRegressor, CMixupRegressor]


def skewed(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.exponential(size=n)
    return np.c_[np.sqrt(y) + 0.2 * rng.normal(size=n), rng.normal(size=(n, 2))], y


def test_con_r_without_its_regulariser_is_weighted_training() -> None:
    X, y = skewed()
    plain = LDSRegressor(weighting="square root", train=QUICK, random_state=0).fit(X, y)
    same = ConRRegressor(weight=0.0, train=QUICK, random_state=0).fit(X, y)
    np.testing.assert_array_equal(same.predict(X), plain.predict(X))


def test_con_r_takes_any_criterion_and_says_its_parts() -> None:
    X, y = skewed()
    model = ConRRegressor(criterion=SquaredError(), train=QUICK, random_state=0).fit(X, y)
    assert {"fitting", "contrast"} <= set(model.history_[0])
    assert model.history_[0]["contrast"] > 0
    other = ConRRegressor(criterion=AbsoluteError(), train=QUICK, random_state=0).fit(X, y)
    assert not np.allclose(model.predict(X), other.predict(X))


def test_con_r_tells_confused_rows_apart() -> None:
    X, y = skewed(300)
    values = []
    for weight in (0.0, 1.0):
        train = Train(epochs=25, batch_size=64, progress=False)
        model = ConRRegressor(weight=weight, weighting="none", train=train, random_state=0).fit(X, y)
        z, guess = (torch.as_tensor(part / y.std()) for part in (model.features(X), model.predict(X)))
        values.append(float(con_r(z, torch.as_tensor(y / y.std()), guess, window=0.1, eta=0.2).mean()))
    assert values[1] < 0.9 * values[0]


def test_sup_re_mix_puts_the_representation_in_order() -> None:
    X, y = skewed(250)
    orders = []
    for epochs in (1, 15):
        train = Train(epochs=1, batch_size=64, progress=False)
        model = SupReMixRegressor(pretrain_epochs=epochs, fine_tune=False, train=train, random_state=0).fit(X, y)
        z = model.features(X)
        z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9)
        far = np.abs(y[:, None] - y)
        orders.append(spearmanr(far[np.triu_indices(250, 1)], 1 - (z @ z.T)[np.triu_indices(250, 1)])[0])
    assert orders[1] > orders[0] + 0.05


def test_sup_re_mix_stage_two_moves_only_what_it_should() -> None:
    X, y = skewed()
    frozen = [
        SupReMixRegressor(
            pretrain_epochs=3, fine_tune=False, train=Train(epochs=e, batch_size=32, progress=False), random_state=0
        ).fit(X, y)
        for e in (1, 4)
    ]
    np.testing.assert_allclose(frozen[0].features(X), frozen[1].features(X))
    assert not np.allclose(frozen[0].predict(X), frozen[1].predict(X))


@given(st.integers(0, 1000), st.floats(0.2, 3))
@settings(max_examples=8, deadline=None)
def test_partners_are_drawn_by_the_kernel(seed: int, bandwidth: float) -> None:
    rng = np.random.default_rng(seed)
    y, weight = rng.normal(size=(4, 2)), rng.integers(0, 3, 4).astype(float)
    weight[0] = 1.0
    torch.manual_seed(seed)
    drawn = near_partners(
        torch.as_tensor(y).repeat(4000, 1), bandwidth, torch.as_tensor(y), torch.as_tensor(weight)
    ).reshape(4000, 4)
    for i in range(4):
        chance = [weight[j] * math.exp(-((y[i] - y[j]) ** 2).sum() / (2 * bandwidth**2)) for j in range(4)]
        found = np.bincount(drawn[:, i].numpy(), minlength=4) / 4000
        np.testing.assert_allclose(found, np.array(chance) / sum(chance), atol=0.04)


def test_c_mixup_of_a_tiny_bandwidth_is_plain_training_on_rows_mixed_with_their_like() -> None:
    X, y = skewed(200)
    with pytest.MonkeyPatch.context() as patch:
        seen = []
        original = CMixupRegressor.loss
        patch.setattr(CMixupRegressor, "loss", lambda self, b: (seen.append(b.index.clone()), original(self, b))[1])
        CMixupRegressor(bandwidth=1e-6, train=QUICK, random_state=0).fit(X, y)
    for index in seen:
        rows, partners = index.split(len(index) // 2)
        assert torch.equal(rows, partners)  # all targets differ, so that only the row itself is near


def test_an_infinite_bandwidth_draws_anyone_and_a_small_one_neighbours() -> None:
    y = torch.linspace(0, 1, 200)[:, None]
    torch.manual_seed(0)
    anyone = (y[near_partners(y, 1e6)] - y).abs().mean()
    near = (y[near_partners(y, 0.02)] - y).abs().mean()
    assert anyone > 0.25
    assert near < 0.05


@pytest.mark.parametrize("exact", [0, 20_000])
@pytest.mark.parametrize("mixed", ["input", "hidden"])
def test_c_mixup_fits_from_all_rows_and_from_a_pool(exact: int, mixed: str) -> None:
    X, y = skewed(300)
    train = Train(epochs=30, batch_size=32, progress=False)
    model = CMixupRegressor(mixed=mixed, exact_rows=exact, train=train, random_state=0).fit(X, np.c_[y, -y])
    assert model.score(X, np.c_[y, -y]) > 0.7


def test_c_mixup_never_shows_rows_of_weight_zero() -> None:
    X, y = skewed(200)
    weight = np.where(np.arange(200) % 2 == 0, 1.0, 0.0)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    other = np.where(weight[:, None] > 0, X, -5 * X)
    fits = [CMixupRegressor(net=net, train=QUICK, random_state=0).fit(x, y, sample_weight=weight) for x in (X, other)]
    np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))


@pytest.mark.parametrize("cls", ALL)
def test_rows_without_a_target_are_left_out(cls: type[Regressor]) -> None:
    X, y = skewed(120)
    y = np.where(np.arange(120) % 4 == 0, np.nan, y)
    torch.manual_seed(0)
    net = LDSRegressor(train=QUICK).fit(X, np.nan_to_num(y)).net_
    other = np.where(np.isnan(y)[:, None], -5 * X, X)
    fits = [cls(net=net, train=SHORT, random_state=0).fit(x, y) for x in (X, other)]
    np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))


@pytest.mark.parametrize("cls", ALL)
def test_one_unique_value(cls: type[Regressor]) -> None:
    X, y = skewed(50)
    with pytest.raises(InputError, match="one value only"):
        cls(train=QUICK).fit(X, np.zeros_like(y))


@pytest.mark.parametrize("model", [ConRRegressor(), SupReMixRegressor(), CMixupRegressor(mixed="hidden")])
def test_a_network_without_features_is_refused(model: Regressor) -> None:
    X, y = skewed(50)
    with pytest.raises(InputError, match="features"):
        model.set_params(net=torch.nn.Linear(3, 1)).fit(X, y)


def test_sup_re_mix_wants_one_target() -> None:
    X, y = skewed(50)
    with pytest.raises(InputError, match="2 columns"):
        SupReMixRegressor(train=QUICK).fit(X, np.c_[y, y])
