"""Intrinsic dimension against slow code of its own, known manifolds, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from labelwise.base import InputError
from labelwise.diagnostics import IntrinsicDimension
from labelwise.diagnostics.intrinsic import mle_inverses, two_nn


def slow_dimension(Z, k):
    """Levina and Bickel with averaged inverses, point by point."""
    total = 0.0
    for i in range(len(Z)):
        distances = sorted(np.linalg.norm(Z[i] - Z[j]) for j in range(len(Z)) if j != i)
        total += sum(np.log(distances[k - 1] / distances[j]) for j in range(k - 1)) / (k - 1)
    return len(Z) / total


def slow_two_nn(Z):
    distances = np.sort(cdist(Z, Z), axis=1)
    ratios = np.sort(distances[:, 2] / distances[:, 1])
    F = np.arange(1, len(Z) + 1) / (len(Z) + 1)
    kept = int(0.9 * len(Z))
    x, y = np.log(ratios[:kept]), -np.log(1 - F[:kept])
    return np.linalg.lstsq(x[:, None], y, rcond=None)[0][0]


def sheet(n, m, d=50, seed=0):
    """A curved m-dimensional surface in d dimensions, of Gaussian density."""
    rng = np.random.default_rng(seed)
    U = rng.normal(size=(n, m))
    return 0.3 * U @ rng.normal(size=(m, d)) + np.sin(U @ rng.normal(size=(m, d)) / 2)


def sphere(n, m, d=50, seed=0):
    rng = np.random.default_rng(seed)
    U = rng.normal(size=(n, m + 1))
    return U / np.linalg.norm(U, axis=1, keepdims=True) @ np.linalg.qr(rng.normal(size=(d, m + 1)))[0].T


@settings(max_examples=15, deadline=None)
@given(st.integers(12, 60), st.integers(1, 6), st.integers(3, 9), st.integers(0, 999))
def test_both_estimates_are_the_formulas(n, d, k, seed):
    Z = np.random.default_rng(seed).normal(size=(n, d))
    found = IntrinsicDimension(k=k, repeats=2, random_state=seed).measure(Z)
    assert found.dimension.value == pytest.approx(slow_dimension(Z, k), rel=1e-3)
    assert found.two_nn.value == pytest.approx(slow_two_nn(Z), rel=1e-2)
    assert found.dimension.low <= found.dimension.value <= found.dimension.high


@pytest.mark.parametrize("m", range(2, 11))
@pytest.mark.parametrize("shape", [sheet, sphere])
def test_known_manifolds_within_15_percent(shape, m):
    found = IntrinsicDimension(repeats=5, random_state=0).measure(shape(2500, m))
    assert found.dimension.value == pytest.approx(m, rel=0.15)
    assert found.agree


def test_halves_of_the_neighbour_lists_are_the_estimates_of_halves_of_the_rows():
    """A half's neighbours come from the lists of the whole: as if searched anew."""
    Z = sheet(400, 4)
    found = IntrinsicDimension(k=10, repeats=30, random_state=0).measure(Z)
    rng = np.random.default_rng(1)
    anew = [slow_inverse_mean(Z[rng.permutation(400)[:200]], 10) for _ in range(60)]
    assert found.fewer_rows == pytest.approx(np.mean(anew), rel=0.02)


def slow_inverse_mean(Z, k):
    return 1 / mle_inverses(np.sort(cdist(Z, Z), axis=1)[:, 1 : k + 1]).mean()


def test_interval_is_as_wide_as_fresh_samples_spread():
    found = [IntrinsicDimension(random_state=0, repeats=20).measure(sheet(400, 3, 10, seed)) for seed in range(30)]
    for name, widest in (("dimension", 1.6), ("two_nn", 2.0)):
        numbers = [getattr(one, name) for one in found]
        width = np.mean([one.high - one.low for one in numbers]) / 2 / 1.645
        assert 0.6 < width / np.std([one.value for one in numbers]) < widest


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.floats(1e-3, 1e3))
def test_rotation_scale_and_order_do_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    Z = sheet(200, 3, 8, seed)
    changed = scale * rng.permutation(Z) @ np.linalg.qr(rng.normal(size=(8, 8)))[0] + 3 * scale
    measure = IntrinsicDimension(repeats=2, random_state=0).measure
    assert measure(changed).dimension.value == pytest.approx(measure(Z).dimension.value, rel=1e-3)


def test_copies_change_nothing_and_are_counted():
    Z = sheet(500, 3)
    plain, doubled = (IntrinsicDimension(random_state=0).measure(rows) for rows in (Z, np.repeat(Z, 3, axis=0)))
    assert doubled.dimension.value == pytest.approx(plain.dimension.value, rel=1e-4)
    assert doubled.copies == pytest.approx(2 / 3)
    assert "exact copies" in str(doubled)


def test_noise_at_small_scales_makes_the_two_estimates_disagree():
    Z = sheet(3000, 1, 20) + 0.01 * np.random.default_rng(0).normal(size=(3000, 20))
    found = IntrinsicDimension(random_state=0).measure(Z)
    assert not found.agree
    assert found.two_nn.value > found.dimension.value
    assert "disagree" in str(found)


def test_local_dimensions_have_the_right_mean_in_every_part():
    flat, full = np.zeros((1500, 6)), np.random.default_rng(1).normal(size=(1500, 6)) + 50
    flat[:, :2] = np.random.default_rng(0).normal(size=(1500, 2))
    found = IntrinsicDimension(random_state=0).measure(np.vstack([flat, full]))
    assert found.local[found.rows < 1500].mean() == pytest.approx(2, rel=0.1)
    assert found.local[found.rows >= 1500].mean() == pytest.approx(6, rel=0.15)


def test_samples_bound_the_work():
    found = IntrinsicDimension(samples=800, repeats=3, random_state=0).measure(sheet(5000, 3))
    assert len(found.rows) == 800
    assert len(np.unique(found.rows)) == 800


@pytest.mark.slow
def test_an_approximate_search_gives_the_same_dimension(monkeypatch):
    monkeypatch.setattr("labelwise.parts.neighbours.EXACT_WORK", 1e9)
    Z = sheet(30_000, 4, 60).astype(np.float32)
    found = IntrinsicDimension(samples=None, repeats=3, random_state=0).measure(Z)
    assert found.recall < 1
    assert found.dimension.value == pytest.approx(4, rel=0.1)


def test_rows_equally_far_from_each_other_have_no_dimension():
    found = IntrinsicDimension(random_state=0).measure(np.eye(60))
    assert np.isinf(found.dimension.value)
    assert two_nn(np.ones((5, 2))) == np.inf


def test_too_few_different_rows_are_refused():
    with pytest.raises(InputError, match="2 different rows"):
        IntrinsicDimension().measure(np.repeat(np.eye(2), 50, axis=0))
    with pytest.raises(InputError, match="Z must be"):
        IntrinsicDimension().measure(np.ones(4))
