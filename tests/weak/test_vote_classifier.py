"""The choice of the label model, and learning from its labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from labelwise.base import InputError
from labelwise.weak import DawidSkene, MajorityVote, OneCoin, VoteClassifier, annotator_quality
from labelwise.weak.answers import read_votes
from labelwise.weak.dawid_skene import EqualCoin
from labelwise.weak.held_out import agreement, choose, copies

GOOD_AND_BAD = [(0.5, 1.0)] * 3 + [(0.8, 1.0)] * 5


@parametrize_with_checks([VoteClassifier()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("seed", range(3))
def test_unequal_voters_need_a_label_model(seed, make_votes):
    votes, truth = make_votes(seed, 1500, 2, GOOD_AND_BAD)
    model, evidence = choose(read_votes(votes))
    assert not isinstance(model, MajorityVote)
    assert any(found.wins for found in evidence)
    assert (model.fit(votes).predict(votes) == truth).mean() > (
        MajorityVote().fit(votes).predict(votes) == truth
    ).mean()


@pytest.mark.parametrize("flip", [0, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_copied_voters_mislead_label_models_and_are_found_out(seed, flip, make_votes):
    voters = [(accuracy, 1.0) for accuracy in np.linspace(0.6, 0.85, 12)]
    votes, truth = make_votes(seed, 1500, 2, voters, copies=8, flip=flip)
    model, evidence = choose(read_votes(votes))
    assert model.copies == "once"
    assert all(found.gain.high < 0 for found in evidence if "once" not in found.model)
    majority = (MajorityVote().fit(votes).predict(votes) == truth).mean()
    assert majority > (DawidSkene().fit(votes).predict(votes) == truth).mean()


@pytest.mark.parametrize("seed", range(10))
def test_the_choice_is_hardly_ever_worse_than_the_majority(seed, make_votes):
    rng = np.random.default_rng(seed)
    voters = [(rng.uniform(0.5, 0.9), rng.choice([0.3, 1.0])) for _ in range(rng.integers(3, 10))]
    votes, truth = make_votes(seed, 800, int(rng.integers(2, 5)), voters, copies=int(rng.choice([0, 4])))
    model, _ = choose(read_votes(votes))
    heard = (votes >= 0).any(1)
    chosen, majority = ((m.fit(votes).predict(votes) == truth)[heard].mean() for m in (model, MajorityVote()))
    assert chosen > majority - 0.015


def test_known_labels_decide_when_there_are_enough(make_votes):
    votes, truth = make_votes(0, 1000, 2, GOOD_AND_BAD)
    known = np.where(np.arange(1000) < 200, truth, -1)
    model, evidence = choose(read_votes(votes), known)
    assert {found.judge for found in evidence} == {"known labels"}
    assert not isinstance(model, MajorityVote)


def test_functions_for_one_class_each_cannot_be_compared():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 900)
    sign = np.where(rng.random(900) < 0.7, truth, rng.integers(0, 3, 900))
    votes = np.where((sign[:, None] == np.arange(3)) | (rng.random((900, 3)) < 0.2), np.arange(3), -1)
    assert isinstance(choose(read_votes(votes))[0], MajorityVote)


def slow_agreement(votes, model, group):
    """Delete the votes of a voter's group from a row, and ask the fitted model for the rest."""
    hits = []
    for i, j in np.argwhere(votes >= 0):
        row = votes[i : i + 1].copy()
        row[0, group == group[j]] = -1
        proba = model.predict_proba(row)[0]
        best = np.isclose(proba, proba.max())
        hits.append(best[votes[i, j]] / best.sum())
    return np.array(hits)


@pytest.mark.parametrize("model", [DawidSkene(), OneCoin(), EqualCoin()])
def test_leaving_a_voter_out_is_deleting_its_votes(model, make_votes):
    votes, _ = make_votes(0, 80, 3, [(0.8, 0.7), (0.6, 0.5), (0.7, 1.0), (0.5, 0.8)])
    group = np.array([0, 1, 1, 2])
    answers = read_votes(votes)
    found = agreement(model, answers, group, folds=2)
    for number in range(2):
        fitted = model.fit(votes[np.arange(80) % 2 != number])
        mine = answers.task % 2 == number
        assert np.allclose(found[mine], slow_agreement(votes[number::2], fitted, group))


def test_copies_are_grouped_and_accurate_strangers_are_not(make_votes):
    votes, _ = make_votes(0, 600, 3, [(0.85, 0.8)] * 4, copies=3)
    assert copies(read_votes(votes)).tolist() == [0, 1, 2, 3, 4, 4, 4]


def features(truth, seed=0):
    return np.random.default_rng(seed).normal(2.5 * np.eye(truth.max() + 1)[truth], 1)


@pytest.mark.parametrize("estimator", [None, KNeighborsClassifier()])
def test_learning_from_votes(estimator, make_votes):
    votes, truth = make_votes(0, 1000, 3, GOOD_AND_BAD)
    X = features(truth)
    model = VoteClassifier(estimator=estimator).fit(X[:700], votes=votes[:700])
    assert model.score(X[700:], truth[700:]) > 0.9
    assert [found.model for found in model.evidence_][:2] == ["OneCoin()", "DawidSkene()"]
    assert np.allclose(model.predict_proba(X).sum(1), 1)
    same = VoteClassifier(estimator=estimator).fit(X[:700], votes[:700])  # votes in place of y
    assert np.array_equal(same.predict_proba(X), model.predict_proba(X))


def test_a_given_label_model_is_used(make_votes):
    votes, truth = make_votes(0, 200, 2, GOOD_AND_BAD)
    model = VoteClassifier(label_model=OneCoin()).fit(features(truth), votes=votes)
    assert isinstance(model.label_model_, OneCoin)
    assert model.evidence_ == []
    assert not hasattr(model.label_model, "proba_")  # a parameter is not fitted


def test_rows_without_votes_are_left_out_unless_their_label_is_known(make_votes):
    votes, truth = make_votes(0, 300, 2, [(0.8, 1.0)] * 3)
    X = features(truth)
    votes[150:] = -1
    half = VoteClassifier().fit(X, votes=votes)
    assert np.allclose(half.predict_proba(X), VoteClassifier().fit(X[:150], votes=votes[:150]).predict_proba(X))
    whole = VoteClassifier().fit(X, np.where(np.arange(300) < 150, -1, truth), votes=votes)
    assert not np.allclose(half.predict_proba(X), whole.predict_proba(X))


def test_bad_input(make_votes):
    votes, truth = make_votes(0, 50, 2, [(0.8, 1.0)] * 3)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        VoteClassifier().fit(features(truth)[:40], votes=votes)
    with pytest.raises(InputError, match="no answer"):
        VoteClassifier().fit(features(truth), votes=np.full((50, 3), -1))
    with pytest.raises(InputError, match="label_model"):
        VoteClassifier(label_model="snorkel").fit(features(truth), votes=votes)


def test_annotator_quality_against_loops(make_votes):
    votes, truth = make_votes(1, 500, 3, [(0.9, 0.6), (0.6, 1.0), (0.7, 0.8), (0.8, 0.9)])
    frame = annotator_quality(votes)
    assert list(frame.columns) == ["annotator", "answered", "accuracy", "low", "high", "agreement"]
    for j in range(4):
        rows = np.flatnonzero(votes[:, j] >= 0)
        others = [np.delete(votes[i], j) for i in rows]
        shares = [(o[o >= 0] == votes[i, j]).mean() for i, o in zip(rows, others, strict=True) if (o >= 0).any()]
        assert frame.agreement[j] == pytest.approx(np.mean(shares))
        assert frame.answered[j] == len(rows)
    right = (votes == truth[:, None]).sum(0) / (votes >= 0).sum(0)
    assert np.abs(frame.accuracy - right).max() < 0.06
    assert ((frame.low < frame.accuracy) & (frame.accuracy < frame.high)).all()


def test_annotator_quality_of_text_and_gold():
    frame = annotator_quality([["a", "a", None], ["b", "a", None], ["a", "a", None]], gold=["a", "b", "a"])
    assert frame.accuracy[:2].tolist() == pytest.approx([1, 2 / 3])
    assert np.isnan(frame.accuracy[2])
    assert frame.answered.tolist() == [3, 3, 0]
