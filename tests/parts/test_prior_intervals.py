from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize
from scipy.special import softmax

from labelwise.parts import prior_intervals
from labelwise.parts.prior_intervals import (
    _likeliest,
    bbse_prior_interval,
    em_prior_interval,
    predicted_test,
    score_test,
)
from labelwise.parts.priors import bbse_prior, confusion, em_prior, predicted_shares


def mixture(n, prior, rng, strength=1.5):
    codes = rng.choice(len(prior), n, p=prior)
    x = rng.normal(size=(n, len(prior))) + strength * np.eye(len(prior))[codes]
    return softmax(strength * x, axis=1), codes


SOURCE, TARGET = np.full(3, 1 / 3), np.array([0.1, 0.3, 0.6])


def test_em_interval_agrees_with_a_row_bootstrap():
    rng = np.random.default_rng(0)
    proba, _ = mixture(800, TARGET, rng)
    found = em_prior_interval(proba, SOURCE, n_resamples=1000, rng=rng)
    again = [em_prior(proba[rng.integers(800, size=800)], SOURCE) for _ in range(400)]
    low, high = np.quantile(again, [0.05, 0.95], axis=0)
    assert found.prior == pytest.approx(em_prior(proba, SOURCE))
    assert found.low == pytest.approx(low, abs=0.012)
    assert found.high == pytest.approx(high, abs=0.012)


@pytest.mark.parametrize("soft", [False, True])
def test_bbse_interval_agrees_with_a_row_bootstrap(soft):
    rng = np.random.default_rng(0)
    (seen, codes), (proba, _) = mixture(900, SOURCE, rng), mixture(600, TARGET, rng)
    found = bbse_prior_interval(seen, codes, proba, soft=soft, n_resamples=500, rng=rng)
    again = []
    for _ in range(400):
        rows = rng.integers(900, size=900)
        shares = predicted_shares(proba[rng.integers(600, size=600)], soft=soft)
        again.append(bbse_prior(confusion(seen[rows], codes[rows], soft=soft), shares))
    low, high = np.quantile(again, [0.05, 0.95], axis=0)
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside: list[np.ndarray] = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        (seen, codes), (proba, _) = mixture(400, SOURCE, rng), mixture(400, TARGET, rng)
        shares = np.bincount(codes) / 400
        likely = em_prior_interval(proba, shares, source_proba=seen, source_codes=codes, rng=rng)
        solved = bbse_prior_interval(seen, codes, proba, n_resamples=100, rng=rng)
        inside += [(found.low <= TARGET) & (found.high >= TARGET) for found in (likely, solved)]
    assert 0.84 < np.mean(inside) < 0.96  # 90 % asked for; 360 correlated draws


def test_the_noise_of_the_source_widens_the_interval():
    rng = np.random.default_rng(0)
    (seen, codes), (proba, _) = mixture(100, SOURCE, rng), mixture(5000, TARGET, rng)
    exact = em_prior_interval(proba, SOURCE)
    honest = em_prior_interval(proba, SOURCE, source_proba=seen, source_codes=codes)
    assert ((honest.high - honest.low) > 2 * (exact.high - exact.low)).all()


def test_many_rows_are_sampled_with_about_the_same_interval(monkeypatch):
    rng = np.random.default_rng(0)
    (seen, codes), (proba, _) = mixture(3000, SOURCE, rng), mixture(4000, TARGET, rng)
    whole = em_prior_interval(proba, SOURCE, source_proba=seen, source_codes=codes)
    monkeypatch.setattr(prior_intervals, "CURVATURE_ROWS", 2000)
    part = em_prior_interval(proba, SOURCE, source_proba=seen, source_codes=codes)
    assert np.array_equal(part.prior, whole.prior)
    assert part.high - part.low == pytest.approx(whole.high - whole.low, rel=0.2)


def test_an_absent_class_gets_a_one_sided_interval():
    proba, _ = mixture(500, [0.5, 0.5, 0.0], np.random.default_rng(3))
    found = em_prior_interval(proba, SOURCE)
    assert found.low[2] < 1e-6
    assert 0.001 < found.high[2] < 0.1


def test_no_resamples_give_no_knowledge():
    proba, codes = mixture(50, SOURCE, np.random.default_rng(0))
    for found in (
        em_prior_interval(proba, SOURCE, n_resamples=0),
        bbse_prior_interval(proba, codes, proba, n_resamples=0),
    ):
        assert found.low.tolist() == [0, 0, 0]
        assert found.high.tolist() == [1, 1, 1]
        assert found.estimates()[0].high == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(0, 1000), st.booleans())
def test_quadratic_over_the_simplex_meets_its_conditions(n_classes, seed, cycle):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n_classes, n_classes))
    curvature, slopes = root @ root.T + 0.1 * np.eye(n_classes), rng.normal(size=(5, n_classes)) * 3
    with pytest.MonkeyPatch.context() as patch:
        if cycle:  # as if pivoting never ended
            patch.setattr(prior_intervals, "PIVOTS", 0)
        found = _likeliest(curvature, slopes)
    assert (found >= 0).all() and found.sum(axis=1) == pytest.approx(1)
    gradient = slopes - found @ curvature
    level = (gradient * found).sum(axis=1, keepdims=True)  # equal among shares above zero, lower elsewhere
    assert (gradient <= level + 1e-4 * np.abs(slopes).max()).all()


def test_quadratic_over_the_simplex_agrees_with_slsqp():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    curvature, slopes = root @ root.T + 0.1 * np.eye(4), rng.normal(size=(5, 4)) * 3
    for slope, found in zip(slopes, _likeliest(curvature, slopes), strict=True):
        best = minimize(
            lambda x, slope=slope: x @ curvature @ x / 2 - slope @ x,
            np.full(4, 0.25),
            bounds=[(0, 1)] * 4,
            constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            options={"ftol": 1e-12},
        )
        assert found == pytest.approx(best.x, abs=1e-4)


@pytest.mark.parametrize("test", [predicted_test, score_test])
def test_p_values_are_uniform_without_a_shift_and_small_with_one(test):
    null, shifted = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        seen, _ = mixture(150, SOURCE, rng)
        null.append(test(seen, mixture(100, SOURCE, rng)[0]).p_value)
        shifted.append(test(seen, mixture(100, TARGET, rng)[0]).p_value)
    assert stats.kstest(null, "uniform").pvalue > 0.001
    assert np.mean(np.array(shifted) < 0.05) > 0.8


def test_the_score_test_finds_more_than_decisions_do():
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        seen, proba = mixture(200, SOURCE, rng, 1.0)[0], mixture(200, [0.25, 0.3, 0.45], rng, 1.0)[0]
        found.append([predicted_test(seen, proba).p_value < 0.05, score_test(seen, proba).p_value < 0.05])
    decisions, scores = np.mean(found, axis=0)
    assert scores > decisions


@pytest.mark.parametrize("test", [predicted_test, score_test])
def test_constant_predictions_cannot_show_a_shift(test):
    assert test(np.tile([0.7, 0.3], (20, 1)), np.tile([0.7, 0.3], (9, 1))) == (0.0, 1.0, 0)
