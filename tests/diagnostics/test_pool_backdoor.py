from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from labelwise.base import InputError
from labelwise.data.synthetic import backdoor_pool
from labelwise.diagnostics import PoolBackdoor
from labelwise.diagnostics.hidden_groups import fold, folded, gap, gap_p_value, unfolded

DIGITS = load_digits(return_X_y=True)
CLEAN = [DIGITS, *(load(return_X_y=True) for load in (load_breast_cancer, load_wine, load_iris))]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("seed", range(4))
def test_clean_real_pools_raise_nothing(number: int, seed: int) -> None:
    X, y = CLEAN[number]
    order = np.random.default_rng(seed).permutation(len(X))
    known, pool = order[:60], order[60:]
    assert not PoolBackdoor(random_state=seed).measure(X[known], X[pool], codes=y[known]).found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.sampled_from(["normal", "heavy", "skewed", "counts", "copies"]))
def test_clean_synthetic_pools_raise_nothing(seed: int, d: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    X = {
        "normal": lambda: rng.normal(size=(600, d)) @ rng.normal(size=(d, d)),
        "heavy": lambda: rng.standard_t(2, size=(600, d)),
        "skewed": lambda: rng.exponential(size=(600, d)) ** 2,
        "counts": lambda: rng.poisson(0.3, size=(600, d)).astype(float),
        "copies": lambda: np.vstack([rng.normal(size=(580, d)), np.repeat(rng.normal(size=(1, d)), 20, axis=0)]),
    }[kind]()
    assert not PoolBackdoor(random_state=seed).measure(None, X).found


@pytest.mark.parametrize(("pattern", "rate", "seed"), [("grid", 0.02, 0), ("grid", 0.05, 1), ("patch", 0.02, 0)])
def test_a_planted_trigger_is_found_row_by_row(pattern: str, rate: float, seed: int) -> None:
    X, y = DIGITS
    planted = backdoor_pool(X, y, target=seed, rate=rate, pattern=pattern, shape=(8, 8), random_state=seed)
    result = PoolBackdoor(random_state=seed).measure(None, planted.X)
    hit = planted.is_poisoned[result.rows]
    assert result.found and result.p_value < 1e-4
    assert hit.mean() > 0.9 and hit.sum() >= 0.9 * planted.is_poisoned.sum()
    assert result.share.low <= planted.is_poisoned.mean() <= result.share.high
    assert (planted.trigger[result.columns] > 0).all()  # the columns it names are the trigger's
    assert np.all(np.diff(result.score) <= 0) and len(result.score) == len(result.rows)


def test_the_pattern_is_recovered() -> None:
    X, y = DIGITS
    planted = backdoor_pool(X, y, target=4, rate=0.04, shape=(8, 8), random_state=0)
    result = PoolBackdoor(random_state=0).measure(None, planted.X)
    assert np.corrcoef(result.pattern, planted.trigger)[0, 1] > 0.7


def test_scale_and_offset_of_columns_do_not_matter() -> None:
    X, y = DIGITS
    planted = backdoor_pool(X, y, target=3, rate=0.03, shape=(8, 8), random_state=0)
    rng = np.random.default_rng(0)
    moved = planted.X * 10.0 ** rng.uniform(-1, 1) + 1e4
    plain, other = (PoolBackdoor(random_state=0).measure(None, Z) for Z in (planted.X, moved))
    assert plain.found and other.found
    assert len(np.intersect1d(plain.rows, other.rows)) >= 0.9 * len(plain.rows)


def test_trusted_rows_with_the_pattern_clear_it() -> None:
    X, y = DIGITS
    planted = backdoor_pool(X, y, target=3, rate=0.05, shape=(8, 8), random_state=0)
    known = np.random.default_rng(1).permutation(len(X))[:600]  # a natural pattern: as often among the trusted rows
    pool = np.setdiff1d(np.arange(len(X)), known)
    assert PoolBackdoor(random_state=0).measure(X[known], planted.X[pool]).found
    assert not PoolBackdoor(random_state=0).measure(planted.X[known], planted.X[pool]).found


def test_rows_with_the_same_gaps_are_no_trigger() -> None:
    """Twelve indicator columns that are 1 together in one row of forty: a form filled in half."""
    rng = np.random.default_rng(0)
    gaps = rng.random(2000) < 0.025
    X = np.hstack([rng.normal(size=(2000, 6)), (rng.random((2000, 12)) < 0.02) | gaps[:, None]])
    assert not PoolBackdoor(random_state=0).measure(None, X).found


def test_a_rare_category_is_no_trigger() -> None:
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(3000, 6)), np.eye(40)[rng.choice(40, 3000, p=np.r_[0.61, np.full(39, 0.01)])]])
    assert not PoolBackdoor(random_state=0).measure(None, X).found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["normal", "exponential", "pareto", "uniform"]))
def test_p_values_of_fresh_tails_are_valid(seed: int, tail: str) -> None:
    """Of 200 gaps chosen on one half, few have a small p-value on the other."""
    rng = np.random.default_rng(seed)
    draw = {
        "normal": rng.standard_normal, "exponential": rng.standard_exponential,
        "pareto": lambda n: rng.pareto(2.0, n), "uniform": rng.random,
    }[tail]  # fmt: skip
    values = np.array([gap_p_value(draw(400), *gap(draw(400))[1:]) for _ in range(200)])
    assert (values < 0.01).sum() <= binom.ppf(1 - 1e-4, 200, 0.01)


def test_gap_is_the_widest_relative_to_what_lies_above() -> None:
    projected = np.r_[np.linspace(-2, 2, 90), np.linspace(9, 10, 10)]
    striking, low, high = gap(projected)
    assert (low, high) == (2.0, 9.0)
    assert striking == pytest.approx(10 * np.log1p(7 / 1))


def test_folded_columns_score_as_unfolded_weights() -> None:
    rng = np.random.default_rng(0)
    rows, plan = rng.normal(size=(20, 37)).astype(np.float32), fold(37, 8, rng)
    w = rng.normal(size=8).astype(np.float32)
    np.testing.assert_allclose(folded(rows, plan) @ w, rows @ unfolded(w, plan), rtol=1e-4, atol=1e-5)


def test_same_seed_same_result_and_blocks_of_a_large_pool() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150_000, 12)).astype(np.float32)
    X[:, 6:] = X[:, :6] + 0.1 * X[:, 6:]  # half of the directions hardly vary: there a faint pattern shows
    hit = rng.choice(len(X), 600, replace=False)
    X[np.ix_(hit, [6, 7, 8, 9])] += 3.0
    start = time.perf_counter()
    first, again = (PoolBackdoor(random_state=5, samples=8000).measure(None, X) for _ in range(2))
    assert time.perf_counter() - start < 30
    assert np.array_equal(first.rows, again.rows)
    assert first.found and len(np.intersect1d(first.rows, hit)) > 590 and len(first.rows) < 620


def test_bad_input_says_what() -> None:
    X = np.zeros((50, 4))
    with pytest.raises(InputError, match="labelled has 3 columns and unlabelled 4"):
        PoolBackdoor().measure(np.zeros((5, 3)), X)
    with pytest.raises(InputError, match="codes must have one class a labelled row"):
        PoolBackdoor().measure(np.zeros((5, 4)), np.random.default_rng(0).normal(size=(50, 4)), codes=[0, 1])
    with pytest.raises(InputError, match="n >= 40"):
        PoolBackdoor().measure(None, X[:10])
    assert not PoolBackdoor().measure(None, X).found  # all rows equal
