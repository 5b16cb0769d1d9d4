from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from labelwise.parts.scaling import Scaling, fit_scaling


def overconfident(n=4000, n_classes=4, temperature=2.5, seed=0):
    """Probabilities sharpened by `temperature` from calibrated ones, and classes drawn from the calibrated ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, n_classes)) * 1.5
    calibrated = softmax(logits, axis=1)
    codes = (calibrated.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return softmax(logits * temperature, axis=1), codes


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_finds_the_temperature_whatever_the_dtype(dtype):
    proba, codes = overconfident()
    scaling = fit_scaling(proba.astype(dtype), codes)
    assert scaling.temperature == pytest.approx(2.5, abs=0.25)
    calibrated = scaling(proba.astype(dtype))
    gap = abs(calibrated.max(axis=1).mean() - (calibrated.argmax(axis=1) == codes).mean())
    assert gap < 0.02 < abs(proba.max(axis=1).mean() - (proba.argmax(axis=1) == codes).mean())


def test_dtype_is_kept():
    proba, codes = overconfident(200)
    assert fit_scaling(proba, codes)(proba.astype(np.float32)).dtype == np.float32


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(0, 100))
def test_bias_makes_mean_probabilities_the_class_shares(n_classes, seed):
    proba, codes = overconfident(500, n_classes, seed=seed)
    shares = np.bincount(codes, minlength=n_classes) / len(codes)
    assert fit_scaling(proba, codes)(proba).mean(axis=0) == pytest.approx(shares, abs=1e-4)


@pytest.mark.parametrize("bias", [False, True])
def test_agrees_with_a_derivative_free_search(bias):
    proba, codes = overconfident(300, 3)

    def loss(z):
        offset = np.append(z[1:], 0) if bias else 0
        return -log_softmax(np.log(proba) * z[0] + offset, axis=1)[np.arange(300), codes].mean()

    best = minimize(
        loss, np.append(1.0, np.zeros(2 * bias)), method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-8}
    )
    found = fit_scaling(proba, codes, bias=bias)
    assert 1 / found.temperature == pytest.approx(best.x[0], abs=1e-3)
    if bias:
        assert (found.bias - found.bias[-1])[:2] == pytest.approx(best.x[1:], abs=1e-3)


@pytest.mark.parametrize("bias", [False, True])
def test_agrees_with_abstention(bias):
    peers = pytest.importorskip("abstention.calibration")
    proba, codes = overconfident(600, 3)
    peer = peers.TempScaling(bias_positions="all" if bias else [], verbose=False)(np.log(proba), np.eye(3)[codes])
    assert fit_scaling(proba, codes, bias=bias)(proba) == pytest.approx(peer(np.log(proba)), abs=2e-3)


def test_zeros_and_perfect_classifiers_stay_finite():
    certain = np.eye(3)[[0, 1, 2, 0]]
    assert np.isfinite(fit_scaling(certain, [0, 1, 2, 0])(certain)).all()
    assert np.isfinite(fit_scaling(certain, [0, 1, 2, 1])(certain)).all()


def test_one_is_the_identity():
    proba, _ = overconfident(50)
    assert Scaling(1.0, np.zeros(4), 1e-12)(proba) == pytest.approx(proba)
