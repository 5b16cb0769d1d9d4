"""Search spaces from annotations: every draw is a setting that the method accepts, by every searcher."""

from __future__ import annotations

import inspect
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import RandomizedSearchCV
from tests.ecosystem.estimators import TRAIN, rows

import labelwise
from labelwise import catalogue
from labelwise.base import Fields, InputError, Positive
from labelwise.learner import Classifier, Train
from labelwise.losses import ELR
from labelwise.spaces import Choice, Real, Whole, search_space, suggest

X, Y = rows()


def settable(entry):
    if not inspect.isclass(entry.cls) or not issubclass(entry.cls, Fields):
        return False
    needed = [p for p in inspect.signature(entry.cls).parameters.values() if p.default is inspect.Parameter.empty]
    return not needed


METHODS = [entry for entry in catalogue.methods() if settable(entry)]


class Random:
    """A trial that draws at random, ends included."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def suggest_float(self, name, low, high, log):
        if log:
            assert low > 0
        return float(self.rng.choice([low, high, self.rng.uniform(low, high)]))

    def suggest_int(self, name, low, high, log):
        return int(self.rng.choice([low, high, self.rng.integers(low, high + 1)]))

    def suggest_categorical(self, name, options):
        return options[int(self.rng.integers(len(options)))]


@pytest.mark.parametrize("entry", METHODS, ids=lambda entry: entry.name)
def test_every_draw_is_accepted(entry):
    for seed in range(5):
        chosen = suggest(Random(seed), entry.cls)
        model = entry.cls().set_params(**chosen).check_fields()
        if "train" in model.get_params(deep=False) and any(name.startswith("train__") for name in chosen):
            model.train.check_fields()


def test_most_learners_have_something_to_search():
    learners = [entry for entry in METHODS if entry.kind == "learner"]
    assert all(set(search_space(entry.cls)) >= {"train__lr", "train__epochs"} for entry in learners)


class OneField(Fields):
    strength: Annotated[float, Positive] = 1.0


@given(default=st.floats(1e-6, 1e3))
def test_a_positive_field_is_searched_around_its_default(default):
    found = search_space(OneField(strength=default))["strength"]
    assert found.log
    assert 0 < found.low < default < found.high
    assert found.high / found.low == pytest.approx(100, rel=1e-4)


def test_kinds_of_fields():
    space = search_space(Classifier(criterion=ELR(), train=Train(epochs=10)))
    assert space["criterion__weight"] == Choice((1.0, 3.0, 7.0))
    assert space["train__epochs"] == Whole(2, 40, log=True)
    assert space["train__lr"] == Real(2e-4, 2e-2, log=True)
    assert search_space("confident learning")["rule"].options[0] == "prune_by_noise_rate"
    assert list(labelwise.search_space("FixMatch", ["train__lr", "threshold"])) == ["train__lr", "threshold"]


def test_names_that_cannot_be_searched():
    with pytest.raises(InputError, match=r"no hyper-parameter 'random_state'.*It has .*train__lr"):
        search_space(Classifier, ["random_state"])
    with pytest.raises(InputError, match="method must be an estimator"):
        search_space(3)


def test_an_optuna_study():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    base = Classifier(criterion=ELR(), train=TRAIN, random_state=0)

    def objective(trial):
        chosen = labelwise.suggest(trial, base, ["criterion__weight", "train__lr", "train__batch_size"])
        return clone(base).set_params(**chosen).fit(X, Y).score(X, Y)

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=5)
    assert len(study.trials) == 5
    assert study.best_value > 0.4
    assert set(study.best_params) == {"criterion__weight", "train__lr", "train__batch_size"}
    asked = study.ask(search_space(base).optuna())
    assert set(asked.params) == set(search_space(base))


def test_objects_are_chosen_by_their_words():
    class Method(Fields):
        inner: object = None
        tune = {"inner": [Train(epochs=1), Train(epochs=2)]}

    assert search_space(Method).optuna() == {}
    assert {suggest(Random(seed), Method)["inner"].epochs for seed in range(20)} == {1, 2}


def test_scikit_learns_random_search():
    base = Classifier(train=TRAIN, random_state=0)
    space = search_space(base, ["train__lr", "train__epochs", "train__weight_decay"])
    search = RandomizedSearchCV(base, space.scipy(), n_iter=3, cv=2, random_state=0, error_score="raise").fit(X, Y)
    assert 2e-4 <= search.best_params_["train__lr"] <= 2e-2
