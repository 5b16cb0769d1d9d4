"""Several answers a row: both roots of a number, what `predict` says, restoring, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from labelwise.base import InputError
from labelwise.imbalanced import WinnerTakeAllRegressor
from labelwise.learner import Regressor, Train
from labelwise.persistence import load, save

SHORT = Train(epochs=40, batch_size=32, progress=False)


def roots(n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, 1))
    return x, np.sqrt(x[:, 0]) * rng.choice([-1, 1], n) + 0.02 * rng.normal(size=n)


def test_finds_both_roots_where_one_answer_is_between_them():
    X, y = roots()
    model = WinnerTakeAllRegressor(heads=2, train=SHORT, random_state=0).fit(X, y)
    one = Regressor(train=SHORT, random_state=0).fit(X, y)
    X_test, y_test = roots(seed=1)
    nearest = np.abs(model.predict_all(X_test) - y_test[:, None]).min(1)
    assert model.predict_all(X_test).shape == (400, 2)
    assert nearest.mean() < 0.15
    assert np.abs(one.predict(X_test) - y_test).mean() > 0.4
    assert abs(model.usage_.sum() - 1) < 1e-12
    assert model.usage_.min() > 0.3


def test_what_predict_says_is_the_candidate_of_least_error():
    """With two equally likely signs that is a mean; with one sign in nine rows of ten it is a head's."""
    X, y = roots()
    model = WinnerTakeAllRegressor(heads=2, choice_share=0.0, train=SHORT, random_state=0).fit(X, y)
    assert model.chosen_ in ("mean", "weighted mean")
    answers = model.predict_all(X)
    candidates = {"mean": answers.mean(1), "weighted mean": answers @ model.usage_, 0: answers[:, 0], 1: answers[:, 1]}
    errors = {name: np.mean((found - y) ** 2) for name, found in candidates.items()}
    assert errors[model.chosen_] == pytest.approx(min(errors.values()))
    assert np.allclose(model.predict(X), candidates[model.chosen_])


def test_pairs_add_the_means_of_every_two_heads():
    X, y = roots(100)
    model = WinnerTakeAllRegressor(heads=3, pairs=True, train=Train(epochs=2), random_state=0).fit(X, y)
    answers = model.predict_all(X)
    assert answers.shape == (100, 6)
    assert np.allclose(answers[:, 3], (answers[:, 0] + answers[:, 1]) / 2)
    assert len(model.usage_) == 6


def test_several_targets_some_unknown_and_saving(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = X[:, :2] * rng.choice([-1, 1], (200, 1)) + 5
    y[::9, 1] = np.nan
    model = WinnerTakeAllRegressor(heads=2, train=SHORT, random_state=0).fit(X, y)
    answers = model.predict_all(X)
    assert answers.shape == (200, 2, 2)
    assert model.predict(X).shape == (200, 2)
    again = load(save(model, tmp_path / "model"))
    assert np.array_equal(again.predict_all(X), answers)
    assert again.chosen_ == model.chosen_


def test_restoring_adds_the_input():
    """With an untrained network of near-zero outputs, the answers are near the input, in its own units."""
    rng = np.random.default_rng(0)
    X = 100 + 10 * rng.normal(size=(300, 4))
    y = X + rng.choice([-1, 1], (300, 1))
    train = Train(epochs=15, batch_size=32, progress=False)
    model = WinnerTakeAllRegressor(heads=2, residual=True, train=train, random_state=0).fit(X, y)
    nearest = np.abs(model.predict_all(X) - y[:, None]).mean(2).min(1)
    assert nearest.mean() < 1.5


def test_residual_refuses_targets_of_another_width():
    X, y = roots(50)
    with pytest.raises(InputError, match="equally wide"):
        WinnerTakeAllRegressor(residual=True).fit(np.c_[X, X], y)


def test_early_stopping_by_the_nearest_answer():
    X, y = roots()
    train = Train(epochs=10, batch_size=32, validation=0.2, progress=False)
    model = WinnerTakeAllRegressor(heads=2, train=train, random_state=0).fit(X, y)
    assert "validation" in model.history_[0]
