"""Density of real targets against slow counting; weights, shots and balanced readings by their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from labelwise.base import InputError
from labelwise.parts.class_counts import SHOTS
from labelwise.parts.label_density import balancing, label_density, smooth, value_shots, window


@given(st.integers(0, 10_000), st.integers(20, 400), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_counts_are_those_of_a_loop(seed: int, n: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.gamma(2.0, size=n) if seed % 2 else rng.integers(0, 12, n).astype(float)
    if len(np.unique(y)) < 2:
        return
    density = label_density(y, bins)
    place = density.bins(y)
    assert (place >= 0).all()
    expected = [sum(int(p == b) for p in place) for b in range(len(density.counts))]
    assert density.counts.tolist() == expected
    for value, p in zip(y, place, strict=True):
        assert density.edges[p] <= value <= density.edges[p + 1]
    assert density.smoothed.sum() == pytest.approx(n)  # reflection loses no row


@given(st.integers(0, 10_000), st.floats(0.3, 4))
@settings(max_examples=30, deadline=None)
def test_gaussian_smoothing_is_scipys(seed: int, sigma: float) -> None:
    counts = np.random.default_rng(seed).poisson(5, 40).astype(float)
    reach = int(np.ceil(3 * sigma))
    np.testing.assert_allclose(smooth(counts, sigma), gaussian_filter1d(counts, sigma, mode="reflect", radius=reach))


@pytest.mark.parametrize("kernel", ["gaussian", "triangle", "laplace"])
def test_kernels_are_symmetric_sum_to_one_and_have_their_width(kernel: str) -> None:
    shape = window(6.0, kernel)  # type: ignore[arg-type]
    at = np.arange(len(shape)) - len(shape) // 2
    assert shape.sum() == pytest.approx(1)
    np.testing.assert_allclose(shape, shape[::-1])
    assert np.sqrt((shape * at**2).sum()) == pytest.approx(6, rel=0.25)  # the reach cuts some of the tails


@given(st.integers(0, 10_000), st.sampled_from(["inverse", "square root"]), st.floats(1, 50))
@settings(max_examples=50, deadline=None)
def test_weights_have_mean_one_and_order(seed: int, kind: str, largest: float) -> None:
    y = np.random.default_rng(seed).gamma(1.0, size=300)
    density = label_density(y)
    weight = density.weights(y, kind, largest)  # type: ignore[arg-type]
    assert weight.mean() == pytest.approx(1)
    order = np.argsort(density(y))
    assert (np.diff(weight[order]) <= 1e-9).all()  # never larger where rows are more frequent
    if largest > 40:
        power = -1 if kind == "inverse" else -0.5
        raw = density(y) ** power
        free = raw < largest * raw.mean() * 0.99
        np.testing.assert_allclose((weight / raw)[free], (weight / raw)[free][0])


def test_weights_outside_and_of_nan() -> None:
    density = label_density(np.repeat([1.0, 2.0, 3.0], [50, 10, 2]))
    assert density.weights([np.nan, 99.0, 3.0]).tolist()[0] == 0
    assert density.weights([99.0])[0] == density.weights([3.0])[0] == density.weights([1.0, 2.0, 3.0]).max()


def test_sample_weight_is_the_row_so_many_times() -> None:
    rng = np.random.default_rng(0)
    y, times = rng.integers(0, 6, 80).astype(float), rng.integers(1, 4, 80)
    once, often = label_density(y, sample_weight=times), label_density(np.repeat(y, times))
    np.testing.assert_allclose(once.counts, often.counts)


def test_shots_by_given_numbers_are_the_usual_ones() -> None:
    counts = np.array([300, 101, 100, 20, 19, 1])
    y = np.repeat(np.arange(6.0), counts)
    assert value_shots(y, np.arange(6.0), many=100, few=20).tolist() == [0, 0, 1, 1, 2, 2]
    assert SHOTS == ("many", "medium", "few")


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_shots_depend_on_the_order_of_density_only_through_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=rng.integers(50, 2000)) ** 2
    values = np.linspace(-1, y.max() + 1, 200)
    shots, rows = value_shots(y, values), label_density(y)(values)
    assert set(shots.tolist()) <= {0, 1, 2}
    assert (np.diff(shots[np.argsort(-rows, kind="stable")]) >= 0).all()
    np.testing.assert_array_equal(value_shots(3 * y + 7, 3 * values + 7), shots)  # whatever the unit


def test_even_targets_are_all_many_and_a_long_tail_has_all_three() -> None:
    assert (value_shots(np.linspace(0, 1, 1000), np.linspace(0, 1, 50)) == 0).all()
    y = np.random.default_rng(0).exponential(size=3000)
    assert set(value_shots(y, y).tolist()) == {0, 1, 2}


def test_shots_take_missing_targets_and_matrices() -> None:
    y = np.r_[np.repeat([1.0, 2.0], [90, 2]), np.nan]
    assert value_shots(y, [[1.0, np.nan], [2.0, 9.0]]).tolist() == [[0, -1], [2, 2]]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_balanced_mean_is_the_mean_of_the_bins_means(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, error = rng.integers(0, 7, 60).astype(float), rng.random(60)
    expected = np.mean([error[y == v].mean() for v in np.unique(y)])
    assert (balancing(y) * error).mean() == pytest.approx(expected)


@pytest.mark.parametrize("y", [[3.0, 3.0, 3.0], [np.nan, np.nan], [1.0, np.inf], [[1.0, 2.0]], []])
def test_bad_targets(y: list[float]) -> None:
    with pytest.raises(InputError, match="y "):
        label_density(y)


def test_bad_parameters() -> None:
    with pytest.raises(InputError, match="sigma"):
        window(-1)
    with pytest.raises(InputError, match="largest"):
        label_density([1, 2]).weights([1], largest=0.5)
