"""Label shift adapter: the degree, a start that changes nothing, and both ways of the tail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.learner import Classifier, Train
from labelwise.nets.dense import MLP
from labelwise.shift import LabelShiftAdapter
from labelwise.shift.label_shift_adapter import Adapted, imbalance_degree


@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=6), st.floats(-1, 1))
def test_the_degree_of_a_power_is_the_power(shares, power):
    source = np.array(shares) / np.sum(shares)
    if np.ptp(np.log(source)) < 0.1:
        return
    other = source**power
    assert imbalance_degree(other / other.sum(), source) == pytest.approx(power, abs=1e-6)


def test_the_degree_is_a_regression_slope():
    rng = np.random.default_rng(0)
    source, prior = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
    slope = np.polyfit(np.log(source), np.log(prior), 1)[0]
    assert imbalance_degree(prior, source) == pytest.approx(np.clip(slope, -1, 1))
    assert imbalance_degree(prior, np.full(5, 0.2)) == 0
    with pytest.raises(InputError, match="positive"):
        imbalance_degree([0.0, 1.0], [0.5, 0.5])


def test_scores_are_the_formula_and_an_empty_adapter_changes_nothing():
    torch.manual_seed(0)
    net, adapter = MLP(3, 4, [6]), MLP(1, 4 * 6 + 4 + 12, [5])
    x = torch.randn(7, 3)
    out = adapter(torch.tensor([[0.3]]))[0].detach().numpy()
    d_weight, d_bias, scale, shift = np.split(out, [24, 28, 34])
    z = net.features(x).detach().numpy()
    weight, bias = net.head.weight.detach().numpy(), net.head.bias.detach().numpy()
    by_hand = ((1 + scale) * z + shift) @ (weight + d_weight.reshape(4, 6)).T + bias + d_bias
    assert Adapted(net, adapter, 0.3)(x).detach().numpy() == pytest.approx(by_hand, abs=1e-5)
    torch.nn.init.zeros_(adapter.head.weight)
    torch.nn.init.zeros_(adapter.head.bias)
    assert torch.allclose(Adapted(net, adapter, -1.0)(x), net(x))


def tailed(target, seed=0, n=600):
    rng = np.random.default_rng(seed)
    source = np.array([0.8, 0.15, 0.05])
    truth = np.r_[rng.choice(3, n, p=source), rng.choice(3, n, p=target)]
    X = rng.normal(size=(2 * n, 3)) + 1.7 * np.eye(3)[truth]
    return X, np.where(np.arange(2 * n) < n, truth, -1), truth


def test_it_turns_round_with_the_tail():
    train = Train(epochs=10, batch_size=64, lr=5e-3)
    fits = {}
    for name, target in {"same": [0.8, 0.15, 0.05], "opposite": [0.05, 0.15, 0.8]}.items():
        X, y, truth = tailed(target)
        model = LabelShiftAdapter(net="mlp", train=train, adapter_epochs=10, rate=0.3, random_state=0).fit(X, y)
        plain = Classifier(net="mlp", train=train, random_state=0).fit(X[y != -1], y[y != -1])
        rows = y == -1
        fits[name] = model.degree_, model.score(X[rows], truth[rows]) - plain.score(X[rows], truth[rows])
    assert fits["same"][0] > 0.4 > 0 > fits["opposite"][0]
    assert fits["opposite"][1] > 0.1 and fits["same"][1] > -0.03


def test_without_target_rows_it_stays_with_the_source_and_adapts_later():
    X, y, truth = tailed([0.05, 0.15, 0.8])
    known = y != -1
    model = LabelShiftAdapter(net="mlp", train=Train(epochs=5, batch_size=64), rate=0.5, random_state=0)
    model.fit(X[known], y[known])
    assert model.degree_ == 1 and model.prior_ == pytest.approx(np.bincount(y[known]) / known.sum())
    before = model.score(X[~known], truth[~known])
    for _ in range(3):
        model.adapt(X[~known])
    assert model.degree_ < 0.2 and model.score(X[~known], truth[~known]) > before
    with pytest.raises(InputError, match=r"LabelShiftAdapter\.rate"):
        LabelShiftAdapter(rate=0.0).fit(X, y)
