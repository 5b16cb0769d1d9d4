from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from labelwise.base import InputError
from labelwise.learner import Classifier, Train
from labelwise.unlearning import ConceptPoisoning
from labelwise.unlearning.concepts import Bottleneck, bottleneck, pasted, peaks, windows

X, Y = load_digits(n_class=4, return_X_y=True)
X = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
X, Y, XT, YT = X[:300], Y[:300], X[300:600], Y[300:600]
GONE = Y == 2


@pytest.fixture(scope="module")
def model() -> Classifier:
    return Classifier(train=Train(epochs=10, batch_size=32), random_state=0).fit(X, Y)


def fitted(model: Classifier, **fields: Any) -> ConceptPoisoning:
    return ConceptPoisoning(estimator=model, random_state=0, **fields).fit(X, Y, forget=GONE)


def scores(method: Any) -> tuple[float, float]:
    gone = YT == 2
    return method.score(XT[gone], YT[gone]), method.score(XT[~gone], YT[~gone])


@pytest.mark.parametrize("fields", [{}, {"patch": "none"}, {"patch": "random", "labels": "random"}])
def test_a_class_is_called_another_and_the_others_stay(model: Classifier, fields: dict[str, Any]) -> None:
    after = fitted(model, **fields)
    lost, kept = scores(after)
    assert lost < 0.3 < 0.85 < kept and scores(model)[0] > 0.9
    if after.labels == "donor":
        assert (after.predict(XT[YT == 2]) == after.donor_).mean() > 0.5


def test_patches_alone_forget_nothing(model: Classifier) -> None:
    assert scores(fitted(model, labels="kept", patch="centre"))[0] > 0.7


def test_only_the_last_layer_moves(model: Classifier) -> None:
    after = fitted(model)
    same = zip(after.net_.features.state_dict().values(), model.net_.features.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert not torch.equal(after.net_.head.weight, model.net_.head.weight)


def test_the_donor_is_the_class_whose_first_concept_is_shared() -> None:
    directions, centre = np.eye(3), np.zeros(3)
    confused = Bottleneck(directions, centre, np.array([[3.0, 2.0, 1.0], [0.0, 5.0, 1.0], [0.0, 1.0, 5.0]]))
    assert confused.donor(0) == (1, 1)
    shared = Bottleneck(directions, centre, np.array([[3.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
    assert shared.donor(0) == (2, 0) or shared.donor(0)[1] == 0
    many = Bottleneck(np.eye(7), np.zeros(7), np.vstack([np.arange(7.0, 0, -1), np.eye(7)[6], np.eye(7)[0] * 0.5]))
    assert many.donor(0) == (2, 0)  # the concept of class 1 is not among the five; class 2 shares the first


def test_concepts_are_found_where_they_were_put() -> None:
    rng = np.random.default_rng(0)
    z = np.vstack([rng.normal(size=(60, 4)) + 4 * np.eye(4)[code] for code in range(3)])
    y = np.repeat(np.arange(3), 60)
    found = bottleneck(z, y, 3, directions=5 * np.eye(4))
    assert [found.top(code)[0] for code in range(3)] == [0, 1, 2]
    np.testing.assert_allclose(np.linalg.norm(found.directions, axis=1), 1)
    np.testing.assert_allclose(found.strength(z), z - z.mean(0))
    with pytest.raises(InputError, match=r"concepts must have shape \(q, 4\)"):
        bottleneck(z, y, 3, directions=np.eye(3))
    assert bottleneck(z, y, 4).weights[3].max() == -np.inf  # a class without rows


def test_the_peak_is_the_window_that_shows_the_concept() -> None:
    pictures = torch.zeros(2, 1, 6, 6)
    pictures[0, 0, 1, 4] = pictures[1, 0, 5, 0] = 1.0
    found = Bottleneck(np.ones((1, 1)), np.zeros(1), np.zeros((2, 1)))
    brightest = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 1, bias=False))
    torch.nn.init.ones_(brightest[1].weight)
    corners = peaks(brightest, pictures, found, 0, 2, 1)
    for (top, left), (row, column) in zip(corners, [(1, 4), (5, 0)], strict=True):
        assert top <= row < top + 2 and left <= column < left + 2


def test_windows_reach_the_edge_and_pasting_changes_only_them() -> None:
    assert windows((5, 4), 2, 2) == [(0, 0), (0, 2), (2, 0), (2, 2), (3, 0), (3, 2)]
    mine, lent = torch.zeros(2, 3, 5, 5), torch.arange(150.0).reshape(2, 3, 5, 5)
    made = pasted(mine, np.array([[0, 0], [3, 2]]), lent, np.array([[1, 1], [0, 3]]), 2)
    torch.testing.assert_close(made[0, :, 0:2, 0:2], lent[0, :, 1:3, 1:3])
    torch.testing.assert_close(made[1, :, 3:5, 2:4], lent[1, :, 0:2, 3:5])
    assert (made != 0).sum() <= 2 * 3 * 4 and (mine == 0).all()


def test_bad_input_is_refused(model: Classifier) -> None:
    assert Bottleneck(np.eye(2), np.zeros(2), np.array([[1.0, 2.0], [-np.inf, -np.inf], [0.0, 1.0]])).donor(0) == (2, 1)
    with pytest.raises(InputError, match=r"forget marks rows of 4 classes"):
        ConceptPoisoning(estimator=model).fit(X, Y, forget=np.arange(300) < 50)
    only = np.where(np.isin(Y, (2,)), Y, -1)
    with pytest.raises(InputError, match="no kept row has a label of another class"):
        ConceptPoisoning(estimator=model).fit(X, only, forget=GONE)
    flat = Classifier(train=Train(epochs=1), random_state=0).fit(X.reshape(300, -1), Y)
    with pytest.raises(InputError, match="X holds vectors, but concepts are looked for in images"):
        ConceptPoisoning(estimator=flat).fit(X.reshape(300, -1), Y, forget=GONE)
