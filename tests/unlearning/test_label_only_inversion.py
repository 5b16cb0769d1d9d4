"""Inversion from labels alone: what it asks, what it recovers of a planted model, and that it keeps to its budget."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from labelwise.base import InputError
from labelwise.unlearning import LabelOnlyInversion
from labelwise.unlearning.generator import QueriedModel
from labelwise.unlearning.label_only_inversion import _nearest


class Spy:
    """A classifier that counts what it is asked, and lets nothing be seen but labels."""

    def __init__(self, model):
        self.classes_, self._predict, self.asked = model.classes_, model.predict, 0

    def predict(self, X):
        self.asked += len(X)
        assert X.min() >= -3.01
        assert X.max() <= 3.01
        return self._predict(X)


@pytest.fixture(scope="module")
def planted():
    """Three private classes at the corners of a cube; public rows lie all over it."""
    rng = np.random.default_rng(0)
    centres = np.array([[2, 2, 2, 0], [-2, 2, -2, 0], [2, -2, -2, 0]], float)
    y = np.arange(150) % 3
    private = (centres[y] + 0.4 * rng.normal(size=(150, 4))).clip(-3, 3)
    public = rng.uniform(-3, 3, (400, 4)).astype(np.float32)
    return (
        LogisticRegression().fit(private, np.array(["a", "b", "c"])[y]),
        public,
        private,
        np.array(["a", "b", "c"])[y],
    )


SMALL = {"steps": 160, "alone_steps": 40, "samples": 100, "surrogate_steps": 60, "inversion_steps": 60, "starts": 6}
BRIEF = SMALL | {"steps": 20, "alone_steps": 5, "surrogate_steps": 5, "inversion_steps": 5}


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["transfer", "random", "boundary"])
def test_classes_are_redrawn_and_queries_counted(planted, attack):
    model, public, private, y = planted
    spy = Spy(model)
    audit = LabelOnlyInversion(attack=attack, budget=20_000, random_state=0, **SMALL)
    found = audit.measure(spy, public, private, y)
    assert found.queries == spy.asked
    assert attack == "transfer" or spy.asked <= 20_000
    assert found.reconstructions.shape == (3, 6, 4)
    assert found.recognised.value > 0.75
    assert "reconstructions of 3 classes" in found.describe()


@pytest.mark.slow
def test_the_transfer_attack_asks_for_each_critic_step_and_the_surrogates(planted):
    model, public, *_ = planted
    found = LabelOnlyInversion(random_state=0, **SMALL).measure(model, public)
    assert found.queries == (160 - 40) * 2 * 64 + 3 * 100
    assert found.recognised is None
    assert "pass private rows" in str(found)


def test_same_seed_same_rows_and_no_global_state(planted):
    model, public = planted[:2]
    before = torch.get_rng_state()
    first, second = (
        LabelOnlyInversion(surrogate="head", random_state=3, **BRIEF).measure(model, public) for _ in range(2)
    )
    np.testing.assert_array_equal(first.reconstructions, second.reconstructions)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
def test_pictures_keep_their_shape(planted):
    rng = np.random.default_rng(0)
    public = rng.random((60, 5, 4, 1))

    class Bright:
        classes_ = np.array([0, 1])

        def predict(self, X):
            assert X.shape[1:] == (5, 4, 1)
            return (X.mean((1, 2, 3)) > 0.5).astype(int)

    found = LabelOnlyInversion(surrogate="head", random_state=0, **SMALL).measure(Bright(), public)
    assert found.reconstructions.shape == (2, 6, 5, 4, 1)
    means = found.reconstructions.mean((1, 2, 3, 4))
    assert means[0] < means[1]


def test_margin_and_nearest_rows_are_as_written():
    scores, wanted = torch.tensor([[1.0, 3.0, 2.0], [0.0, -1.0, 4.0]]), torch.tensor([1, 0])
    assert LabelOnlyInversion()._doubt(scores, wanted).item() == (2 - 3) + (4 - 0)
    a, b = np.random.default_rng(0).random((5, 3)), np.random.default_rng(1).random((7, 3))
    np.testing.assert_allclose(_nearest(a, b), np.linalg.norm(a[:, None] - b, axis=2).min(1))


def test_bad_input_is_refused(planted):
    model, public, private, _ = planted
    audit = LabelOnlyInversion(random_state=0, **BRIEF | {"steps": 1, "alone_steps": 0})
    with pytest.raises(InputError, match="model must have predict"):
        audit.measure(object(), public)
    with pytest.raises(InputError, match="public must be two or more finite rows"):
        audit.measure(model, np.full((5, 4), np.nan))
    with pytest.raises(InputError, match="one number only"):
        audit.measure(model, np.zeros((5, 4)))
    with pytest.raises(InputError, match="give both"):
        audit.measure(model, public, private)
    with pytest.raises(InputError, match="must name the model's classes"):
        audit.measure(model, public, private, np.arange(150) % 2)
    assert QueriedModel(model, (4,), -3, 3).queries == 0
