"""Thresholds of labels against a search over every threshold; unknown entries; shrinkage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from labelwise.base import InputError
from labelwise.parts.thresholds import label_thresholds

SEEDS = st.integers(0, 10_000)


def drawn(seed: int, n: int = 25, k: int = 3, places: int = 2):
    rng = np.random.default_rng(seed)
    return rng.random((n, k)).round(places), rng.integers(-1, 2, (n, k))


def best_f1(p, y):
    known = y >= 0
    cuts = [0.0, *p[known].tolist()]
    return max(f1_score(y[known], p[known] >= cut, zero_division=0) for cut in cuts)


@given(SEEDS)
@settings(max_examples=12, deadline=None)
def test_no_threshold_reaches_a_larger_f1(seed):
    p, y = drawn(seed, places=1)  # many ties
    each, together = label_thresholds(p, y, shrinkage=0), label_thresholds(p, y, "micro f1")
    for c in range(3):
        known = y[:, c] >= 0
        if (y[:, c] == 1).any():
            found = f1_score(y[known, c], p[known, c] >= each[c])
            assert found == pytest.approx(best_f1(p[:, c], y[:, c]))
    assert (together == together[0]).all()
    known = y >= 0
    if (y == 1).any():
        assert f1_score(y[known], (p >= together)[known]) == pytest.approx(best_f1(p.ravel(), y.ravel()))


@given(SEEDS, st.floats(0.1, 10))
@settings(max_examples=12, deadline=None)
def test_no_threshold_costs_less(seed, ratio):
    p, y = drawn(seed, places=1)
    thresholds = label_thresholds(p, y, "cost", costs=(ratio, 1.0), shrinkage=0)
    for c in range(3):
        known = y[:, c] >= 0
        s, t = p[known, c], y[known, c]
        cost = lambda cut, s=s, t=t: ratio * ((s >= cut) & (t == 0)).sum() + ((s < cut) & (t == 1)).sum()  # noqa: E731
        if (t == 1).any() and s.max() < 1:
            assert cost(thresholds[c]) == pytest.approx(min(cost(cut) for cut in [0.0, 1.1, *s]))


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_scores_of_unknown_entries_do_not_matter(seed):
    p, y = drawn(seed)
    other = np.where(y < 0, np.random.default_rng(seed).random(p.shape), p)
    for goal in ("f1", "micro f1", "cost"):
        np.testing.assert_array_equal(label_thresholds(p, y, goal), label_thresholds(other, y, goal))


def test_rare_labels_lean_on_all_labels():
    p, y = drawn(1, n=60)
    y[:, 0] = np.where(np.arange(60) < 2, y[:, 0], 0)
    y[0, 0], y[:, 2] = 1, 0
    own, together = label_thresholds(p, y, shrinkage=0), label_thresholds(p, y, "micro f1")
    size = (y == 1).sum(0)
    drawn_in = label_thresholds(p, y, shrinkage=10)
    expected = (size * own + 10 * together) / (size + 10)
    np.testing.assert_allclose(drawn_in, expected)
    assert drawn_in[2] == together[2]
    assert label_thresholds(p, np.zeros_like(y)).tolist() == [0.5] * 3
    assert label_thresholds(p, np.zeros_like(y), "cost", costs=(3, 1)).tolist() == [0.75] * 3


def test_bad_input():
    for p, y, told in (
        ([[0.5]], [[1, 0]], "shape"), ([[1.5]], [[1]], "Row 0"), ([[0.5], [np.nan]], [[1], [0]], "Row 1"),
        ([[0.5]], [[2]], "1, 0 or -1"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=told):
            label_thresholds(p, y)
    with pytest.raises(InputError, match="goal"):
        label_thresholds([[0.5]], [[1]], "f2")
