"""Columns are centred and scaled; what is constant stays at zero instead of being blown up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.learner import Classifier, Train
from labelwise.multilabel import OneVsRestLinear
from labelwise.parts.moments import centre_and_scale

RNG = np.random.default_rng(0)


@given(st.floats(-(2.0**100), 2.0**100, width=32), st.integers(1, 300), st.sampled_from([np.float32, np.float64]))
def test_a_constant_column_keeps_its_scale_whatever_its_value(value, n, kind):
    centre, scale = centre_and_scale(np.full((n, 1), value, dtype=kind))
    assert scale.tolist() == [[1.0]]
    assert centre[0, 0] == pytest.approx(value, rel=1e-12)


def test_columns_that_vary_have_mean_0_and_deviation_1():
    X = RNG.normal(3, [1e-6, 1.0, 1e6], (200, 3))
    centre, scale = centre_and_scale(X)
    Z = (X - centre) / scale
    assert np.allclose(Z.mean(0), 0, atol=1e-8)
    assert np.allclose(Z.std(0), 1)


@pytest.mark.parametrize("value", [0.1, 2020.0, 1e7])
@pytest.mark.parametrize("model", [OneVsRestLinear(random_state=0), Classifier(train=Train(epochs=2))])
def test_a_column_that_was_constant_does_not_overturn_predictions(model, value):
    X = RNG.normal(size=(60, 4)).astype(np.float32)
    X[:, 3] = value
    model.fit(X, (X[:, 0] > 0).astype(int))
    other = X.copy()
    other[:, 3] = np.nextafter(np.float32(value), np.float32(1e9))
    assert np.allclose(model.predict_proba(other), model.predict_proba(X), atol=0.2)
