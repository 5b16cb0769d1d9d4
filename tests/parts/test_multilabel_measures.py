"""The measures against napkinXC, scikit-learn and slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napkinxc import metrics as peer
from scipy import sparse
from sklearn.metrics import average_precision_score, f1_score, ndcg_score

from labelwise.base import InputError
from labelwise.parts.multilabel_measures import (
    as_matrix,
    average_precision,
    f1,
    ndcg_at_k,
    precision_at_k,
    propensities,
    propensity_precision_at_k,
    shares_at,
    top_k_calibration_error,
    top_labels,
)

drawn = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 10_000)


def problem(seed, n=13, n_labels=9, rate=0.3):
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, n_labels)) < rate).astype(int)
    return rng.normal(size=(n, n_labels)), truth


@drawn
@given(seeds, st.integers(1, 9))
def test_ranking_measures_are_napkinxc_s(seed, k):
    scores, truth = problem(seed)
    top = top_labels(scores, k)
    ranked, wanted = top.tolist(), sparse.csr_matrix(truth)
    assert precision_at_k(top, truth) == pytest.approx(peer.precision_at_k(wanted, ranked, k=k)[-1])
    assert ndcg_at_k(top, truth) == pytest.approx(peer.ndcg_at_k(wanted, ranked, k=k)[-1])
    given_ = problem(seed + 1, n=200)[1]
    inverse = peer.Jain_et_al_inverse_propensity(sparse.csr_matrix(given_))
    propensity = propensities(given_.sum(0), 200)
    assert 1 / propensity == pytest.approx(np.asarray(inverse).ravel())
    found = propensity_precision_at_k(top, truth, propensity)
    assert found == pytest.approx(peer.psprecision_at_k(wanted, ranked, inverse, k=k)[-1])


@drawn
@given(seeds, st.integers(1, 9))
def test_ranking_measures_are_scikit_learn_s_and_the_definition(seed, k):
    scores, truth = problem(seed)
    some = truth.any(1)
    top = top_labels(scores, k)
    if some.any():
        assert ndcg_at_k(top[some], truth[some]) == pytest.approx(ndcg_score(truth[some], scores[some], k=k))
    by_hand = np.mean([truth[i, np.argsort(-scores[i])[:k]].mean() for i in range(len(scores))])
    assert precision_at_k(top, truth) == pytest.approx(by_hand)
    shares = shares_at(scores, truth, ks=(k,), propensity=np.ones(9))
    assert shares[f"P@{k}"] == pytest.approx(by_hand)


@drawn
@given(seeds)
def test_sparse_scores_and_truth_mean_what_dense_ones_mean(seed):
    scores, truth = problem(seed)
    positive = np.exp(scores)
    assert np.array_equal(top_labels(sparse.csr_array(positive), 4), top_labels(positive, 4))
    top = top_labels(scores, 4)
    for measure in (precision_at_k, ndcg_at_k):
        assert measure(top, sparse.csc_array(truth)) == measure(top, truth)


def test_rows_with_few_candidates_have_empty_places_that_are_wrong():
    scores = sparse.csr_array([[0, 0.5, 0], [0, 0, 0], [0.1, 0.2, 0.3]])
    top = top_labels(scores, 2)
    assert top.tolist() == [[1, -1], [-1, -1], [2, 1]]
    assert precision_at_k(top, [[0, 1, 0], [1, 1, 1], [1, 1, 1]]) == pytest.approx(3 / 6)


@drawn
@given(seeds, st.integers(1, 6))
def test_ties_go_to_the_lower_label(seed, k):
    scores = np.random.default_rng(seed).integers(0, 3, size=(6, 6)).astype(float)
    slow = [sorted(range(6), key=lambda j, row=row: (-row[j], j))[:k] for row in scores]
    assert top_labels(scores, k).tolist() == slow


@drawn
@given(seeds)
def test_measures_per_label_are_scikit_learn_s_over_known_entries(seed):
    scores, truth = problem(seed, n=40)
    unknown = np.random.default_rng(seed).random(truth.shape) < 0.3
    y = np.where(unknown, -1, truth)
    found = average_precision(scores, y)
    for label in range(y.shape[1]):
        known = y[:, label] >= 0
        if 0 < y[known, label].sum() < known.sum():
            assert found[label] == pytest.approx(average_precision_score(y[known, label], scores[known, label]))
        else:
            assert np.isnan(found[label])
    other = np.where(unknown, 1e3, scores)
    assert np.array_equal(average_precision(other, y), found, equal_nan=True)
    decided = (scores > 0).astype(int)
    assert f1(decided, truth)["micro"] == pytest.approx(f1_score(truth, decided, average="micro"))
    if truth.any(0).all():
        assert f1(decided, truth)["macro"] == pytest.approx(f1_score(truth, decided, average="macro"))
    assert f1(np.where(unknown, 1 - decided, decided), y) == f1(decided, y)


def test_top_k_calibration_by_the_definition():
    rng = np.random.default_rng(0)
    p = rng.random((500, 8))
    truth = (rng.random(p.shape) < p**2).astype(int)
    top = np.argsort(-p, axis=1)[:, :3]
    sure, right = np.take_along_axis(p, top, 1).ravel(), np.take_along_axis(truth, top, 1).ravel()
    total = 0.0
    for low in np.arange(10) / 10:
        inside = (sure >= low) & (sure < low + 0.1)
        total += abs((sure - right)[inside].sum())
    assert top_k_calibration_error(p, truth, k=3) == pytest.approx(total / len(sure))
    assert top_k_calibration_error(p, (rng.random(p.shape) < p).astype(int), k=3) < 0.05


@drawn
@given(seeds)
def test_calibration_of_sparse_probabilities_is_that_of_stored_ones(seed):
    p, truth = np.exp(-np.exp(problem(seed)[0])), problem(seed)[1]
    assert top_k_calibration_error(sparse.csr_array(p), truth, k=4) == pytest.approx(
        top_k_calibration_error(p, truth, k=4)
    )
    few = np.zeros_like(p)
    few[:, 0] = p[:, 0]  # one candidate a row: the other places count nowhere
    assert top_k_calibration_error(sparse.csr_array(few), truth, k=3) == pytest.approx(
        top_k_calibration_error(p[:, :1], truth[:, :1], k=1)
    )


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: top_labels([[1.0, np.nan]], 1), "finite"),
        (lambda: top_labels([[1.0]], 0), "k must be"),
        (lambda: as_matrix([[1, 2]]), "Row 0, label 1 holds 2"),
        (lambda: as_matrix(sparse.csr_array([[0, 0], [0, 3]])), "Row 1, label 1 holds 3"),
        (lambda: as_matrix(sparse.csr_array([[0, -1]])), "Row 0, label 1 holds -1"),
        (lambda: precision_at_k([[0], [1]], [[1, 0]]), "n = 1 rows"),
        (lambda: average_precision([[0.1]], [[1, 0]]), "shape"),
    ],
)
def test_bad_input_is_named(call, told):
    with pytest.raises(InputError, match=told):
        call()
