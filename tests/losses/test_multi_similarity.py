"""The level-wise multi-similarity loss against loops over pairs, value and gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.losses import HierarchicalMultiSimilarity, multi_similarity
from labelwise.losses.multi_similarity import hard_pairs


def slow(z, distance, levels, boundaries, weights, alpha, beta, slack):
    """By the definition: every row, every pair, every level."""
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    S, n, total = unit @ unit.T, len(z), 0.0
    for level, b, weight in zip(levels, boundaries, weights, strict=True):
        for i in range(n):
            P = [j for j in range(n) if j != i and distance[i, j] <= level]
            N = [j for j in range(n) if j != i and distance[i, j] > level]
            if slack is not None:
                nearest = max((S[i, j] for j in N), default=-math.inf)
                farthest = min((S[i, j] for j in P), default=math.inf)
                P, N = [j for j in P if S[i, j] < nearest + slack], [j for j in N if S[i, j] > farthest - slack]
            pull = math.log(1 + sum(math.exp(-alpha * (S[i, j] - b)) for j in P)) / alpha
            push = math.log(1 + sum(math.exp(beta * (S[i, j] - b)) for j in N)) / beta
            total += weight * (pull + push) / n
    return total


def random_case(n, seed):
    rng = np.random.default_rng(seed)
    distance = rng.integers(0, 5, (n, n)).astype(float)
    distance = np.triu(distance, 1) + np.triu(distance, 1).T
    distance[distance == 4] = np.inf
    return rng.normal(size=(n, 4)), distance


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 1000), st.sampled_from([None, 0.0, 0.1]), st.floats(0.5, 5), st.floats(1, 60))
def test_value_by_loops(n, seed, slack, alpha, beta):
    z, distance = random_case(n, seed)
    levels, boundaries, weights = (0, 1, 2), (0.9, 0.6, 0.1), (1.0, 0.5, 2.0)
    loss = HierarchicalMultiSimilarity(levels, boundaries, weights, alpha, beta, slack)
    found = loss(torch.as_tensor(z), torch.as_tensor(distance))
    assert float(found) == pytest.approx(slow(z, distance, levels, boundaries, weights, alpha, beta, slack), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_gradient_by_differences(seed):
    z, distance = random_case(6, seed)
    free = torch.as_tensor(z).requires_grad_()
    HierarchicalMultiSimilarity()(free, torch.as_tensor(distance)).backward()
    step, expected = 1e-6, np.zeros_like(z)
    for at in np.ndindex(*z.shape):
        sides = []
        for sign in (1, -1):
            moved = z.copy()
            moved[at] += sign * step
            sides.append(slow(moved, distance, (0, 1, 2), (0.9, 0.7, 0.5), (1, 1, 1), 2.0, 50.0, None))
        expected[at] = (sides[0] - sides[1]) / (2 * step)
    assert free.grad.numpy() == pytest.approx(expected, abs=1e-5)


def test_one_level_is_the_flat_loss():
    z, distance = random_case(7, 0)
    similarity = torch.nn.functional.normalize(torch.as_tensor(z), dim=1)
    similarity = similarity @ similarity.T
    same, apart = torch.as_tensor(distance) == 0, ~torch.eye(7, dtype=torch.bool)
    flat = multi_similarity(similarity, same & apart, ~same & apart)
    level = HierarchicalMultiSimilarity((0,), (0.5,))
    assert torch.allclose(level.pointwise(similarity, torch.as_tensor(distance)), flat)


def test_far_and_extreme_pairs_stay_finite():
    for dtype in (torch.float16, torch.float32):
        z = torch.ones(4, 3, dtype=dtype).requires_grad_()
        value = HierarchicalMultiSimilarity(beta=1e4, alpha=1e4)(z, torch.full((4, 4), torch.inf))
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(z.grad).all()
    alone = HierarchicalMultiSimilarity()(torch.ones(1, 3), torch.zeros(1, 1))
    assert float(alone) == 0


def test_hard_pairs_of_rows_without_either_side_are_none():
    s = torch.tensor([[0.3, 0.4]])
    none = torch.zeros(1, 2, dtype=torch.bool)
    for positive, negative in ((~none, none), (none, ~none)):
        assert not any(part.any() for part in hard_pairs(s, positive, negative, 0.1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": (1, 0), "boundaries": (0.9, 0.5)}, "rise"),
        ({"levels": (0, 1), "boundaries": (0.5, 0.9)}, "fall"),
        ({"levels": (0, 1)}, "as many"),
        ({"weights": (1, 1, -1)}, "at least 0"),
        ({"beta": 0.0}, "beta"),
        ({"boundaries": (1.5, 0.5, 0.0)}, "within"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        HierarchicalMultiSimilarity(**arguments)
    with pytest.raises(InputError, match="distance"):
        HierarchicalMultiSimilarity()(torch.ones(3, 2), torch.zeros(3, 2))
