"""The noise model against planted noise: the share, the matrix, the probabilities, and overlap that is not noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from labelwise.base import InputError
from labelwise.diagnostics import LabelNoise
from labelwise.diagnostics.linear import out_of_fold
from labelwise.parts.noise_likelihood import _pooled, fit_likelihood


def gaussians(n, separation, matrix, seed=0, d=5):
    """Classes with known posterior, labels sent through `matrix` (columns: true class)."""
    rng = np.random.default_rng(seed)
    k = len(matrix)
    truth, means = rng.integers(0, k, n), separation * rng.normal(size=(k, d))
    X = rng.normal(size=(n, d)) + means[truth]
    proba = softmax(X @ means.T - (means**2).sum(1) / 2, axis=1)
    given = (rng.random(n)[:, None] > np.cumsum(matrix[:, truth].T, axis=1)).sum(1)
    return truth, given, proba


def uniform(k, rate):
    return (1 - rate) * np.eye(k) + rate / (k - 1) * (1 - np.eye(k))


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("separation", [0.7, 2.0])
def test_share_is_covered_and_close(rate, separation):
    truth, given, proba = gaussians(4000, separation, uniform(4, rate))
    share = LabelNoise().measure(given, proba).share
    wrong = (truth != given).mean()
    assert share.low <= wrong <= share.high
    assert abs(share.value - wrong) < 0.02 + 0.1 * rate


@pytest.mark.parametrize("seed", range(6))
def test_overlap_is_not_noise(seed):
    """Clean labels of classes that overlap: disagreement is everywhere, wrong labels are nowhere."""
    _, given, proba = gaussians(3000, 0.5, np.eye(4), seed)
    assert (proba.argmax(1) != given).mean() > 0.2
    share = LabelNoise().measure(given, proba).share
    assert share.low == 0 and share.value < 0.03


@pytest.mark.parametrize("seed", range(3))
def test_share_covers_one_sided_noise_that_the_model_learned(seed):
    """Out-of-fold probabilities, not the true ones: they believe a part of labels that are wrong always the same way."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, 1500)
    X = (rng.normal(size=(1500, 6)) + 4 * np.eye(3, 6)[truth]).astype(np.float32)
    given = np.where((truth == 1) & (rng.random(1500) < 0.3), 2, truth)
    share = LabelNoise().measure(given, out_of_fold(X, given, 3)).share
    assert share.low <= (truth != given).mean() <= share.high


def test_noise_matrix_of_one_sided_noise():
    matrix = np.array([[1.0, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.3, 1.0]])
    _, given, proba = gaussians(6000, 1.5, matrix)
    np.testing.assert_allclose(fit_likelihood(proba, given).matrix, matrix, atol=0.03)
    noise = LabelNoise().measure(given, proba).noise
    np.testing.assert_allclose(noise.matrix, matrix, atol=0.05)
    assert ((noise.low <= matrix + 1e-9) & (matrix - 1e-9 <= noise.high)).all()


def test_error_probabilities_are_calibrated():
    truth, given, proba = gaussians(20_000, 0.8, uniform(3, 0.2))
    found = LabelNoise().measure(given, proba).error_probability
    bins = np.digitize(found, [0.1, 0.3, 0.5, 0.7, 0.9])
    for b in range(6):
        assert abs((truth != given)[bins == b].mean() - found[bins == b].mean()) < 0.05


def test_expected_precision_covers_the_real_one():
    for seed in range(5):
        truth, given, proba = gaussians(2000, 1.0, uniform(5, 0.1), seed)
        result = LabelNoise().measure(given, proba)
        for length in (50, 150):
            rows = np.argsort(-result.error_probability)[:length]
            precision = result.precision(rows)
            assert precision.low <= (truth != given)[rows].mean() <= precision.high


@pytest.mark.parametrize("power", [0.5, 3.0])
def test_over_and_under_confident_probabilities_do_not_matter(power):
    _, given, proba = gaussians(4000, 1.0, uniform(4, 0.15))
    bent = proba**power / (proba**power).sum(1, keepdims=True)
    plain, changed = (LabelNoise().measure(given, p).share.value for p in (proba, bent))
    assert plain == pytest.approx(changed, abs=0.01)


def test_order_of_rows_and_names_of_classes_do_not_matter():
    _, given, proba = gaussians(1500, 1.0, uniform(4, 0.15))
    order, names = np.random.default_rng(0).permutation(1500), np.array([2, 0, 3, 1])
    plain = LabelNoise().measure(given, proba)
    other = LabelNoise().measure(names[given][order], proba[:, np.argsort(names)][order])
    assert other.share.value == pytest.approx(plain.share.value, abs=0.03)
    np.testing.assert_allclose(other.error_probability, plain.error_probability[order], atol=0.15)


def test_unlabelled_rows_have_no_error_probability():
    _, given, proba = gaussians(1000, 1.0, uniform(3, 0.1))
    given[::3] = -1
    found = LabelNoise().measure(given, proba).error_probability
    assert (np.isnan(found) == (given == -1)).all()


@settings(max_examples=50)
@given(st.integers(2, 6), st.integers(0, 1000))
def test_pooling_keeps_columns_of_probabilities(k, seed):
    counts = np.random.default_rng(seed).gamma(0.3, 10, size=(k, k))
    matrix = _pooled(counts)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(0), 1)


def test_bad_input():
    for y, proba in (([0, 1], np.ones((3, 2))), ([0, 5], np.ones((2, 2))), ([-1, -1], np.ones((2, 2)))):
        with pytest.raises(InputError):
            LabelNoise().measure(y, proba)
