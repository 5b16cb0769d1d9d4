"""Networks and linear regression from bags: what they fit, how rho is chosen, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from labelwise.base import InputError
from labelwise.data.synthetic import proportion_bags
from labelwise.learner import Train
from labelwise.weak.bag_learners import RHOS, BagClassifier, BagRegressor
from labelwise.weak.bag_linear import BagLinearRegression, solve, split_up
from labelwise.weak.bag_splits import hold_out, random_bags

SHORT = Train(epochs=3, batch_size=20, progress=False)


def means_of(values, bags):
    return np.array([values[bags == b].mean(0) for b in range(bags.max() + 1)])


def linear(n=400, d=3, size=5, seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, d)), rng.normal(size=d)
    target = X @ w + 2 + noise * rng.normal(size=n)
    return X, target, random_bags(n, size, seed), w


def test_rows_are_told_apart_though_only_bags_are_labelled():
    drawn = proportion_bags(120, 10, 3, concentration=0.5, separation=4, random_state=0)
    frame = pd.DataFrame(drawn.y, columns=["a", "b", "c"])
    model = BagClassifier(rho=0.0, train=Train(epochs=30, batch_size=50, progress=False), random_state=0)
    model.fit(drawn.X, frame, bags=drawn.bags)
    names = np.array(["a", "b", "c"])
    assert (model.predict(drawn.X) == names[drawn.truth]).mean() > 0.9


def test_bags_need_not_lie_side_by_side():
    drawn = proportion_bags(20, 5, random_state=0)
    order = np.random.default_rng(0).permutation(len(drawn.X))
    model = BagClassifier(rho=0.3, train=Train(epochs=1, batch_size=500, progress=False), random_state=0)
    one = model.fit(drawn.X, drawn.y, bags=drawn.bags).predict_proba(drawn.X[:5])
    other = model.fit(drawn.X[order], drawn.y, bags=drawn.bags[order]).predict_proba(drawn.X[:5])
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_what_is_behind_a_bag_of_unknown_label_changes_nothing():
    drawn = proportion_bags(20, 5, random_state=0)
    y = drawn.y.copy()
    y[3] = np.nan
    X = drawn.X.copy()
    model = BagClassifier(rho=0.3, train=SHORT, random_state=0, net=torch.nn.Linear(X.shape[1], 3))
    one = model.fit(X, y, bags=drawn.bags).predict_proba(drawn.X[:5])
    X[drawn.bags == 3] = 9.0
    np.testing.assert_array_equal(one, model.fit(X, y, bags=drawn.bags).predict_proba(drawn.X[:5]))


def test_rho_is_the_one_with_the_least_loss_of_bags_held_out():
    drawn = proportion_bags(60, 6, random_state=0)
    model = BagClassifier(train=SHORT, random_state=0).fit(drawn.X, drawn.y, bags=drawn.bags)
    assert set(model.bag_losses_) == set(RHOS)
    assert model.rho_ == min(model.bag_losses_, key=model.bag_losses_.get)


def test_early_stopping_holds_out_whole_bags():
    X, target, bags, _ = linear()
    model = BagRegressor(rho=0.0, train=Train(epochs=4, batch_size=50, validation=0.25, progress=False), random_state=0)
    model.fit(X, means_of(target, bags), bags=bags)
    assert all(row["validation"] < 0 for row in model.history_)
    kept, held = hold_out(bags, 0.25, 0)
    assert not set(bags[kept]) & set(bags[held])
    assert len(held) == len(X) // 4


def test_a_regressor_finds_rows_from_means_of_two_targets():
    X, target, bags, _ = linear()
    both = np.c_[target, -3 * target]
    model = BagRegressor(rho=0.0, train=Train(epochs=60, batch_size=40, progress=False), random_state=0)
    assert model.fit(X, means_of(both, bags), bags=bags).score(X, both) > 0.7


def test_bags_split_over_devices_are_refused():
    model = BagRegressor(rho=0.0)
    from labelwise.training import Data

    data = Data(torch.zeros(2, 1), torch.zeros(2, 1), torch.ones(2, dtype=torch.bool), shard=(0, 2))
    with pytest.raises(InputError, match="one device"):
        model._bag(data)


# ---------------------------------------------------------------- closed form


@pytest.mark.parametrize("rho", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("n_bags", [40, 6])
def test_the_closed_form_is_the_shortest_minimum(rho, n_bags):
    """Against a pseudo-inverse of the stacked least-squares problem, which knows nothing of moments."""
    rng = np.random.default_rng(n_bags)
    bags = rng.permutation(np.r_[np.arange(n_bags), rng.integers(0, n_bags, 3 * n_bags)])
    X, y = rng.normal(size=(len(bags), 12)), rng.normal(size=(n_bags, 2))
    Xb = means_of(X, bags)
    size = np.bincount(bags)[bags][:, None]
    stacked = np.r_[Xb - Xb.mean(0), np.sqrt(rho / size) * (X - Xb[bags])]
    expected = np.linalg.pinv(stacked) @ np.r_[y - y.mean(0), np.zeros((len(X), 2))]
    model = BagLinearRegression(rho=rho).fit(X, y, bags=bags)
    np.testing.assert_allclose(model.coef_.T, expected, atol=1e-7)
    np.testing.assert_allclose(model.predict(X[:1])[0], y.mean(0) + (X[0] - Xb.mean(0)) @ expected, atol=1e-7)


def test_the_closed_form_leaves_no_gradient_of_the_loss():
    from labelwise.weak.bag_losses import BagSquaredError

    X, target, bags, _ = linear(noise=1.0)
    model = BagLinearRegression(rho=0.2).fit(X, means_of(target, bags), bags=bags)
    w = torch.tensor(np.r_[model.coef_, model.intercept_], requires_grad=True)
    scores = torch.tensor(X) @ w[:-1] + w[-1]
    BagSquaredError(0.2)(scores[:, None], torch.tensor(means_of(target, bags))[:, None], torch.tensor(bags)).backward()
    assert float(w.grad.abs().max()) < 1e-9


def test_bag_level_recovers_the_weights_and_instance_level_shrinks_them():
    X, target, bags, w = linear()
    y = means_of(target, bags)
    np.testing.assert_allclose(BagLinearRegression(rho=0.0).fit(X, y, bags=bags).coef_, w, atol=1e-8)
    shrunk = BagLinearRegression(rho=1.0).fit(X, y, bags=bags).coef_
    assert np.linalg.norm(shrunk) < 0.5 * np.linalg.norm(w)


def test_more_noise_asks_for_a_larger_rho():
    chosen = []
    for noise in (0.0, 20.0):
        X, target, bags, _ = linear(n=300, d=25, seed=1, noise=noise)
        chosen.append(BagLinearRegression().fit(X, means_of(target, bags), bags=bags).rho_)
    assert chosen[0] == 0.0 < 0.03 <= chosen[1]


def test_bags_of_unknown_mean_are_left_out_of_the_closed_form():
    X, target, bags, _ = linear(noise=1.0)
    y = means_of(target, bags)
    rows = bags < 60
    expected = BagLinearRegression(rho=0.1).fit(X[rows], y[:60], bags=bags[rows]).coef_
    y[60:] = np.nan
    np.testing.assert_allclose(BagLinearRegression(rho=0.1).fit(X, y, bags=bags).coef_, expected, atol=1e-9)


def test_deviations_sum_to_zero_in_every_bag():
    X, _, bags, _ = linear()
    means, deviations = split_up(X, bags)
    np.testing.assert_allclose(means, means_of(X, bags))
    np.testing.assert_allclose(means_of(deviations, bags), 0, atol=1e-12)
    assert solve(means, np.zeros((3, 3)), np.ones((len(means), 1)), 0.0)[0].shape == (3, 1)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("model", [BagClassifier(rho=0.0), BagRegressor(), BagLinearRegression()])
@pytest.mark.parametrize(
    ("y", "bags", "told"),
    [
        ([0.5, 0.2], [0, 0, 1, 1], "bags labels 4 rows, but X has 5 rows"),
        ([0.5, 0.2], [0, 0, 1, 1, 2], "y has 2 entries, but bags numbers 3 bags"),
        ([0.5, 0.2, 0.1], [0, 0, 1, 1, 1], "no row is in bag 2"),
        ([np.nan, np.nan], [0, 0, 1, 1, 1], "missing"),
        (None, [0, 0, 1, 1, 1], "y"),
    ],
)
def test_bags_that_do_not_fit_are_refused(model, y, bags, told):
    with pytest.raises(ValueError, match=told):
        model.fit(np.arange(10.0).reshape(5, 2), y, bags=bags)


def test_proportions_that_do_not_sum_to_one_are_refused_by_the_classifier():
    with pytest.raises(InputError, match=r"bag 1 sum to 0\.8"):
        BagClassifier(rho=0.0).fit(np.zeros((4, 2)), [[0.5, 0.5], [0.4, 0.4]], bags=[0, 0, 1, 1])
