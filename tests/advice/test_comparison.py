from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from labelwise.advice import Candidate, race

X, Y = load_digits(return_X_y=True)
X, Y = X[:400] / 16, Y[:400]


def candidate(name: str, make) -> Candidate:
    return Candidate(name, lambda params: make(**params))


def raced(*names: str, groups=None):
    known = {
        "neighbours": lambda **p: KNeighborsClassifier(5, **p),
        "neighbours again": lambda **p: KNeighborsClassifier(5, **p),
        "dummy": DummyClassifier,
        "logistic": lambda **p: LogisticRegression(max_iter=50, **p),
    }
    return race(
        X, Y, [candidate(name, known[name]) for name in names], candidate("bayes", GaussianNB), budget_seconds=None,
        draws=1, repeats=1, groups=groups,
    )  # fmt: skip


def line(result, name: str):
    return result.leaderboard.set_index("method").loc[name]


def test_a_method_entered_twice_counts_nearly_once_and_a_hopeless_one_little():
    alone, twice, more = raced("neighbours"), raced("neighbours", "neighbours again"), raced("neighbours", "dummy")
    assert line(alone, "neighbours").p_value == pytest.approx(line(twice, "neighbours").p_value)
    assert line(twice, "neighbours").adjusted_p <= line(alone, "neighbours").adjusted_p + 0.005
    assert line(more, "neighbours").adjusted_p < 4 * line(alone, "neighbours").adjusted_p + 0.005


def test_bound_p_value_and_verdict_agree():
    result = raced("neighbours", "dummy", "logistic")
    compared = result.leaderboard.dropna(subset="difference")
    assert ((compared.adjusted_p < 0.1) == (compared.difference_low > 0)).all()
    assert (compared.difference_low <= compared.difference).all()
    assert (result.verdict == "beats baseline") == (compared.difference_low > 0).any()
    assert result.verdict == "beats baseline"


def test_equal_predictions_prove_nothing():
    result = race(
        X,
        Y,
        [candidate("the same", GaussianNB)],
        candidate("bayes", GaussianNB),
        budget_seconds=None,
        draws=1,
        repeats=1,
    )
    same = line(result, "the same")
    assert (same.difference, same.difference_low, result.verdict) == (0, 0, "baseline kept")
    assert same.adjusted_p == 1


def test_groups_widen_the_interval():
    groups = np.repeat(np.arange(40), 10)
    by_rows = raced("neighbours", groups=np.arange(400))
    by_groups = raced("neighbours", groups=groups)
    width = [line(r, "neighbours").difference_high - line(r, "neighbours").difference for r in (by_rows, by_groups)]
    assert width[1] > 0
    assert width[0] > 0
