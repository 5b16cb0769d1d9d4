"""Memorisation against leave-one-out by hand and planted rows; the theory against its published numbers and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from labelwise.base import InputError
from labelwise.data.synthetic import blobs
from labelwise.diagnostics import Memorization, posterior_frequency, singleton_cost

ZIPF = 1 / np.arange(1, 50_001)


@given(st.integers(0, 1000), st.sampled_from([KNeighborsClassifier(1), KNeighborsClassifier(3), LogisticRegression()]))
@settings(max_examples=10, deadline=None)
def test_mean_of_leave_one_out_is_training_minus_test_accuracy(seed, model):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(20, 2)), np.r_[0, 0, 1, 1, rng.integers(0, 2, 16)]
    found = Memorization(estimator=model, n_models=20, share=1 - 1 / 20, random_state=0).measure(X, y)
    train, test = 0.0, 0.0
    for row in range(20):
        rest = np.arange(20) != row
        fitted = clone(model).fit(X[rest], y[rest])
        train += fitted.score(X[rest], y[rest]) / 20
        test += float(fitted.predict(X[row : row + 1])[0] == y[row]) / 20
    assert found.mean.value == pytest.approx(train - test)


def test_table_counts_by_hand():
    predicted = np.array([[0, 1, 2], [0, 2, 2], [1, 1, 0], [0, 0, 0]])
    inside = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 0, 0]], bool)
    table = Memorization()._table(predicted, inside, np.array([0, 1, 2]), np.array(["a", "b", "c"]))
    assert table["with_it"].tolist() == [1.0, 1.0, 0.5]
    assert table["without_it"].tolist() == [0.5, 0.0, 0.5]
    assert table["memorization"].tolist() == [0.5, 1.0, 0.0]
    assert table["rival"].tolist() == ["b", "a", "a"]
    assert table["rival_share"].tolist() == [0.5, 0.5, 0.5]


@given(st.integers(5, 60), st.floats(0.3, 0.95), st.integers(2, 40))
@settings(max_examples=50, deadline=None)
def test_rows_are_left_out_in_turns(n, share, models):
    masks = np.array(list(Memorization(n_models=models, share=share)._subsets(n, np.random.default_rng(0))))
    left = (~masks).sum(1)
    assert (left == left[0]).all()
    assert left[0] == min(n - 2, max(1, round((1 - share) * n)))
    rounds = -(-models // (n // left[0]))
    assert (~masks).sum(0).max() <= rounds


def test_planted_rows_are_found():
    drawn = blobs(200, 3, 5, separation=6.0, random_state=0)
    y = drawn.y.copy()
    y[:6] = (y[:6] + 1) % 3
    found = Memorization(estimator=KNeighborsClassifier(1), n_models=60, random_state=0).measure(drawn.X, y)
    assert set(range(6)) <= set(found.memorized().tolist())
    assert len(found.memorized()) <= 8
    np.testing.assert_array_equal(found.table.loc[:5, "rival"], drawn.y[:6])
    assert f"{len(found.memorized())} rows are surely memorised" in str(found)
    assert (found.table["low"] <= found.table["memorization"]).all()
    assert (found.table["memorization"] <= found.table["high"]).all()


def test_standard_errors_are_those_of_repeated_measurement():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), rng.integers(0, 2, 40)
    runs = [Memorization(n_models=40, random_state=seed).measure(X, y).table for seed in range(15)]
    spread = np.std([run["memorization"] for run in runs], axis=0)
    told = np.mean([run["error"] for run in runs], axis=0)
    assert told.mean() == pytest.approx(spread.mean(), rel=0.5)


def test_missing_labels_text_and_workers():
    drawn = blobs(60, 2, 3, random_state=1)
    names = np.array(["no", "yes"], dtype=object)[drawn.y]
    names[:10] = None
    a = Memorization(n_models=30, random_state=3).measure(drawn.X, names)
    with parallel_config("threading"):
        b = Memorization(n_models=30, random_state=3, jobs=2).measure(drawn.X, names)
    assert a.table.equals(b.table)
    assert a.table["memorization"].isna().tolist() == [True] * 10 + [False] * 50


@pytest.mark.parametrize("bad", [{"share": 1.0}, {"n_models": 1}, {"jobs": 0}])
def test_bad_fields(bad):
    with pytest.raises(InputError):
        Memorization(**bad).measure(np.zeros((5, 1)), [0, 1, 0, 1, 0])


def test_published_numbers_of_zipf():
    found = singleton_cost(ZIPF, 50_000)
    assert found.tau * 50_000 == pytest.approx(0.47, abs=0.02)
    assert found.singletons == pytest.approx(0.17, abs=0.01)
    assert found.cost == pytest.approx(0.07, abs=0.005)
    assert found.optimum == pytest.approx(0.15, abs=0.01)
    assert found.tau >= found.lower_bound > 0


def test_uniform_large_subpopulations_cost_nothing():
    assert singleton_cost(np.ones(100), 10_000).cost < 1e-6


def test_equal_frequencies_are_their_own_posterior():
    for times in (0, 1, 3):
        assert posterior_frequency(np.ones(50), 100, times) == pytest.approx(1 / 50)


def test_tau_by_simulation():
    """The mean frequency of those subpopulations that a real sample holds exactly once."""
    rng = np.random.default_rng(1)
    listed, n = 1 / np.arange(1, 301), 200
    once = []
    for _ in range(300):
        a = rng.choice(listed, 300)
        a /= a.sum()
        once.append(a[rng.multinomial(n, a) == 1])
    assert posterior_frequency(listed, n) == pytest.approx(np.concatenate(once).mean(), rel=0.03)


@given(st.floats(0, 0.9), st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_cost_is_linear_in_what_is_not_memorised(memorization, confidence):
    listed = 1 / np.arange(1, 51)
    whole = singleton_cost(listed, 40).cost
    part = singleton_cost(listed, 40, memorization=memorization, confidence=confidence).cost
    assert part == pytest.approx(whole * confidence * (0.9 - memorization) / 0.9, abs=1e-12)


@pytest.mark.parametrize("frequencies", [[1.0], [1.0, 0.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_bad_frequencies(frequencies):
    with pytest.raises(InputError, match="frequencies"):
        singleton_cost(frequencies, 10)
