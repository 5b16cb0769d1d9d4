from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.diagnostics import NearDuplicates
from labelwise.diagnostics.duplicates import chance_pairs, equal_texts
from labelwise.parts.neighbours import Neighbours
from labelwise.parts.row_hashes import equal_rows


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 20), st.integers(0, 40), st.integers(0, 99))
def test_planted_copies_are_found_exactly(d, copies, seed):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(200 + copies, d))
    source = rng.integers(0, 200, copies)
    Z[200:] = Z[source]
    found = NearDuplicates().measure(Z)
    expected = np.zeros(len(Z), dtype=bool)
    expected[200:] = True
    expected[source] = True
    np.testing.assert_array_equal(found.exact, expected)
    assert (found.group[200:] == found.group[source]).all()
    assert found.extra.sum() == (found.group >= 0).sum() - len(np.unique(found.group[found.group >= 0]))
    assert ((found.distance == 0) == expected).all()


@pytest.mark.parametrize("d", [4, 20, 200])
def test_near_copies_are_found_and_ordinary_rows_are_not(d):
    false = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        Z = rng.normal(size=(1000, d))
        Z[900:] = Z[:100] + 0.003 * rng.normal(size=(100, d))
        group = NearDuplicates().measure(Z).group
        assert (group[900:] == group[:100]).mean() > 0.97
        false.append((group[100:900] >= 0).sum())
    assert np.mean(false) < 8


@pytest.mark.parametrize("d", [2, 5, 50])
def test_no_copies_no_groups(d):
    groups = [
        (NearDuplicates().measure(np.random.default_rng(s).normal(size=(800, d))).group >= 0).sum() for s in range(5)
    ]
    assert np.mean(groups) < 1


def test_equal_rows_of_a_small_table_are_no_copies():
    Z = np.random.default_rng(0).integers(0, 3, size=(500, 4))
    found = NearDuplicates().measure(Z)
    assert found.by_chance > 100 and (found.group == -1).all() and not found.exact.any()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 1), min_size=2, max_size=2), min_size=1, max_size=30))
def test_equal_rows_by_brute_force(rows):
    array = np.array(rows, dtype=float)
    array[array == 0] *= -1  # -0.0
    expected = [next(j for j in range(len(array)) if (array[j] == array[i]).all()) for i in range(len(array))]
    assert equal_rows(array).tolist() == expected


def test_chance_pairs_is_the_expectation():
    rng = np.random.default_rng(0)
    counted = []
    for _ in range(200):
        rows = rng.integers(0, 5, size=(40, 3))
        counted.append(sum((rows[i] == rows[j]).all() for i in range(40) for j in range(i)))
    assert chance_pairs(rng.integers(0, 5, size=(40, 3)).astype(float)) == pytest.approx(np.mean(counted), rel=0.3)


def test_texts_join_groups():
    rng = np.random.default_rng(0)
    texts = [f"text {number}" for number in range(100)]
    texts[50] = "TEXT 3!"
    found = NearDuplicates().measure(rng.normal(size=(100, 5)), texts=texts)
    assert np.flatnonzero(found.group >= 0).tolist() == [3, 50]
    assert equal_texts([None, 5, "", "a", "A"]).tolist() == [0, 1, 2, 3, 3]


def test_more_copies_than_neighbours():
    Z = np.random.default_rng(0).normal(size=(300, 5))
    Z[:40] = Z[0]
    assert (NearDuplicates().measure(Z).group[:40] == 0).all()


def test_a_given_graph_is_used():
    Z = np.random.default_rng(0).normal(size=(60, 5))
    far = Neighbours(np.ones((60, 10), np.float32), np.arange(10)[None].repeat(60, 0) + 1, 1.0)
    assert (NearDuplicates().measure(Z, graph=far).group == -1).all()
