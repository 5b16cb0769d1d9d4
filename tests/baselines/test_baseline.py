from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_moons
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from labelwise.base import InputError
from labelwise.baselines import Baseline, BaselineRegressor
from labelwise.baselines.families import GRIDS, settings, suitable


@parametrize_with_checks([Baseline(family="linear", draws=2), BaselineRegressor(family="linear", draws=2)])
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        Baseline(),
        BaselineRegressor(),
        Baseline(family="mlp", draws=1),
        Baseline(family="boosting", draws=1),
        BaselineRegressor(family="boosting", draws=1),
    ]
)
def test_scikit_learn_all_families(estimator, check):
    check(estimator)


def test_linear_is_logistic_regression_on_standardised_rows():
    X, y = load_breast_cancer(return_X_y=True)
    ours = Baseline(family="linear", penalty=0.01, draws=1).fit(X, y).predict_proba(X)
    Z = StandardScaler().fit_transform(X)
    theirs = LogisticRegression(C=1 / (0.01 * len(y)), tol=1e-8, max_iter=10_000).fit(Z, y).predict_proba(Z)
    assert np.abs(ours - theirs).max() < 0.02


def test_linear_regressor_is_ridge_in_closed_form():
    X, y = load_diabetes(return_X_y=True)
    Z, centred = StandardScaler().fit_transform(X), y - y.mean()
    weights = np.linalg.solve(Z.T @ Z + 0.03 * len(y) * np.eye(Z.shape[1]), Z.T @ centred)
    ours = BaselineRegressor(family="linear", penalty=0.03, draws=1).fit(X, y).predict(X)
    np.testing.assert_allclose(ours, Z @ weights + y.mean(), rtol=1e-6)


def test_losses_agree_with_slow_cross_validation():
    X, y = load_iris(return_X_y=True)
    model = Baseline(family="linear", draws=3, folds=3, random_state=0).fit(X, y)
    fold, Z = model._fold_numbers(y), StandardScaler().fit_transform(X)
    for setting, loss in model.losses_.items():
        parts = []
        for f in range(3):
            train = fold != f
            slow = LogisticRegression(C=1 / (setting.penalty * train.sum()), tol=1e-8, max_iter=10_000)
            p = slow.fit(Z[train], y[train]).predict_proba(Z[~train])
            parts.append(log_loss(y[~train], p) * (~train).mean())
        assert loss == pytest.approx(sum(parts), abs=0.01)
    assert model.losses_[min(model.losses_, key=model.losses_.get)] == model.losses_[_kept(model)]


def _kept(model):
    return next(setting for setting in model.losses_ if setting.used() == model.setting_)


@pytest.mark.parametrize("mark", [None, np.nan])
def test_unlabelled_rows_change_nothing(mark):
    X, y = load_iris(return_X_y=True)
    names = np.array(["a", "b", "c"], dtype=object)[y]
    names[::3] = mark
    known = np.arange(len(y)) % 3 != 0
    some = Baseline(draws=3, random_state=1).fit(X, names)
    only = Baseline(draws=3, random_state=1).fit(X[known], names[known])
    np.testing.assert_array_equal(some.predict_proba(X), only.predict_proba(X))
    np.testing.assert_array_equal(some.classes_, ["a", "b", "c"])


def test_unlabelled_targets_change_nothing():
    X, y = load_diabetes(return_X_y=True)
    y[::2] = np.nan
    some = BaselineRegressor(family="linear", draws=2, random_state=1).fit(X, y)
    only = BaselineRegressor(family="linear", draws=2, random_state=1).fit(X[1::2], y[1::2])
    np.testing.assert_array_equal(some.predict(X), only.predict(X))


def test_images_are_flattened():
    rng = np.random.default_rng(0)
    images, y = rng.random((40, 4, 4, 3)).astype(np.float32), np.arange(40) % 2
    flat = images.reshape(40, -1)
    model = Baseline(family="linear", draws=1)
    np.testing.assert_array_equal(model.fit(images, y).predict_proba(images), model.fit(flat, y).predict_proba(flat))
    assert "boosting" not in {s.family for s in Baseline(draws=5).fit(images, y).losses_}


def test_a_class_with_one_row_is_learned():
    X, y = load_iris(return_X_y=True)
    y = np.where(np.arange(150) == 7, 3, y)
    model = Baseline(draws=4, random_state=0).fit(X, y)
    assert model.predict_proba(X).shape == (150, 4)


def test_auto_leaves_the_linear_family_where_it_cannot_do():
    X, y = make_moons(400, noise=0.1, random_state=0)
    assert Baseline(random_state=0).fit(X, y).family_ != "linear"


def test_same_seed_same_model():
    X, y = make_moons(150, noise=0.3, random_state=0)
    one, two = (Baseline(family="mlp", draws=2, random_state=3).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_sparse_rows_are_read_where_the_family_can():
    X, y = sp.random_array((60, 20), density=0.3, rng=np.random.default_rng(0)).tocsr(), np.arange(60) % 3
    assert Baseline(draws=3).fit(X, y).predict_proba(X).shape == (60, 3)
    with pytest.raises(InputError, match="'boosting', which reads no sparse X"):
        Baseline(family="boosting").fit(X, y)


def test_several_targets():
    X, y = load_diabetes(return_X_y=True)
    both = np.column_stack([y, -2 * y + 1])
    predicted = BaselineRegressor(draws=4, random_state=0).fit(X, both).predict(X)
    assert predicted.shape == both.shape
    reference = Ridge(alpha=0.003 * len(y)).fit(StandardScaler().fit_transform(X), both)
    assert np.corrcoef(predicted[:, 0], reference.predict(StandardScaler().fit_transform(X))[:, 0])[0, 1] > 0.95
    with pytest.raises(InputError, match="predicts one target"):
        BaselineRegressor(family="boosting").fit(X, both)


def test_settings_take_families_in_turns_from_their_defaults():
    found = settings(["linear", "boosting"], {"leaves": 7}, 5)
    assert [s.family for s in found] == ["linear", "boosting"] * 2 + ["linear"]
    assert found[0].penalty == GRIDS["linear"]["penalty"][0]
    assert {s.leaves for s in found if s.family == "boosting"} == {7}
    assert len(set(found)) == 5


def test_many_classes_are_not_boosted():
    assert suitable(30, 77, sparse=False, image=False) == ["linear", "mlp"]
    assert suitable(30, 5, sparse=True, image=False) == ["linear"]


@pytest.mark.parametrize(
    ("model", "X", "y", "message"),
    [
        (Baseline(), np.eye(4), ["a"] * 4, "only one class"),
        (Baseline(), np.eye(4), [None] * 4, "missing"),
        (Baseline(), np.eye(4), [0, 1, 0], "inconsistent"),
        (Baseline(penalty=-1.0), np.eye(4), [0, 1, 0, 1], "penalty must be"),
        (BaselineRegressor(), np.eye(4), [np.nan] * 4, "every target is NaN"),
        (BaselineRegressor(), np.eye(4), [0.0, np.inf, 0.0, 1.0], "infinity .row 1"),
    ],
)
def test_bad_input_is_named(model, X, y, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
