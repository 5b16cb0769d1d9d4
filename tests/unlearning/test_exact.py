from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from labelwise.base import InputError
from labelwise.learner import Classifier, Regressor, Train
from labelwise.persistence import load, save
from labelwise.unlearning import SISA, Retrain

X, Y = load_digits(return_X_y=True)
X, Y, XT, YT = X[:600], Y[:600], X[600:900], Y[600:900]
XR, YR = load_diabetes(return_X_y=True)
FORGET = np.arange(600) % 40 == 0
SHORT = Train(epochs=4, batch_size=32)


@pytest.mark.parametrize("estimator", [GaussianNB(), DecisionTreeClassifier(random_state=3), LinearSVC()])
def test_retraining_is_a_fit_on_the_rest(estimator: object) -> None:
    after = Retrain(estimator=estimator).fit(X, Y, forget=FORGET)
    gold = clone(estimator).fit(X[~FORGET], Y[~FORGET])
    np.testing.assert_array_equal(after.predict(XT), gold.predict(XT))
    assert after.seconds_ > 0 and hasattr(after, "predict_proba") == hasattr(gold, "predict_proba")


def test_a_learner_is_retrained_with_its_own_seed_or_another() -> None:
    model = Classifier(train=SHORT, random_state=0)
    gold = clone(model).fit(X[~FORGET], Y[~FORGET]).predict_proba(XT)
    np.testing.assert_array_equal(Retrain(estimator=model).fit(X, Y, forget=FORGET).predict_proba(XT), gold)
    assert not np.array_equal(Retrain(estimator=model, random_state=1).fit(X, Y, forget=FORGET).predict_proba(XT), gold)


@pytest.mark.parametrize("estimator", [GaussianNB(), DecisionTreeClassifier(), LinearSVC(max_iter=200)])
def test_each_shard_is_a_fit_on_its_rows_and_the_answer_their_mean(estimator: object) -> None:
    model = SISA(estimator=estimator, shards=3, random_state=0).fit(X, Y)
    after = model.withdraw(X, Y, FORGET)
    shares = np.zeros((len(XT), 10))
    for shard in range(3):
        rows = (model.shard_ == shard) & ~FORGET
        own = clone(estimator)
        if hasattr(own, "random_state"):
            own.set_params(random_state=int(model.seeds_[shard, 0]))
        own.fit(X[rows], Y[rows])
        shares += own.predict_proba(XT) if hasattr(own, "predict_proba") else np.eye(10)[own.predict(XT)]
    np.testing.assert_allclose(after.predict_proba(XT), shares / 3, atol=1e-12)
    np.testing.assert_array_equal(after.predict(XT), shares.argmax(1))


@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("estimator", [None, SGDClassifier(loss="log_loss"), DecisionTreeClassifier()])
def test_withdrawn_rows_might_never_have_been_there(estimator: object, slices: int) -> None:
    if slices > 1 and isinstance(estimator, DecisionTreeClassifier):
        pytest.skip("a tree is not trained further")
    estimator = Classifier(train=SHORT) if estimator is None else estimator
    asked = SISA(estimator=estimator, shards=3, slices=slices, random_state=0)
    model = clone(asked).fit(X, Y)
    before = model.predict_proba(XT)
    after = model.withdraw(X, Y, FORGET)
    never = clone(asked).fit(X, np.where(FORGET, -1, Y))
    np.testing.assert_array_equal(after.predict_proba(XT), never.predict_proba(XT))
    np.testing.assert_array_equal(model.predict_proba(XT), before)
    at_once = clone(asked).fit(X, Y, forget=FORGET)
    np.testing.assert_array_equal(at_once.predict_proba(XT), never.predict_proba(XT))


def test_only_touched_shards_are_trained_again_and_only_from_the_slice_on() -> None:
    model = SISA(estimator=SGDClassifier(loss="log_loss"), shards=4, slices=4, random_state=0).fit(X, Y)
    one = np.arange(600) == np.flatnonzero((model.shard_ == 2) & (model.slice_ == 3))[0]
    after = model.withdraw(X, Y, one)
    assert after.rows_again_ == ((model.shard_ == 2) & (model.slice_ == 3)).sum() - 1
    for shard in range(4):
        same = [a is b for a, b in zip(model.states_[shard], after.states_[shard], strict=True)]
        assert same == ([True, True, True, False] if shard == 2 else [True] * 4)


def test_withdrawing_twice_is_withdrawing_both() -> None:
    model = SISA(estimator=GaussianNB(), shards=3, random_state=0).fit(X, Y)
    other = np.arange(600) % 40 == 1
    twice = model.withdraw(X, Y, FORGET).withdraw(X, Y, other)
    np.testing.assert_array_equal(twice.predict_proba(XT), model.withdraw(X, Y, FORGET | other).predict_proba(XT))


def test_a_withdrawn_class_is_gone_and_shards_without_a_class_answer_for_the_others() -> None:
    model = SISA(estimator=GaussianNB(), shards=3, random_state=0).fit(X, Y)
    after = model.withdraw(X, Y, Y == 4)
    assert after.classes_.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9] and after.predict_proba(XT).shape == (300, 9)
    np.testing.assert_allclose(after.predict_proba(XT).sum(1), 1)
    few = SISA(estimator=GaussianNB(), shards=30, random_state=0).fit(
        X[:60], Y[:60]
    )  # shards of one class, or of nothing
    np.testing.assert_allclose(few.predict_proba(XT).sum(1), 1)


def test_real_targets_are_averaged() -> None:
    model = SISA(estimator=DecisionTreeRegressor(random_state=0), shards=2, random_state=0).fit(XR, YR)
    each = [
        DecisionTreeRegressor(random_state=int(model.seeds_[s, 0])).fit(XR[model.shard_ == s], YR[model.shard_ == s])
        for s in (0, 1)
    ]
    np.testing.assert_allclose(model.predict(XR[:9]), (each[0].predict(XR[:9]) + each[1].predict(XR[:9])) / 2)
    assert not hasattr(model, "predict_proba") and model.score(XR, YR) > 0.4
    sliced = SISA(estimator=Regressor(train=SHORT), shards=2, slices=2, random_state=0).fit(XR, YR)
    assert sliced.withdraw(XR, YR, np.arange(len(YR)) < 5).predict(XR).shape == YR.shape


def test_a_slice_may_bring_a_new_class() -> None:
    features, classes = load_iris(return_X_y=True)
    few = np.r_[0:50, 50:53]  # the second class is rare: some first slice lacks it
    model = SISA(estimator=Classifier(train=SHORT), shards=2, slices=6, random_state=0).fit(features[few], classes[few])
    assert model.predict_proba(features).shape == (150, 2)


def test_what_is_saved_can_be_withdrawn_from(tmp_path: Path) -> None:
    model = SISA(estimator=Classifier(train=SHORT), shards=2, random_state=0).fit(X, Y)
    save(model, tmp_path / "sisa")
    again = load(tmp_path / "sisa")
    np.testing.assert_array_equal(
        again.withdraw(X, Y, FORGET).predict_proba(XT), model.withdraw(X, Y, FORGET).predict_proba(XT)
    )


def test_bad_input_is_refused() -> None:
    model = SISA(estimator=GaussianNB(), shards=2, random_state=0).fit(X, Y)
    with pytest.raises(InputError, match="X has 5 rows, but fit had 600"):
        model.withdraw(X[:5], Y[:5], np.zeros(5, bool))
    with pytest.raises(InputError, match="forget marks all 600 rows"):
        model.withdraw(X, Y, np.ones(600, bool))
    with pytest.raises(InputError, match="forget marks every row that is left"):
        model.withdraw(X, Y, FORGET).withdraw(X, Y, ~FORGET)
    with pytest.raises(InputError, match="slices must be 1 for LogisticRegression"):
        SISA(estimator=LogisticRegression(), slices=2).fit(X, Y)
    with pytest.raises(InputError, match="must be an estimator of labelwise or scikit-learn"):
        Retrain(estimator="tree").fit(X, Y)
    mixed = np.array(["one", *Y[1:].tolist()], dtype=object)  # the odd label is among the rows to forget
    with pytest.raises(InputError, match="y"):
        Retrain(estimator=GaussianNB()).fit(X, mixed, forget=np.arange(600) < 1)
    with pytest.raises(InputError, match="X has 600 rows but y has 599"):
        Retrain(estimator=GaussianNB()).fit(X, Y[1:])
