"""Label sharpness against a loop over pairs, and the scaling law on losses that follow it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.diagnostics import LabelSharpness, scaling_law
from labelwise.diagnostics.sharpness import _sharpest, contradictory


def slow_ratios(X, y, classes):
    ratios = []
    for i in range(len(X)):
        for j in range(i + 1, len(X)):
            apart = np.linalg.norm(X[i] - X[j])
            if apart > 0:
                ratios.append((float(y[i] != y[j]) if classes else abs(y[i] - y[j])) / apart)
    return np.array(ratios)


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 25), st.integers(1, 4), st.booleans(), st.integers(0, 999))
def test_one_subsample_is_the_definition(n, d, classes, seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 4, (n, d)).astype(float)
    y = rng.integers(0, 3, n)
    points = np.eye(3)[y] / np.sqrt(2) if classes else y[:, None].astype(float)
    same = np.unique(X, axis=0, return_inverse=True)[1].ravel()
    expected = slow_ratios(X, y, classes)
    if len(expected):
        found = _sharpest(X, points, same, 0.9)
        assert found.largest == pytest.approx(expected.max())
        assert found.quantile == pytest.approx(np.quantile(expected, 0.9))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=30))
def test_contradictions_are_those_of_a_loop(rows):
    X, y = np.array(rows).T
    first = np.array([int(np.flatnonzero(value == X)[0]) for value in X])
    expected = [any(a == b and u != v for b, v in rows) for a, u in rows]
    assert contradictory(first, y[:, None].astype(float)).tolist() == expected


def test_lipschitz_constant_of_a_line_and_of_its_double():
    X = np.random.default_rng(0).uniform(size=(300, 1))
    one, two = (LabelSharpness(random_state=0).measure(X, slope * X[:, 0]) for slope in (1.0, 2.0))
    assert one.largest.value == pytest.approx(1)
    assert two.quantile.value == pytest.approx(2)


def test_more_boundaries_are_sharper_and_scale_divides():
    X = np.random.default_rng(0).uniform(size=(2000, 2))
    sharpness = [
        LabelSharpness(random_state=0).measure(X, (np.sin(f * X[:, 0]) > 0).astype(int)).quantile.value
        for f in (3, 12, 48)
    ]
    assert sharpness == sorted(sharpness)
    y = (X[:, 0] > 0.5).astype(int)
    small, large = (LabelSharpness(random_state=0).measure(X * scale, y).largest.value for scale in (1, 10))
    assert small == pytest.approx(10 * large)


def test_contradictions_are_reported_and_not_infinite():
    X = np.random.default_rng(0).normal(size=(50, 2))
    X[10] = X[4]
    y = np.zeros(50, dtype=int)
    y[4] = 1
    found = LabelSharpness(random_state=0).measure(X, y)
    assert found.contradictions.tolist() == [4, 10]
    assert np.isfinite(found.largest.high)
    assert "identical row" in str(found)


def test_the_pair_named_is_the_sharpest_one():
    X = np.linspace(0, 100, 200)[:, None].copy()
    X[77] = X[120] + 1e-3
    y = np.where(np.arange(200) == 77, "b", "a")
    found = LabelSharpness(samples=100, repeats=60, random_state=0).measure(X, y)
    assert found.pair == (77, 120)


def test_text_labels_gaps_and_several_targets():
    X = np.random.default_rng(0).normal(size=(60, 3))
    words = np.where(X[:, 0] > 0, "yes", "no").astype(object)
    words[:5] = None
    codes = np.where(np.arange(60) < 5, -1, X[:, 0] > 0)
    by_name, by_code = (LabelSharpness(random_state=0).measure(X, y) for y in (words, codes))
    assert by_name.largest == by_code.largest
    real = X @ np.ones((3, 2))
    real[:3] = np.nan
    assert LabelSharpness(random_state=0).measure(X, real).largest.value <= np.sqrt(6) + 1e-9
    assert LabelSharpness(target="classes", random_state=0).measure(X, (X[:, 0] > 0).astype(float)).size == 30


def test_equal_labels_are_not_sharp_at_all():
    found = LabelSharpness(random_state=0).measure(
        np.random.default_rng(0).normal(size=(20, 2)), np.ones(20, dtype=int)
    )
    assert found.largest.value == 0
    assert found.pair is None
    same = LabelSharpness(random_state=0).measure(np.ones((20, 2)), np.arange(20))
    assert same.largest.value == 0
    assert len(same.contradictions) == 20


@pytest.mark.parametrize(
    ("X", "y", "told"),
    [
        (np.ones((5, 1)), [0, 1], "2 entries and X 5 rows"),
        (np.eye(5), [-1, -1, -1, 0, 1], "2 labelled rows"),
        (np.eye(5), [0.0, 1.0, 2.0, np.inf, 1.0], "Row 3 is infinite"),
        (np.ones(5), [0, 1, 0, 1, 0], "X must be"),
    ],
)
def test_bad_input(X, y, told):
    with pytest.raises(InputError, match=told):
        LabelSharpness().measure(X, y)


@settings(max_examples=20, deadline=None)
@given(st.floats(1, 20), st.floats(0.1, 10), st.floats(-3, 3))
def test_losses_that_follow_the_law_are_recovered(m, K, constant):
    N = np.array([100, 300, 1000, 3000])
    loss = K * np.exp(constant) * N ** (-1 / m)
    law = scaling_law(N, loss, m, K)
    assert law.slope.value == pytest.approx(law.expected)
    assert law.constant == pytest.approx(constant, abs=1e-9)
    assert law.error == pytest.approx(0, abs=1e-9)
    assert law.predict([5000], 2 * K) == pytest.approx(2 * K * np.exp(constant) * 5000 ** (-1 / m))


def test_scaling_law_interval_and_bad_input():
    assert scaling_law([10, 20], [2.0, 1.0], 1.0).slope.high == np.inf
    assert np.isfinite(scaling_law([10, 20, 40], [2.0, 1.0, 0.6], 1.0).slope.high)
    for sizes, losses, m in (([10], [1.0], 1.0), ([10, 20], [1.0, 0.0], 1.0), ([10, 20], [1.0, 0.5], 0.0)):
        with pytest.raises(InputError):
            scaling_law(sizes, losses, m)
