"""Label errors: planted ones are found, the promised precision is kept, clean data raises no alarm."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from labelwise.audit import audit
from labelwise.audit.severity import severity
from labelwise.diagnostics.votes import mixed, neighbour_votes


def flipped(y, rate, seed=0):
    rng = np.random.default_rng(seed)
    classes = np.unique(y)
    wrong = rng.random(len(y)) < rate
    return np.where(wrong, (y + rng.integers(1, len(classes), len(y))) % len(classes), y), wrong


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    noisy, wrong = flipped(y, 0.1)
    return audit(X, noisy), noisy, wrong, y


def test_planted_errors_are_found_and_named(digits):
    report, noisy, wrong, y = digits
    (finding,) = report.of_kind("label errors")
    assert severity("label errors", finding.evidence["share of wrong labels"]) == "major"
    assert wrong[finding.rows].mean() > 0.85 and wrong[finding.rows].sum() > 0.85 * wrong.sum()
    found = finding.details
    assert (found.given_label == noisy[found.row]).all()
    assert (found.suggested_label == y[found.row]).mean() > 0.8
    assert found.score.is_monotonic_decreasing


def test_evidence_covers_the_truth(digits):
    report, _, wrong, _ = digits
    (finding,) = report.of_kind("label errors")
    share, precision = finding.evidence["share of wrong labels"], finding.evidence["expected precision of the flags"]
    assert share.low <= wrong.mean() <= share.high
    assert precision.low <= wrong[finding.rows].mean() <= precision.high


def test_noise_matrix_and_precision_curve_are_in_the_report(digits):
    report, _, wrong, _ = digits
    np.testing.assert_allclose(report.noise_matrix.sum(1), 1)
    assert np.diag(report.noise_matrix).mean() == pytest.approx(0.9, abs=0.03)
    curve = report.precision_curve
    rows = report.of_kind("label errors")[0].rows
    assert curve.flagged.iloc[-1] == len(rows)
    real = np.array([wrong[rows[:m]].mean() for m in curve.flagged])
    assert ((curve.low <= real + 0.05) & (real - 0.05 <= curve.high)).all()


def one_sided_matrix():
    """Return the noise matrix of an audit where class b is often given as c, never the other way round."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 2000)
    X = rng.normal(size=(2000, 6)) + 4 * np.eye(3, 6)[truth]
    given = np.where((truth == 1) & (rng.random(2000) < 0.3), 2, truth)
    return audit(X, np.array(["a", "b", "c"])[given]).noise_matrix


def test_noise_matrix_has_true_labels_as_rows():
    matrix = one_sided_matrix()
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert matrix.loc["b", "c"] > 0.1 > 0.03 > matrix.loc["c", "b"]
    assert (matrix.index.name, matrix.columns.name) == ("true", "given")


def test_noise_matrix_of_one_sided_errors_is_right():
    assert one_sided_matrix().loc["b", "c"] == pytest.approx(0.3, abs=0.05)


def test_string_labels_and_unlabelled_rows(digits):
    X, y = load_digits(return_X_y=True)
    names = np.array([f"digit {code}" for code in flipped(y, 0.1)[0]], dtype=object)
    names[::4] = None
    (finding,) = audit(X, names).of_kind("label errors")
    assert not (finding.rows % 4 == 0).any()
    assert finding.details.suggested_label.str.startswith("digit ").all()


@pytest.mark.parametrize("separation", [0.6, 3.0])
def test_clean_labels_raise_no_major_alarm(separation):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 4, 1200)
        X = rng.normal(size=(1200, 8)) + separation * rng.normal(size=(4, 8))[y]
        found = audit(X, y).of_kind("label errors")
        assert all(finding.severity == "minor" for finding in found)


def test_given_probabilities_are_used():
    rng = np.random.default_rng(0)
    first = rng.beta(0.3, 0.3, 1000)
    y = (rng.random(1000) > first).astype(int)
    y[:100] = 1 - y[:100]
    report = audit(rng.normal(size=(1000, 2)), y, proba=np.stack([first, 1 - first], 1))
    (finding,) = report.of_kind("label errors")
    assert (finding.rows < 100).mean() > 0.6


def test_votes_leave_the_own_label_out():
    indices, codes = np.array([[1, 2], [0, 2], [0, 1]]), np.array([0, 1, 1])
    shares = neighbour_votes(indices, codes, 2)
    np.testing.assert_allclose(shares * 2.5, [[0.25, 2.25], [1.25, 1.25], [1.25, 1.25]])
    assert neighbour_votes(indices, np.array([-1, -1, -1]), 2)[0].tolist() == [0.5, 0.5]


def test_mixture_is_no_worse_than_either():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 900)
    good, bad = np.full((900, 3), 0.1, np.float32), np.full((900, 3), 1 / 3, np.float32)
    good[np.arange(900), codes] = 0.8
    same_class = np.stack([rng.choice(np.flatnonzero(codes == c), 10) for c in codes])
    anything = rng.integers(0, 900, (900, 10))

    def loss(proba):
        return -np.log(proba[np.arange(900), codes]).mean()

    for proba, indices in ((good, anything), (bad, same_class), (good, same_class)):
        best = min(loss(proba), loss(neighbour_votes(indices, codes, 3)))
        assert loss(mixed(proba, indices, codes, rng=rng)) < best + 0.01
