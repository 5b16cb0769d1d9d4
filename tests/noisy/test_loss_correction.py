"""Loss correction on labels with planted noise matrices, given and estimated."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from labelwise.base import InputError
from labelwise.data.synthetic import blobs, transition_noise
from labelwise.learner import Classifier, Train
from labelwise.noisy import LossCorrection
from labelwise.parts.noise_matrix import NoiseMatrix
from labelwise.persistence import load, save

PLANTED = np.array([[0.9, 0.3, 0.0], [0.1, 0.6, 0.0], [0.0, 0.1, 1.0]])
SHORT = Train(epochs=12, batch_size=64, lr=1e-2, progress=False)


def planted(seed: int = 0, n: int = 900):
    drawn = blobs(n, n_classes=3, n_features=4, separation=6.0, random_state=seed)
    noise = transition_noise(drawn.y, PLANTED.T, random_state=seed)
    return drawn.X, noise.y, drawn.y


@pytest.mark.parametrize("seed", range(3))
def test_the_planted_matrix_is_recovered(seed):
    X, given, _ = planted(seed)
    model = LossCorrection(train=Train(epochs=1, progress=False), random_state=0).fit(X, given)
    np.testing.assert_allclose(model.noise_matrix_.sum(0), 1)
    assert np.abs(model.noise_matrix_ - PLANTED).max() < 0.08


@pytest.mark.parametrize("correction", ["forward", "backward"])
def test_the_network_gives_true_classes_and_their_probabilities(correction):
    """The plain network learns P(given | x); the corrected one P(true | x), which is near 0 or 1 here."""
    X, given, truth = planted()
    corrected = LossCorrection(correction=correction, train=SHORT, random_state=0).fit(X, given)
    plain = Classifier(train=SHORT, random_state=0).fit(X, given)
    assert corrected.score(X, truth) > 0.97
    of_class_1 = truth == 1
    assert plain.predict_proba(X)[of_class_1, 1].mean() < 0.7
    assert corrected.predict_proba(X)[of_class_1, 1].mean() > 0.85


def test_a_known_matrix_is_used_as_it_is():
    X, given, _ = planted()
    for matrix in (PLANTED, NoiseMatrix(PLANTED)):
        model = LossCorrection(matrix=matrix, train=SHORT, random_state=0).fit(X, given)
        np.testing.assert_array_equal(model.noise_matrix_, PLANTED)


def test_another_estimator_and_rows_without_label():
    X, given, _ = planted()
    given[::5] = -1
    model = LossCorrection(estimator=LogisticRegression(C=0.1), folds=3, train=SHORT, random_state=0).fit(X, given)
    assert np.abs(model.noise_matrix_ - PLANTED).max() < 0.12


def test_a_wrong_matrix_is_refused():
    X, given, _ = planted(n=60)
    with pytest.raises(InputError, match="has 2 classes but y has 3"):
        LossCorrection(matrix=np.eye(2), train=SHORT).fit(X, given)
    with pytest.raises(InputError, match="transpose it"):
        LossCorrection(matrix=PLANTED.T, train=SHORT).fit(X, given)
    singular = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    with pytest.raises(InputError, match="cannot be inverted"):
        LossCorrection(correction="backward", matrix=singular, train=SHORT).fit(X, given)
    assert LossCorrection(matrix=singular, train=SHORT).fit(X, given).predict(X).shape == (60,)


def test_a_saved_model_keeps_its_matrix(tmp_path):
    X, given, _ = planted(n=120)
    for matrix in (None, NoiseMatrix(PLANTED)):
        model = LossCorrection(matrix=matrix, train=SHORT, random_state=0).fit(X, given)
        path = tmp_path / ("known" if matrix else "estimated")
        save(model, path)
        back = load(path)
        np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(back.noise_matrix_, model.noise_matrix_)
