"""The barcode against Kruskal's algorithm and scipy's tree; scores, references and the stopping rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier

from labelwise.base import InputError
from labelwise.diagnostics import ClassSeparability, SeparabilityStopping, fisher_ratio, thornton_index
from labelwise.diagnostics.separability import barcode, compactness, gap


def kruskal(distances):
    """Death times of components: join the nearest two points of different components, again and again."""
    n, deaths = len(distances), []
    component = list(range(n))
    for i, j in sorted(zip(*np.tril_indices(n, -1), strict=True), key=lambda pair: distances[pair]):
        if component[i] != component[j]:
            deaths.append(distances[i, j])
            component = [component[j] if c == component[i] else c for c in component]
    return np.array(deaths[::-1])


def reachability(Z, k):
    distances = cdist(Z, Z)
    core = np.sort(distances, axis=1)[:, min(k, len(Z) - 1)]
    return np.array([[max(distances[i, j], core[i], core[j]) for j in range(len(Z))] for i in range(len(Z))])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 25), st.integers(1, 4), st.integers(0, 6), st.integers(0, 999))
def test_barcode_is_that_of_kruskal_even_with_copies_and_ties(n, d, mutual, seed):
    Z = np.random.default_rng(seed).integers(0, 5, (n, d)).astype(float)
    expected = kruskal(reachability(Z, mutual) if mutual else cdist(Z, Z))
    np.testing.assert_allclose(barcode(Z, mutual), expected)


def test_barcode_is_that_of_scipy():
    Z = np.random.default_rng(0).normal(size=(300, 6))
    np.testing.assert_allclose(barcode(Z), np.sort(minimum_spanning_tree(cdist(Z, Z)).data)[::-1])


def groups(distance, n=400, d=10, classes=2, seed=0):
    """Gaussian classes; two lie opposite each other at a distance of so many standard deviations."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(classes, d))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    if classes == 2:
        means[1] = -means[0]
    y = rng.integers(0, classes, n)
    return rng.normal(size=(n, d)) + distance / 2 * means[y], y


@pytest.mark.parametrize("n_classes", [None, 2])
def test_groups_apart_score_higher(n_classes):
    measure = ClassSeparability(normalise="none", n_classes=n_classes)
    scores = [np.mean([measure.score(groups(far, seed=seed)[0]) for seed in range(5)]) for far in (5, 8, 10, 12)]
    assert np.all(np.diff(scores) > 0)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.floats(1e-2, 1e2), st.sampled_from(["unit", "none", "layer"]))
def test_scale_and_order_do_not_matter(seed, scale, normalise):
    Z, _ = groups(8, n=80, seed=seed)
    measure = ClassSeparability(normalise=normalise)
    assert measure.score(scale * np.random.default_rng(seed).permutation(Z)) == pytest.approx(measure.score(Z))


def test_one_gaussian_is_not_grouped_and_clear_groups_are():
    for n_classes in (None, 4):
        measure = ClassSeparability(normalise="none", n_classes=n_classes, repeats=8, random_state=0)
        assert not measure.measure(groups(0)[0]).grouped
        found = measure.measure(groups(40, classes=4, d=10)[0])
        assert found.grouped
        assert found.longest[2] > 2 * found.longest[3]
        assert found.score.low <= found.score.value <= found.score.high


def test_mutual_reachability_guards_against_an_outlier():
    Z, _ = groups(12, n=300)
    spoilt = np.vstack([Z, 200 * np.ones((1, 10))])
    for measure in (ClassSeparability(normalise="none", centre="median"), ClassSeparability(normalise="none")):
        assert measure.score(spoilt) > measure.score(Z)  # one outlier owns the longest edge
    guarded = ClassSeparability(normalise="none", n_classes=2, mutual=5)
    assert guarded.score(Z) > ClassSeparability(normalise="none", n_classes=2, mutual=5).score(groups(0)[0])


def test_samples_bound_the_work():
    Z, _ = groups(10, n=6000)
    found = ClassSeparability(samples=200, normalise="none", random_state=0).measure(Z)
    assert found.score.value == pytest.approx(ClassSeparability(normalise="none").score(Z[:200]), abs=0.1)


def test_equal_rows_score_nothing():
    assert ClassSeparability(normalise="none").score(np.ones((20, 3))) == 0
    assert compactness(np.zeros(3)) == 0
    assert gap(np.array([1.0, 0.0]), 2) == np.inf


def test_layer_rows_have_mean_0_and_variance_1():
    rows = ClassSeparability(normalise="layer").prepared(np.random.default_rng(0).normal(3, 2, size=(10, 7)))
    np.testing.assert_allclose(rows.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(rows.var(1), 1)


@settings(max_examples=15, deadline=None)
@given(st.integers(6, 40), st.integers(2, 4), st.integers(0, 99))
def test_references_are_their_definitions(n, classes, seed):
    rng = np.random.default_rng(seed)
    Z, y = rng.normal(size=(n, 3)), rng.integers(0, classes, n)
    y[:2] = 0, 1
    names = np.array(["a", "b", "c", "d"])[y]
    within = sum(np.cov(Z[y == c], rowvar=False, ddof=0) * (y == c).sum() for c in np.unique(y) if (y == c).sum() > 0)
    total = np.cov(Z, rowvar=False, ddof=0) * n
    assert fisher_ratio(Z, names) == pytest.approx(np.trace(total - within) / np.trace(within))
    model = KNeighborsClassifier(2).fit(Z, y)
    nearest = model.kneighbors(Z)[1]
    other = np.where(nearest[:, 0] == np.arange(n), nearest[:, 1], nearest[:, 0])
    assert thornton_index(Z, names) == pytest.approx((y[other] == y).mean())


def test_references_leave_unlabelled_rows_out():
    Z, y = groups(5, n=60)
    gaps = np.where(np.arange(60) % 3 == 0, -1, y)
    known = gaps >= 0
    assert fisher_ratio(Z, gaps) == pytest.approx(fisher_ratio(Z[known], y[known]))
    assert thornton_index(Z, gaps) == thornton_index(Z[known], y[known])
    with pytest.raises(InputError, match="3 entries and Z 2 rows"):
        fisher_ratio(np.ones((2, 1)), [0, 1, 0])


class Told:
    """Scores that are the embeddings themselves."""

    def score(self, Z):
        return float(Z)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.1, 1), min_size=1, max_size=20), st.integers(1, 4), st.floats(0, 0.2))
def test_stopping_is_that_of_a_loop(scores, patience, tolerance):
    stopping = SeparabilityStopping(patience=patience, tolerance=tolerance, measure=Told())
    best, best_epoch = -1.0, -1
    for epoch, score in enumerate(scores):
        stop = stopping.update(score)
        better = epoch == 0 or score > best * (1 + tolerance)
        if better:
            best, best_epoch = score, epoch
        assert (stopping.improved_, stopping.best_epoch_) == (better, best_epoch)
        assert stop == (epoch - best_epoch >= patience)
    assert stopping.scores_ == scores


def test_bad_input():
    with pytest.raises(InputError, match="n >= 5"):
        ClassSeparability().measure(np.ones((3, 2)))
    with pytest.raises(InputError, match="n >= 11"):
        ClassSeparability(n_classes=10).score(np.ones((10, 2)))
