from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.losses import ThresholdConsistentMargin

SEEDS = st.integers(0, 10_000)


def batch(seed: int, rows: int = 9, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (rows,), generator=generator)
    return torch.randn(rows, 3, generator=generator, dtype=torch.float64), y


def by_pairs(z, y, m_plus: float, m_minus: float, l_plus: float, l_minus: float) -> float:
    pulled, pushed = [], []
    for i in range(len(y)):
        for j in range(len(y)):
            s = float(z[i] @ z[j] / (z[i].norm() * z[j].norm()))
            if i != j and y[i] == y[j] and s <= m_plus:
                pulled.append(m_plus - s)
            if y[i] != y[j] and s >= m_minus:
                pushed.append(s - m_minus)
    return sum(weight * sum(part) / len(part) for weight, part in ((l_plus, pulled), (l_minus, pushed)) if part)


@given(SEEDS, st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 3), st.floats(0, 3))
@settings(max_examples=40, deadline=None)
def test_it_is_its_definition(seed: int, m_plus: float, m_minus: float, l_plus: float, l_minus: float) -> None:
    z, y = batch(seed)
    value = ThresholdConsistentMargin(m_plus, m_minus, l_plus, l_minus)(z, y)
    assert float(value) == pytest.approx(by_pairs(z, y, m_plus, m_minus, l_plus, l_minus), abs=1e-9)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_it_is_that_of_pytorch_metric_learning(seed: int) -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    z, y = batch(seed)
    assert float(ThresholdConsistentMargin()(z, y)) == pytest.approx(
        float(losses.ThresholdConsistentMarginLoss()(z, y))
    )


@given(SEEDS, st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_neither_length_nor_order_of_the_rows_matters(seed: int, scale: float) -> None:
    z, y = batch(seed)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    loss = ThresholdConsistentMargin()
    assert float(loss(scale * z[order], y[order])) == pytest.approx(float(loss(z, y)))


def test_pairs_in_order_are_left_alone_and_hard_ones_are_moved() -> None:
    z = torch.tensor([[1.0, 0.0], [0.99, 0.1], [0.0, 1.0]], requires_grad=True)
    ThresholdConsistentMargin()(z, torch.tensor([0, 0, 1])).backward()
    assert not z.grad.any()
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    ThresholdConsistentMargin()(z, torch.tensor([0, 0])).backward()
    assert z.grad[0, 1] < 0
    assert z.grad[1, 0] < 0  # a step against the gradient brings them together


def test_the_gradient_is_that_of_finite_differences() -> None:
    z, y = batch(1)
    assert torch.autograd.gradcheck(lambda rows: ThresholdConsistentMargin()(rows, y), z.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_extreme_and_zero_rows_are_finite(dtype: torch.dtype) -> None:
    z = torch.tensor([[1e4, 0.0], [0.0, 0.0], [-1e4, 1e4]], dtype=dtype, requires_grad=True)
    value = ThresholdConsistentMargin()(z, torch.tensor([0, 0, 1]))
    value.backward()
    assert value.dtype == dtype
    assert bool(torch.isfinite(z.grad).all())


def test_a_batch_of_one_and_unlabelled_rows_are_in_no_pair() -> None:
    loss = ThresholdConsistentMargin()
    assert float(loss(torch.ones(1, 2), torch.tensor([0]))) == 0
    z, y = batch(2)
    more, unknown = torch.cat([z, z]), torch.cat([y, torch.full_like(y, -1)])
    assert float(loss(more, unknown)) == pytest.approx(float(loss(z, y)))


def test_bad_input_is_told() -> None:
    with pytest.raises(InputError, match="cosine"):
        ThresholdConsistentMargin(positive_margin=1.5)
    with pytest.raises(InputError, match="negative_weight"):
        ThresholdConsistentMargin(negative_weight=-1.0)
    with pytest.raises(InputError, match=r"shape \(b, d\)"):
        ThresholdConsistentMargin()(torch.ones(3), torch.tensor([0, 0, 1]))
