from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from labelwise.advice.statistics import TRUST, PairedMean, correlations, holm, step_down
from labelwise.base import InputError

differences = arrays(np.float64, st.integers(2, 20), elements=st.floats(-1, 1).map(lambda x: round(x, 3)))
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(differences.filter(lambda x: np.ptp(x) > 0), st.floats(0, 2), st.sampled_from([0.8, 0.9, 0.95]))
def test_formula_of_nadeau_and_bengio(x, ratio, level):
    n, mean = len(x), sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / (n - 1)
    error = math.sqrt((1 / n + ratio) * variance)
    ours = PairedMean.of(x, ratio)
    assert ours.p_value() == pytest.approx(1 - stats.t.cdf(mean / error, n - 1))
    assert ours.interval(level).high == pytest.approx(mean + stats.t.ppf((1 + level) / 2, n - 1) * error)


@given(differences.filter(lambda x: np.ptp(x) > 0))
def test_without_overlap_it_is_the_t_test(x):
    assert PairedMean.of(x, 0.0).p_value() == pytest.approx(stats.ttest_1samp(x, 0, alternative="greater").pvalue)


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.1, 0.0), (-0.1, 1.0)])
def test_equal_folds(value, p):
    same = PairedMean.of([value] * 5, 0.25)
    assert (same.p_value(), same.error, same.interval(0.9).low) == (p, 0.0, pytest.approx(value))


def test_one_fold_proves_nothing():
    one = PairedMean.of([0.5], 0.25)
    assert one.p_value() == 0.5
    assert one.interval(0.9).low == -math.inf


def test_rows_give_the_spread_that_chance_would():
    """Against the formula written out: the variance of all rows over the rows of a fold, and that between folds."""
    rng = np.random.default_rng(0)
    folds = [rng.integers(-1, 2, 30).astype(float) for _ in range(4)]
    means, rows = [f.mean() for f in folds], np.concatenate(folds)
    imagined = (1 + abs(rows.mean())) ** 2
    chance = (sum((v - rows.mean()) ** 2 for v in rows) + imagined) / 120 / 30
    spread = (TRUST * chance + 3 * np.var(means, ddof=1)) / (TRUST + 3)
    ours = PairedMean.of_rows(folds, 1 / 3)
    assert ours.value == pytest.approx(np.mean(means))
    assert ours.error == pytest.approx(math.sqrt(spread * (1 / 4 + 1 / 3)))
    assert ours.freedom == TRUST + 3


@pytest.mark.parametrize(("better", "rows"), [(2, 10), (3, 10), (4, 12), (6, 20), (10, 60)])
def test_few_rows_prove_no_more_than_a_sign_test(better, rows):
    """Rows predicted right by one of two models alone, shuffled over five folds and predicted alike in two repeats."""
    gained = np.r_[np.ones(better), np.zeros(rows - better)]
    exact = stats.binomtest(better, better, alternative="greater").pvalue
    for seed in range(5):
        rng = np.random.default_rng(seed)
        folds = [part for _ in range(2) for part in np.array_split(rng.permutation(gained), 5)]
        assert PairedMean.of_rows(folds, 0.25).p_value() > 0.5 * exact


def test_rows_of_a_group_count_as_one():
    rng = np.random.default_rng(1)
    single = [rng.normal(size=40) for _ in range(5)]
    tripled = [np.repeat(rows, 3) for rows in single]
    groups = [np.repeat(np.arange(40), 3) for _ in single]
    as_one, as_three = PairedMean.of_rows(tripled, 0.25, groups), PairedMean.of_rows(tripled, 0.25)
    assert as_one.error == pytest.approx(PairedMean.of_rows(single, 0.25).error, rel=0.05)
    assert as_three.error < 0.8 * as_one.error


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_few_rows_that_agree_are_no_proof(rows):
    assert PairedMean.of_rows([np.ones(rows)] * 2, 1.0).interval(0.9).low < 0.6
    assert PairedMean.of_rows([np.ones(rows)] * 2, 1.0).p_value() > 1e-4
    assert PairedMean.of_rows([np.ones(50)] * 2, 1.0).p_value() < 1e-6
    assert PairedMean.of_rows([np.zeros(rows)] * 4, 0.25).p_value() >= 0.5


def _cross_validated(rng: np.random.Generator, folds: int = 5, repeats: int = 2) -> list[np.ndarray]:
    """Rows gained by a second feature in nearest-mean classification, an array a fold."""
    y = rng.permutation(np.arange(80) % 2)
    X = rng.normal(size=(80, 2)) + np.where(y[:, None] == 1, 1, -1) * [0.6, 0.3]
    gained = []
    for _ in range(repeats):
        fold = rng.permutation(80) % folds
        for f in range(folds):
            train, test = fold != f, fold == f
            gap = X[train & (y == 1)].mean(0) - X[train & (y == 0)].mean(0)
            middle = (X[train & (y == 1)].mean(0) + X[train & (y == 0)].mean(0)) / 2
            projected = (X[test] - middle) * gap
            right = [(projected[:, :k].sum(1) > 0) == (y[test] == 1) for k in (1, 2)]
            gained.append(right[1].astype(float) - right[0])
    return gained


def test_corrected_intervals_cover_and_the_naive_one_does_not():
    rng = np.random.default_rng(0)
    truth = np.mean([np.mean([rows.mean() for rows in _cross_validated(rng)]) for _ in range(500)])
    covered = np.zeros(3)
    for _ in range(200):
        rows = _cross_validated(rng)
        means = [fold.mean() for fold in rows]
        for i, mean in enumerate(
            (PairedMean.of(means, 0.0), PairedMean.of(means, 0.25), PairedMean.of_rows(rows, 0.25))
        ):
            low, high = mean.interval(0.9)[1:3]
            covered[i] += low <= truth <= high
    naive, corrected, by_rows = covered / 200
    assert naive < 0.82
    assert min(corrected, by_rows) > 0.86
    assert corrected > naive + 0.08


def _closed_testing(p: list[float]) -> list[float]:
    """Reject a hypothesis when Bonferroni rejects every set of hypotheses that it is in."""
    sets = [s for size in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), size)]
    return [max(min(1, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in range(len(p))]


@given(p_values)
def test_holm_is_closed_testing(p):
    np.testing.assert_allclose(holm(p), _closed_testing(p))


@given(p_values, st.integers(0, 5))
def test_a_larger_family_counts_as_further_ones(p, more):
    np.testing.assert_allclose(holm(p, family=len(p) + more), holm(p + [1.0] * more)[: len(p)])


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5), st.sampled_from([0.8, 0.9, 0.95]))
def test_critical_value_and_adjusted_p_value_tell_the_same(t, level):
    adjusted = step_down(t, np.eye(len(t)), 20, level, draws=2000)
    for one, p, critical in zip(t, adjusted.p_values, adjusted.critical, strict=True):
        if abs(p - (1 - level)) > 2 / 2000:
            assert (one > critical) == (p < 1 - level)


def test_independent_ones_are_little_less_than_holm():
    """Of independent statistics the exact step-down p-value is 1 - (1 - p)^k, which Holm's k p bounds."""
    t = np.array([1.5, 2.5, 2.0])
    p = stats.norm.sf(t)
    exact = np.array([1 - (1 - p[0]), 1 - (1 - p[1]) ** 3, 1 - (1 - p[2]) ** 2])
    adjusted = step_down(t, np.eye(3), 1e6, 0.9).p_values
    np.testing.assert_allclose(adjusted, exact, atol=0.004)
    assert (adjusted <= holm(p) + 0.004).all()


def test_the_same_method_many_times_costs_nothing():
    t, one = [2.2] * 6, step_down([2.2], np.eye(1), 24, 0.9).p_values
    np.testing.assert_allclose(step_down(t, np.ones((6, 6)), 24, 0.9).p_values, one[0], atol=0.002)
    assert step_down([2.2], np.eye(6), 24, 0.9).p_values > 3 * one  # five others were looked at


def test_correlations_are_numpys_and_of_shared_rows_alone():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 400))
    rows -= rows.mean(1, keepdims=True)
    np.testing.assert_allclose(correlations(rows), np.corrcoef(rows), atol=1e-12)
    half = rows[[0, 0]].copy()
    half[1, 200:] = 0
    assert correlations(half)[0, 1] == pytest.approx(math.sqrt(0.5), abs=0.05)
    assert np.isfinite(correlations(np.zeros((2, 5)))).all()


def test_bad_input():
    with pytest.raises(InputError, match="at least one"):
        PairedMean.of([], 0.1)
    with pytest.raises(InputError, match="negative"):
        PairedMean.of([0.1, 0.2], -0.1)
    with pytest.raises(InputError, match="family"):
        holm([0.1, 0.2], family=1)
