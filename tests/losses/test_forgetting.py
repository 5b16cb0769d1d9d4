from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax

from labelwise.losses.forgetting import dpo, kl_from, npo

numbers = st.floats(-30, 5)
betas = st.floats(0.01, 5)


@settings(max_examples=60, deadline=None)
@given(numbers, numbers, betas)
def test_npo_is_minus_the_log_sigmoid_and_its_gradient_fades(now: float, before: float, beta: float) -> None:
    lp = torch.tensor([now], dtype=torch.float64, requires_grad=True)
    value = npo(lp, torch.tensor([before], dtype=torch.float64), beta)
    assert float(value.detach()) == pytest.approx(-(2 / beta) * np.log(expit(-beta * (now - before))), abs=1e-8)
    value.sum().backward()
    p, p0 = np.exp(beta * now), np.exp(beta * before)
    assert lp.grad is not None and float(lp.grad) == pytest.approx(2 * p / (p + p0), abs=1e-8)


@given(numbers, betas)
def test_at_the_start_every_beta_steps_like_gradient_ascent(before: float, beta: float) -> None:
    lp = torch.tensor([before], requires_grad=True)
    npo(lp, torch.tensor([before]), beta).sum().backward()
    assert lp.grad is not None and float(lp.grad) == pytest.approx(1.0, abs=1e-5)


def test_small_beta_is_gradient_ascent_far_from_the_start_too() -> None:
    lp = torch.tensor([-9.0, -1.0], dtype=torch.float64, requires_grad=True)
    npo(lp, torch.zeros(2, dtype=torch.float64), 1e-6).sum().backward()
    torch.testing.assert_close(lp.grad, torch.ones(2, dtype=torch.float64), atol=1e-4, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.lists(numbers, min_size=4, max_size=4), betas)
def test_dpo_is_its_formula_and_takes_no_gradient_from_before(four: list[float], beta: float) -> None:
    now, before, other, other0 = (torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in four)
    value = dpo(now, before, other, other0, beta)
    margin = (four[2] - four[3]) - (four[0] - four[1])
    assert float(value.detach()) == pytest.approx(-(2 / beta) * np.log(expit(beta * margin)), abs=1e-8)
    value.sum().backward()
    assert before.grad is None and other0.grad is None
    assert float(now.grad) >= 0 >= float(other.grad)  # type: ignore[arg-type]


def test_kl_is_that_of_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=(2, 7, 4))
    old, new = log_softmax(before, 1), log_softmax(now, 1)
    told = kl_from(torch.as_tensor(before), torch.as_tensor(now)).numpy()
    np.testing.assert_allclose(told, (np.exp(old) * (old - new)).sum(1))
    assert (told > 0).all()
