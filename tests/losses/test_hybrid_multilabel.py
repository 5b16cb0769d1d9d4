"""The hybrid multi-label loss against slow loops, scikit-learn's phi coefficient and autograd."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

from labelwise.base import InputError
from labelwise.losses import HybridMultiLabel, MaskedBCE


def labels(seed: int, n: int = 30, k: int = 4, unknown: float = 0.2) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    y = (rng.random((n, k)) < rng.uniform(0.1, 0.7, k)).astype(int)
    y[:, 1] = np.where(rng.random(n) < 0.7, y[:, 0], y[:, 1])
    return torch.as_tensor(np.where(rng.random(y.shape) < unknown, -1, y))


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_counts_weights_and_phi(seed):
    y = labels(seed)
    loss = HybridMultiLabel(cap=3.0).count(y)
    for c in range(4):
        known = y[y[:, c] >= 0, c]
        positive = int(known.sum())
        expected = 3.0 if not positive else min(3.0, (len(known) - positive) / positive)
        assert loss.positive_weight()[c].item() == pytest.approx(expected)
    for a, b in itertools.combinations(range(4), 2):
        known = (y[:, a] >= 0) & (y[:, b] >= 0)
        assert loss.correlation()[a, b].item() == pytest.approx(matthews_corrcoef(y[known, a], y[known, b]), abs=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_is_its_equation(seed):
    y = labels(seed)
    logits = torch.randn(30, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    loss = HybridMultiLabel(bce_weight=0.7, correlation_weight=0.4, cap=5.0).count(y)
    w, R = loss.positive_weight().tolist(), loss.correlation().tolist()
    found = loss.pointwise(logits, y)
    for i in range(30):
        p = [1 / (1 + math.exp(-v)) for v in logits[i].tolist()]
        entries = [
            -w[c] * math.log(p[c]) if y[i, c] else -math.log(1 - p[c]) for c in range(4) if y[i, c] >= 0
        ]  # fmt: skip
        pairs = [
            abs(R[a][b]) * (p[a] - p[b]) ** 2 if R[a][b] > 0 else abs(R[a][b]) * (p[a] + p[b] - 1) ** 2
            for a, b in itertools.combinations(range(4), 2)
        ]
        expected = 0.7 * sum(entries) / max(1, len(entries)) + 0.4 * sum(pairs) / len(pairs)
        assert found[i].item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_gathered_counts_end_as_the_given_ones():
    y = labels(0, n=60)
    given_all, gathered = HybridMultiLabel().count(y), HybridMultiLabel().bind(60, 4)
    logits = torch.zeros(20, 4, requires_grad=True)
    first = gathered(logits, y[:20])
    assert first.item() == pytest.approx(MaskedBCE()(logits, y[:20]).item())
    for part in (y[20:40], y[40:]):
        gathered(logits, part)
    with torch.no_grad():
        gathered(torch.zeros(20, 4), y[:20])
    torch.testing.assert_close(gathered.correlation(), given_all.correlation())
    torch.testing.assert_close(gathered.positive_weight(), given_all.positive_weight())
    torch.testing.assert_close(given_all.bind(7, 4).correlation(), gathered.correlation())


def test_unknown_labels_move_only_through_their_correlation():
    y = labels(1)
    logits = torch.randn(30, 4, requires_grad=True)
    HybridMultiLabel(correlation_weight=0.0).count(y)(logits, y).backward()
    assert logits.grad is not None
    assert (logits.grad[y < 0] == 0).all()
    assert (logits.grad[(y >= 0)] != 0).all()


def test_one_label_and_huge_scores():
    y = torch.tensor([[1], [0]])
    loss = HybridMultiLabel().count(y)
    logits = torch.tensor([[-1e4], [1e4]], requires_grad=True)
    value = loss(logits, y)
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_bad_input():
    with pytest.raises(InputError, match="cap"):
        HybridMultiLabel(cap=0.5)
    with pytest.raises(InputError, match="were counted"):
        HybridMultiLabel().count(labels(0))(torch.zeros(2, 3), torch.zeros(2, 3))
