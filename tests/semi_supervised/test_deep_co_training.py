from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from labelwise.base import InputError
from labelwise.learner import Pair, Train
from labelwise.nets.conv import ConvNet
from labelwise.semi_supervised import DeepCoTraining
from labelwise.semi_supervised.deep_co_training import attacked, divergence
from labelwise.training import Data

X, Y = load_digits(return_X_y=True)
X, Y = X[:200].astype(np.float32), Y[:200]
FEW = np.where(np.arange(200) < 50, Y, -1)


@settings(max_examples=40)
@given(st.integers(2, 6), st.floats(0.1, 30), st.integers(0, 10**6))
def test_divergence_is_symmetric_bounded_and_the_mean_of_two_relative_entropies(k: int, size: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (size * torch.randn(5, k, generator=generator, dtype=torch.float64) for _ in range(2))
    p, q = a.softmax(1), b.softmax(1)
    middle = (p + q) / 2
    expected = (torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)).sum(1) / 2
    value = divergence(a, b)
    torch.testing.assert_close(value, expected, atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(value, divergence(b, a))
    assert bool((value >= -1e-12).all() and (value <= np.log(2) + 1e-12).all())
    torch.testing.assert_close(divergence(a, a), torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)


def test_an_attack_raises_the_loss_within_its_radius_and_leaves_batch_norm_alone() -> None:
    torch.manual_seed(0)
    net, x, y = ConvNet(1, 3, width=4), torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    before = {name: value.clone() for name, value in net.state_dict().items()}
    moved = attacked(net, x, y, 0.02)
    assert net.training and all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert float((moved - x).abs().max()) <= 0.02 + 1e-6
    net.eval()
    assert bool((cross_entropy(net(moved), y, reduction="none") > cross_entropy(net(x), y, reduction="none")).all())
    assert torch.equal(attacked(net, x, y, 0.0), x)


def test_both_networks_see_all_labels_in_orders_of_their_own_and_one_pool() -> None:
    method = DeepCoTraining(train=Train(batch_size=4), ratio=3)
    method.train_ = method.train
    labelled = torch.tensor([True] * 8 + [False] * 40)
    data = Data(torch.arange(48.0)[:, None], torch.zeros(48, dtype=torch.long), labelled)
    batches = list(method.batches(data, torch.Generator().manual_seed(0)))
    assert len(batches) == method.steps(data) == 4 and all(isinstance(batch, Pair) for batch in batches)
    assert sorted(int(i) for b in batches for i in b.unlabelled.index) == list(range(48))
    for part in (batches, [b.second for b in batches]):
        assert sorted(int(i) for b in part[:2] for i in b.index) == list(range(8))
    assert any(not torch.equal(b.index, b.second.index) for b in batches)


def test_agreement_makes_the_networks_agree_on_the_pool() -> None:
    gaps = []
    for cot in (0.0, 30.0):
        model = DeepCoTraining(cot=cot, diff=0, ramp=0, train=Train(epochs=15, batch_size=25), random_state=0).fit(
            X, FEW
        )
        x = torch.as_tensor(model.inputs_.transform(X[50:]))
        with torch.no_grad():
            gaps.append(float(divergence(*(net.eval()(x) for net in model.members())).mean()))
    assert gaps[1] < gaps[0] / 2


def test_texts_are_refused() -> None:
    with pytest.raises(InputError, match="X holds texts, but DeepCoTraining attacks rows by small steps"):
        DeepCoTraining().fit(["a b", "c d", "e f", "g h"], [0, 1, -1, -1])


def test_a_network_of_ones_own_needs_no_features() -> None:
    net = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    model = DeepCoTraining(net=net, train=Train(epochs=1, batch_size=25), random_state=0).fit(X, FEW)
    assert model.predict(X).shape == (200,)
