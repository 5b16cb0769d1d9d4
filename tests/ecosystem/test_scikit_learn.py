"""Inside scikit-learn: pipelines, searches, cross-validation, routing, and its classifiers inside ours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.ecosystem.estimators import ESTIMATORS, NAMES, TRAIN, rows

from labelwise import losses
from labelwise.calibration import MatrixScaling, TemperatureScaling, VectorScaling
from labelwise.learner import Classifier, Train
from labelwise.losses import ELR, GCE, ActivePassive, CrossEntropy, Loss
from labelwise.noisy import BiasAwareRegressor, ConfidentLearning
from labelwise.semi_supervised import FixMatch
from labelwise.shift import BBSE, EMPrior
from labelwise.weak import VoteClassifier

X, Y = rows()
FRAME = pd.DataFrame(X, columns=NAMES)
CHANCE = 0.4


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("name", ESTIMATORS)
def test_last_step_of_a_pipeline(name):
    model = make_pipeline(StandardScaler(), clone(ESTIMATORS[name])).fit(FRAME, Y)
    assert model.score(FRAME, Y) > CHANCE
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(FRAME).shape == (90, 3)


@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_frames_reach_the_last_step_with_their_names(name, output):
    columns = make_column_transformer((StandardScaler(), NAMES[:2]), remainder="passthrough")
    model = make_pipeline(columns, clone(ESTIMATORS[name])).set_output(transform=output).fit(FRAME, Y)
    assert model.score(FRAME, Y) > CHANCE
    assert [name.rpartition("__")[2] for name in model[-1].feature_names_in_] == NAMES


@pytest.mark.parametrize("name", ESTIMATORS)
def test_cross_validation_with_scorers_of_classes_and_probabilities(name):
    scoring = ["accuracy", "neg_log_loss", "roc_auc_ovr"]
    scores = cross_validate(clone(ESTIMATORS[name]), FRAME, Y, cv=3, scoring=scoring, error_score="raise")
    assert all(np.isfinite(scores[f"test_{score}"]).all() for score in scoring)
    assert scores["test_accuracy"].mean() > CHANCE


@pytest.mark.parametrize(
    ("estimator", "grid"),
    [
        (Classifier(train=TRAIN, random_state=0), {"train__epochs": [1, 3], "train__lr": [2e-3]}),
        (Classifier(random_state=0), {"train__epochs": [1]}),
        (Classifier(criterion=GCE(), train=TRAIN, random_state=0), {"criterion__q": [0.3, 0.7]}),
        (Classifier(train=TRAIN, random_state=0), {"criterion": [GCE(), ELR()]}),
        (ConfidentLearning(estimator=LogisticRegression(), random_state=0), {"estimator__C": [0.1, 1], "rule": ["both"]}),
        (FixMatch(train=TRAIN, random_state=0), {"threshold": [0.8, 0.95]}),
    ],
)  # fmt: skip
def test_searches_reach_nested_parameters(estimator, grid):
    for inside, prefix in ((estimator, ""), (Pipeline([("scale", StandardScaler()), ("model", estimator)]), "model__")):
        named = {prefix + name: values for name, values in grid.items()}
        search = GridSearchCV(inside, named, cv=2, error_score="raise").fit(X, Y)
        assert set(search.best_params_) == set(named)
        assert search.predict(X).shape == (90,)


def test_a_nested_change_leaves_the_default_of_the_class_alone():
    Classifier().set_params(criterion__smoothing=0.2, train__epochs=3)
    assert Classifier().criterion.smoothing == 0.0
    assert Classifier().train is None
    assert Classifier().set_params(train__epochs=3).train.epochs == 3
    shared = Train(epochs=4)
    first, second = Classifier(train=shared), Classifier(train=clone(shared))
    first.set_params(train__epochs=9)
    assert second.train.epochs == 4


def test_an_unknown_nested_name_is_named():
    with pytest.raises(ValueError, match="no parameter 'strength'"):
        Classifier(criterion=GCE()).set_params(criterion__strength=1.0)


@pytest.mark.parametrize("name", [n for n in losses.__all__ if isinstance(getattr(losses, n), type)])
def test_losses_have_parameters_as_scikit_learn_knows_them(name):
    cls = getattr(losses, name)
    if not issubclass(cls, Loss) or cls is Loss:
        pytest.skip("not a drop-in loss")
    loss = cls()
    again = clone(loss)
    assert type(again) is cls
    assert again is not loss
    params = loss.get_params()
    assert repr(clone(loss).set_params(**params)) == repr(loss)
    for param, value in params.items():
        if type(value) is float and 0 < value < 1:
            assert clone(loss).set_params(**{param: value / 2}).get_params()[param] == value / 2
            assert loss.get_params()[param] == value


def test_clones_of_losses_share_nothing():
    loss = ActivePassive()
    other = clone(loss).set_params(active=CrossEntropy())
    assert type(loss.active) is not type(other.active)


WRAPPED = [
    LogisticRegression(),
    RandomForestClassifier(10, random_state=0),
    HistGradientBoostingClassifier(max_iter=5, random_state=0),
    make_pipeline(StandardScaler(), LogisticRegression()),
]
WRAPPERS = [ConfidentLearning, VoteClassifier, BBSE, EMPrior, TemperatureScaling, VectorScaling, MatrixScaling]


@pytest.mark.parametrize("inner", WRAPPED, ids=lambda inner: type(inner).__name__)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_model_agnostic_methods_wrap_any_classifier(wrapper, inner):
    model = wrapper(estimator=inner).fit(FRAME, Y)
    assert model.score(FRAME, Y) > CHANCE
    assert list(model.feature_names_in_) == NAMES


def test_weights_are_routed(routing):
    asked = Classifier(train=TRAIN, random_state=0).set_fit_request(sample_weight=True)
    asked.set_score_request(sample_weight=False)
    weight = np.where(Y == 0, 1.0, 0.0)
    scores = cross_validate(
        asked, X, Y, cv=3, params={"sample_weight": weight}, error_score="raise", return_estimator=True
    )
    plain = cross_validate(
        asked.set_fit_request(sample_weight=False), X, Y, cv=3, error_score="raise", return_estimator=True
    )
    assert not np.allclose(scores["estimator"][0].predict_proba(X), plain["estimator"][0].predict_proba(X))
    silent = Classifier(train=TRAIN, random_state=0)
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
        cross_validate(silent, X, Y, params={"sample_weight": weight}, error_score="raise")


def test_domains_pass_through_a_pipeline(routing):
    domains = (np.arange(90) >= 60).astype(int)
    model = make_pipeline(StandardScaler(), EMPrior(n_resamples=10, cv=3).set_fit_request(domains=True))
    model.fit(X, np.where(domains, -1, Y), domains=domains)
    assert model[-1].source_prior_.round(2).tolist() == [0.33, 0.33, 0.33]


def test_a_pool_passes_through_a_pipeline(routing):
    model = make_pipeline(StandardScaler(), FixMatch(train=TRAIN, random_state=0).set_fit_request(pool=True))
    with_pool = model.fit(X[:30], Y[:30], pool=X[30:]).predict_proba(X)
    without = clone(model).fit(X[:30], Y[:30]).predict_proba(X)
    assert not np.allclose(with_pool, without)


def test_trusted_rows_are_cut_with_their_folds(routing):
    trusted = np.arange(90) % 2 == 0
    asked = BiasAwareRegressor(train=TRAIN, random_state=0).set_fit_request(trusted=True)
    scores = cross_validate(asked, X, X[:, 0], cv=3, params={"trusted": trusted}, error_score="raise")
    assert np.isfinite(scores["test_score"]).all()


def test_groups_reach_the_splitter(routing):
    groups = np.arange(90) // 10
    scores = cross_validate(ESTIMATORS["plain classifier"], X, Y, cv=GroupKFold(3), params={"groups": groups})
    assert np.isfinite(scores["test_score"]).all()


def test_diagrams_show():
    for estimator in ESTIMATORS.values():
        assert type(estimator).__name__ in estimator._repr_html_()
