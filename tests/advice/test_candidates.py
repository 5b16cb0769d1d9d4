from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import parametrize_with_checks

from labelwise.advice import Blend, BlendRegressor, Candidate, baseline_for, blend_of, from_class
from labelwise.advice.blend import proba_of
from labelwise.advice.candidates import describe
from labelwise.advice.splits import Split
from labelwise.advice.tuning import WORST, Halving, best_of, rows_to_fit
from labelwise.base import InputError
from labelwise.baselines import Baseline
from labelwise.losses import ELR

tables = st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True))


@parametrize_with_checks([Blend(), BlendRegressor()])
def test_scikit_learn(estimator, check):
    check(estimator)


@given(tables, st.integers(1, 20), st.integers(0, 100))
def test_draws_are_different_repeatable_and_of_the_table(table, number, seed):
    candidate = Candidate("x", lambda params: DummyClassifier(), table)
    drawn = candidate.draws(number, seed)
    assert drawn == candidate.draws(number, seed)
    assert drawn[0] == {}
    total = int(np.prod([len(values) for values in table.values()])) if table else 0
    assert len(drawn) == min(number, 1 + total)
    assert len({describe(params) for params in drawn}) == len(drawn)
    assert all(params[name] in values for params in drawn[1:] for name, values in table.items())


def test_defaults_are_not_drawn_twice():
    candidate = Candidate("x", lambda p: LogisticRegression(**p), {"C": [1.0, 2.0, 3.0]})
    assert sorted(params.get("C", 1.0) for params in candidate.draws(9, seed=0)) == [1.0, 2.0, 3.0]


def test_the_baseline_draws_from_its_families_in_turns():
    drawn = baseline_for(10, 3).draws(7, seed=0)
    assert [params.get("family", "linear") for params in drawn[:4]] == ["linear", "boosting", "mlp", "linear"]
    models = [baseline_for(10, 3, random_state=5).build(params) for params in drawn]
    assert all(isinstance(m, Baseline) and m.draws == 1 and m.random_state == 5 for m in models)
    assert len({repr(m) for m in models}) == 7


def test_a_wide_baseline_is_not_boosted():
    families = {params.get("family", "linear") for params in baseline_for(384, 77).draws(8, seed=0)}
    assert families == {"linear", "mlp"}


def test_a_loss_is_trained_and_tuned_with_its_training():
    candidate = from_class(ELR, random_state=3)
    model = candidate.build({"weight": 7.0})
    assert (model.criterion.weight, model.random_state) == (7.0, 3)
    names = {name for params in candidate.draws(12, seed=0) for name in params}
    assert {"weight", "train"} <= names
    tuned = candidate.build({"weight": 1.0, "train": candidate.tune["train"][1]})
    assert tuned.train is candidate.tune["train"][1]


def test_a_seed_given_is_kept():
    assert from_class(Baseline, random_state=3).build({}).random_state == 3
    assert from_class(Baseline, random_state=3).build({"random_state": 4}).random_state == 4


def test_blend_averages():
    X, y = load_iris(return_X_y=True)
    names = np.array(["a", "b", "c"])[y]
    blend = Blend(first=GaussianNB(), second=LogisticRegression(max_iter=500), share=0.25).fit(X, names)
    one, two = GaussianNB().fit(X, names), LogisticRegression(max_iter=500).fit(X, names)
    np.testing.assert_allclose(blend.predict_proba(X), 0.25 * one.predict_proba(X) + 0.75 * two.predict_proba(X))
    assert set(blend.predict(X)) == {"a", "b", "c"}


def test_blend_of_regressors_averages():
    X, y = load_diabetes(return_X_y=True)
    candidate = blend_of(Candidate("ridge", lambda p: Ridge(**p)), baseline_for(10, 2, kind="real"))
    model = candidate.build({"first": {"alpha": 5.0}, "second": {"penalty": 0.1}}).fit(X, y)
    assert isinstance(model, BlendRegressor)
    second = baseline_for(10, 2, kind="real").build({"penalty": 0.1}).fit(X, y)
    np.testing.assert_allclose(model.predict(X), (Ridge(alpha=5.0).fit(X, y).predict(X) + second.predict(X)) / 2)


def test_unknown_classes_get_no_probability():
    model = GaussianNB().fit([[0.0], [1.0], [5.0], [6.0]], [0, 0, 2, 2])
    proba = proba_of(model, [[0.5]], np.arange(4))
    assert proba[0, [1, 3]].tolist() == [0, 0]
    assert proba.sum() == pytest.approx(1)
    with pytest.raises(InputError, match="classes"):
        proba_of(model, [[0.5]], np.arange(2))


def halve(settings, splits, score):
    halving = Halving(settings, splits)
    while halving.batch:
        halving.tell([score(i, split) for i, split in halving.batch])
    return halving.scores


@given(st.integers(1, 12), st.integers(1, 4), st.integers(20, 400), st.integers(0, 99))
def test_halving_scores_the_better_ones_on_more_folds(number, folds, rows, seed):
    worth = np.random.default_rng(seed).permutation(number)
    splits = [Split(np.arange(10), np.arange(rows), f"{i}") for i in range(folds)]
    scores = halve(number, splits, lambda i, split: (float(worth[i]), 0.0))
    lengths = [len(scores[i]) for i in np.argsort(worth)]
    assert lengths == sorted(lengths)
    assert sum(lengths) * 10 == rows_to_fit(number, splits)
    assert best_of(scores) == (int(worth.argmax()) if number > 1 else 0)


def test_a_setting_that_fails_is_not_chosen():
    splits = [Split(np.arange(10), np.arange(50))] * 4
    scores = halve(3, splits, lambda i, split: WORST if i == 0 else (0.1 * i, 0.0))
    assert best_of(scores) == 2


def test_a_rung_that_was_not_finished_does_not_count():
    splits = [Split(np.arange(10), np.arange(300))] * 4
    halving = Halving(4, splits)
    halving.tell([(0.1, 0.0), (0.4, 0.0), (0.3, 0.0), (0.2, 0.0)])
    assert [i for i, _ in halving.batch] == [1, 2]
    halving.tell([(0.2, 0.0), None])
    assert halving.batch == []
    assert best_of(halving.scores) == 1
    first = Halving(4, splits)
    first.tell([(0.1, 0.0), (0.4, 0.0), None, None])
    assert (best_of(first.scores), first.batch) == (1, [])
