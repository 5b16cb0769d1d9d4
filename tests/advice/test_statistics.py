from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from labelwise.advice.statistics import PairedMean, adjusted_lower, holm
from labelwise.base import InputError

differences = arrays(np.float64, st.integers(2, 20), elements=st.floats(-1, 1).map(lambda x: round(x, 3)))
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(differences.filter(lambda x: np.ptp(x) > 0), st.floats(0, 2), st.sampled_from([0.8, 0.9, 0.95]))
def test_formula_of_nadeau_and_bengio(x, ratio, level):
    n, mean = len(x), sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / (n - 1)
    error = math.sqrt((1 / n + ratio) * variance)
    ours = PairedMean.of(x, ratio)
    assert ours.lower(level) == pytest.approx(mean - stats.t.ppf(level, n - 1) * error)
    assert ours.p_value() == pytest.approx(1 - stats.t.cdf(mean / error, n - 1))
    assert ours.interval(level).high == pytest.approx(mean + stats.t.ppf((1 + level) / 2, n - 1) * error)


@given(differences.filter(lambda x: np.ptp(x) > 0))
def test_without_overlap_it_is_the_t_test(x):
    assert PairedMean.of(x, 0.0).p_value() == pytest.approx(stats.ttest_1samp(x, 0, alternative="greater").pvalue)


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.1, 0.0), (-0.1, 1.0)])
def test_equal_folds(value, p):
    same = PairedMean.of([value] * 5, 0.25)
    assert (same.p_value(), same.error, same.interval(0.9).low) == (p, 0.0, pytest.approx(value))


def test_few_small_folds_that_agree_are_no_proof():
    assert PairedMean.of([0.1, 0.1], 1.0).lower(0.9) > 0
    assert PairedMean.of([0.1, 0.1], 1.0, resolution=0.1).lower(0.9) < 0
    assert PairedMean.of([0.1] * 10, 0.25, resolution=0.05).lower(0.9) > 0
    assert PairedMean.of([0.0] * 4, 0.25, resolution=0.05).p_value() == 1


def test_one_fold_proves_nothing():
    one = PairedMean.of([0.5], 0.25)
    assert one.p_value() == 0.5
    assert one.lower(0.9) == -math.inf


def _cross_validated(rng: np.random.Generator, folds: int = 5, repeats: int = 2) -> np.ndarray:
    """Accuracy gained by a second feature in nearest-mean classification, a fold each."""
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
            right = [((projected[:, :k].sum(1) > 0) == (y[test] == 1)).mean() for k in (1, 2)]
            gained.append(right[1] - right[0])
    return np.array(gained)


def test_corrected_interval_covers_and_the_naive_one_does_not():
    rng = np.random.default_rng(0)
    truth = np.mean([_cross_validated(rng).mean() for _ in range(500)])
    covered = np.zeros(2)
    for _ in range(200):
        x = _cross_validated(rng)
        for i, ratio in enumerate((0.0, 0.25)):
            low, high = PairedMean.of(x, ratio).interval(0.9)[1:3]
            covered[i] += low <= truth <= high
    naive, corrected = covered / 200
    assert naive < 0.82
    assert corrected > 0.86
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


@given(st.lists(differences, min_size=1, max_size=5), st.sampled_from([0.8, 0.9, 0.95]))
def test_bound_and_adjusted_p_value_tell_the_same(folds, level):
    means = [PairedMean.of(x, 0.25) for x in folds]
    p = [m.p_value() for m in means]
    for mean, one, adjusted in zip(means, p, holm(p), strict=True):
        if abs(adjusted - (1 - level)) > 1e-9:
            assert (adjusted_lower(mean, one, adjusted, level) > 0) == (adjusted < 1 - level)


def test_bad_input():
    with pytest.raises(InputError, match="at least one"):
        PairedMean.of([], 0.1)
    with pytest.raises(InputError, match="negative"):
        PairedMean.of([0.1, 0.2], -0.1)
    with pytest.raises(InputError, match="family"):
        holm([0.1, 0.2], family=1)
