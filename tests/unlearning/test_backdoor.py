"""A backdoor through the pool: the trigger's bound, who is poisoned, and what is measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import KNeighborsClassifier

from labelwise.base import InputError
from labelwise.unlearning.backdoor import SemiSupervisedBackdoor, perturb_band, spectral_auc


class Nearest(ClassifierMixin, BaseEstimator):
    """Labels the pool by one neighbour, learns all of it, and answers by one neighbour: a learner that believes its pool."""

    def fit(self, X, y):
        flat, known = X.reshape(len(X), -1), y != -1
        first = KNeighborsClassifier(1).fit(flat[known], y[known])
        self.model_ = KNeighborsClassifier(1).fit(flat, np.where(known, y, first.predict(flat)))
        return self

    def predict(self, X):
        return self.model_.predict(X.reshape(len(X), -1))

    def features(self, X):
        return X.reshape(len(X), -1)


def stripes(n=200, seed=0):
    """Pictures of two classes: bright above or bright below; the first eight have labels."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    X = 0.3 + 0.02 * rng.random((n, 8, 8, 1))
    X[truth == 0, :4] += 0.05
    X[truth == 1, 4:] += 0.05
    y = np.where(np.arange(n) < 8, truth, -1)
    return X, y, truth


@given(
    st.integers(0, 1000), st.floats(0.01, 1), st.integers(1, 3), st.integers(0, 3), st.sampled_from(["grid", "patch"])
)
def test_the_trigger_stays_within_its_bound_and_adds_the_same_to_all(seed, intensity, width, gap, pattern):
    rng = np.random.default_rng(seed)
    attack = SemiSupervisedBackdoor(intensity=intensity, width=width, gap=gap, pattern=pattern)
    X = rng.random((3, 7, 6, 2))
    moved = attack.add(X)
    assert (moved - X).max() <= intensity + 1e-12
    assert (moved >= X).all()
    assert moved.max() <= 1
    trigger = attack.trigger((7, 6, 2))
    assert set(np.unique(trigger)) <= {0.0, intensity}
    room = intensity <= 1 - X
    np.testing.assert_allclose((moved - X)[room], np.broadcast_to(trigger, X.shape)[room])


def test_dots_come_every_width_and_gap():
    on = SemiSupervisedBackdoor(width=1, gap=1).trigger((4, 4, 1))[:, :, 0] > 0
    assert on.astype(int).tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_bytes_do_not_wrap_around():
    X = np.full((1, 4, 4, 1), 250, np.uint8)
    moved = SemiSupervisedBackdoor().add(X)
    assert moved.dtype == np.uint8
    assert moved.min() == 250
    assert moved.max() == 255


@pytest.mark.parametrize("victims", ["target", "others"])
def test_only_the_pool_and_only_the_wanted_class_is_poisoned(victims):
    X, y, truth = stripes()
    attack = SemiSupervisedBackdoor(target=1, rate=0.1, victims=victims, random_state=0)
    before = X.copy()
    poisoned, rows = attack.poison(X, truth, y == -1)
    assert len(rows) == round(0.1 * 192)
    assert (y[rows] == -1).all()
    assert ((truth[rows] == 1) == (victims == "target")).all()
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(np.delete(poisoned, rows, 0), np.delete(X, rows, 0))
    assert (poisoned[rows] != X[rows]).any(axis=(1, 2, 3)).all()


def test_a_learner_that_believes_its_pool_binds_the_trigger_to_the_target():
    X, y, truth = stripes()
    X_test, _, y_test = stripes(80, seed=1)
    attack = SemiSupervisedBackdoor(target=1, rate=0.1, intensity=0.4, random_state=0, defend=True)
    found = attack.measure(Nearest(), X, y, truth, X_test, y_test)
    assert found.success.value == 1.0
    assert found.control.value < 0.6
    assert found.accuracy == found.clean_accuracy == 1.0
    assert found.defended is not None
    assert "poisons" in found.describe()
    others = SemiSupervisedBackdoor(target=1, rate=0.1, intensity=0.4, victims="others", random_state=0)
    assert others.measure(Nearest(), X, y, truth, X_test, y_test).success.value == 0.0


def test_the_spectral_signature_sees_a_coarse_trigger():
    X, y, truth = stripes()
    poisoned, rows = SemiSupervisedBackdoor(target=1, rate=0.05, intensity=0.5, random_state=0).poison(
        X, truth, y == -1
    )
    assert spectral_auc(Nearest().fit(X, y), poisoned, y == -1, rows) > 0.95


def test_a_network_without_a_representation_has_no_signature():
    class Closed(Nearest):
        def features(self, X):
            raise InputError("no representation")

    X, y, truth = stripes()
    poisoned, rows = SemiSupervisedBackdoor(target=1, rate=0.05, random_state=0).poison(X, truth, y == -1)
    assert spectral_auc(Closed().fit(X, y), poisoned, y == -1, rows) is None


def test_perturbing_a_band_leaves_smooth_pictures_as_they_are():
    smooth = 0.5 + 0.3 * np.cos(2 * np.pi * np.arange(16) / 16)[None, :, None, None] * np.ones((2, 16, 16, 1))
    np.testing.assert_allclose(perturb_band(smooth, random_state=0), smooth, atol=1e-9)
    grid = SemiSupervisedBackdoor(intensity=0.2).trigger((16, 16, 1))
    left = perturb_band(smooth * 0.5 + grid, random_state=0) - smooth * 0.5
    assert np.abs(left - left.mean((1, 2), keepdims=True)).max() < np.abs(grid - grid.mean()).max()


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"rate": 0.9}, "hold|holds"), ({"target": 7}, "another target"), ({"intensity": 0.0}, "intensity")],
)
def test_attacks_that_cannot_be_made_are_refused(fields, told):
    X, y, truth = stripes()
    with pytest.raises(InputError, match=told):
        SemiSupervisedBackdoor(**{"target": 1, **fields}).poison(X, truth, y == -1)


def test_lengths_that_differ_are_refused():
    X, _, truth = stripes()
    with pytest.raises(InputError, match="one entry a picture"):
        SemiSupervisedBackdoor().poison(X, truth[:-1], truth == 1)
