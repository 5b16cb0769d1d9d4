"""Planted noise of every kind is called by its name; measures hold what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from labelwise.base import InputError
from labelwise.data.synthetic import instance_noise, pair_noise, symmetric_noise
from labelwise.diagnostics import NoiseKind
from labelwise.diagnostics.noise_kind import _error_rates


def classes(seed, k=3, separation=1.5, n=2500, d=8):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    return rng.normal(size=(n, d)) + separation * rng.normal(size=(k, d))[y], y


@pytest.mark.parametrize("seed", range(3))
def test_every_kind_is_named(seed):
    X, y = classes(seed, n=5000)
    Z = (X - X.mean(0)) / X.std(0)
    given = {
        "none": y,
        "symmetric": symmetric_noise(y, 0.2, random_state=seed).y,
        "class-dependent": pair_noise(y, 0.2, random_state=seed).y,
        "instance-dependent": instance_noise(Z, y, 0.25, random_state=seed).y,
    }
    assert {name: NoiseKind().measure(X, labels).kind for name, labels in given.items()} == {n: n for n in given}


def test_foreign_rows_are_counted():
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    far = rng.random(len(y)) < 0.1
    X[far] = rng.uniform(0, 16, (far.sum(), 64))
    found = NoiseKind().measure(X, y)
    assert found.kind == "open-set"
    assert found.foreign.low - 0.01 <= far.mean() <= found.foreign.high + 0.01
    assert "belong to no class" in found.describe()


def test_the_most_frequent_error_is_named():
    X, y = classes(0, separation=3)
    one_sided = np.where((y == 1) & (np.random.default_rng(0).random(len(y)) < 0.3), 2, y)
    assert NoiseKind().measure(X, one_sided).pairs[0][:2] == (2, 1)


def test_one_bad_annotator_is_found_and_equal_ones_are_not():
    rng = np.random.default_rng(0)
    X, y = classes(0, separation=3)

    def voted(rates):
        wrong = rng.random((len(y), len(rates))) < rates
        return np.where(wrong, (y[:, None] + rng.integers(1, 3, wrong.shape)) % 3, y[:, None])

    uneven = NoiseKind().measure(X, y, votes=voted([0.05, 0.05, 0.1, 0.4]))
    assert uneven.kind == "annotator-specific"
    assert uneven.annotators.low <= 0.35 <= uneven.annotators.high
    assert NoiseKind().measure(X, y, votes=voted([0.1, 0.1, 0.1, 0.1])).kind != "annotator-specific"


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(3, 6))
def test_error_rates_agree_with_a_loop(seed, m):
    rng = np.random.default_rng(seed)
    votes = np.where(rng.random((60, m)) < 0.2, -1, rng.integers(0, 3, (60, m)))
    rate, _ = _error_rates(votes)
    for a in range(m):
        wrong = []
        for row in votes:
            others = np.bincount(row[(np.arange(m) != a) & (row >= 0)], minlength=3)
            if row[a] >= 0 and (others == others.max()).sum() == 1:
                wrong.append(others.argmax() != row[a])
        expected = (np.sum(wrong) + 0.5) / (len(wrong) + 1) if wrong else np.nan
        assert rate[a] == pytest.approx(expected, nan_ok=True)


def test_bad_input():
    X, y = classes(0, n=100)
    with pytest.raises(InputError, match="X must be"):
        NoiseKind().measure(X[:-1], y)
    with pytest.raises(InputError, match="Row 7 is not"):
        NoiseKind().measure(np.where(np.arange(100)[:, None] == 7, np.nan, X), y)
    with pytest.raises(InputError, match="at least two classes"):
        NoiseKind().measure(X, np.zeros(100, int))
    with pytest.raises(InputError, match="votes must be"):
        NoiseKind().measure(X, y, votes=y[:, None])
