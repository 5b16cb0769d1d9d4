"""Sparse labels, balanced clusters, best products, calibration of the best labels, and the dual solver."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import expit
from sklearn.svm import LinearSVC

from labelwise.base import InputError
from labelwise.parts.balanced_clusters import balanced_clusters, clustered_order
from labelwise.parts.dual_coordinates import one_vs_rest_weights
from labelwise.parts.multilabel_measures import top_k_calibration_error
from labelwise.parts.sparse_labels import entries, member_mask, one_of_each, read_labels
from labelwise.parts.top_calibration import TopCalibration, fit_top_calibration
from labelwise.parts.top_products import top_products

drawn = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 10_000)


# -- labels


@pytest.mark.filterwarnings("ignore:.*never positive")
@drawn
@given(seeds)
def test_sparse_and_dense_labels_are_read_alike(seed):
    y = (np.random.default_rng(seed).random((9, 6)) < 0.4).astype(int)
    y[0, 0] = 1
    dense, thin = read_labels(y), read_labels(sparse.coo_array(y))
    assert np.array_equal(dense.positive.toarray(), y) and np.array_equal(thin.positive.toarray(), y)
    assert dense.rows.tolist() == list(range(9)) and thin.rows.tolist() == np.flatnonzero(y.any(1)).tolist()
    assert dense.counts().tolist() == y.sum(0).tolist()


def test_unknown_entries_and_empty_rows():
    labels = read_labels(np.array([[1, -1], [-1, -1], [0, 1]]))
    assert labels.rows.tolist() == [0, 2] and labels.unknown.toarray().tolist() == [[0, 1], [1, 1], [0, 0]]
    classes = read_labels(np.array(["b", "a", None, "b"], dtype=object))
    assert classes.single and classes.classes.tolist() == ["a", "b"] and classes.rows.tolist() == [0, 1, 3]


def test_a_label_never_positive_is_said_and_allowed():
    with pytest.warns(UserWarning, match="2 of 4 labels are never positive, the first is label 1"):
        assert read_labels(sparse.csr_array([[1, 0, 0, 1]])).n_labels == 4


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (sparse.csr_array([[1, 0], [0, 2]]), "Row 1, label 1 holds 2"),
        (sparse.csr_array([[1.0, 0.5]]), "Row 0, label 1 holds 0.5"),
        (sparse.csr_array([[1, 0], [-1, 0]]), "Row 1, label 0 holds -1"),
        (sparse.coo_array(([1, 1], ([0, 0], [1, 1])), shape=(2, 2)), "Row 0, label 1 holds 2"),
        (np.array([[1, 0], [7, 0]]), "Row 1, label 0 holds 7"),
        (sparse.csr_array((3, 4)), "no positive"),
        (np.zeros((3, 4)), "no positive"),
        (np.full((3, 4), -1), "no known entry"),
        (np.ones((2, 2, 2)), "shape"),
        (np.ones(5, dtype=int), "one class"),
        (np.array([2, 2, -1]), "one class"),
        (np.array([-1, -1]), "label"),
        (None, "missing"),
    ],
)
def test_bad_labels_are_named(y, told):
    with pytest.raises(InputError, match=told):
        read_labels(y)


@drawn
@given(seeds)
def test_entries_masks_and_draws_by_dense_arrays(seed):
    rng = np.random.default_rng(seed)
    y = rng.random((7, 8)) < 0.4
    y[:, 3] = True
    matrix, rows, pool = sparse.csr_array(y.astype(np.int8)), rng.integers(0, 7, 5), np.sort(rng.permutation(8)[:4])
    assert np.array_equal(member_mask(matrix, rows, pool), y[rows][:, pool])
    place, column = entries(matrix, rows)
    assert np.array_equal(np.stack([place, column]), np.stack(np.nonzero(y[rows])))
    assert y[rows, one_of_each(matrix, rows, rng)].all()


# -- clusters


@drawn
@given(st.integers(1, 200), st.integers(1, 40), seeds)
def test_clusters_are_balanced_and_small_enough(n, size, seed):
    rng = np.random.default_rng(seed)
    group = balanced_clusters(rng.normal(size=(n, 3)), size, rng)
    sizes = np.bincount(group)
    assert sizes.sum() == n and sizes.max() <= size and sizes.max() - sizes.min() <= 1
    assert len(sizes) == 2 ** int(np.ceil(np.log2(np.ceil(n / size)))) or sizes.min() >= 1


def test_clusters_find_well_separated_groups():
    rng = np.random.default_rng(0)
    centre = np.eye(8)
    truth = np.repeat(np.arange(8), 16)
    group = balanced_clusters(centre[truth] + 0.05 * rng.normal(size=(128, 8)), 16, rng)
    purity = [np.bincount(truth[group == g]).max() for g in range(8)]
    assert np.mean(purity) > 14


def test_clusters_are_nearer_than_random_ones_and_rows_of_zeros_are_allowed():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(512, 10))
    X[0] = 0
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)

    def inside(group):
        return np.mean([np.square(unit[group == g].sum(0)).sum() for g in np.unique(group)])

    group = balanced_clusters(X, 16, np.random.default_rng(0))
    assert inside(group) > 2 * inside(rng.permutation(group))


def test_order_keeps_clusters_together():
    rng = np.random.default_rng(0)
    group = balanced_clusters(rng.normal(size=(60, 4)), 8, rng)
    order = clustered_order(group, rng)
    assert sorted(order) == list(range(60))
    assert (np.diff(group[order]) != 0).sum() == len(np.unique(group)) - 1


def test_bad_rows_for_clusters_are_named():
    with pytest.raises(InputError, match="finite"):
        balanced_clusters([[np.nan]], 1, np.random.default_rng(0))
    with pytest.raises(InputError, match="size"):
        balanced_clusters([[1.0]], 0, np.random.default_rng(0))


# -- the best labels


@drawn
@given(seeds, st.integers(1, 12))
def test_best_products_by_sorting(seed, k):
    rng = np.random.default_rng(seed)
    q, v = torch.tensor(rng.normal(size=(5, 3))), torch.tensor(rng.normal(size=(9, 3)))
    found, scores = top_products(q, v, k), (q @ v.T).numpy()
    assert np.array_equal(found.labels, np.argsort(-scores, axis=1)[:, :k])
    assert found.scores == pytest.approx(-np.sort(-scores, axis=1)[:, :k])


def test_best_products_over_several_blocks(monkeypatch):
    q, v = torch.randn(7, 4), torch.randn(50, 4)
    whole = top_products(q, v, 6)
    monkeypatch.setattr("labelwise.parts.top_products.ROWS", 2)
    monkeypatch.setattr("labelwise.parts.top_products.LABELS", 9)
    assert np.array_equal(top_products(q, v, 6).labels, whole.labels)


@drawn
@given(seeds)
def test_calibration_keeps_the_order_and_empty_places_are_impossible(seed):
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.normal(size=(30, 4)), axis=1)
    scores[0, 2:] = -np.inf
    found = fit_top_calibration(scores, rng.random((30, 4)) < 0.3)
    p = found(scores)
    assert ((p >= 0) & (p <= 1)).all() and (np.diff(p, axis=1) <= 1e-12).all() and (p[0, 2:] == 0).all()


def test_calibration_learns_both_kinds_of_scores():
    """Of independent scores, and of those of a softmax, of which only differences mean anything."""
    rng = np.random.default_rng(0)
    scores = -np.sort(-2 * rng.normal(size=(6000, 5)), axis=1)
    chance = expit(scores - 1)
    softmax = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    for true, shown in ((chance, scores), (softmax, scores + 10 * rng.normal(size=(6000, 1)))):
        right = rng.random(scores.shape) < true
        found = fit_top_calibration(shown[:3000], right[:3000])(shown[3000:])
        assert top_k_calibration_error(found, right[3000:].astype(int), k=5) < 0.03
        raw = top_k_calibration_error(TopCalibration()(shown[3000:]), right[3000:].astype(int), k=5)
        assert raw > 0.1


# -- the solver


@pytest.mark.parametrize("C", [0.1, 1.0, 10.0])
def test_weights_are_scikit_learn_s(C):
    rng = np.random.default_rng(0)
    X = sparse.random_array((120, 30), density=0.2, rng=rng, format="csr")
    y = (rng.random((120, 4)) < 0.3) | (X.toarray()[:, :4] > 0)
    ((found, _),) = one_vs_rest_weights(X, sparse.csc_array(y.astype(np.int8)), None, C, 1e-6, 5000, 0, 10)
    for label in range(4):
        peer = LinearSVC(C=C, loss="squared_hinge", tol=1e-8, max_iter=100_000, random_state=0).fit(X, y[:, label])
        assert found[label] == pytest.approx(np.r_[peer.coef_[0], peer.intercept_], abs=1e-3)


def test_rows_left_out_of_a_label_do_not_matter_for_it():
    rng = np.random.default_rng(1)
    X = sparse.random_array((80, 20), density=0.3, rng=rng, format="csr")
    y = (rng.random((80, 3)) < 0.4).astype(np.int8)
    hidden = np.zeros((80, 3), dtype=np.int8)
    hidden[60:, 1] = 1

    def solve(labels):
        blocks = one_vs_rest_weights(X, sparse.csc_array(labels), sparse.csc_array(hidden), 1.0, 1e-8, 3000, 0, 2)
        return np.concatenate([weights for weights, _ in blocks])

    other = y.copy()
    other[60:, 1] = 1 - other[60:, 1]
    assert solve(other) == pytest.approx(solve(y), abs=1e-6)
    ((alone, _),) = one_vs_rest_weights(X[:60], sparse.csc_array(y[:60, [1]]), None, 1.0, 1e-8, 3000, 0, 2)
    assert solve(y)[1] == pytest.approx(alone[0], abs=1e-4)
