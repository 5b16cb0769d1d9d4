"""The table of sources, copies that count once, and the reason for a label model in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from labelwise.base import InputError
from labelwise.weak import DawidSkene, MajorityVote, OneCoin, VoteClassifier, source_report
from labelwise.weak.answers import read_votes
from labelwise.weak.explain import why
from labelwise.weak.held_out import choose

GOOD = [(0.9, 0.3), (0.8, 1.0), (0.6, 0.5), (0.7, 0.9), (0.75, 0.7)]


def scored(model, votes, truth):
    return (model.fit(votes).predict(votes) == truth).mean()


def test_report_against_counts(make_votes):
    votes, truth = make_votes(0, 2000, 3, GOOD)
    table = source_report(pd.DataFrame(votes, columns=list("abcde")), gold=truth)
    assert table.source.tolist() == list("abcde")
    right = (votes == truth[:, None]).sum(0) / (votes >= 0).sum(0)
    assert np.allclose(table.accuracy, right)
    assert np.allclose(table.coverage, (votes >= 0).mean(0))
    assert table.answered.tolist() == (votes >= 0).sum(0).tolist()
    assert (table.same_as == "").all()


def test_report_by_class_against_counts(make_votes):
    votes, truth = make_votes(0, 2000, 3, GOOD)
    table = source_report(votes, gold=truth, by_class=True).set_index(["source", "says"])
    for j in range(5):
        for k in range(3):
            said = votes[:, j] == k
            row = table.loc[(str(j), k)]
            assert row.accuracy == pytest.approx((truth[said] == k).mean())
            assert row.coverage == pytest.approx(said.mean())
            assert row.low <= row.accuracy <= row.high


def test_enough_true_labels_judge_alone(make_votes):
    votes, truth = make_votes(0, 500, 2, [(0.9, 1.0), (0.3, 1.0), (0.3, 0.5), (0.3, 1.0)])
    for n, misled in ((20, True), (60, False)):
        gold = np.where(np.arange(500) < n, truth, -1)
        table = source_report(votes, gold, model=OneCoin())
        assert (table.accuracy[1] > 0.5) == misled
        assert table.answered[1] == 500
        assert table.judged[1] == (500 if misled else 60)
    said = votes[:60, 2] >= 0
    assert table.accuracy[2] == pytest.approx((votes[:60, 2] == truth[:60])[said].mean())


def test_a_rule_for_one_class_has_one_row():
    votes = np.array([[1, 0], [1, 1], [-1, 0], [-1, 1]])
    table = source_report(votes, by_class=True)
    assert list(zip(table.source, table.says, table.answered, strict=True)) == [("0", 1, 2), ("1", 0, 2), ("1", 1, 2)]


def test_intervals_hold_accuracy_and_coverage(make_votes):
    inside = []
    for seed in range(8):
        votes, _ = make_votes(seed, 400, 3, GOOD * 2)
        table = source_report(votes, model=OneCoin())
        accuracy, coverage = np.array(GOOD * 2).T
        inside += [(table.low <= accuracy) & (accuracy <= table.high)]
        inside += [(table.coverage_low <= coverage) & (coverage <= table.coverage_high) | (coverage == 1)]
    assert np.mean(inside) > 0.8  # 90 % intervals, which take the label model for granted


def test_who_repeats_whom(make_votes):
    votes, _ = make_votes(0, 500, 2, GOOD, copies=3)
    assert source_report(votes).same_as.tolist() == ["", "", "", "", "", "", "5", "5"]


def test_report_of_bad_input():
    with pytest.raises(InputError, match="level must be"):
        source_report([[0, 1]], level=90)
    with pytest.raises(InputError, match=r"no answer: all 2 sources abstain .* 0 to 2"):
        source_report(np.full((3, 2), -1))


@pytest.mark.parametrize("flip", [0, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_eight_copies_of_full_coverage_do_not_drag_it_below_the_vote(seed, flip, make_votes):
    voters = [(accuracy, 1.0) for accuracy in np.linspace(0.6, 0.85, 12)]
    votes, truth = make_votes(seed, 1500, 2, voters, copies=8, flip=flip)
    vote = scored(MajorityVote(), votes, truth)
    assert scored(DawidSkene(), votes, truth) < vote - 0.03  # what a common label model does there
    assert scored(choose(read_votes(votes))[0], votes, truth) > vote + 0.1


@pytest.mark.parametrize("seed", range(3))
def test_rules_of_small_coverage_gain_a_little(seed, make_votes):
    rng = np.random.default_rng(seed)
    votes, truth = make_votes(seed, 3000, 2, [(a, 0.3) for a in rng.uniform(0.6, 0.95, 30)])
    assert scored(choose(read_votes(votes))[0], votes, truth) > scored(MajorityVote(), votes, truth)


problems = st.tuples(st.integers(0, 2**32 - 1), st.integers(2, 5))


@pytest.mark.parametrize("model", [OneCoin(), DawidSkene(), DawidSkene(abstentions="model")])
@settings(max_examples=10, deadline=None)
@given(problems)
def test_a_column_written_again_changes_nothing_that_counts_once(model, problem):
    seed, times = problem
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 200)
    votes = np.where(rng.random((200, 5)) < 0.75, truth[:, None], 1 - truth[:, None])
    votes[rng.random(votes.shape) < 0.2] = -1
    again = np.column_stack([votes, *[votes[:, :1]] * (times - 1)])
    steps = {"max_iter": 5, "tol": 0}
    once, plain = (clone(model).set_params(copies=copies, **steps) for copies in ("once", "each"))
    assert np.allclose(once.fit(again).proba_, plain.fit(votes).proba_, atol=1e-6)


def test_reasons_in_words(make_votes):
    votes, truth = make_votes(0, 1500, 2, [(0.5, 1.0)] * 3 + [(0.8, 1.0)] * 5)
    X = np.random.default_rng(0).normal(2 * truth[:, None], 1, (1500, 2))
    model = VoteClassifier().fit(X, votes=votes)
    assert "decides: by voters left out, it is ahead of the majority vote by" in model.why_
    even, _ = make_votes(0, 300, 2, [(0.7, 1.0)] * 3)
    answers = read_votes(even)
    assert why(*choose(answers), answers).startswith("The majority vote decides: by voters left out")
    assert VoteClassifier(label_model=OneCoin()).fit(X, votes=votes).why_.startswith("OneCoin() was asked for")
    votes, _ = make_votes(0, 300, 2, [(0.7, 1.0)] * 3, copies=4)
    answers = read_votes(votes)
    assert why(*choose(answers), answers).endswith("3 of 7 sources say nearly the same as another.")


def test_rows_without_votes_are_named(make_votes):
    votes, truth = make_votes(0, 100, 2, [(0.8, 1.0)] * 3)
    votes[[3, 70]] = -1
    X = truth[:, None] + 0.0
    assert VoteClassifier().fit(X, votes=votes).without_votes_.tolist() == [3, 70]
