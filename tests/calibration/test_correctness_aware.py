from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from labelwise.base import InputError
from labelwise.calibration import CorrectnessAwareCalibration, TemperatureScaling
from labelwise.calibration.correctness_aware import _Rows
from labelwise.calibration.transforms import default_transforms
from labelwise.parts.calibration_measures import auroc, calibration_error, top

X, Y = load_digits(return_X_y=True)
X = X + np.random.default_rng(0).normal(size=X.shape) * 4
TRAIN, HELD, TEST = np.split(np.arange(len(X)), [600, 1000])
INSIDE = FrozenEstimator(GaussianNB().fit(X[TRAIN], Y[TRAIN]))
SHORT = {"estimator": INSIDE, "max_steps": 100, "lr": 0.01, "random_state": 0}


@pytest.mark.parametrize("loss", ["squared", "absolute", "cross-entropy", "one-hot"])
@pytest.mark.parametrize("transforms", ["auto", None])
def test_predictions_stay_what_they_were(loss, transforms):
    model = CorrectnessAwareCalibration(**SHORT, loss=loss, transforms=transforms).fit(X[HELD], Y[HELD])
    assert (model.predict(X[TEST]) == INSIDE.predict(X[TEST])).all()
    assert np.allclose(model.predict_proba(X[TEST]).sum(1), 1)
    assert (model.temperatures(X[TEST]) > 0).all()
    assert len(np.unique(model.temperatures(X[TEST]))) > 100


@pytest.mark.parametrize("loss", ["squared", "absolute", "cross-entropy", "one-hot"])
def test_losses_against_loops(loss):
    rng = np.random.default_rng(0)
    inputs, logits, codes = rng.random((20, 8)), rng.normal(size=(20, 3)) * 2, rng.integers(3, size=20)
    weights = [rng.normal(size=shape) for shape in ((8, 5), (5,), (5,), ())]
    model = CorrectnessAwareCalibration(loss=loss)
    rows = _Rows(*map(torch.as_tensor, (inputs, logits, codes)))
    found = float(model._value([torch.as_tensor(w) for w in weights], rows))
    values = []
    for x, z, y in zip(inputs, logits, codes, strict=True):
        t = np.log1p(np.exp(np.maximum(x @ weights[0] + weights[1], 0) @ weights[2] + weights[3])) + 1e-3
        p = softmax(z / t)
        right = float(z.argmax() == y)
        values.append({
            "squared": (p.max() - right) ** 2, "absolute": abs(p.max() - right), "cross-entropy": -np.log(p[y]),
            "one-hot": sum((p[k] - (k == y)) ** 2 for k in range(3)),
        }[loss])  # fmt: skip
    assert found == pytest.approx(np.mean(values))


@pytest.mark.slow
def test_a_wavering_row_is_trusted_less():
    rng = np.random.default_rng(0)
    steady = rng.random(4000) < 0.5
    margin = np.full(4000, 3.0)
    features = np.c_[margin, np.where(steady, 0.0, rng.choice([-1, 1], 4000)), rng.random(4000)]
    y = np.where(steady | (rng.random(4000) < 0.5), 1, 0)

    class Plain(GaussianNB):
        def predict_proba(self, X):
            return softmax(np.c_[np.zeros(len(X)), X[:, 0]], axis=1)

    inside = FrozenEstimator(Plain().fit(features, y))

    def change(X):
        return np.c_[X[:, 0] * (1 - 0.9 * np.abs(X[:, 1])), X[:, 1:]]

    model = CorrectnessAwareCalibration(estimator=inside, transforms=[change], lr=0.03, random_state=0).fit(features, y)
    found = model.predict_proba(features).max(1)
    assert found[steady].mean() > 0.95
    assert found[~steady].mean() == pytest.approx(0.5, abs=0.06)
    plain = TemperatureScaling(estimator=inside).fit(features, y).predict_proba(features)
    right = top(y, plain)[1]
    assert auroc(found, right) > auroc(plain.max(1), right) + 0.2


def test_calibrates():
    model = CorrectnessAwareCalibration(**SHORT).fit(X[HELD], Y[HELD])
    before, after = (calibration_error(Y[TEST], m.predict_proba(X[TEST])) for m in (INSIDE, model))
    assert after < 0.6 * before


def test_cross_fitted_by_default():
    model = CorrectnessAwareCalibration(estimator=LogisticRegression(max_iter=300), max_steps=50, cv=2, random_state=0)
    model.fit(X[:400], Y[:400])
    assert model.score(X[TEST], Y[TEST]) > 0.7


def test_a_row_s_answer_is_its_own():
    model = CorrectnessAwareCalibration(**SHORT).fit(X[HELD], Y[HELD])
    whole = model.predict_proba(X[TEST][:20])
    assert np.allclose(whole[7:8], model.predict_proba(X[TEST][7:8]))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_changes_of_pictures_keep_type_and_shape(dtype):
    pictures = (np.random.default_rng(0).random((5, 8, 8, 1)) * 200).astype(dtype)
    versions = default_transforms(pictures, np.random.default_rng(0))(pictures)
    assert len(versions) == 5
    for version in versions:
        assert version.shape == pictures.shape
        assert version.dtype == dtype
        assert np.abs(version.astype(float) - pictures).max() > 0


def test_changes_of_vectors_are_small_and_of_the_same_kind():
    import pandas as pd

    table = pd.DataFrame(X[:50], columns=[f"c{i}" for i in range(64)])
    versions = default_transforms(table, np.random.default_rng(0))(table)
    assert [list(v.columns) for v in versions] == [list(table.columns)] * 5
    assert all(0 < np.abs(v - table).to_numpy().mean() < X[:50].std() for v in versions)
    counts = sparse.csr_array(X[:10])
    assert all(sparse.issparse(v) for v in default_transforms(counts, np.random.default_rng(0))(counts))
    assert default_transforms(["a text"], np.random.default_rng(0))(["a text"]) == []


def test_bad_transforms_are_named():
    for wrong in ("none", [1], np.abs):
        with pytest.raises(InputError, match="transforms must be"):
            CorrectnessAwareCalibration(transforms=wrong).fit(X[:100], Y[:100])
