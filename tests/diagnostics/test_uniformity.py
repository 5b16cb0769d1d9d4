"""Uniformity, tolerance and evenness of penalties against loops over pairs; the temperature trace on made embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.diagnostics import UniformityTolerance, penalty_entropy, temperature_trace, tolerance, uniformity


def pairs(n):
    return [(i, j) for i in range(n) for j in range(i)]


def unit(Z):
    return Z / np.linalg.norm(Z, axis=1, keepdims=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 15), st.integers(1, 5), st.integers(0, 999))
def test_uniformity_and_tolerance_are_loops_over_pairs(n, d, seed):
    rng = np.random.default_rng(seed)
    Z, y = rng.normal(size=(n, d)), rng.integers(0, 3, n)
    z = unit(Z)
    kernel = [np.exp(-2 * np.sum((z[i] - z[j]) ** 2)) for i, j in pairs(n)]
    assert uniformity(Z) == pytest.approx(-np.log(np.mean(kernel)), abs=1e-9)
    same = [z[i] @ z[j] for i, j in pairs(n) if y[i] == y[j]]
    if same:
        assert tolerance(Z, y) == pytest.approx(np.mean(same), abs=1e-9)
    else:
        assert np.isnan(tolerance(Z, y))


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 12), st.floats(0.02, 5), st.integers(0, 999))
def test_evenness_is_the_entropy_of_a_softmax_and_rises_with_temperature(n, t, seed):
    z = unit(np.random.default_rng(seed).normal(size=(n, 3)))
    for i, found in enumerate(penalty_entropy(z, t)):
        weight = np.exp(np.array([z[i] @ z[j] for j in range(n) if j != i]) / t)
        p = weight / weight.sum()
        assert found == pytest.approx(-(p * np.log(np.maximum(p, 1e-300))).sum() / np.log(n - 1), abs=1e-6)
    assert (penalty_entropy(z, 2 * t) >= penalty_entropy(z, t) - 1e-9).all()


def test_jackknife_interval_is_that_of_leaving_rows_out():
    rng = np.random.default_rng(0)
    Z, y = rng.normal(size=(30, 4)), rng.integers(0, 2, 30)
    found = UniformityTolerance(random_state=0).measure(Z, y)
    both = [(uniformity(Z[kept]), tolerance(Z[kept], y[kept])) for kept in ~np.eye(30, dtype=bool)]
    for estimate, without in zip((found.uniformity, found.tolerance), np.array(both).T, strict=True):
        error = np.sqrt(29 / 30 * np.sum((without - without.mean()) ** 2))
        assert estimate.high - estimate.value == pytest.approx(1.6448536 * error)


def test_interval_is_as_wide_as_fresh_samples_spread():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        y = rng.integers(0, 4, 150)
        found.append(UniformityTolerance(random_state=0).measure(2 * np.eye(6)[y] + rng.normal(size=(150, 6)), y))
    for name in ("uniformity", "tolerance"):
        numbers = [getattr(one, name) for one in found]
        width = np.mean([one.high - one.low for one in numbers]) / 2 / 1.645
        assert 0.7 < width / np.std([one.value for one in numbers]) < 1.4


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99))
def test_rotation_length_and_order_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    Z, y = rng.normal(size=(40, 5)), rng.integers(0, 3, 40)
    order = rng.permutation(40)
    changed = (Z * rng.uniform(0.5, 3, (40, 1)))[order] @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert uniformity(changed) == pytest.approx(uniformity(Z))
    assert tolerance(changed, y[order]) == pytest.approx(tolerance(Z, y))


def test_collapse_is_tolerant_and_not_uniform():
    found = UniformityTolerance().measure(np.ones((50, 4)), np.arange(50) % 5)
    assert found.uniformity.value == pytest.approx(0, abs=1e-9)
    assert found.tolerance.value == pytest.approx(1)
    assert found.entropy.value == pytest.approx(1)
    assert "tolerance" in str(found)
    assert "tolerance" not in str(UniformityTolerance().measure(np.eye(4)))


def test_gaussian_rows_of_many_dimensions_are_nearly_4():
    assert uniformity(np.random.default_rng(0).normal(size=(1000, 200))) == pytest.approx(4, abs=0.1)


def test_zero_rows_and_unlabelled_rows():
    Z = np.random.default_rng(0).normal(size=(20, 3))
    y = np.r_[np.zeros(8, dtype=int), np.ones(8, dtype=int), [-1] * 4]
    assert tolerance(Z, y) == pytest.approx(tolerance(Z[:16], y[:16]))
    Z[3] = 0
    assert np.isfinite(uniformity(Z))


def made(t):
    """Embeddings as training at temperature t leaves them: classes torn apart below 0.3, merged above."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 4
    return np.eye(8)[y] * min(t, 0.09 / t) + 0.12 * rng.normal(size=(600, 8)) + (0.5 * (t > 0.3) * t)


def test_the_trace_flags_both_ends():
    y = np.arange(600) % 4
    trace = temperature_trace(made, y, (1.0, 0.03, 0.3))
    assert trace.temperatures == (0.03, 0.3, 1.0)
    assert trace.flags == ("too small", "", "too large")
    assert trace.advised == (0.3,)
    assert [found.entropy.value for found in trace.results] == sorted(found.entropy.value for found in trace.results)
    assert str(trace).count("\n") == 3
    assert "too small" in str(trace)


def test_without_labels_the_trace_sees_collapse_only():
    trace = temperature_trace(lambda t: np.ones((20, 3)) + (t < 0.5) * np.random.default_rng(0).normal(size=(20, 3)))
    assert set(trace.flags[-2:]) == {"too large"}
    assert not any(trace.flags[:4])
    assert trace.accuracy is None


def test_bad_input():
    with pytest.raises(InputError, match="2 entries and Z 3 rows"):
        UniformityTolerance().measure(np.eye(3), [0, 1])
    with pytest.raises(InputError, match="temperature must be"):
        penalty_entropy(np.eye(3), 0.0)
    with pytest.raises(InputError, match="at least two positive"):
        temperature_trace(made, None, (0.3,))
