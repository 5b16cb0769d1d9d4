"""Contrastive losses: loops over the definition, closed-form gradients, limits of the temperature."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.losses import HardContrastive, SimpleContrastive
from labelwise.losses.contrastive import hard, similarities


def views(n, d, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=generator, dtype=dtype) for _ in range(2)]


def slow(a, b, temperature, share):
    """Return the mean of -log(positive / (positive + hard negatives)), number by number."""
    a, b = ([row / np.linalg.norm(row) for row in rows.numpy()] for rows in (a, b))
    total = 0.0
    for i in range(len(a)):
        s = sorted((float(a[i] @ b[k]) for k in range(len(b)) if k != i), reverse=True)
        s = s[: max(1, round(share * len(s)))]
        positive = np.exp(a[i] @ b[i] / temperature)
        total -= np.log(positive / (positive + sum(np.exp(x / temperature) for x in s)))
    return total / len(a)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(1, 5), st.floats(0.05, 3), st.floats(0.05, 1), st.integers(0, 999))
def test_hard_contrastive_is_the_definition(n, d, temperature, share, seed):
    a, b = views(n, d + 1, seed)
    found = HardContrastive(temperature, share)(a, b)
    assert found.item() == pytest.approx(slow(a, b, temperature, share), rel=1e-9)


def test_all_negatives_are_the_cross_entropy_of_similarities():
    a, b = views(16, 8)
    logits = torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T / 0.2
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(16))
    assert HardContrastive(0.2, 1.0)(a, b).item() == pytest.approx(expected.item())


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 8), st.floats(0.05, 2), st.integers(0, 999))
def test_gradients_are_the_closed_forms(n, temperature, seed):
    """P_ij / t on a negative, minus the sum of them on the positive."""
    positive, negative = (part.detach().requires_grad_() for part in similarities(*views(n, 4, seed)))
    HardContrastive(temperature, 1.0).pointwise(positive, negative).sum().backward()
    scores = torch.cat([positive[:, None], negative], 1).detach() / temperature
    P = scores.softmax(1)[:, 1:]
    torch.testing.assert_close(negative.grad, P / temperature)
    torch.testing.assert_close(positive.grad, -P.sum(1) / temperature)


def test_a_small_temperature_is_a_triplet_loss_without_margin():
    positive, negative = similarities(*views(10, 5))
    t = 1e-4
    found = t * HardContrastive(t, 1.0).pointwise(positive, negative)
    torch.testing.assert_close(found, (negative.max(1).values - positive).clamp_min(0), atol=5e-4, rtol=0)


def test_a_large_temperature_has_the_gradient_of_the_simple_loss():
    gradients = []
    for loss, scale in ((HardContrastive(1e6, 1.0), 1e6), (SimpleContrastive(1.0), 1.0)):
        positive, negative = (part.detach().requires_grad_() for part in similarities(*views(10, 5)))
        (scale * loss.pointwise(positive, negative)).sum().backward()
        gradients.append(torch.cat([positive.grad[:, None], negative.grad], 1))
    # up to a factor: all other rows have n / (n - 1) times the weight of the n - 1 of n entries of the softmax
    torch.testing.assert_close(gradients[0] * 10 / 9, gradients[1], atol=1e-5, rtol=1e-4)


def test_easy_negatives_get_no_gradient():
    for loss in (HardContrastive(0.5, 0.2), SimpleContrastive(0.2)):
        positive, negative = (part.detach().requires_grad_() for part in similarities(*views(11, 5)))
        loss.pointwise(positive, negative).sum().backward()
        moved = negative.grad != 0
        assert moved.sum(1).tolist() == [2] * 11
        assert (moved == hard(negative, 0.2)).all()


def test_simple_is_a_mean_minus_the_positive():
    a, b = views(6, 4)
    positive, negative = similarities(a, b)
    expected = (0.5 * negative.mean(1) - positive).mean()
    assert SimpleContrastive(1.0, weight=0.5)(a, b).item() == pytest.approx(expected.item())


def test_given_negatives_take_the_place_of_the_batch():
    a, b = views(5, 4)
    memory = torch.randn(30, 4, dtype=torch.float64)
    cosine = torch.nn.functional.cosine_similarity(a[:, None], memory[None], dim=2)
    positive = torch.nn.functional.cosine_similarity(a, b)
    found = HardContrastive(0.4, 1.0)(a, b, memory)
    expected = torch.nn.functional.cross_entropy(torch.cat([positive[:, None], cosine], 1) / 0.4, torch.zeros(5).long())
    assert found.item() == pytest.approx(expected.item())
    assert torch.isfinite(HardContrastive()(a[:1], b[:1], memory))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("loss", [HardContrastive(0.03, 1.0), HardContrastive(0.03), SimpleContrastive()])
def test_finite_in_every_precision_at_any_scale(loss, dtype):
    for scale in (0.0, 1.0, 1e4):
        a, b = (scale * part.requires_grad_() for part in views(8, 4, dtype=dtype))
        a.retain_grad()
        value = loss(a, b)
        value.backward()
        assert value.dtype == dtype
        assert torch.isfinite(value)
        assert torch.isfinite(a.grad).all()


def test_rows_in_another_order_give_the_same_loss_and_copies_work():
    a, b = views(12, 4)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    loss = HardContrastive()
    assert loss(a[order], b[order]).item() == pytest.approx(loss(a, b).item())
    assert copy.deepcopy(loss)(a, b) == loss(a, b)
    assert repr(loss) == "HardContrastive(hardest=0.1, temperature=0.3)"


@pytest.mark.parametrize(
    "make",
    [
        lambda: HardContrastive(0.0),
        lambda: HardContrastive(0.1, 0.0),
        lambda: SimpleContrastive(2.0),
        lambda: SimpleContrastive(0.5, 0.0),
        lambda: HardContrastive()(torch.ones(1, 2), torch.ones(1, 2)),
        lambda: HardContrastive()(torch.ones(3, 2), torch.ones(4, 2)),
        lambda: HardContrastive()(torch.ones(3, 2), torch.ones(3, 2), torch.ones(5, 3)),
    ],
)
def test_bad_input(make):
    with pytest.raises(InputError, match="must"):
        make()
