"""Inductive bias: the fitted law on simulated chi-squares, tails in arbitrary precision, functions drawn one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ncx2
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPRegressor

from labelwise.base import InputError
from labelwise.diagnostics import InductiveBias, squared_error
from labelwise.diagnostics.inductive_bias import ScaledChiSquare, _direct, _draw, fit_chi_square


def slow_log_cdf(k, l, e, terms=4000):
    """Sum the Poisson mixture of central chi-squares in arbitrary precision."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(60):
        total, weight = mpmath.mpf(0), mpmath.exp(-mpmath.mpf(l) / 2)
        for j in range(terms):
            part = weight * mpmath.gammainc(mpmath.mpf(k) / 2 + j, 0, mpmath.mpf(e) / 2, regularized=True)
            total += part
            weight *= mpmath.mpf(l) / 2 / (j + 1)
            if j > l and part < total * mpmath.mpf(10) ** -30:
                break
        return float(mpmath.log(total))


@pytest.mark.parametrize(
    ("k", "l", "e"),
    [(30, 20, 5), (30, 20, 0.01), (2, 0.5, 1e-4), (100, 50, 0.5), (1, 30, 2), (30, 20, 45), (200, 0, 50), (5, 5, 30)],
)
def test_log_cdf_against_arbitrary_precision(k, l, e):
    exact = slow_log_cdf(k, l, e)
    assert ScaledChiSquare(k, l, 2.5).log_cdf(2.5 * e) == pytest.approx(exact, rel=0.005, abs=0.005)


def test_the_log_cdf_never_jumps_and_rises():
    law = ScaledChiSquare(80.0, 60.0, 0.01)
    logs = np.array([law.log_cdf(e) for e in np.geomspace(1e-6, 10, 400)])
    assert (np.diff(logs) >= -1e-9).all()
    assert logs[-1] == pytest.approx(0, abs=1e-9)
    assert law.log_cdf(0.0) == -math.inf
    assert np.abs(np.diff(logs, 2)).max() < 2


@settings(max_examples=15, deadline=None)
@given(st.floats(3, 300), st.floats(0, 300), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_simulated_errors_give_their_law_back(k, l, scale, seed):
    errors = (
        scale * ncx2.rvs(k, l, size=8000, random_state=seed)
        if l
        else scale * np.random.default_rng(seed).chisquare(k, 8000)
    )
    law = fit_chi_square(errors)
    assert law.scale * (law.degrees + law.noncentrality) == pytest.approx(errors.mean())
    assert 2 * law.scale**2 * (law.degrees + 2 * law.noncentrality) == pytest.approx(errors.var())
    for q in (0.01, 0.1, 0.5):
        e = float(np.quantile(errors, q))
        assert math.exp(law.log_cdf(e)) == pytest.approx(q, rel=0.25, abs=0.01)


def test_the_tail_far_below_the_draws_is_about_right():
    errors = ncx2.rvs(40, 30, size=10_000, random_state=0)
    exact = slow_log_cdf(40, 30, 10)
    assert fit_chi_square(errors).log_cdf(10.0) == pytest.approx(exact, rel=0.15)


def slow_errors(X, y, X_test, y_test, scale, draws, rng):
    """Draw whole functions from the posterior with its Cholesky factor and compute their errors."""
    k = lambda a, b: np.exp(-((a[:, None] - b[None]) ** 2).sum(2) / (2 * scale**2))  # noqa: E731
    inverse = np.linalg.inv(k(X, X) + 1e-6 * np.eye(len(X)))
    cross = k(X_test, X)
    mean = cross @ inverse @ y
    root = np.linalg.cholesky(k(X_test, X_test) - cross @ inverse @ cross.T + 1e-9 * np.eye(len(X_test)))
    functions = mean[None] + np.einsum("ij,djk->dik", root, rng.normal(size=(draws, len(X_test), y.shape[1])))
    return ((functions - y_test) ** 2).mean((1, 2))


def task(n=25, d=2, outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    X, X_test = rng.normal(size=(n, d)), rng.normal(size=(30, d))
    W = rng.normal(size=(d, outputs))
    return X, np.sin(X @ W), X_test, np.sin(X_test @ W)


def test_errors_in_the_eigenbasis_have_the_law_of_whole_functions():
    X, y, X_test, y_test = task()
    slow = slow_errors(X, y, X_test, y_test, 1.0, 20_000, np.random.default_rng(0))
    offset, values = InductiveBias(scale=1.0)._posterior(X, y, X_test, y_test)
    fast = _draw(offset, values, 20_000, np.random.default_rng(1))
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.quantile(fast, q) == pytest.approx(np.quantile(slow, q), rel=0.05)
    for q in (0.001, 0.02, 0.3):
        e = float(np.quantile(slow, q))
        assert _direct(offset, values, e) == pytest.approx(-math.log2(q), abs=0.35)


def test_direct_bits_of_equal_weights_are_those_of_a_chi_square():
    rng = np.random.default_rng(0)
    offset = rng.normal(size=(20, 3))
    for e in (0.01, 0.3, 1.0):
        law = ScaledChiSquare(60.0, float((offset**2).sum() / 0.5), 0.5 / 60)
        assert _direct(offset, np.full(20, 0.5), e) == pytest.approx(-law.log_cdf(e) / math.log(2), rel=0.01, abs=0.02)


def spread_out(d, n=40):
    """One smooth function of one direction in d dimensions."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + 30, d))
    y = np.sin(2 * X @ np.full((d, 1), d**-0.5))
    return X[:n], y[:n], X[n:], y[n:]


def test_lower_errors_and_more_dimensions_take_more_bits():
    measure = InductiveBias(scale=1.0, draws=500, repeats=3, random_state=0).measure
    found = [measure(*spread_out(3), error=e) for e in (0.3, 0.1, 0.03, 0.01)]
    assert np.all(np.diff([one.bits.value for one in found]) > 0)
    assert np.all(np.diff([one.direct for one in found]) > 0)
    more = [measure(*spread_out(d), error=0.02) for d in (1, 2, 4, 6)]
    assert np.all(np.diff([one.bits.value for one in more]) > 0)
    assert np.all(np.diff([one.direct for one in more]) > 0)


def test_extrapolation_is_told():
    found = InductiveBias(draws=1000, random_state=0).measure(*spread_out(3, 30), error=1e-4)
    assert found.extrapolated
    assert "extrapolation" in str(found)
    plain = InductiveBias(draws=1000, random_state=0).measure(*spread_out(3, 30), error=found.mean)
    assert not plain.extrapolated
    assert plain.bits.value == pytest.approx(1, abs=0.5)
    assert plain.bits.low <= plain.bits.value <= plain.bits.high


def test_classes_are_one_hot_and_text_is_fine():
    rng = np.random.default_rng(0)
    X, X_test = rng.normal(size=(2, 50, 2))
    y, y_test = (np.where(rows[:, 0] > 0, "b", "a") for rows in (X, X_test))
    by_name = InductiveBias(draws=500, random_state=0).measure(X, y, X_test, y_test, 0.05)
    by_hot = InductiveBias(draws=500, random_state=0).measure(
        X, np.eye(2)[(y == "b").astype(int)], X_test, np.eye(2)[(y_test == "b").astype(int)], 0.05
    )
    assert by_name.bits == by_hot.bits


def test_networks_as_hypotheses():
    X, y, X_test, y_test = task(30, 2, 1)
    net = MLPRegressor(hidden_layer_sizes=(16,), max_iter=60, learning_rate_init=0.01)
    with pytest.warns(UserWarning):
        found = InductiveBias(hypotheses=net, retrainings=6, random_state=0).measure(
            X, y[:, 0], X_test, y_test[:, 0], 0.05
        )
    assert found.direct is None
    assert found.bits.value >= 0
    assert net.random_state is None


def test_squared_error_of_probabilities():
    X = np.arange(10.0)[:, None]
    y = np.array(["a"] * 5 + ["b"] * 5)
    model = LogisticRegression().fit(X, y)
    hot = np.c_[y == "a", y == "b"]
    assert squared_error(model, X, y) == pytest.approx(((model.predict_proba(X) - hot) ** 2).mean())
    assert squared_error(LinearRegression().fit(X, X), X, X + 1) == pytest.approx(1)


def test_bad_input():
    X, y, X_test, y_test = task()
    with pytest.raises(InputError, match="error must be a positive"):
        InductiveBias(draws=100).measure(X, y, X_test, y_test, 0.0)
    with pytest.raises(InputError, match="y_test has 2 entries"):
        InductiveBias(draws=100).measure(X, y, X_test, y_test[:2], 0.1)
    with pytest.raises(InputError, match="among"):
        InductiveBias(draws=100).measure(X, np.arange(25) % 2, X_test, np.arange(30) % 3, 0.1)
    with pytest.raises(InputError, match="'kernel' or an estimator"):
        InductiveBias(hypotheses="trees").measure(X, y, X_test, y_test, 0.1)
    with pytest.raises(InputError, match="all equal"):
        fit_chi_square(np.ones(5))
    with pytest.raises(InputError, match="at least 3"):
        fit_chi_square([1.0, -1.0, 2.0])
