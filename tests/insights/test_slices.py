"""Weak slices against simulated ones: the planted one is found, chance is not, and intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact, ttest_ind

from labelwise.insights import Slice, sources, weak_slices
from labelwise.insights.slices import _means, _shares


def planted(rng: np.random.Generator, n: int = 2000, extra: float = 0.25) -> tuple[np.ndarray, list[Slice]]:
    slices = [Slice(f"column {i}", "yes", rng.random(n) < 0.2) for i in range(30)]
    error = rng.random(n) < 0.1 + extra * slices[7].rows
    return error.astype(float), slices


def test_a_planted_slice_is_found_with_its_numbers():
    error, slices = planted(np.random.default_rng(0))
    found, looked = weak_slices(error, slices)
    assert looked == 30 and [w.slice.column for w in found] == ["column 7"]
    rows = slices[7].rows
    assert found[0].support == rows.sum()
    assert found[0].error.value == pytest.approx(error[rows].mean())
    assert found[0].difference.value == pytest.approx(error[rows].mean() - error[~rows].mean())
    assert found[0].difference.low < 0.25 < found[0].difference.high


def test_chance_is_named_rarely():
    rng = np.random.default_rng(1)
    named = sum(bool(weak_slices(*planted(rng, 400, 0.0))[0]) for _ in range(60))
    assert named <= 15  # 10 % of 60 expected at most; Holm and Fisher's test are cautious


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_p_values_against_scipy(seed: int):
    rng = np.random.default_rng(seed)
    inside, outside = (rng.random(rng.integers(20, 80)) < rng.random() for _ in range(2))
    table = [[inside.sum(), (~inside).sum()], [outside.sum(), (~outside).sum()]]
    difference, p = _shares(inside.astype(float), outside.astype(float), 0.9)
    assert p == pytest.approx(fisher_exact(table, alternative="greater").pvalue, abs=1e-9)
    assert -1 <= difference.low <= difference.value <= difference.high <= 1


def test_sizes_of_errors_are_compared_by_their_means():
    rng = np.random.default_rng(2)
    inside, outside = rng.gamma(2, 2, 60), rng.gamma(2, 1, 200)
    difference, p = _means(inside, outside, 0.9)
    assert p == pytest.approx(ttest_ind(inside, outside, equal_var=False, alternative="greater").pvalue)
    assert difference.low < 2 < difference.high


def test_slices_that_say_the_same_are_named_once_and_a_column_fills_no_list():
    rng = np.random.default_rng(3)
    value = rng.integers(0, 10, 3000)
    error = (rng.random(3000) < np.where(value < 6, 0.5, 0.05)).astype(float)
    slices = [Slice("class", str(v), value == v) for v in range(10)]
    found, _ = weak_slices(error, [*slices, Slice("same as 0", "0", value == 0)], each=3)
    assert [w.slice.column for w in found].count("class") == 3
    rows = [w.slice.rows for w in found]
    assert all((a & b).sum() <= 0.6 * (a | b).sum() for i, a in enumerate(rows) for b in rows[:i])


def test_small_slices_are_not_looked_at():
    error = np.r_[np.ones(10), np.zeros(90)]
    assert weak_slices(error, [Slice("a", "b", error == 1)]) == ([], 0)
    assert weak_slices(error, []) == ([], 0)


def test_sources_are_told_largest_first_and_unknown_ones_left_out():
    told = sources([1, 0, 0, 0.0, 1, 1], ["a", "a", "a", "b", "b", None])
    assert [(line["source"], line["support"]) for line in told] == [("a", 3), ("b", 2)]
    assert told[0]["value"] == pytest.approx(1 / 3) and told[0]["low"] < 1 / 3 < told[0]["high"]
    sizes = sources([0.5, 1.5, 2.5], ["a", "a", "b"])
    assert sizes[0]["value"] == 1.0 and sizes[1]["low"] is None
