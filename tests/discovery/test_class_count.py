"""Numbers of new classes: the silhouette against scikit-learn's, and counts of groups that stand apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import silhouette_score

from labelwise.parts.class_count import accuracy_counter, count_new_classes, silhouette, silhouette_counter


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_silhouette_is_that_of_scikit_learn(seed, groups):
    rng = np.random.default_rng(seed)
    Z, labels = rng.normal(size=(30, 2)), np.r_[np.arange(groups), rng.integers(0, groups, 30 - groups)]
    assert silhouette(squareform(pdist(Z)), labels) == pytest.approx(silhouette_score(Z, labels))


def test_one_group_has_the_worst_silhouette():
    assert silhouette(squareform(pdist(np.eye(4))), np.zeros(4, dtype=int)) == -1


def apart(seed: int, classes: int, known: int):
    rng = np.random.default_rng(seed)
    truth = np.arange(40 * classes) % classes
    Z = 8 * np.eye(classes)[truth] + rng.normal(size=(len(truth), classes))
    return Z, np.where((truth < known) & (rng.random(len(truth)) < 0.5), truth, -1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "counter", [silhouette_counter(), silhouette_counter(frozen=True), accuracy_counter(starts=10)]
)
def test_groups_apart_are_counted(seed, counter):
    Z, codes = apart(seed, classes=6, known=3)
    found = count_new_classes(Z, codes, counter, range(9), np.random.default_rng(seed), draws=2)
    assert abs(found.n_new - 3) <= (0 if counter.func.__name__ == "_silhouettes" else 2)
    assert found.interval.low <= found.n_new <= found.interval.high


def test_a_pool_of_new_classes_alone():
    Z, codes = apart(0, classes=5, known=2)
    truth = np.arange(200) % 5
    codes = np.where(truth < 2, truth, -1)
    found = count_new_classes(
        Z, codes, silhouette_counter(only_new=True), range(2, 8), np.random.default_rng(0), draws=3
    )
    assert found.n_new == 3 and found.interval[1:3] == (3, 3)


def test_without_draws_the_confidence_is_zero():
    Z, codes = apart(0, classes=4, known=2)
    found = count_new_classes(Z, codes, silhouette_counter(), [1, 2, 500], np.random.default_rng(0), draws=0)
    assert found.interval.level == 0 and found.candidates == [1, 2]
