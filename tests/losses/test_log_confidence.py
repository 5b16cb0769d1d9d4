"""The log-confidence loss against a slow form of its equation."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.losses import CrossEntropy, LogConfidence
from labelwise.losses.log_confidence import balanced_predictions


def slow_binary(logits, y, weight):
    """Two classes, one row at a time: hard predictions by a threshold at the quantile of the labels' share."""
    p = [math.exp(b) / (math.exp(a) + math.exp(b)) for a, b in logits.tolist()]
    threshold = sorted(p, reverse=True)[sum(y.tolist()) - 1] if sum(y.tolist()) else math.inf
    values = []
    for score, label in zip(p, y.tolist(), strict=True):
        target = (1 - weight) * label + weight * (score >= threshold)
        values.append(-target * math.log(score) - (1 - target) * math.log(1 - score))
    return values


@given(st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_two_classes_are_the_equation(seed, peak):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (9,), generator=generator)
    found = LogConfidence(peak, 0).pointwise(logits, y)
    torch.testing.assert_close(found, torch.tensor(slow_binary(logits, y, peak), dtype=torch.float64))


@given(st.integers(0, 10_000), st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_predictions_are_balanced_and_confident(seed, k):
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(30, k, generator=generator).softmax(1)
    share = torch.randint(k, (30,), generator=generator).bincount(minlength=k) / 30
    own = balanced_predictions(p, share)
    if k == 2:
        assert own.bincount(minlength=2).tolist() == (share * 30).round().int().tolist()
    for c in range(k):  # whoever is predicted c though another class is likelier is among the surest rows of c
        forced = (own == c) & (p.argmax(1) != c)
        assert (
            p[forced, c] >= p[:, c].sort(descending=True).values[max(0, round(float(share[c]) * 30) - 1)] - 1e-6
        ).all()


def test_weight_rises_over_the_steps_with_a_gradient():
    loss, y = LogConfidence(0.5, 4), torch.tensor([0, 1, 1])
    logits = torch.tensor([[0.0, 3.0], [3.0, 0.0], [0.0, 1.0]], requires_grad=True)
    values = [loss(logits, y).item() for _ in range(6)]
    falls = [a - b for a, b in itertools.pairwise(values)]
    assert falls[:4] == pytest.approx([falls[0]] * 4)
    assert falls[4] == 0
    assert values[0] == pytest.approx(CrossEntropy()(logits, y).item())
    with torch.no_grad():
        loss(logits, y)
    assert int(loss.step) == 6


def test_no_gradient_through_the_own_prediction():
    logits = torch.tensor([[0.3, 0.1], [0.2, 0.9]], dtype=torch.float64, requires_grad=True)
    LogConfidence(0.5, 0)(logits, torch.tensor([1, 0])).backward()
    own = balanced_predictions(logits.detach().softmax(1), torch.tensor([0.5, 0.5]))
    target = 0.5 * torch.eye(2, dtype=torch.float64)[[1, 0]] + 0.5 * torch.eye(2, dtype=torch.float64)[own]
    torch.testing.assert_close(logits.grad, (logits.detach().softmax(1) - target) / 2)


def test_soft_targets():
    logits, soft = torch.zeros(2, 2), torch.tensor([[0.7, 0.3], [0.2, 0.8]])
    torch.testing.assert_close(LogConfidence()(logits, soft), torch.tensor(math.log(2)))


@pytest.mark.parametrize("bad", [{"peak": 1.5}, {"peak": -0.1}, {"warmup_steps": -1}])
def test_bad_settings(bad):
    with pytest.raises(InputError, match="peak"):
        LogConfidence(**bad)
