"""InfoNCE with several positives: values and gradients against loops, marks, and what a wrong positive does."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.losses import DisjInfoNCE, in_batch


def batch(seed, b=5, c=7):
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 0, 1], (b, c), p=[0.2, 0.5, 0.3])
    y[0, 0], y[-1] = 1, np.minimum(y[-1], 0)  # the last query has no positive
    return torch.tensor(rng.normal(0, 2, (b, c)), requires_grad=True), torch.tensor(y)


def slow(scores, y, how, temperature):
    """Loops over queries and candidates, with exponentials."""
    values = []
    for row, marks in zip(scores.tolist(), y.tolist(), strict=True):
        if 1 not in marks:
            continue
        e = [math.exp(s / temperature) for s in row]
        total = sum(v for v, mark in zip(e, marks, strict=True) if mark >= 0)
        p = [v / total for v, mark in zip(e, marks, strict=True) if mark == 1]
        values.append(-math.log(sum(p)) if how == "disjunctive" else -sum(map(math.log, p)))
    return sum(values) / len(values)


@pytest.mark.parametrize("how", ["disjunctive", "conjunctive"])
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 1.0]))
def test_values_against_loops(how, seed, temperature):
    scores, y = batch(seed)
    found = float(DisjInfoNCE(how, temperature)(scores, y).detach())
    assert found == pytest.approx(slow(scores.detach(), y, how, temperature), rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_gradient_is_softmax_less_responsibility(seed):
    scores, y = batch(seed)
    DisjInfoNCE().pointwise(scores, y).sum().backward()
    p = torch.softmax(scores.detach().masked_fill(y < 0, -torch.inf), 1)
    share = p * (y == 1)
    some = (y == 1).any(1, keepdim=True)
    expected = torch.where(some, p - share / share.sum(1, keepdim=True).clamp_min(1e-300), 0)
    assert torch.allclose(scores.grad, expected, atol=1e-10)
    assert (scores.grad[y < 0] == 0).all()


@pytest.mark.parametrize("how", ["disjunctive", "conjunctive"])
def test_numerical_gradient(how):
    scores, y = batch(3)
    assert torch.autograd.gradcheck(lambda s: DisjInfoNCE(how)(s, y), (scores,))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_is_unknown_changes_nothing(seed):
    scores, y = batch(seed)
    moved = torch.where(y < 0, scores + 100, scores)
    for how in ("disjunctive", "conjunctive", "single"):
        values = [float(DisjInfoNCE(how).pointwise(s.detach(), y).sum()) for s in (scores, moved)]
        assert values[0] == pytest.approx(values[1])


def test_one_positive_makes_all_three_equal():
    scores, _ = batch(1)
    y = torch.eye(5, 7, dtype=torch.long)
    values = [float(DisjInfoNCE(how)(scores, y).detach()) for how in ("disjunctive", "conjunctive", "single")]
    expected = float(torch.nn.functional.cross_entropy(scores, torch.arange(5)).detach())
    assert values == pytest.approx([expected] * 3)


def test_a_single_positive_is_drawn_evenly_and_by_seed():
    scores, y = torch.randn(1, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([[1, 1, 0, 1]])
    loss = DisjInfoNCE("single")
    drawn = [float(loss(scores, y)) for _ in range(600)]
    singles = (scores.logsumexp(1) - scores[0, [0, 1, 3]]).tolist()
    counts = [sum(abs(value - one) < 1e-6 for value in drawn) for one in singles]
    assert sum(counts) == 600
    assert min(counts) > 140
    before = torch.get_rng_state()
    first, again = DisjInfoNCE("single", random_state=7), DisjInfoNCE("single", random_state=7)
    assert [float(first(scores, y)) for _ in range(5)] == [float(again(scores, y)) for _ in range(5)]
    copied = copy.deepcopy(first)
    assert float(copied(scores, y)) == float(first(scores, y))
    assert torch.equal(before, torch.get_rng_state())


def test_extreme_scores_stay_finite():
    y = torch.tensor([[1, 1, 0, -1], [0, 0, 0, 0], [-1, -1, -1, -1], [1, -1, -1, -1]])
    for how in ("disjunctive", "conjunctive", "single"):
        scores = (1e4 * torch.randn(4, 4, generator=torch.Generator().manual_seed(0))).requires_grad_()
        value = DisjInfoNCE(how)(scores, y)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(scores.grad).all()
        assert (scores.grad[1:] == 0).all()
    assert float(DisjInfoNCE()(torch.zeros(2, 3), torch.zeros(2, 3))) == 0


def test_candidates_of_a_batch():
    generator = torch.Generator().manual_seed(0)
    queries, passages = torch.randn(3, 4, generator=generator), torch.randn(3, 2, 4, generator=generator)
    marks = torch.tensor([[1, 0], [1, 1], [0, -1]])
    found = in_batch(queries, passages, marks)
    for i in range(3):
        for j in range(3):
            for k in range(2):
                assert float(found.scores[i, 2 * j + k]) == pytest.approx(float(queries[i] @ passages[j, k]), abs=1e-5)
                assert int(found.marks[i, 2 * j + k]) == (int(marks[i, k]) if i == j else 0)


def test_bad_input():
    with pytest.raises(InputError, match="one of disjunctive"):
        DisjInfoNCE("all")
    with pytest.raises(InputError, match="above 0"):
        DisjInfoNCE(temperature=0)
    with pytest.raises(InputError, match="one shape"):
        DisjInfoNCE()(torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(InputError, match="in_batch expects"):
        in_batch(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 4))
