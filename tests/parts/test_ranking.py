"""Recall and discounted gain against slow loops and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import ndcg_score

from labelwise.base import InputError
from labelwise.parts.ranking import ndcg_at_k, recall_at_k


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), m=st.integers(1, 8), items=st.integers(2, 12), data=st.data())
def test_both_against_loops_and_scikit_learn(seed, m, items, data):
    k = data.draw(st.integers(1, items))
    rng = np.random.default_rng(seed)
    relevant = rng.random((m, items)) < 0.3
    relevant[0, 0] = True
    scores = rng.permuted(np.tile(np.arange(items, dtype=float), (m, 1)), axis=1)
    ranked = np.argsort(-scores, axis=1)[:, :k]
    some = relevant.any(1)
    recall = [len(set(ranked[i]) & set(np.flatnonzero(relevant[i]))) / relevant[i].sum() for i in np.flatnonzero(some)]
    for form in (relevant, sparse.csr_array(relevant.astype(float))):
        assert recall_at_k(ranked, form) == pytest.approx(np.mean(recall))
        assert ndcg_at_k(ranked, form) == pytest.approx(ndcg_score(relevant[some], scores[some], k=k))


def test_the_best_list_scores_one_and_a_wrong_one_zero():
    relevant = [[1, 1, 0, 0]]
    assert recall_at_k([[1, 0]], relevant) == ndcg_at_k([[1, 0]], relevant) == 1
    assert recall_at_k([[2, 3]], relevant) == ndcg_at_k([[2, 3]], relevant) == 0


def test_bad_input():
    with pytest.raises(InputError, match="marks nothing"):
        recall_at_k([[0]], [[0, 0]])
    with pytest.raises(InputError, match="m = 1 lists"):
        recall_at_k([[0], [1]], [[1, 0]])
