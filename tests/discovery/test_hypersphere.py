"""NSL: added classes, the three scenarios, rejection by a quantile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from labelwise.base import InputError
from labelwise.discovery import HypersphericalClassifier
from labelwise.discovery.hypersphere import UnitHead
from labelwise.learner import Train

TRAIN = Train(epochs=12, batch_size=32, progress=False)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    known = y < 7
    model = HypersphericalClassifier(train=TRAIN, net="linear", random_state=0).fit(X[known][:600], y[known][:600])
    return model, X, y


def copy_of(model):
    from copy import deepcopy

    return deepcopy(model)


def test_added_classes_are_the_mean_direction_and_nothing_else_changes(digits):
    model, X, y = copy_of(digits[0]), digits[1], digits[2]
    before = model.directions_.copy()
    rows = np.flatnonzero(y >= 7)[:60]
    model.add_classes(X[rows], y[rows])
    assert model.all_classes_.tolist() == list(range(10)) and model.classes_.tolist() == list(range(7))
    z = model.embed(X[rows])
    for at, name in enumerate((7, 8, 9)):
        mean = z[y[rows] == name].mean(0)
        assert np.allclose(model.directions_[7 + at], mean / np.linalg.norm(mean))
    assert np.array_equal(model.directions_[:7], before)
    assert np.allclose(np.linalg.norm(model.directions_, axis=1), 1)


def test_joint_disjoint_and_known_scenarios(digits):
    model, X, y = copy_of(digits[0]), digits[1], digits[2]
    new = np.flatnonzero(y >= 7)
    model.add_classes(X[new[:90]], y[new[:90]])
    test = new[90:]
    joint, disjoint = (np.mean(model.predict(X[test], among=a) == y[test]) for a in ("all", "added"))
    assert disjoint >= joint > 0.5 and set(model.predict(X[test], among="added")) <= {7, 8, 9}
    assert set(model.predict(X[test], among="known")) <= set(range(7))
    assert (model.predict(X[test]) == model.all_classes_[model.predict_proba(X[test]).argmax(1)]).all()
    assert np.mean(model.predict(X[y < 7]) == y[y < 7]) > 0.7


def test_known_rows_are_refused_at_the_chosen_rate_and_new_ones_more_often(digits):
    model, X, y = digits
    held = X[y < 7][700:]
    rate = np.mean(model.predict_open(held) == -1)
    assert rate < 0.2 and np.mean(model.predict_open(X[y >= 7]) == -1) > 2 * rate
    score = model.outlier_score(X)
    assert ((score >= 0) & (score <= 1)).all()
    order = np.argsort(model.cosines(X).max(1))
    assert (np.diff(score[order]) <= 1e-12).all()


def test_logits_are_scaled_cosines():
    head, z = UnitHead(4, 3, 20.0), torch.randn(5, 4)
    slow = [[20 * float(torch.cosine_similarity(a, w, dim=0)) for w in head.weight.detach()] for a in z]
    assert np.allclose(head(z).detach(), slow, atol=1e-4)
    assert torch.allclose(head(z), head(7 * z), atol=1e-4)


def test_text_classes_are_added_and_refused_as_none(digits):
    _, X, y = digits
    names = np.array([f"digit {c}" for c in range(10)], dtype=object)
    model = HypersphericalClassifier(train=TRAIN, held_out=0.0, random_state=0).fit(X[y < 3], names[y[y < 3]])
    model.add_classes(X[y == 8][:5], names[[8] * 5])
    assert "digit 8" in set(model.predict(X[y == 8]))
    assert None in set(model.predict_open(X[y == 5]))


@pytest.mark.parametrize(
    ("labels", "told"),
    [([1] * 3, "known already"), (["a"] * 3, "labels like"), ([11, 11, -1], "row 2"), ([11] * 2, "rows")],
)
def test_add_classes_refuses(digits, labels, told):
    model, X, _ = copy_of(digits[0]), digits[1], digits[2]
    with pytest.raises(InputError, match=told):
        model.add_classes(X[:3], labels)


def test_predict_refuses_scenarios_that_are_not_there(digits):
    model, X, _ = digits
    with pytest.raises(InputError, match="no class was added"):
        model.predict(X[:2], among="added")
    with pytest.raises(InputError, match="among"):
        model.predict(X[:2], among="new")
