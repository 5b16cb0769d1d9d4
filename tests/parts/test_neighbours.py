"""Neighbours against scikit-learn's brute force, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

from labelwise.base import InputError
from labelwise.parts.neighbours import SLACK, neighbours


def oracle(X, k, metric):
    distances, indices = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", metric=metric).fit(X).kneighbors(X)
    return distances, indices


def clusters(n=1500, d=20, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + 3 * rng.normal(size=(8, d))[rng.integers(0, 8, n)]).astype(np.float32)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("block", [64, 333, 4096])
def test_exact_agrees_with_brute_force(metric, block):
    X = clusters() + 100.0 * (metric == "euclidean")
    found = neighbours(X, 5, metric=metric, exact=True, block=block)
    distances, indices = oracle(X.astype(np.float64), 5, metric)
    assert (found.indices == indices[:, 1:]).all()
    np.testing.assert_allclose(found.distances, distances[:, 1:], rtol=1e-5, atol=1e-6)
    assert found.recall == 1.0


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int8, st.tuples(st.integers(2, 40), st.integers(1, 4)), elements=st.integers(-2, 2)),
    st.integers(1, 6),
    st.integers(1, 50),
)
def test_any_table_full_of_ties(X, k, block):
    """Equal distances everywhere: the distances are right, and up to k + SLACK equal rows come out alike for any block."""
    if k >= len(X):
        return
    found = neighbours(X, k, metric="euclidean", exact=True, block=block)
    square = ((X[:, None].astype(float) - X[None]) ** 2).sum(2)
    np.fill_diagonal(square, np.inf)
    np.testing.assert_allclose(found.distances, np.sort(np.sqrt(square), 1)[:, :k], rtol=1e-6)
    rows = np.arange(len(X))[:, None]
    assert (found.indices != rows).all()
    np.testing.assert_allclose(np.sqrt(square[rows, found.indices]), found.distances, rtol=1e-6)
    few = (square <= np.sort(square, 1)[:, k - 1 : k] * (1 + 1e-9)).sum(1) <= k + SLACK
    np.testing.assert_array_equal(found.indices[few], neighbours(X, k, metric="euclidean", exact=True).indices[few])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("recall", [0.8, 0.95, 1.0])
def test_approximate_keeps_its_word(metric, recall):
    X = clusters(6000, 32)
    exact = neighbours(X, 8, metric=metric, exact=True)
    found = neighbours(X, 8, metric=metric, exact=False, recall=recall)
    reached = (found.distances <= exact.distances[:, -1:] * (1 + 1e-6)).mean()
    assert reached >= recall - 0.01
    assert abs(found.recall - reached) < 0.03


def test_approximate_never_invents_a_distance():
    X = clusters(3000)
    found = neighbours(X, 4, metric="euclidean", exact=False)
    true = np.linalg.norm(X[:, None].astype(float) - X[found.indices], axis=2)
    np.testing.assert_allclose(found.distances, true, rtol=1e-5)
    assert (np.diff(found.distances) >= 0).all()


@pytest.mark.parametrize("exact", [True, False])
def test_planted_duplicates_are_first_and_at_distance_zero(exact):
    X = clusters(4000)
    X[3000:3100] = X[:100]
    found = neighbours(X, 3, metric="cosine", exact=exact)
    assert (found.indices[3000:3100, 0] == np.arange(100)).all()
    assert (found.distances[:100, 0] == 0).all() and (found.distances[100:3000, 0] > 0).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100))
def test_rotation_and_scale_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    X = clusters(200, 6, seed)
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    for metric in ("cosine", "euclidean"):
        plain, turned = neighbours(X, 3, metric=metric), neighbours(7 * X @ turn, 3, metric=metric)
        np.testing.assert_allclose(
            turned.distances, plain.distances * (7 if metric == "euclidean" else 1), rtol=1e-3, atol=1e-5
        )


def test_same_seed_same_neighbours_and_input_untouched():
    X = clusters(3000)
    before = X.copy()
    first, second = (neighbours(X, 4, exact=False, rng=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("exact", [True, False])
def test_all_rows_alike(exact):
    found = neighbours(np.ones((300, 4)), 5, exact=exact)
    assert (found.distances == 0).all()
    assert all(len({row, *found.indices[row]}) == 6 for row in range(300))


@pytest.mark.parametrize(
    ("X", "k", "arguments", "message"),
    [
        (np.ones(4), 1, {}, "shape"),
        (np.ones((1, 4)), 1, {}, "at least 2 rows"),
        (np.ones((3, 4)), 3, {}, "k must be from 1 to 2"),
        (np.array([[1.0], [np.nan], [2.0]]), 1, {}, "Row 1"),
        (np.ones((3, 4)), 1, {"metric": "hamming"}, "hamming"),
    ],
)
def test_bad_input(X, k, arguments, message):
    with pytest.raises(InputError, match=message):
        neighbours(X, k, **arguments)
