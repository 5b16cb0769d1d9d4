"""Out-of-fold probabilities: nobody is judged by a model that saw them, and folds are fair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labelwise.parts import blocks
from labelwise.parts.out_of_fold import fit_codes, out_of_fold_proba, predict_all, stratified_folds, takes_weights


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=80), st.integers(2, 7), st.integers(0, 99))
def test_folds_are_even_and_stratified(codes, folds, seed):
    codes = np.array(codes)
    fold = stratified_folds(codes, folds, np.random.default_rng(seed))
    sizes = np.bincount(fold, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for code in set(codes.tolist()):
        of_class = np.bincount(fold[codes == code], minlength=folds)
        assert of_class.max() - of_class.min() <= 1


class Memory(ClassifierMixin, BaseEstimator):
    """Says whether it has seen a row."""

    def fit(self, X, y):
        self.seen_, self.classes_ = set(X[:, 0].tolist()), np.unique(y)
        return self

    def predict_proba(self, X):
        seen = np.array([value in self.seen_ for value in X[:, 0].tolist()], float)
        return np.column_stack([seen, 1 - seen])


def test_no_row_meets_a_model_that_saw_it_or_saw_unlabelled_rows():
    X, codes = np.arange(50.0)[:, None], np.arange(50) % 2
    codes[::5] = -1
    assert (out_of_fold_proba(Memory(), X, codes, 2, folds=4)[:, 0] == 0).all()


def test_columns_are_codes_whatever_a_fold_has_seen():
    X = np.random.default_rng(0).normal(size=(30, 2))
    codes = np.r_[np.zeros(14, int), np.full(15, 2), 3]
    proba = out_of_fold_proba(GaussianNB(), X, codes, 5, rng=np.random.default_rng(0))
    assert proba.shape == (30, 5)
    assert np.allclose(proba.sum(1), 1)
    assert (proba[:, [1, 4]] == 0).all()
    assert proba[29, 3] == 0


def test_fewer_rows_than_folds():
    proba = out_of_fold_proba(LogisticRegression(), np.eye(3), np.array([0, 1, -1]), 2, folds=10)
    assert np.allclose(proba.sum(1), 1)


def test_one_class_is_predicted_always():
    model = fit_codes(LogisticRegression(), np.eye(3), np.array([2, 2, 2]))
    assert isinstance(model, DummyClassifier)
    assert predict_all(model, np.eye(3), 4).tolist() == [[0, 0, 1, 0]] * 3


def test_weights_go_to_the_last_step_and_zeros_leave():
    X = np.random.default_rng(0).normal(size=(60, 2))
    codes = (X[:, 0] > 0).astype(int)
    weight = np.where(np.arange(60) < 30, 2.0, 0.0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    weighted = fit_codes(pipeline, X, codes, weight).predict_proba(X)
    repeated = fit_codes(pipeline, np.repeat(X[:30], 2, axis=0), np.repeat(codes[:30], 2)).predict_proba(X)
    assert np.allclose(weighted, repeated, atol=1e-3)
    assert takes_weights(pipeline)
    assert not takes_weights(make_pipeline(StandardScaler(), KNeighborsClassifier()))


@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 400))
def test_blocks_cover_every_row_once(n, width, n_bytes):
    found = blocks.row_blocks(np.zeros((n, width)), n_bytes)
    assert np.concatenate([np.arange(n)[block] for block in found] or [[]]).tolist() == list(range(n))
    assert all(block.stop - block.start <= max(1, n_bytes // (8 * width)) for block in found)


@pytest.mark.parametrize("n_bytes", [0, blocks.SMALL_BYTES])
def test_all_work_is_done_and_errors_come_through(n_bytes, monkeypatch):
    monkeypatch.setattr(blocks, "cores", lambda: 3)
    done = np.zeros(100, int)
    blocks.run_all(lambda i: done.__setitem__(i, done[i] + 1), range(100), n_bytes)
    assert (done == 1).all()
    with pytest.raises(ZeroDivisionError):
        blocks.run_all(lambda i: 1 // (i - 50), range(100), n_bytes)
