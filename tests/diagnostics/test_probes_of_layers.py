"""Redundancy of representations and advice on projection heads, on planted features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from labelwise.base import InputError
from labelwise.diagnostics import (
    ProjectionHeadAdvice,
    RepresentationRedundancy,
    effective_number,
    feature_strengths,
    gini,
)
from labelwise.diagnostics.probing import probe_scores, resampled_mean


@settings(max_examples=50)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_gini_is_the_mean_absolute_difference(values):
    s = np.array(values)
    slow = np.abs(s[:, None] - s).sum() / (2 * len(s) * s.sum()) if s.sum() > 1e-9 else None
    if slow is not None:
        assert gini(s) == pytest.approx(slow, abs=1e-9)
        assert effective_number(s) == pytest.approx(np.exp(stats.entropy(s)), rel=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 99), st.floats(0.01, 100))
def test_strengths_of_a_linear_layer_are_the_norms_of_its_columns(seed, scale):
    rng = np.random.default_rng(seed)
    X, W = rng.normal(size=(60, 4)) * [1, 2, 3, 4], scale * rng.normal(size=(7, 4))
    expected = np.linalg.norm(W, axis=0) * X.std(axis=0)
    assert np.allclose(feature_strengths(X @ W.T + 3, X), expected)
    turn = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    assert np.allclose(feature_strengths(X @ W.T @ turn), feature_strengths(X @ W.T))


def test_the_corrected_interval_is_wider_than_the_naive_one():
    scores = np.random.default_rng(0).normal(0.8, 0.05, 10)
    found = resampled_mean(scores, 5, 0.9)
    low, high = stats.t.interval(0.9, 9, scores.mean(), stats.sem(scores))
    widening = np.sqrt((1 / 10 + 1 / 4) / (1 / 10))
    assert found.high - found.low == pytest.approx(widening * (high - low))


def test_equal_blocks_score_equally():
    rng = np.random.default_rng(0)
    Z, codes = rng.normal(size=(90, 3)), np.arange(90) % 3
    scores = probe_scores([Z, 2 * Z + 1, Z], codes, 3, 5, 2, rng)
    assert np.array_equal(scores[0], scores[2])
    assert np.allclose(scores[0], scores[1])


def test_redundancy_of_copies_is_exactly_none():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(200, 4))
    found = RepresentationRedundancy(random_state=0).measure([Z, Z], Z[:, 0] > 0, [Z, Z], Z[:, 1] > 0)
    assert abs(found.in_distribution.value) < 0.02 and abs(found.shifted.value) < 0.02
    assert "one network will do" in str(found)


def test_complementary_members_are_told():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400))
    members = [a[:, None], b[:, None]]
    found = RepresentationRedundancy(random_state=0).measure(members, a + b > 0, members, a - b > 0)
    assert found.in_distribution.low > 0.1 and found.shifted.low > 0.1
    assert "complement" in str(found)


def test_advice_where_the_head_drops_the_feature_and_where_it_keeps_it():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6))
    after = X * [1, 1, 1, 1, 1, 0]
    task = ProjectionHeadAdvice(random_state=0).measure
    weak, strong = task(X, after, X[:, 5] > 0, inputs=X), task(X, after, X[:, 0] > 0, inputs=X)
    assert weak.layer == "before" and weak.difference.low > 0.3 and "before" in str(weak)
    assert strong.layer == "either" and "Either" in str(strong)
    assert task(after, X, X[:, 5] > 0).layer == "after"
    assert weak.strength_after.gini.value > weak.strength_before.gini.value + 0.1
    assert weak.strength_before.effective.value == pytest.approx(6, abs=0.1)
    assert np.allclose(weak.strength_after.strengths[5], 0, atol=1e-9)


def test_rows_without_a_label_do_not_reach_the_probe():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = (X[:, 0] > 0).astype(int)
    known = np.arange(300) < 200
    part = ProjectionHeadAdvice(random_state=0).measure(X, X, np.where(known, y, -1))
    alone = ProjectionHeadAdvice(random_state=0).measure(X[known], X[known], y[known])
    assert part.before == alone.before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"after": np.zeros((5, 2))}, "after has 5 rows"),
        ({"y": np.arange(60) < 3}, "at least 5 labelled rows each"),
        ({"before": np.full((60, 2), np.nan)}, "before must be finite"),
        ({"inputs": np.zeros((4, 2))}, "inputs has 4 rows"),
    ],
)
def test_bad_input(change, message):
    Z = np.random.default_rng(0).normal(size=(60, 2))
    given_ = {"before": Z, "after": Z, "y": np.arange(60) % 2, **change}
    with pytest.raises(InputError, match=message):
        ProjectionHeadAdvice(random_state=0).measure(**given_)


def test_redundancy_needs_the_same_networks():
    Z = np.zeros((20, 2))
    with pytest.raises(InputError, match="same networks, at least two"):
        RepresentationRedundancy().measure([Z], np.arange(20) % 2, [Z], np.arange(20) % 2)
