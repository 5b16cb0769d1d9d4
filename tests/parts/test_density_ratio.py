"""Density ratios against exact ones, and the leave-one-out error against leaving out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from labelwise.data.synthetic import covariate_shift
from labelwise.parts.density_ratio import _left_out, effective_size, held_out_odds, rulsif


def sets(n=600, seed=0):
    moved = covariate_shift(n, n, n_features=2, drift=1.0, random_state=seed)
    return moved.X, moved.domains == 1, moved.density_ratio


def test_calibrated_odds_are_near_the_exact_ratio():
    X, there, exact = sets(2000)
    scores, odds = held_out_odds(LogisticRegression(), X, there, 5, np.random.default_rng(0))
    assert np.log(odds) == pytest.approx(np.log(exact), abs=0.5)
    assert spearmanr(scores, exact).statistic > 0.95


def test_least_squares_follow_the_exact_relative_ratio():
    X, there, exact = sets()
    found = rulsif(X[~there], X[there], alpha=0.1, rng=np.random.default_rng(0))
    relative = exact / (0.1 * exact + 0.9)
    assert spearmanr(found, relative[~there]).statistic > 0.85
    assert found.min() >= 0 and found.max() < 15
    assert found.mean() == pytest.approx(relative[~there].mean(), abs=0.25)


def test_the_closed_form_leaves_one_row_of_each_set_out():
    rng = np.random.default_rng(0)
    s, t, ridge, alpha = rng.random((30, 5)), rng.random((30, 5)), 0.1, 0.2
    total = 0.0
    for i in range(30):
        a, b = np.delete(s, i, 0), np.delete(t, i, 0)
        # the source's part is averaged over n - 1 rows; the target's second moment stays whole, as in the closed form
        matrix = (1 - alpha) * a.T @ a / 29 + (alpha * t.T @ t / 30 + ridge * 29 / 30 * np.eye(5)) * 30 / 29
        weights = np.maximum(np.linalg.solve(matrix, b.mean(0)), 0)
        total += ((1 - alpha) * (s[i] @ weights) ** 2 + alpha * (t[i] @ weights) ** 2) / 2 - t[i] @ weights
    assert _left_out(s, t, alpha, ridge) == pytest.approx(total / 30, rel=1e-6)


def test_effective_size_counts_equal_rows():
    assert effective_size(np.ones(7)) == pytest.approx(7)
    assert effective_size(np.r_[1.0, np.zeros(6)]) == 1
    assert effective_size(np.zeros(3)) == 0
