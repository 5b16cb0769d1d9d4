"""The factored output layer against explicit SGD on a plain weight matrix, step by step and over many steps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labelwise.base import InputError
from labelwise.losses import OneHotError, SphericalSoftmax, TaylorSoftmax, ZLoss
from labelwise.nets import FactoredOutput, factored_output

DOUBLE = torch.float64
LOSSES = {"z": ZLoss(1.3, 2.0), "mse": OneHotError(), "spherical": SphericalSoftmax(0.1), "taylor": TaylorSoftmax()}


class Plain:
    """W as a matrix, moved by ``torch.optim.SGD``: what the layer must equal. The gradient comes from all D scores."""

    def __init__(self, layer):
        self.layer, self.W = layer, layer.weight().clone().requires_grad_()
        self.optimizer = torch.optim.SGD([self.W], lr=layer.lr, weight_decay=layer.weight_decay)

    def step(self, hidden, targets, weight=None):
        """Take one step; return the gradient of `hidden`."""
        h = hidden.detach().clone().requires_grad_()
        rows = nn.functional.pad(h, (0, 1), value=self.layer.constant) if self.layer.constant else h
        self.optimizer.zero_grad()
        self.layer.criterion(rows @ self.W.T, targets, weight=weight).backward()
        self.optimizer.step()
        return h.grad


def batch(generator, m, d, D, K, scale=1.0):
    """Rows, and K targets among few classes, so that there are duplicates in a row and between rows, and padding."""
    hidden = scale * torch.randn(m, d, dtype=DOUBLE, generator=generator)
    targets = torch.randint(-1, min(D, 6), (m, K), generator=generator)
    return hidden.requires_grad_(), targets[:, 0].clamp_min(0) if K == 1 else targets


def off(found, expected):
    return float((found - expected).detach().abs().max() / expected.detach().abs().max().clamp_min(1e-12))


@settings(deadline=None, max_examples=12)
@given(
    name=st.sampled_from(sorted(LOSSES)), D=st.integers(3, 300), d=st.integers(1, 12), m=st.integers(1, 10),
    K=st.integers(1, 4), decay=st.sampled_from([0.0, 0.03]), constant=st.sampled_from([0.0, 0.7]),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_the_step_is_that_of_explicit_sgd(name, D, d, m, K, decay, constant, seed):
    torch.manual_seed(seed)
    layer = FactoredOutput(
        d, D, LOSSES[name], lr=0.02, weight_decay=decay, constant=constant, stabilise_every=5, dtype=DOUBLE
    )
    plain, generator = Plain(layer), torch.Generator().manual_seed(seed)
    for _ in range(12):
        hidden, targets = batch(generator, m, d, D, K)
        layer.loss(hidden, targets).backward()
        expected = plain.step(hidden, targets)
        assert off(hidden.grad, expected) < 1e-10 or expected.abs().max() < 1e-9
    assert int(layer.counts[2]) == 0  # no step was shortened, so all must be equal
    assert off(layer.weight(), plain.W) < 1e-10
    assert off(layer.Q, plain.W.T @ plain.W) < 1e-10
    assert torch.allclose(layer.total, plain.W.sum(0), atol=1e-10)


def test_the_sizes_of_the_specification():
    """2,000 classes, 50 steps: weights and input gradients agree to 1e-10."""
    torch.manual_seed(0)
    layer = FactoredOutput(16, 2000, ZLoss(1.0, 0.0), lr=0.1, dtype=DOUBLE)
    plain, generator = Plain(layer), torch.Generator().manual_seed(1)
    for _ in range(50):
        hidden, targets = batch(generator, 8, 16, 2000, 1)
        layer.loss(hidden, targets).backward()
        assert off(hidden.grad, plain.step(hidden, targets)) < 1e-10
    assert (layer.weight() - plain.W).abs().max() < 1e-10


def test_weights_of_rows_and_a_changed_step_size():
    torch.manual_seed(0)
    layer = FactoredOutput(5, 60, lr=0.1, dtype=DOUBLE)
    plain, generator = Plain(layer), torch.Generator().manual_seed(1)
    for lr in (0.1, 0.03, 0.2):
        layer.lr = plain.optimizer.param_groups[0]["lr"] = lr
        hidden, targets = batch(generator, 6, 5, 60, 3)
        weight = torch.rand(6, dtype=DOUBLE, generator=generator)
        layer.loss(hidden, targets, weight).backward()
        assert off(hidden.grad, plain.step(hidden, targets, weight)) < 1e-10
    assert off(layer.weight(), plain.W) < 1e-12


def shrinking(stabilise_every):
    """Least squares shrinks directions of U again and again, each at its own pace. Returns the layer and the matrix."""
    torch.manual_seed(0)
    layer = FactoredOutput(3, 40, OneHotError(), lr=0.06, stabilise_every=stabilise_every, dtype=DOUBLE)
    plain, generator = Plain(layer), torch.Generator().manual_seed(1)
    for _ in range(300):
        hidden, targets = batch(generator, 4, 3, 40, 1, scale=torch.tensor([1.0, 0.3, 0.1], dtype=DOUBLE))
        layer.loss(hidden, targets).backward()
        plain.step(hidden, targets)
    return layer, plain


def test_stabilisation_is_what_keeps_a_long_run_right(monkeypatch):
    """With it the layer equals the matrix after hundreds of steps; without it, the same steps end in nonsense."""
    layer, plain = shrinking(10)
    assert off(layer.weight(), plain.W) < 1e-9
    assert int(layer.counts[1]) > 0
    assert int(layer.counts[2]) == 0
    monkeypatch.setattr(FactoredOutput, "stabilise", lambda self: None)
    loose, plain = shrinking(10**9)
    difference = off(loose.weight(), plain.W)
    assert not difference < 1e-3


@pytest.mark.parametrize(
    "spread", [[1.0, 0.3, 4.0, 1.1, 0.9], [5.0, 0.1, 9.0, 0.2, 1.0]], ids=["pulled", "unfactorised"]
)
def test_stabilising_changes_no_weight_and_brings_singular_values_back(spread):
    torch.manual_seed(0)
    layer = FactoredOutput(5, 70, dtype=DOUBLE)
    left, right = (torch.linalg.qr(torch.randn(5, 5, dtype=DOUBLE))[0] for _ in range(2))
    layer.U.copy_(left @ torch.diag(torch.tensor(spread, dtype=DOUBLE)) @ right)
    layer.w.copy_(torch.randn(5, dtype=DOUBLE))
    before = layer.weight().clone()
    layer.stabilise()
    values = torch.linalg.svdvals(layer.U)
    assert torch.allclose(layer.weight(), before, atol=1e-12)
    assert torch.allclose(layer.P.T @ layer.U, torch.eye(5, dtype=DOUBLE), atol=1e-10)
    assert values.min() >= 0.5 - 1e-9
    assert values.max() <= 2 + 1e-9
    assert int(layer.counts[1]) == sum(not 0.5 <= value <= 2 for value in spread)


def run_long(steps, D=50, d=4):
    """Steps on a task that can be learnt, in single precision with a large step; return it and its hits."""
    torch.manual_seed(0)
    layer = FactoredOutput(d, D, ZLoss(1.0, 2.0), lr=0.5, weight_decay=1e-4, refresh_every=500)
    centres = torch.randn(D, d)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        y = torch.randint(D, (4,), generator=generator)
        layer.loss(centres[y] + 0.05 * torch.randn(4, d, generator=generator), y).backward()
    right = (layer.top(centres, 5)[1] == torch.arange(D)[:, None]).any(1).float().mean()
    return layer, float(right)


def consistent(layer):
    W = layer.weight()
    assert torch.isfinite(W).all()
    assert off(layer.Q, W.T @ W) < 1e-3
    assert torch.allclose(layer.P.T @ layer.U, torch.eye(len(layer.U), dtype=DOUBLE), atol=1e-6)
    assert (layer.total - W.sum(0)).abs().max() < 1e-3 * W.abs().sum(0).max()


def test_stays_consistent_in_single_precision():
    layer, right = run_long(900)
    consistent(layer)
    assert right > 0.5


@pytest.mark.slow
def test_stays_consistent_for_a_hundred_thousand_steps():
    layer, right = run_long(100_000)
    consistent(layer)
    assert right > 0.9


def test_a_step_that_would_make_U_singular_is_shortened():
    torch.manual_seed(0)
    layer = FactoredOutput(2, 5, OneHotError(), lr=0.5, dtype=DOUBLE)
    layer.loss(torch.tensor([[1.0, 0.0]], dtype=DOUBLE), torch.tensor([1])).backward()  # 1 - 2 lr |h|^2 = 0
    assert int(layer.counts[2]) == 1
    assert torch.allclose(layer.P.T @ layer.U, torch.eye(2, dtype=DOUBLE), atol=1e-9)
    consistent(layer)


def test_an_overshooting_step_is_still_exact():
    """Twice past the minimum U's direction flips, which is no reason to shorten."""
    torch.manual_seed(0)
    layer = FactoredOutput(2, 5, OneHotError(), lr=0.9, dtype=DOUBLE)
    plain, h, y = Plain(layer), torch.tensor([[1.0, 0.0]], dtype=DOUBLE), torch.tensor([1])
    layer.loss(h, y).backward()
    plain.step(h, y)
    assert int(layer.counts[2]) == 0
    assert off(layer.weight(), plain.W) < 1e-12


def test_rows_at_the_floor_are_counted():
    layer = FactoredOutput(3, 20)
    layer.loss(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)).backward()
    assert int(layer.counts[3]) == 4
    assert torch.isfinite(layer.weight()).all()


def test_a_batch_that_is_not_finite_does_not_move_the_layer():
    torch.manual_seed(0)
    layer = FactoredOutput(3, 20)
    before = {name: value.clone() for name, value in layer.state_dict().items() if name != "counts"}
    with pytest.raises(FloatingPointError, match="not finite"):
        layer.loss(torch.full((2, 3), torch.nan), torch.tensor([0, 1])).backward()
    assert all(torch.equal(layer.state_dict()[name], value) for name, value in before.items())


def test_a_second_backward_on_old_numbers_is_refused():
    layer = FactoredOutput(3, 20)
    h = torch.randn(2, 3)
    first, second = (layer.loss(h, torch.tensor([0, 1])) for _ in range(2))
    first.backward()
    with pytest.raises(RuntimeError, match="moved since"):
        second.backward()


def test_without_a_backward_pass_nothing_moves():
    layer = FactoredOutput(3, 20)
    before = layer.weight().clone()
    h, y = torch.randn(2, 3), torch.tensor([0, 1])
    with torch.no_grad():
        quiet = layer.loss(h, y)
    assert torch.equal(quiet, layer.loss(h, y).detach())
    assert torch.equal(layer.weight(), before)
    assert layer.moves == 0


def test_in_a_loop_of_pytorch_the_optimiser_moves_the_rest():
    torch.manual_seed(0)
    centres = 2 * torch.randn(30, 10)
    body = nn.Sequential(nn.Linear(10, 16), nn.Tanh())
    layer = FactoredOutput(16, 30, lr=1.0, constant=1.0)
    model = nn.ModuleList([body, layer])
    assert list(layer.parameters()) == []
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        y = torch.randint(30, (32,))
        optimizer.zero_grad()
        layer.loss(body(centres[y] + 0.1 * torch.randn(32, 10)), y).backward()
        optimizer.step()
    assert (layer.top(body(centres), 1)[1][:, 0] == torch.arange(30)).float().mean() > 0.9


@pytest.mark.parametrize("block", [7, 64, 1000])
def test_top_in_blocks_is_the_top_of_all_scores(block, monkeypatch):
    monkeypatch.setattr(factored_output, "BLOCK", block)
    torch.manual_seed(0)
    layer, h = FactoredOutput(4, 100, dtype=DOUBLE, constant=1.0), torch.randn(6, 4, dtype=DOUBLE)
    layer.loss(h, torch.arange(6)).backward()
    scores = layer(h)
    assert torch.allclose(scores, nn.functional.pad(h, (0, 1), value=1.0) @ layer.weight().T)
    mean, std = layer.moments(h)
    assert torch.allclose(mean[:, 0], scores.mean(1))
    assert torch.allclose(std[:, 0], scores.std(1, correction=0))
    for k in (1, 5, 100):
        values, classes = layer.top(h, k)
        expected = scores.topk(k, 1)
        assert torch.allclose(values, expected.values)
        assert torch.equal(classes, expected.indices)
    values = layer.Q.clone()
    layer.refresh()
    assert torch.allclose(layer.Q, values)


def test_top_of_the_spherical_softmax_ranks_by_squares():
    layer, h = FactoredOutput(4, 50, SphericalSoftmax()), torch.randn(3, 4)
    assert torch.equal(layer.top(h, 1)[1][:, 0], layer(h).abs().argmax(1))


def test_saved_and_loaded_weights_go_on_alike():
    torch.manual_seed(0)
    layer = FactoredOutput(4, 30, dtype=DOUBLE, constant=1.0)
    h, y = torch.randn(6, 4, dtype=DOUBLE), torch.arange(6)
    for _ in range(5):
        layer.loss(h, y).backward()
    again = FactoredOutput(4, 30, dtype=DOUBLE, constant=1.0)
    again.load_state_dict(layer.state_dict())
    twin = copy.deepcopy(layer)
    for other in (layer, again, twin):
        other.loss(h, y).backward()
    assert torch.equal(layer.weight(), again.weight())
    assert torch.equal(layer.weight(), twin.weight())


def test_converting_a_model_leaves_the_small_state_in_double_precision():
    layer = FactoredOutput(4, 30)
    layer.double()
    assert layer.V.dtype == DOUBLE
    layer.float()
    assert layer.V.dtype == torch.float32
    assert {getattr(layer, name).dtype for name in factored_output.SMALL} == {DOUBLE}
    layer.loss(torch.randn(2, 4), torch.tensor([1, 2])).backward()


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: FactoredOutput(0, 5), "width >= 1"), (lambda: FactoredOutput(3, 1), "n_classes >= 2"),
        (lambda: FactoredOutput(3, 5, lr=0), "lr > 0"), (lambda: FactoredOutput(3, 5, nn.CrossEntropyLoss()), "spherical"),
        (lambda: FactoredOutput(3, 5, lr=1.0, weight_decay=1.0), "weight_decay"),
        (lambda: FactoredOutput(3, 5).top(torch.ones(1, 3), 6), "Got 6"),
        (lambda: FactoredOutput(3, 5).loss(torch.ones(2, 3), torch.tensor([1, 5])), "from 0 to 4"),
        (lambda: FactoredOutput(3, 5).loss(torch.ones(2, 4), torch.tensor([1, 2])), r"\(b, 3\)"),
        (lambda: FactoredOutput(3, 5).loss(torch.ones(2, 3), torch.tensor([1.0, 2.0])), "float32"),
    ],
)  # fmt: skip
def test_bad_input(made, told):
    with pytest.raises(InputError, match=told):
        made()


def test_a_target_named_twice_counts_twice():
    """Duplicates in one row add up, in value and step."""
    layer = FactoredOutput(3, 9, dtype=DOUBLE)
    plain, h = Plain(layer), torch.tensor(np.random.default_rng(0).normal(size=(2, 3)))
    y = torch.tensor([[4, 4, 1], [2, 1, -1]])
    layer.loss(h, y).backward()
    plain.step(h, y)
    assert off(layer.weight(), plain.W) < 1e-12
