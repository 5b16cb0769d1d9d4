"""The best of several answers: value and gradient against a loop over rows and answers, unknown targets, dead heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.losses import SquaredError, WinnerTakeAll


def by_hand(outputs, y, form, pairs, relaxed):
    """Loss of each row, answer by answer."""
    values = []
    for row, target in zip(outputs, y, strict=True):
        m, known = len(target), np.isfinite(target)
        answers = [row[i : i + m] for i in range(0, len(row), m)]
        if pairs:
            answers += [(answers[i] + answers[j]) / 2 for i in range(len(answers)) for j in range(i + 1, len(answers))]
        errors = [np.mean((answer[known] - target[known]) ** 2) if known.any() else 0.0 for answer in answers]
        told = [10 / np.log(10) * np.log(e + 1e-8) if form == "psnr" else e for e in errors]
        winner = int(np.argmin(errors))
        others = [told[i] for i in range(len(told)) if i != winner]
        value = told[winner]
        if relaxed and others:
            value = (1 - relaxed) * value + relaxed * float(np.mean(others))
        values.append(value if known.any() else 0.0)
    return np.array(values)


@settings(deadline=None, max_examples=40)
@given(
    H=st.integers(1, 4), m=st.integers(1, 3), form=st.sampled_from(["mse", "psnr"]), pairs=st.booleans(),
    relaxed=st.sampled_from([0.0, 0.05, 0.4]), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_value_and_gradient_are_those_of_a_loop(H, m, form, pairs, relaxed, seed):
    rng = np.random.default_rng(seed)
    outputs, y = rng.normal(size=(5, H * m)), rng.normal(size=(5, m))
    y[rng.random(y.shape) < 0.2] = np.nan
    loss = WinnerTakeAll(form, pairs, relaxed)
    scores = torch.tensor(outputs, requires_grad=True)
    values = loss.pointwise(scores, torch.tensor(y))
    assert np.allclose(values.detach(), by_hand(outputs, y, form, pairs, relaxed))
    (gradient,) = torch.autograd.grad(values.sum(), scores)
    direction, h = rng.normal(size=outputs.shape), 1e-6
    sides = [by_hand(outputs + s * h * direction, y, form, pairs, relaxed).sum() for s in (1, -1)]
    assert np.isclose((gradient.numpy() * direction).sum(), (sides[0] - sides[1]) / (2 * h), rtol=1e-3, atol=1e-3)


def test_one_answer_is_the_squared_error():
    outputs, y = torch.randn(6, 3), torch.randn(6, 3)
    assert torch.allclose(WinnerTakeAll()(outputs, y), SquaredError()(outputs, y))


def test_only_the_winner_learns_unless_relaxed():
    y = torch.tensor([[1.0], [-1.0]])
    for relaxed in (0.0, 0.1):
        outputs = torch.tensor([[0.9, 5.0, 0.0], [-0.9, 5.0, 0.0]], requires_grad=True)
        WinnerTakeAll(relaxed=relaxed)(outputs, y).backward()
        assert (outputs.grad[:, 0] != 0).all()
        assert bool((outputs.grad[:, 1] != 0).all()) == (relaxed > 0)


def test_a_dead_head_comes_back_when_relaxed():
    """A head far from every target never wins; with a small share of each row it is drawn in until it does."""
    found = {}
    for relaxed in (0.0, 0.05):
        torch.manual_seed(0)
        answers = torch.nn.Parameter(torch.tensor([0.0, 50.0]))
        loss, optimizer = WinnerTakeAll(relaxed=relaxed), torch.optim.SGD([answers], lr=0.1)
        for _ in range(800):
            optimizer.zero_grad()
            y = torch.where(torch.rand(16, 1) < 0.5, -1.0, 1.0)
            loss(answers.expand(16, 2), y).backward()
            optimizer.step()
        found[relaxed] = answers.detach().sort().values
        assert int(loss.usage.sum()) == 800 * 16
    assert found[0.0][1] == 50
    assert torch.allclose(found[0.05], torch.tensor([-1.0, 1.0]), atol=0.3)


def test_usage_counts_winners_while_training_only():
    loss, y = WinnerTakeAll(), torch.tensor([[0.0], [1.0], [1.1]])
    outputs = torch.tensor([[0.0, 1.0]] * 3)
    loss(outputs, y)
    assert loss.usage is None
    loss(outputs.requires_grad_(), y)
    assert loss.usage.tolist() == [1, 2]


def test_what_is_behind_an_unknown_target_changes_nothing():
    outputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    y = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    y[0, 1] = y[2, 0] = torch.nan
    moved = outputs.clone()
    moved[0, [1, 4]] += 100
    moved[2, [0, 3]] -= 100
    assert torch.equal(WinnerTakeAll().pointwise(outputs, y), WinnerTakeAll().pointwise(moved, y))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: WinnerTakeAll(form="mae"), "form 'mse' or 'psnr'"), (lambda: WinnerTakeAll(relaxed=1.0), "relaxed"),
        (lambda: WinnerTakeAll()(torch.ones(2, 3), torch.ones(2, 2)), "whole number"),
    ],
)  # fmt: skip
def test_bad_input(call, told):
    with pytest.raises(InputError, match=told):
        call()
