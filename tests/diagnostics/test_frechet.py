"""Fréchet distance against scipy's matrix root and closed forms; its null, its limit, the prior check."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from labelwise.base import InputError
from labelwise.diagnostics import FrechetDistance, PriorShift, class_coverage, frechet_distance, pseudo_labels
from labelwise.diagnostics.frechet import gaussian_distance


def by_sqrtm(a, b):
    cov_a, cov_b = (np.cov(z, rowvar=False) + 1e-6 * np.eye(z.shape[1]) for z in (a, b))
    root = np.real(sqrtm(cov_b @ cov_a))
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)


def rows(n, d, seed, spread=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    return shift + spread * rng.normal(size=(n, d)) @ rng.normal(size=(d, d))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 8), st.integers(0, 99), st.floats(0.1, 3), st.floats(-3, 3))
def test_agrees_with_the_matrix_root(d, seed, spread, shift):
    a, b = rows(60, d, seed), rows(50, d, seed + 1, spread, shift)
    assert frechet_distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-6, abs=1e-6)


def test_closed_form_of_commuting_gaussians():
    """For diagonal covariances: |difference of means|^2 + sum of squared differences of standard deviations."""
    mean, other, deviation, wider = np.zeros(3), np.array([1.0, 0, 2]), np.array([1.0, 2, 3]), np.array([2.0, 2, 5])
    found = gaussian_distance(mean, np.diag(deviation**2), other, np.diag(wider**2))
    assert found == pytest.approx(5 + ((deviation - wider) ** 2).sum())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.floats(0.1, 10))
def test_symmetry_rotation_shift_and_scale(seed, scale):
    rng = np.random.default_rng(seed)
    a, b = rows(80, 4, seed), rows(70, 4, seed + 1, shift=1)
    turn, move = np.linalg.qr(rng.normal(size=(4, 4)))[0], rng.normal(size=4)
    plain = frechet_distance(a, b)
    assert frechet_distance(b, a) == pytest.approx(plain, rel=1e-6)
    assert frechet_distance(scale * a @ turn + move, scale * b @ turn + move) == pytest.approx(
        scale**2 * plain, rel=2e-3
    )
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_fewer_rows_than_columns():
    rng = np.random.default_rng(0)
    assert np.isfinite(frechet_distance(rng.normal(size=(5, 20)), rng.normal(size=(6, 20))))


def test_no_shift_no_warning_and_a_limit_of_zero():
    results = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        measure = FrechetDistance(repeats=20, random_state=seed).measure
        results.append(measure(rng.normal(size=(200, 6)), rng.normal(size=(600, 6))))
    assert not any(result.shift for result in results)
    assert np.mean([result.distance.value for result in results]) > 0.2  # the bias of small samples
    assert abs(np.mean([result.limit.value for result in results])) < 0.08


def test_shift_warns_and_the_limit_is_the_truth():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(800, 5)), rng.normal(0.6, 1.5, size=(800, 5))
    result = FrechetDistance(random_state=0).measure(a, b)
    truth = 5 * 0.36 + 5 * 0.25
    assert result.shift and result.limit.low <= truth <= result.limit.high
    assert result.size == 400


def test_wide_embeddings_are_projected():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(200, 6)) @ rng.normal(size=(6, 80)) for _ in range(2))
    narrow, whole = (FrechetDistance(components=c, repeats=3, random_state=0).measure(a, b) for c in (12, None))
    assert narrow.distance.value == pytest.approx(whole.distance.value, rel=0.01)


def pool(n, prior, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=prior)
    means = 2.5 * np.eye(3)
    scores = (rng.normal(size=(n, 3)) + means[y]) @ means.T
    return y, np.exp(scores - scores.max(1, keepdims=True)) / np.exp(scores - scores.max(1, keepdims=True)).sum(1)[
        :, None
    ]


@pytest.mark.parametrize(
    ("prior", "warn"), [((0.33, 0.33, 0.34), False), ((0.6, 0.3, 0.1), True), ((0.4, 0.3, 0.3), False)]
)
def test_prior_shift(prior, warn):
    codes, source = pool(2000, (1 / 3, 1 / 3, 1 / 3), seed=1)
    _, proba = pool(2000, prior)
    result = PriorShift(random_state=0).measure(proba, np.full(3, 1 / 3), source_proba=source, source_codes=codes)
    assert result.warn is warn
    truth = np.abs(np.array(prior) - 1 / 3).sum() / 2
    assert result.total_variation.low <= truth + 0.01 and truth - 0.01 <= result.total_variation.high
    assert all(e.low - 0.01 <= p <= e.high + 0.01 for e, p in zip(result.prior, prior, strict=True))


def test_coverage_shows_a_class_that_the_pool_lacks():
    rng = np.random.default_rng(0)
    centres = 10 * np.eye(3)
    labelled, codes = centres[np.repeat([0, 1, 2], 20)] + rng.normal(size=(60, 3)), np.repeat([0, 1, 2], 20)
    shares = class_coverage(labelled, codes, centres[[0] * 30 + [1] * 10] + rng.normal(size=(40, 3)), 4)
    np.testing.assert_allclose(shares, [0.75, 0.25, 0, 0])


def test_bad_input():
    good = np.ones((30, 2))
    for a, b, message in (
        (good[:5], good, "labelled"),
        (good, good[:5], "unlabelled"),
        (good, np.ones((30, 3)), "columns"),
    ):
        with pytest.raises(InputError, match=message):
            FrechetDistance().measure(a, b)


def test_pseudo_labels_are_counted():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([0.1, 0.1, 0.1], size=500)
    codes = np.where(rng.random(500) < 0.2, -1, rng.integers(3, size=500))
    kept, wrong = pseudo_labels(proba, codes, threshold=0.9)
    sure = [row for row in range(500) if max(proba[row]) >= 0.9]
    judged = [row for row in sure if codes[row] >= 0]
    assert kept.value == len(sure) / 500
    assert wrong.value == sum(proba[row].argmax() != codes[row] for row in judged) / len(judged)
    assert wrong.low < wrong.value < wrong.high


def test_pseudo_labels_that_nobody_keeps():
    kept, wrong = pseudo_labels([[0.5, 0.5]], [0])
    assert kept.value == 0 and np.isnan(wrong.value) and (wrong.low, wrong.high) == (0, 1)
    with pytest.raises(InputError, match="codes has 2 entries"):
        pseudo_labels([[0.5, 0.5]], [0, 1])
    with pytest.raises(InputError, match="threshold must be"):
        pseudo_labels([[0.5, 0.5]], [0], threshold=2)


def test_results_say_it_in_words():
    near, far = (FrechetDistance(repeats=20, random_state=0).measure(rows(200, 3, 0), rows(200, 3, 0, shift=shift))
                 for shift in (0.0, 5.0))  # fmt: skip
    assert "not clear of" in near.describe() and "above" in far.describe() and "does not replace" in far.describe()
