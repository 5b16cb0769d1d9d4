from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier

from labelwise.base import InputError
from labelwise.learner import Classifier, Regressor, Train
from labelwise.unlearning.advantage import Calls, evidence
from labelwise.unlearning.certificate import PARTS, certify
from labelwise.unlearning.relearning import anamnesis_index

X, Y = load_digits(return_X_y=True)
X, Y, XT, YT = X[:500], Y[:500], X[500:900], Y[500:900]
XR, YR = load_diabetes(return_X_y=True)
RNG = np.random.default_rng(0)
FORGET = RNG.random(500) < 0.2


def test_what_a_tree_remembers_is_seen_and_retraining_takes_it_away() -> None:
    noisy = np.where(FORGET, RNG.integers(0, 10, 500), Y)  # such rows can only be remembered
    before = DecisionTreeClassifier(random_state=0).fit(X, noisy)
    told = certify(before, before, X, noisy, FORGET, XT, YT, retrain=True, seconds=0.0)
    assert told.membership["after"].low > 0.1 and told.membership["retrained"].value < 0.05
    assert told.scores["before"]["forgotten"].value == 1 and told.scores["retrained"]["forgotten"].value < 0.3
    assert told.verdicts == {"forgotten rows": "not met", "membership": "not met", "time": "met"} and not told.met
    assert told.membership_gap is not None
    assert told.membership_gap.value == pytest.approx(
        told.membership["after"].value - told.membership["retrained"].value
    )


def test_scores_are_those_of_the_models_on_each_part() -> None:
    model = GaussianNB().fit(X, Y)
    after = GaussianNB().fit(X[~FORGET], Y[~FORGET])
    told = certify(model, after, X, Y, FORGET, XT, YT, retrained=after, seconds=1.0, seconds_retraining=20.0)
    parts = {"kept": (X[~FORGET], Y[~FORGET]), "forgotten": (X[FORGET], Y[FORGET]), "test": (XT, YT)}
    for part, rows in parts.items():
        assert told.scores["before"][part].value == pytest.approx(model.score(*rows))
        assert told.scores["after"][part].value == pytest.approx(after.score(*rows))
        assert told.rows[part] == len(rows[1])
    assert told.met and told.ratio == pytest.approx(0.05)
    assert told.membership_gap is not None and told.membership_gap.value == 0
    again = json.loads(json.dumps(told.as_dict()))
    assert again["scores"]["after"]["test"]["low"] < again["scores"]["after"]["test"]["value"]
    assert again["verdicts"]["time"] == "met" and len(again["not_checked"]) >= 4
    assert "time: 5% of retraining" in told.describe() and "membership advantage" in told._repr_html_()


def test_a_withdrawn_class_is_compared_with_test_rows_of_that_class() -> None:
    gone = Y == 3
    before = KNeighborsClassifier(1).fit(X, Y)
    after = KNeighborsClassifier(1).fit(X[~gone], Y[~gone])
    told = certify(before, after, X, Y, gone, XT, YT, retrained=after)
    assert told.rows["test like forgotten"] == (YT == 3).sum()
    assert told.scores["before"][PARTS[3]].value == pytest.approx(before.score(XT[YT == 3], YT[YT == 3]))
    assert told.scores["after"][PARTS[3]].value == 0
    assert abs(told.membership["after"].value) < 0.05  # neither is ever called a member
    assert told.verdicts["time"] == "not checked" and any("time" in line for line in told.not_checked)


def test_regression_is_certified_by_its_error_in_spreads() -> None:
    forget = np.arange(len(YR)) < 60
    test = np.arange(len(YR)) >= 300
    rows = ~test
    before = KNeighborsRegressor(1).fit(XR[rows], YR[rows])
    told = certify(before, before, XR[rows], YR[rows], forget[rows], XR[test], YR[test], retrain=True)
    assert told.metric == "error" and told.scores["after"]["forgotten"].value == 0
    kept = YR[rows & ~forget]
    error = np.abs(before.predict(XR[test]) - YR[test]).mean() / kept.std()
    assert told.scores["after"]["test"].value == pytest.approx(error)
    assert told.membership["after"].low > 0.8 and told.verdicts["forgotten rows"] == "not met"


def test_without_retraining_no_bound_is_judged() -> None:
    model = RidgeClassifier().fit(X, Y)  # no probabilities
    told = certify(model, model, X, Y, FORGET, XT, YT)
    assert set(told.verdicts.values()) == {"not checked"} and not told.met and told.membership_gap is None
    assert any(line.startswith("Retraining") for line in told.not_checked)


@pytest.mark.slow
def test_unlabelled_rows_are_left_out_and_what_is_behind_them_changes_nothing() -> None:
    model = GaussianNB().fit(X, Y)
    hidden = Y.copy()
    hidden[::7] = -1
    told = certify(model, model, X, hidden, FORGET, XT, YT)
    moved = np.where((hidden == -1)[:, None], X + 100.0, X)
    assert certify(model, model, moved, hidden, FORGET, XT, YT).as_dict() == told.as_dict()
    assert told.rows["kept"] + told.rows["forgotten"] == (hidden >= 0).sum()


@pytest.mark.slow
def test_few_rows_say_that_the_verdict_can_be_luck() -> None:
    model = DecisionTreeClassifier(max_depth=5, random_state=0).fit(X, Y)
    after = DecisionTreeClassifier(max_depth=5, random_state=1).fit(X[10:], Y[10:])
    told = certify(model, after, X, Y, np.arange(500) < 10, XT, YT, retrain=True)
    assert any("can be luck" in line for line in told.not_checked)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_rows_that_look_alike_give_no_advantage(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept, lost, unseen = rng.normal(size=(120, 1)), rng.normal(size=(40, 1)), rng.normal(size=(80, 1))
    calls = Calls(kept, lost, unseen, folds=2)
    found = calls.advantage()
    assert found.low <= found.value <= found.high and -1 <= found.value <= 1
    assert found.value == pytest.approx(calls.forgotten.mean() - calls.unseen.mean())
    assert abs(found.value) < 0.5


def test_evidence_is_the_log_odds_of_the_label() -> None:
    model = GaussianNB().fit(X, Y)
    seen = evidence(model, XT[:50], YT[:50])
    p = model.predict_proba(XT[:50])[np.arange(50), YT[:50]].clip(1e-7, 1 - 1e-7)
    np.testing.assert_allclose(seen[:, 0], np.log(p / (1 - p)))
    unknown = evidence(GaussianNB().fit(X[Y < 9], Y[Y < 9]), XT[YT == 9], YT[YT == 9])
    assert (unknown[:, 0] < -10).all()  # a class the model does not know is never predicted


def test_a_model_that_knows_the_rows_learns_them_again_at_once() -> None:
    train = Train(epochs=50, batch_size=64, lr=1e-2)
    y = YR.copy()
    y[:60] = RNG.permutation(YR)[:60] * 2  # only who saw them knows
    original = Regressor(train=train, random_state=0).fit(XR, y)
    gold = Regressor(train=train, random_state=0).fit(XR[60:], y[60:])
    assert anamnesis_index(original, original, gold, XR[:60], y[:60]) < 0.2
    assert anamnesis_index(original, gold, gold, XR[:60], y[:60]) == 1
    told = certify(
        original, gold, XR[:200], y[:200], np.arange(200) < 60, XR[200:], y[200:], retrained=gold, relearn=True
    )
    assert told.anamnesis == 1


@pytest.mark.slow
def test_a_class_that_retraining_never_saw_has_no_index() -> None:
    train = Train(epochs=1)
    before = Classifier(train=train, random_state=0).fit(X, Y)
    gold = Classifier(train=train, random_state=0).fit(X[Y != 3], Y[Y != 3])
    told = certify(before, gold, X, Y, Y == 3, XT, YT, retrained=gold, relearn=True)
    assert told.anamnesis is None and any("does not know the class 3" in line for line in told.not_checked)
    with pytest.raises(InputError, match="GaussianNB has no network"):
        anamnesis_index(GaussianNB().fit(X, Y), gold, gold, X[:5], Y[:5])


def test_bad_input_is_refused() -> None:
    model = GaussianNB().fit(X, Y)
    with pytest.raises(InputError, match="forget marks no row"):
        certify(model, model, X, Y, np.zeros(500, bool), XT, YT)
    with pytest.raises(InputError, match="forget marks all 500 rows"):
        certify(model, model, X, Y, np.ones(500, bool), XT, YT)
    with pytest.raises(InputError, match="y_test has 3 entries but its rows are 400"):
        certify(model, model, X, Y, FORGET, XT, YT[:3])
    with pytest.raises(InputError, match="5 kept and 5 test rows"):
        certify(model, model, X, Y, FORGET, XT[:2], YT[:2])
    with pytest.raises(InputError, match="only rows without a label"):
        certify(model, model, X, np.where(FORGET, -1, Y), FORGET, XT, YT)
