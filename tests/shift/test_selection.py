"""Scores of a model in another place, without labels from there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression

from labelwise.base import InputError
from labelwise.shift import scores_without_labels
from labelwise.shift.selection import information, thresholded_confidence, weighted_accuracy


def problem(seed, n=4000, move=0.0):
    """Logistic classes on a line: calibrated confidence, so that its average is the accuracy, wherever rows lie."""
    rng = np.random.default_rng(seed)
    X = rng.normal(move, 1, size=(n, 1))
    return X, (rng.random(n) < 1 / (1 + np.exp(-2 * X[:, 0]))).astype(int)


def test_accuracy_elsewhere_is_foreseen_under_covariate_shift():
    X, y = problem(0)
    Z, t = problem(1, move=1.5)
    model = LogisticRegression().fit(*problem(2))
    scores = scores_without_labels(model, X, y, Z)
    there = model.score(Z, t)
    assert scores.source == model.score(X, y)
    assert there > scores.source + 0.05
    assert abs(scores.weighted - there) < 0.03
    assert scores.confidence > scores.source + 0.03


def test_without_a_shift_all_accuracies_agree():
    (X, y), (Z, _) = problem(0), problem(1)
    scores = scores_without_labels(LogisticRegression().fit(*problem(2)), X, y, Z)
    assert abs(scores.confidence - scores.source) < 0.03 and abs(scores.weighted - scores.source) < 0.02


def test_information_is_that_of_the_mean_less_the_mean():
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=30)
    expected = (entropy(p.mean(0)) - np.mean([entropy(row) for row in p])) / np.log(4)
    assert information(p) == pytest.approx(expected, rel=1e-9)
    assert information(np.tile([1.0, 0.0], (5, 1))) == pytest.approx(0, abs=1e-9)
    assert information(np.eye(2)) == pytest.approx(1, abs=1e-9)


def test_threshold_is_passed_by_as_many_as_are_right():
    here = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    right = np.array([True, False, True, False])
    there = np.array([[0.85, 0.15], [0.5, 0.5], [0.2, 0.8], [0.75, 0.25]])
    assert thresholded_confidence(here, right, there) == 0.5
    assert thresholded_confidence(here, np.zeros(4, bool), there) == 0.0


def test_pictures_have_no_weighted_score_and_bad_input_is_told():
    assert np.isnan(weighted_accuracy(np.ones(3, bool), np.zeros((3, 2, 2, 1)), np.zeros((3, 2, 2, 1))))
    X, y = problem(0, n=50)
    model = LogisticRegression().fit(X, y)
    with pytest.raises(InputError, match="row 2"):
        scores_without_labels(model, X, np.where(np.arange(50) == 2, -1, y), X)
    with pytest.raises(InputError, match="as many"):
        scores_without_labels(model, X, y[:-1], X)
