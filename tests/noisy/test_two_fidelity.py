"""Two-fidelity regression: the weights' formula, the stages' order, and what they buy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.noisy import BiasAwareRegressor
from labelwise.noisy.two_fidelity import bias_weights

QUICK = Train(epochs=6, batch_size=32, progress=False)


def two_fidelities(seed: int, n: int = 600):
    """Return rows whose cheap targets are biased on one side only, and a few trusted ones."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 2))
    truth = np.c_[np.sin(2 * X[:, 0]), X[:, 0] * X[:, 1]]
    trusted = np.arange(n) < 40
    cheap = truth + 2.0 * (X[:, :1] > 0)
    return X, np.where(trusted[:, None], truth, cheap), truth, trusted


@settings(max_examples=50, deadline=None)
@given(bias=st.lists(st.floats(0, 100), min_size=1, max_size=50), bandwidth=st.floats(0.1, 10))
def test_weights_have_mean_one_and_fall_with_the_bias(bias, bandwidth):
    values = torch.tensor(bias, dtype=torch.float64)
    weights = bias_weights(values, bandwidth)
    assert float(weights.mean()) == pytest.approx(1)
    order = values.argsort()
    assert (weights[order].diff() <= 1e-12).all()
    scale = values.median() if values.median() > 0 else values.mean()
    if bandwidth * scale > 0 and values.max() < 500 * bandwidth * scale:
        plain = torch.exp(-values / (bandwidth * scale))
        torch.testing.assert_close(weights, plain / plain.mean(), atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize(("bias", "bandwidth"), [([1.0, 2.0], None), ([0.0, 0.0, 0.0], 1.0)])
def test_no_bandwidth_and_no_bias_weigh_all_alike(bias, bandwidth):
    assert bias_weights(torch.tensor(bias), bandwidth).tolist() == [1.0] * len(bias)


def test_bias_is_the_distance_to_the_reference():
    X, y, _, trusted = two_fidelities(0)
    model = BiasAwareRegressor(train=QUICK, reference_steps=200, finetune_steps=10, random_state=0)
    model.fit(X, y, trusted=trusted)
    rows = torch.as_tensor(model.inputs_.transform(X[~trusted]))
    target = (y[~trusted] - model.mean_) / model.spread_
    with torch.no_grad():
        expected = np.abs(model.reference_(rows).numpy() - target).mean(1)
    np.testing.assert_allclose(model.bias_[~trusted], expected, atol=1e-4)
    assert np.isnan(model.bias_[trusted]).all()
    assert (model.weights_[trusted] == 0).all()
    assert model.weights_[~trusted].mean() == pytest.approx(1, abs=1e-4)
    right = X[~trusted, 0] > 0
    assert model.weights_[~trusted][~right].mean() > 2.5 * model.weights_[~trusted][right].mean()


def test_weighting_helps_where_the_bias_has_a_side():
    X, y, truth, trusted = two_fidelities(1)
    train = Train(epochs=15, batch_size=32, progress=False)
    error = {}
    for bandwidth in (None, 1.0):
        model = BiasAwareRegressor(bandwidth=bandwidth, train=train, finetune_steps=100, random_state=0)
        error[bandwidth] = np.abs(model.fit(X, y, trusted=trusted).predict(X) - truth).mean()
    assert error[1.0] < 0.8 * error[None]


def test_stages_run_in_order_and_the_reference_is_not_moved_by_the_cheap_rows():
    X, y, _, trusted = two_fidelities(2)
    model = BiasAwareRegressor(train=QUICK, reference_steps=20, finetune_steps=10, random_state=0)
    model.fit(X, y, trusted=trusted)
    assert [row["phase"] for row in model.history_] == [0, *[1] * 6, 2]
    other = BiasAwareRegressor(train=QUICK, reference_steps=20, finetune_steps=10, random_state=0)
    other.fit(X[trusted], y[trusted])
    assert [row["phase"] for row in other.history_] == [0] * 6
    y_other = y.copy()  # the same cheap targets on other rows: the same standardisation
    y_other[~trusted] = y[~trusted][::-1]
    again = BiasAwareRegressor(train=QUICK, reference_steps=20, finetune_steps=10, random_state=0)
    again.fit(X, y_other, trusted=trusted)
    for one, two in zip(model.reference_.parameters(), again.reference_.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_all_trusted_is_plain_training_on_all_rows():
    X, _, truth, _ = two_fidelities(3)
    model = BiasAwareRegressor(train=Train(batch_size=32, progress=False), random_state=0)
    assert model.fit(X, truth).score(X, truth) > 0.95
    assert (model.weights_ == 0).all()


def test_unlabelled_rows_are_left_out():
    X, y, _, trusted = two_fidelities(4)
    y = y.copy()
    y[100:200] = np.nan
    model = BiasAwareRegressor(train=QUICK, reference_steps=20, finetune_steps=10, random_state=0)
    model.fit(X, y, trusted=trusted)
    assert np.isnan(model.bias_[100:200]).all()
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(
    ("trusted", "told"),
    [
        (np.zeros(600, bool), "no marked row"),
        (np.ones(3, bool), "600 rows"),
        (np.ones(600, int), "boolean mask"),
    ],
)
def test_bad_trusted(trusted, told):
    X, y, _, _ = two_fidelities(0)
    with pytest.raises(InputError, match=told):
        BiasAwareRegressor(train=QUICK).fit(X, y, trusted=trusted)


def test_validation_is_refused():
    X, y, _, trusted = two_fidelities(0)
    with pytest.raises(InputError, match="validation=0"):
        BiasAwareRegressor(train=Train(validation=0.2)).fit(X, y, trusted=trusted)
