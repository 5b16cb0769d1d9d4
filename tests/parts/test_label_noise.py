"""Promises about wrong labels are kept: fifty data sets with planted noise; the share, the matrix and the precision told."""

from __future__ import annotations

import numpy as np
import pytest

from labelwise.audit import audit
from labelwise.base import UNLABELED
from labelwise.data.synthetic import instance_noise, pair_noise, symmetric_noise
from labelwise.parts.confident_joint import read
from labelwise.parts.label_noise import estimate_noise


def planted(seed):
    """Draw a problem: classes apart or overlapping, few or many, labels wrong in one of four ways."""
    rng = np.random.default_rng(seed)
    k, n, d = int(rng.integers(2, 8)), int(rng.integers(500, 1500)), int(rng.integers(4, 12))
    truth = rng.integers(0, k, n)
    X = rng.normal(size=(n, d)) + rng.uniform(0.8, 3) * rng.normal(size=(k, d))[truth]
    rate, kind = rng.uniform(0.05, 0.35), seed % 4
    if kind == 0:
        given = symmetric_noise(truth, rate, n_classes=k, random_state=seed).y
    elif kind == 1:
        given = pair_noise(truth, rate, n_classes=k, random_state=seed).y
    elif kind == 2:
        given = instance_noise(X, truth, rate, n_classes=k, random_state=seed).y
    else:  # one class is often given as another, never the other way round
        given = np.where((truth == 0) & (rng.random(n) < 2 * rate), 1, truth)
    return X, given, truth


@pytest.fixture(scope="module")
def audits():
    return [(audit(X, given), given, truth) for X, given, truth in map(planted, range(50))]


@pytest.mark.slow
def test_the_promised_precision_of_the_flags_is_kept_in_nine_of_ten_data_sets(audits):
    kept, width = [], []
    for report, given, truth in audits:
        for finding in report.of_kind("label errors"):
            promised = finding.evidence["expected precision of the flags"]
            kept.append(promised.low <= (given != truth)[finding.rows].mean() <= promised.high)
            width.append(promised.high - promised.low)
    assert len(kept) >= 45
    assert np.mean(kept) >= 0.9
    assert np.median(width) < 0.5  # and it says something


@pytest.mark.slow
def test_the_share_of_wrong_labels_is_within_its_interval_in_nine_of_ten_data_sets(audits):
    kept = []
    for report, given, truth in audits:
        found = report.of_kind("label errors")
        share = found[0].evidence["share of wrong labels"] if found else None
        real = (given != truth).mean()
        kept.append(share is not None and share.low <= real <= share.high)
    assert np.mean(kept) >= 0.9


def exact(k, rate, n=4000, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    proba = np.full((n, k), 0.02) + (1 - 0.02 * k) * np.eye(k)[truth]
    return proba, symmetric_noise(truth, rate, n_classes=k, random_state=seed).y, truth


def test_intervals_of_the_matrix_hold_most_entries():
    proba, given, truth = exact(5, 0.2)
    noise = estimate_noise(read(given, proba)).noise
    real = np.zeros((5, 5))
    np.add.at(real, (given, truth), 1)
    real /= real.sum(0)
    assert ((noise.low <= real) & (real <= noise.high)).mean() > 0.9
    np.testing.assert_allclose(noise.matrix, real, atol=0.05)


def test_the_curve_ends_where_the_precision_of_the_list_is():
    proba, given, _ = exact(3, 0.1)
    found = estimate_noise(read(given, proba))
    rows = np.argsort(-found.error_probability)[:50]
    value, low, high = found.precision_curve(rows)
    assert found.precision(rows) == (value[-1], low[-1], high[-1], 0.9)
    mask = np.zeros(len(given), bool)
    mask[rows] = True
    assert found.precision(mask).value == pytest.approx(value[-1])
    assert ((low <= value) & (value <= high)).all()


def test_one_row_and_unlabelled_rows():
    assert estimate_noise(read(np.array([0]), np.array([[0.9, 0.1]]))).share.value == pytest.approx(0, abs=0.2)
    proba, given, _ = exact(3, 0.1, n=300)
    given[::2] = UNLABELED
    assert np.isnan(estimate_noise(read(given, proba)).error_probability[::2]).all()
