"""Distances between domains against slow and obvious versions, and the reversed gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import rbf_kernel

from labelwise.base import InputError
from labelwise.parts.domains import GradientReversal, coral, mmd, proxy_a_distance, ramp, reverse


def samples(seed, n=7, m=5, d=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 1.5 * rng.normal(size=(m, d)) + 0.3


def slow_mmd(a, b, bandwidths):
    total = 0.0
    for w in bandwidths:
        k = lambda x, y: rbf_kernel(x, y, gamma=1 / (2 * w)).mean()  # noqa: B023, E731
        total += k(a, a) + k(b, b) - 2 * k(a, b)
    return total


def slow_coral(a, b):
    gap = np.cov(a, rowvar=False) - np.cov(b, rowvar=False)
    return (gap**2).sum() / (4 * a.shape[1] ** 2)


def slope(function, a, b, step=1e-5):
    found = np.zeros_like(a)
    for at in np.ndindex(a.shape):
        up, down = a.copy(), a.copy()
        up[at] += step
        down[at] -= step
        found[at] = (function(up, b) - function(down, b)) / (2 * step)
    return found


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 6), m=st.integers(2, 6))
def test_value_and_gradient_of_both_distances(seed, n, m):
    a, b = samples(seed, n, m)
    widths = (0.5, 2.0, 10.0)
    for fast, slow in (
        (lambda x, y: mmd(x, y, widths), lambda x, y: slow_mmd(x, y, widths)),
        (coral, slow_coral),
    ):
        x, y = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
        value = fast(x, y)
        value.backward()
        assert float(value.detach()) == pytest.approx(slow(a, b), rel=1e-9, abs=1e-12)
        assert float(value.detach()) > -1e-12
        np.testing.assert_allclose(x.grad, slope(slow, a, b), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(y.grad, slope(lambda p, q, f=slow: f(q, p), b, a), rtol=1e-4, atol=1e-6)


def test_bandwidths_by_the_median_are_those_of_all_pairs():
    a, b = samples(0)
    both = np.concatenate([a, b])
    gap = ((both[:, None] - both[None]) ** 2).sum(2)
    middle = np.sort(gap.ravel())[(gap.size - 1) // 2]
    expected = slow_mmd(a, b, [middle * s for s in (0.25, 0.5, 1, 2, 4)])
    assert float(mmd(torch.tensor(a), torch.tensor(b))) == pytest.approx(expected, rel=1e-9)


def test_alike_samples_and_empty_ones_are_at_distance_zero():
    a = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    none = torch.zeros(0, 4, requires_grad=True)
    for distance in (mmd, coral):
        assert float(distance(a, a.flip(0)).detach()) == pytest.approx(0, abs=1e-6)
        empty = distance(a, none)
        empty.backward()
        assert float(empty.detach()) == 0 and bool(torch.isfinite(a.grad).all())
    assert float(coral(a[:1], a).detach()) == 0


def test_bad_samples_are_told():
    a = torch.zeros(3, 2)
    for call in (lambda: mmd(a, torch.zeros(3, 3)), lambda: coral(a[0], a)):
        with pytest.raises(InputError, match="a and b must be"):
            call()
    for widths in ([], [1.0, 0.0], [float("nan")]):
        with pytest.raises(InputError, match="bandwidths"):
            mmd(a, a, widths)
    with pytest.raises(InputError, match="two rows or more"):
        proxy_a_distance(np.zeros((1, 2)), np.zeros((5, 2)))


def test_reversed_gradient_drives_what_is_before_it_the_other_way():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for layer in (lambda v: reverse(v, 0.25), GradientReversal(0.25)):
        x.grad = None
        y = layer(x)
        assert torch.equal(y, x)
        (3 * y).sum().backward()
        assert torch.allclose(x.grad, torch.full((2,), -0.75))


def test_the_ramp_grows_from_nothing():
    values = [ramp(p) for p in np.linspace(0, 1, 21)]
    assert values[0] == 0 and np.all(np.diff(values) > 0) and values[-1] == pytest.approx(math.tanh(5))


def test_domain_distance_grows_with_the_shift_and_covers_a_known_error():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1000, 2))
    found = [proxy_a_distance(a, b + np.array([gap, 0])) for gap in (0.0, 1.0, 2.0, 4.0)]
    values = [estimate.value for estimate in found]
    assert values == sorted(values) and values[0] < 0.2 and values[-1] > 1.8
    from scipy.stats import norm

    wanted = 2 * (1 - 2 * norm.cdf(-1.0))  # two normals two standard deviations apart
    assert found[2].low - 0.05 < wanted < found[2].high + 0.05
    assert all(0 <= e.low <= e.value <= e.high <= 2 for e in found)


def test_domain_distance_does_not_mind_unequal_domains_and_uses_few_rows():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(900, 3)), rng.normal(size=(90, 3))
    assert proxy_a_distance(a, b).value < 0.5
    assert proxy_a_distance(a, b, rows=50) == proxy_a_distance(a, b, rows=50)
    assert proxy_a_distance(a[:3], b[:2] + 9).value > 0.5  # folds shrink with the rows
