"""Losses against slow loops written from their equations, limits, gradients and state."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from labelwise.base import InputError
from labelwise.losses import ALDR, ELR, GCE, LDR, CompSum, CrossEntropy, MaskedBCE, SquaredError


def batch(seed: int, n: int = 6, k: int = 4, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, k, generator=generator, dtype=dtype)
    return logits, torch.randint(k, (n,), generator=generator)


def slow_comp_sum(logits: Tensor, y: Tensor, tau: float) -> list[float]:
    values = []
    for row, label in zip(logits.tolist(), y.tolist(), strict=True):
        total = sum(math.exp(score - row[label]) for score in row)
        values.append(math.log(total) if tau == 1 else (total ** (1 - tau) - 1) / (1 - tau))
    return values


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.0, 1.5, 1.7, 2.0]))
@settings(max_examples=40, deadline=None)
def test_comp_sum_is_its_equation(seed: int, tau: float) -> None:
    logits, y = batch(seed)
    torch.testing.assert_close(
        CompSum(tau).pointwise(logits, y), torch.tensor(slow_comp_sum(logits, y, tau), dtype=torch.float64)
    )


def test_comp_sum_members() -> None:
    logits, y = batch(0)
    p = logits.softmax(1).gather(1, y[:, None]).squeeze(1)
    torch.testing.assert_close(CompSum(1.0).pointwise(logits, y), CrossEntropy().pointwise(logits, y))
    torch.testing.assert_close(CompSum(2.0).pointwise(logits, y), 1 - p)
    torch.testing.assert_close(GCE(0.7).pointwise(logits, y), (1 - p**0.7) / 0.7)


def test_comp_sum_stays_finite_for_large_logits() -> None:
    logits = torch.tensor([[500.0, -500.0]], requires_grad=True)
    value = CompSum(1.5)(logits, torch.tensor([1]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_comp_sum_bounds_the_excess_error(seed: int) -> None:
    """H-consistency of the family for unrestricted scores: excess 0-1 risk <= G_tau(excess surrogate risk)."""
    rng = np.random.default_rng(seed)
    k, p = 3, rng.dirichlet(np.ones(3))
    for tau in (0.0, 0.5, 1.0, 1.5):

        def risk(scores: np.ndarray, tau: float = tau) -> float:
            logits = torch.tensor(np.tile(scores, (k, 1)))
            return float((CompSum(tau).pointwise(logits, torch.arange(k)) * torch.tensor(p)).sum())

        best = min(
            minimize(risk, rng.normal(size=k), method="Nelder-Mead", options={"maxiter": 800}).fun for _ in range(2)
        )
        scores = rng.normal(size=k)
        excess = max(0.0, risk(scores) - best)
        bound = math.sqrt(2**tau * (2 - tau) * excess) if tau < 1 else math.sqrt(2 * k ** (tau - 1) * excess)
        assert p.max() - p[scores.argmax()] <= bound + 1e-3


def slow_ldr(row: list[float], label: int, temperature: float, margin: float) -> float:
    total = sum(math.exp((s - row[label] + margin * (k != label)) / temperature) for k, s in enumerate(row))
    return temperature * math.log(total / len(row))


@given(st.integers(0, 10_000), st.sampled_from([0.3, 1.0, 5.0]), st.sampled_from([0.0, 0.5]))
@settings(max_examples=30, deadline=None)
def test_ldr_is_its_equation(seed: int, temperature: float, margin: float) -> None:
    logits, y = batch(seed)
    expected = [
        slow_ldr(row, label, temperature, margin) for row, label in zip(logits.tolist(), y.tolist(), strict=True)
    ]
    ours = LDR(temperature, margin, normalize=False).pointwise(logits, y)
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64))


def test_ldr_is_the_worst_label_distribution() -> None:
    """The closed form equals the maximum over the simplex that defines the loss."""
    logits, y = batch(3, n=1, k=3)
    gap = (logits - logits[0, y[0]] + 0.2 * (torch.arange(3) != y[0])).numpy()[0]

    def negative(u: np.ndarray) -> float:
        p = np.exp(u) / np.exp(u).sum()
        return -float(p @ gap - 0.7 * (p * np.log(3 * p)).sum())

    best = -minimize(negative, np.zeros(3)).fun
    assert float(LDR(0.7, 0.2, normalize=False)(logits, y)) == pytest.approx(best, abs=1e-5)


def test_ldr_limits() -> None:
    logits, y = batch(1)
    ce = CrossEntropy().pointwise(logits, y)
    torch.testing.assert_close(LDR(1.0, 0.0, normalize=False).pointwise(logits, y), ce - math.log(4))
    hinge = (logits - logits.gather(1, y[:, None]) + 0.5 * (torch.arange(4) != y[:, None])).amax(1)
    torch.testing.assert_close(LDR(1e-3, 0.5, normalize=False).pointwise(logits, y), hinge, atol=2e-3, rtol=0)


def test_ldr_normalised_ignores_the_size_of_aldr_logits() -> None:
    logits, y = batch(2)
    small, large = (ALDR().bind(6, 4).pointwise(scale * logits, y, torch.arange(6)) for scale in (1.0, 50.0))
    torch.testing.assert_close(small, large)


def test_aldr_temperatures_follow_certainty_and_stay_in_range() -> None:
    loss = ALDR(temperature=2.0, alpha=2.0, normalize=False).bind(3, 3)
    loss(torch.tensor([[9.0, 0, 0], [0.0, 0, 0]]), torch.tensor([0, 1]), torch.tensor([0, 2]))
    sure, untouched, unsure = loss.row_temperature.squeeze(1).tolist()
    assert 1.0 <= sure < 1.5
    assert untouched == 2.0
    assert unsure == pytest.approx(2.0)


def test_elr_is_its_equation_over_two_visits() -> None:
    loss, (logits, y) = ELR(weight=2.0, decay=0.6).bind(10, 4).double(), batch(5, n=2)
    index, memory = torch.tensor([3, 7]), np.zeros((10, 4))
    for _ in range(2):
        value = loss.pointwise(logits, y, index)
        for place, (row, label, i) in enumerate(zip(logits.tolist(), y.tolist(), index.tolist(), strict=True)):
            p = np.exp(row) / np.exp(row).sum()
            p = p.clip(1e-4, 1 - 1e-4)
            memory[i] = 0.6 * memory[i] + 0.4 * p / p.sum()
            expected = -math.log(np.exp(row[label]) / np.exp(row).sum()) + 2.0 * math.log(1 - p @ memory[i])
            assert float(value[place]) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(loss.memory.rows.numpy(), memory, atol=1e-6)


def test_elr_without_weight_is_the_cross_entropy_and_no_gradient_reaches_the_memory() -> None:
    logits, y = batch(6)
    logits.requires_grad_()
    loss = ELR(weight=0.0).bind(6, 4)
    torch.testing.assert_close(loss(logits, y, torch.arange(6)), CrossEntropy()(logits, y))
    ELR().bind(6, 4)(logits, y, torch.arange(6)).backward()
    assert torch.isfinite(logits.grad).all()
    assert not loss.memory.rows.requires_grad


def test_losses_with_row_state_ask_for_the_index() -> None:
    with pytest.raises(InputError, match="pass index="):
        ELR().bind(4, 3)(torch.zeros(2, 3), torch.tensor([0, 1]))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"logits \(2, 3\) and y \(3,\)"):
        CrossEntropy()(torch.zeros(2, 3), torch.tensor([0, 1, 2]))


@pytest.mark.parametrize("loss", [CrossEntropy(), CompSum(1.5), LDR(), GCE()])
def test_weights_select_rows(loss: torch.nn.Module) -> None:
    logits, y = batch(7)
    weight = torch.tensor([1.0, 1, 0, 0, 1, 0], dtype=torch.float64)
    kept = weight > 0
    torch.testing.assert_close(loss(logits, y, weight=weight), loss(logits[kept], y[kept]))
    assert float(loss(logits, y, weight=torch.zeros(6, dtype=torch.float64))) == 0


def test_masked_bce_leaves_unknown_labels_out() -> None:
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[1, 0, -1, -1], [-1, -1, -1, -1], [0, 1, 1, 0]])
    values = MaskedBCE().pointwise(logits, y)
    p = logits.sigmoid()
    expected = -(p[0, 0].log() + (1 - p[0, 1]).log()) / 2
    torch.testing.assert_close(values[0], expected)
    assert values[1] == 0
    values.sum().backward()
    assert (logits.grad[1] == 0).all() and (logits.grad[0, 2:] == 0).all()


def test_squared_error_leaves_nan_out() -> None:
    values = SquaredError().pointwise(torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, float("nan")]]))
    assert values.tolist() == [4.0]
