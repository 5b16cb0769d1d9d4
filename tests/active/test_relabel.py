"""ActiveLab against cleanlab, and where its votes go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from labelwise.active import ActiveLab
from labelwise.base import InputError


def crowd(seed: int, n: int = 300, k: int = 3, annotators: int = 4, skill: float = 0.7):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    votes = np.where(rng.random((n, annotators)) < skill, truth[:, None], rng.integers(0, k, (n, annotators)))
    votes[rng.random((n, annotators)) < 0.3] = -1
    logits = rng.normal(size=(n, k)) + 2.0 * np.eye(k)[truth]
    proba = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return truth, votes, proba


def test_one_vote_a_row_as_in_cleanlab():
    multi = pytest.importorskip("cleanlab.multiannotator")
    truth, _, proba = crowd(0)
    votes = np.full((300, 2), -1)
    rows = np.arange(200)
    votes[rows, rows % 2] = truth[rows]
    told = np.where(votes[:200] < 0, np.nan, votes[:200].astype(float))
    theirs, unlabelled = multi.get_active_learning_scores(told, proba[:200], proba[200:])
    ours = ActiveLab().plan(votes, proba, 1).scores
    np.testing.assert_allclose(ours[200:], unlabelled)
    # one vote and one model, equal weights: a vote counts as certain in ours; in cleanlab the model alone grades it
    agree = proba[:200].argmax(1) == truth[:200]
    assert spearmanr(ours[:200][agree], theirs[agree])[0] > 0.999


def test_several_votes_as_in_cleanlab():
    multi = pytest.importorskip("cleanlab.multiannotator")
    _, votes, proba = crowd(1)
    votes[:, 0] = np.where((votes < 0).all(1), 0, votes[:, 0])
    told = np.where(votes < 0, np.nan, votes.astype(float))
    scaled = multi.temp_scale_pred_probs(proba, multi.find_best_temp_scaler(told, proba))
    theirs, _ = multi.get_active_learning_scores(told, proba)
    ours = ActiveLab().plan(votes, scaled, 1).scores
    assert spearmanr(ours, theirs)[0] > 0.98
    assert np.median(np.abs(ours - theirs)) < 0.01


@given(st.integers(0, 1000), st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_scores_and_tables_hold_together(seed, n):
    _, votes, proba = crowd(seed, n=50)
    plan = ActiveLab(label_cost=1, relabel_cost=2).plan(votes, proba, n)
    assert ((plan.scores > 0) & (plan.scores <= 1 + 1e-12)).all()
    assert len(plan.table) == min(n, 50) == plan.table["row"].nunique()
    told = (votes >= 0).any(1)
    assert (plan.table["cost"] == np.where(told[plan.table["row"]], 2, 1)).all()
    worth = (1 - plan.table["score"]) / plan.table["cost"]
    assert (np.diff(worth) <= 1e-12).all()
    assert not plan.stopped


def test_more_agreeing_votes_settle_a_row_and_disputes_keep_it_open():
    proba = np.tile([0.7, 0.3], (40, 1))
    votes = np.full((40, 4), -1)
    votes[:10, :2] = 0
    votes[10:20] = 0
    votes[20:30] = [0, 0, 1, 1]
    votes[4] = [0, 0, 0, 1]
    votes[14] = [1, 1, 1, 1]
    proba[14] = [0.2, 0.8]
    scores = ActiveLab().plan(votes, proba, 1).scores
    assert scores[10] > scores[0] > scores[20]


def test_it_stops_where_nothing_pays_and_reacts_to_prices():
    _, votes, proba = crowd(2)
    votes[200:] = -1
    assert ActiveLab(worth=1e-3).plan(votes, proba, 5).describe() == (
        "Ask for no label, at a cost of 0; no other row is worth its cost: stop after these."
    )
    dear = ActiveLab(label_cost=50).plan(votes, proba, 50).table["action"]
    cheap = ActiveLab(relabel_cost=50).plan(votes, proba, 50).table["action"]
    assert (dear == "relabel").all()
    assert (cheap == "label").all()


def test_it_finds_the_truth_better_than_the_majority():
    truth, votes, proba = crowd(3, skill=0.45)
    plan = ActiveLab().plan(votes, proba, 1)
    majority = np.array([np.bincount(v[v >= 0], minlength=3).argmax() for v in votes])
    assert (plan.consensus == truth).mean() > (majority == truth).mean()


@pytest.mark.parametrize(
    ("votes", "n", "message"),
    [([[0, 5]], 1, "5 in row 0"), ([[0.0, 1.0]], 1, "dtype"), ([0], 1, "shape"), ([[0, -1]], 0, "n must")],
)
def test_bad_input(votes, n, message):
    with pytest.raises(InputError, match=message):
        ActiveLab().plan(votes, [[0.5, 0.5]], n)
