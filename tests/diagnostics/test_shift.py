"""Two-sample tests: their level when nothing differs, their power when something does, exact values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from labelwise.base import InputError
from labelwise.diagnostics import DomainClassifier, LabelShiftTest
from labelwise.parts.two_samples import compare


def test_level_without_a_shift():
    p_values, covered = [], []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        result = DomainClassifier(random_state=seed).measure(rng.normal(size=(80, 5)), rng.normal(size=(120, 5)))
        p_values.append(result.p_value)
        covered.append(result.auc.low <= 0.5 <= result.auc.high)
    assert np.mean(np.array(p_values) < 0.1) < 0.2
    assert np.mean(covered) > 0.8


@pytest.mark.parametrize("kind", ["mean", "spread", "one column of many"])
def test_power(kind):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(600, 150)), rng.normal(size=(600, 150))
    if kind == "mean":
        b += 0.15
    elif kind == "spread":
        b *= 1.1
    else:
        b[:, 3] += 3
    result = DomainClassifier(components=150, random_state=0).measure(a, b)
    assert result.p_value < 1e-3 and result.auc.low > 0.6


def test_separate_sets_have_auc_one():
    rng = np.random.default_rng(0)
    auc = DomainClassifier(random_state=0).measure(rng.normal(size=(50, 3)), rng.normal(size=(70, 3)) + 30).auc
    assert auc.value == 1.0 and auc.low > 0.95


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_auc_is_that_of_sklearn(low, high):
    auc = compare(np.array(low, float), np.array(high, float), 0.9).auc
    truth = np.repeat([0, 1], [len(low), len(high)])
    assert auc.value == pytest.approx(roc_auc_score(truth, low + high))


def test_delong_interval_covers():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        auc = compare(rng.normal(size=60), rng.normal(1, 1, size=60), 0.9).auc
        covered.append(auc.low <= 0.7602 <= auc.high)
    assert 0.85 < np.mean(covered) < 0.95


def test_label_shift_level_and_power():
    rng = np.random.default_rng(0)
    level, power = [], []
    for seed in range(200):
        a, same, other = (
            rng.multinomial(n, p) for n, p in ((300, [0.2] * 5), (100, [0.2] * 5), (200, [0.4, 0.15, 0.15, 0.15, 0.15]))
        )
        level.append(LabelShiftTest(random_state=seed).measure(a, same))
        power.append(LabelShiftTest(random_state=seed).measure(a, other))
    assert np.mean([r.p_value <= 0.05 for r in level]) < 0.1
    assert np.mean([r.total_variation.low > 0 for r in level]) < 0.15
    assert np.mean([r.p_value <= 0.05 for r in power]) > 0.9
    assert np.mean([r.total_variation.low <= 0.2 <= r.total_variation.high for r in power]) > 0.85


def test_bad_input():
    with pytest.raises(InputError, match="columns"):
        DomainClassifier().measure(np.ones((9, 2)), np.ones((9, 3)))
    with pytest.raises(InputError, match="counts"):
        LabelShiftTest().measure([0, 0], [1, 2])
