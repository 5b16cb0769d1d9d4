"""Balanced assignments: their marginals, their limit, and their order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from labelwise.parts.sinkhorn import sinkhorn


def scores_of(seed: int, rows: int = 12, columns: int = 4) -> torch.Tensor:
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_rows_sum_to_one_and_columns_become_equal(seed, columns):
    scores = scores_of(seed, columns=columns)
    few, many = sinkhorn(scores), sinkhorn(scores, epsilon=0.3, iterations=200)
    assert torch.allclose(few.sum(1), torch.ones(12, dtype=torch.float64))
    assert torch.allclose(many.sum(0), torch.full((columns,), 12 / columns, dtype=torch.float64), atol=1e-3)


def test_it_equals_rescaling_in_turn():
    scores = scores_of(1).numpy()
    q = np.exp(scores / 0.05)
    for _ in range(3):
        q /= q.sum(0)
        q /= q.sum(1, keepdims=True)
    assert np.allclose(sinkhorn(torch.tensor(scores)).numpy(), q)


def test_small_epsilon_approaches_the_best_balanced_assignment():
    scores = scores_of(2, rows=8, columns=4)
    best = linear_sum_assignment(-scores.repeat_interleave(2, 1).numpy())[1] // 2
    assert (sinkhorn(scores, epsilon=0.003, iterations=2000).argmax(1).numpy() == best).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_scores_do_not_overflow(dtype):
    out = sinkhorn(torch.tensor([[1e4, -1e4], [1e4, 0.0]], dtype=dtype))
    assert out.dtype == dtype and torch.isfinite(out).all()


def test_takes_no_gradient():
    assert not sinkhorn(torch.ones(3, 2, requires_grad=True)).requires_grad
