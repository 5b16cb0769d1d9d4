from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from labelwise.learner import Classifier, Train
from labelwise.parts.views import Views
from labelwise.semi_supervised import UDA, FixMatch
from labelwise.training import Batch, Data

X, Y = load_digits(return_X_y=True)
IDENTITY = Views(nn.Identity(), nn.Identity())


def few(n_per_class: int, seed: int = 0) -> np.ndarray:
    rng, y = np.random.default_rng(seed), np.full(1200, -1)
    for c in range(10):
        rows = rng.choice(np.flatnonzero(Y[:1200] == c), n_per_class, replace=False)
        y[rows] = c
    return y


def test_fixmatch_is_its_equation() -> None:
    generator = torch.Generator().manual_seed(0)
    weak, strong = (3 * torch.randn(8, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    values = FixMatch(threshold=0.8).consistency(weak, strong)
    for row in range(8):
        p = np.exp(weak[row].numpy()) / np.exp(weak[row].numpy()).sum()
        q = np.exp(strong[row].numpy()) / np.exp(strong[row].numpy()).sum()
        expected = -math.log(q[p.argmax()]) if p.max() >= 0.8 else 0.0
        assert float(values[row]) == pytest.approx(expected)


def test_uda_is_its_equation_and_masks_by_the_untempered_probability() -> None:
    generator = torch.Generator().manual_seed(1)
    weak, strong = (2 * torch.randn(8, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    values = UDA(threshold=0.7, temperature=0.4).consistency(weak, strong)
    for row in range(8):
        p = np.exp(weak[row].numpy()) / np.exp(weak[row].numpy()).sum()
        t = np.exp(weak[row].numpy() / 0.4) / np.exp(weak[row].numpy() / 0.4).sum()
        q = np.exp(strong[row].numpy()) / np.exp(strong[row].numpy()).sum()
        expected = float((t * np.log(t / q)).sum()) if p.max() >= 0.7 else 0.0
        assert float(values[row]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "log", "exp"])
def test_annealing_rises_from_chance_to_one(schedule: str) -> None:
    uda = UDA(annealing=schedule)
    uda.total_ = 100
    ceilings = []
    for step in (0, 25, 50, 75, 100):
        uda.step_ = torch.tensor(step)
        ceilings.append(uda.ceiling(4))
    assert ceilings == sorted(ceilings)
    assert ceilings[-1] == pytest.approx(1.0, abs=6e-3)
    assert ceilings[0] == pytest.approx(0.25, abs=6e-3)


def test_annealing_leaves_known_rows_out() -> None:
    uda = UDA(annealing="linear")
    uda.step_, uda.total_ = torch.tensor(0), 10
    logits = torch.tensor([[4.0, 0.0], [0.0, 0.3]])
    batch = Batch(torch.zeros(2, 1), torch.tensor([0, 0]), torch.arange(2))
    value = uda.supervised(logits, batch)
    assert float(value) == pytest.approx(-math.log(1 / (1 + math.exp(0.3))), rel=1e-5)


def test_no_gradient_reaches_the_network_through_the_target() -> None:
    net = nn.Linear(4, 3)
    method = FixMatch(net=net, threshold=0.0)
    method.net_ = net
    views = Views(nn.Identity(), nn.Identity())
    x = torch.randn(6, 4)
    pool = Batch(x, torch.full((6,), -1), torch.arange(6), views=views)
    batch = Batch(x[:2], torch.tensor([0, 1]), torch.arange(2), views=views, unlabelled=pool)
    parts = method.loss(batch)
    (grad,) = torch.autograd.grad(parts["consistency"], net.weight)
    label = net(x).argmax(1)
    (expected,) = torch.autograd.grad(nn.functional.cross_entropy(net(x), label), net.weight)
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("method", [FixMatch, UDA])
def test_weight_zero_is_supervised_training_on_the_labelled_rows(method: type) -> None:
    y = few(5)
    train = Train(epochs=2, batch_size=50)
    first = method(weight=0.0, views=IDENTITY, train=train, random_state=0).fit(X[:1200], y)
    moved = X[:1200].copy()
    moved[y < 0] = moved[y < 0][::-1]
    second = method(weight=0.0, views=IDENTITY, train=train, random_state=0).fit(moved, y)
    np.testing.assert_allclose(first.predict_proba(X[1200:]), second.predict_proba(X[1200:]), atol=1e-3)


def test_batches_repeat_labelled_rows_beside_one_pass_of_the_pool() -> None:
    method = FixMatch(train=Train(batch_size=4), ratio=3)
    method.train_ = method.train
    labelled = torch.tensor([True] * 5 + [False] * 30)
    data = Data(torch.arange(35.0)[:, None], torch.zeros(35, dtype=torch.long), labelled)
    batches = list(method.batches(data, torch.Generator().manual_seed(0)))
    assert len(batches) == method.steps(data) == 3
    assert sorted(int(i) for b in batches for i in b.unlabelled.index) == list(range(35))
    assert all(labelled[b.index].all() and len(b) == 4 for b in batches)


@pytest.mark.slow
@pytest.mark.parametrize("method", [FixMatch(threshold=0.8), UDA(threshold=0.7)], ids=["FixMatch", "UDA"])
def test_the_pool_helps_on_digit_pictures(method: FixMatch) -> None:
    """Views that keep the label (shifts of pictures) and 4 labels a class: the pool must help clearly."""
    images, y = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1), few(4)
    train = Train(epochs=25, batch_size=32)
    alone = Classifier(train=Train(epochs=150, batch_size=32), random_state=0).fit(images[:1200], y)
    both = method.set_params(train=train, random_state=0).fit(images[:1200], y)
    assert both.score(images[1200:], Y[1200:]) > alone.score(images[1200:], Y[1200:]) + 0.03
