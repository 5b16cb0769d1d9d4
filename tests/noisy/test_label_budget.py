"""The budget planner: what is bought and drawn, the statistics, regimes planted on purpose, and bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from labelwise.base import InputError
from labelwise.data.synthetic import blobs, symmetric_noise
from labelwise.noisy import LabelBudget, plan_labels
from labelwise.noisy.budget_curves import _curve, frontier, judged, learning_curve


class Recorder(ClassifierMixin, BaseEstimator):
    """Notes what it was fitted on; the first feature is the row's number, the second says what its label should be."""

    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def fit(self, X, y, trusted):
        self.seen.append((X[:, 0].astype(int), np.asarray(y), trusted))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.resize(self.classes_, len(X))

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def problem(n=200, rate=0.3, seed=0):
    drawn = blobs(n, 2, 4, separation=2.0, random_state=seed)
    return drawn.X, symmetric_noise(drawn.y, rate, random_state=seed).y, drawn.y


@given(budget=st.floats(8, 25), share=st.floats(0, 1), prices=st.tuples(st.floats(0.1, 1), st.floats(1, 3)))
@settings(max_examples=60, deadline=None)
def test_no_cell_overspends_and_none_wastes_a_cheap_label(budget, share, prices):
    planner = LabelBudget(cheap_price=prices[0], trusted_price=prices[1])
    cell = planner._cell(budget, share)
    assert cell.n_trusted * prices[1] <= share * budget + 1e-6
    spent = cell.n_trusted * prices[1] + cell.n_cheap * prices[0]
    assert spent <= budget + 1e-6
    if share < 1:
        assert budget - spent < prices[0] + 1e-6


@pytest.mark.parametrize("sampling", ["random", "uncertainty"])
def test_draws_are_disjoint_and_carry_the_right_kind_of_label(sampling, monkeypatch):
    monkeypatch.setattr(Recorder, "seen", [])
    n = 120
    truth = np.arange(n) % 2
    cheap = np.where(np.arange(n) % 3 == 0, 1 - truth, truth)
    trusted = np.where(np.arange(n) < 80, truth, -1)
    X = np.c_[np.arange(n), np.zeros(n)]
    planner = LabelBudget(
        estimator=Recorder(), budgets=[6, 9], shares=[1, 0.5, 0], repeats=3, sampling=sampling, random_state=0
    )

    def no_model(*_):
        return np.zeros(n, int)

    monkeypatch.setattr(LabelBudget, "_queries", no_model)
    monkeypatch.setattr("labelwise.noisy.label_budget.fit_codes", lambda model, X, y: Recorder().fit(X, y, np.zeros(1)))
    planner.measure(X, cheap, trusted)
    sizes = set()
    for rows, y, mask in [seen for seen in Recorder.seen if len(seen[2]) > 1]:
        assert len(set(rows.tolist())) == len(rows)
        np.testing.assert_array_equal(y[mask], truth[rows[mask]])
        np.testing.assert_array_equal(y[~mask], cheap[rows[~mask]])
        assert (rows[mask] < 80).all()
        sizes.add((int(mask.sum()), int((~mask).sum())))
    assert sizes == {(6, 0), (3, 30), (0, 60), (9, 0), (4, 50), (0, 90)}


def test_flags_what_the_data_cannot_show():
    X, cheap, truth = problem(200)
    plan = LabelBudget(budgets=[6, 10, 100], shares=[1, 0.5, 0.2, 0], repeats=4, random_state=0).measure(
        X, cheap, np.where(np.arange(200) < 60, truth, -1)
    )
    # 42 of the 60 trusted rows may be bought, and 182 cheap labels are not on test rows
    possible = (plan.table["n_trusted"] <= 42) & (plan.table["n_cheap"] <= 182)
    assert (plan.table["extrapolated"] == ~possible).all()
    assert plan.best["extrapolated"].tolist() == [False, False, True]
    assert "Extrapolated" in plan.describe().splitlines()[2]


def test_planted_regimes():
    """Cheap labels without any error at a tenth of the price win; labels by coin lose."""
    X, _, truth = problem(600)
    for rate, regime in ((0.0, "quantity-dominant"), (0.5, "quality-dominant")):
        cheap = symmetric_noise(truth, rate, random_state=1).y
        plan = plan_labels(X, cheap, truth, [30], shares=[1, 0.5, 0], repeats=6, random_state=0)
        if rate:
            assert plan.best["share"][0] > 0
        else:
            assert plan.best["regime"][0] == regime
            assert regime in str(plan)
        assert plan.disagreement.low <= rate <= plan.disagreement.high


def test_the_mixed_regime_needs_to_beat_both_ends():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"budget": 1.0, "share": [1.0, 0.5, 0.0], "extrapolated": False})
    for middle, regime in ((0.9, "mixed"), (0.801, "quantity-dominant")):
        accuracy = np.array([0.7, middle, 0.8]) + rng.normal(scale=0.01, size=(10, 3))
        row = judged(table, accuracy, 0.3, 0.9).iloc[0]
        assert row["regime"] == regime
        assert row["sure"]


@given(st.integers(0, 500))
@settings(max_examples=15, deadline=None)
def test_learning_curve_finds_a_planted_curve(seed):
    rng = np.random.default_rng(seed)
    truth = np.array([rng.uniform(0, 0.1), rng.uniform(0.3, 0.8), rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.7)])
    n_trusted, n_cheap = (
        grid.ravel().astype(float) for grid in np.meshgrid([0, 10, 20, 40, 80], [0, 50, 100, 400, 800])
    )
    accuracy = 1 - np.clip(_curve(truth, n_trusted, n_cheap), 0, 1)
    holed = accuracy.copy()
    holed[-2:] = np.nan
    found = learning_curve(holed[None], n_trusted, n_cheap)[0]
    np.testing.assert_array_equal(found[:-2], accuracy[:-2])
    np.testing.assert_allclose(found[-2:], accuracy[-2:], atol=0.03)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_frontier_is_what_nothing_dominates(points):
    cost, accuracy = np.array(points, float).T
    kept = frontier(pd.DataFrame({"accuracy": accuracy}), pd.Series(cost))
    front = set(zip(kept["cost"], kept["accuracy"], strict=True))

    def dominated(c, a):
        return any(d <= c and b >= a and (d, b) != (c, a) for d, b in zip(cost, accuracy, strict=True))

    assert front == {(c, a) for c, a in zip(cost, accuracy, strict=True) if not dominated(c, a)}


def test_queries_are_the_untrusted_rows_most_uncertain_first():
    X, cheap, truth = problem(200)
    trusted = np.where(np.arange(200) % 2 == 0, truth, -1)
    model = LogisticRegression()
    plan = LabelBudget(estimator=model, budgets=[10], shares=[1, 0], repeats=3, random_state=0).measure(
        X, cheap, trusted
    )
    assert sorted(plan.queries) == list(range(1, 200, 2))
    proba = model.fit(X, truth).predict_proba(X)
    entropy = -(proba * np.log(proba)).sum(1)
    assert entropy[plan.queries[:25]].mean() > entropy[plan.queries[-25:]].mean() + 0.3


def test_text_labels_missing_labels_and_seeds():
    X, cheap, truth = problem(150)
    names = np.array(["no", "yes"], dtype=object)
    some = np.arange(150) % 2 == 0
    text = [np.where(some, names[truth], None), names[cheap]]
    codes = [np.where(some, truth, -1), cheap]
    tables = [
        LabelBudget(estimator=GaussianNB(), budgets=[12], repeats=3, random_state=4).measure(X, given, right).table
        for right, given in (text, codes, codes)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[1], tables[2])


@pytest.mark.parametrize(
    ("fields", "trusted", "told"),
    [
        ({"shares": [0.5]}, None, "shares"),
        ({"shares": [0.5, 1.5]}, None, "shares"),
        ({"budgets": [-3]}, None, "budgets"),
        ({"budgets": [1], "shares": [1, 0]}, None, "at least 2"),
        ({"budgets": [1e6]}, None, "can be tried"),
        ({"cheap_price": 0}, None, "cheap_price"),
        ({}, np.full(200, -1), "8 rows|labelled|one class"),
        ({}, np.r_[np.arange(7) % 2, np.full(193, -1)], "8 rows"),
        ({}, np.zeros(3), "shape"),
    ],
)  # fmt: skip
def test_bad_input(fields, trusted, told):
    X, cheap, truth = problem(200)
    with pytest.raises(InputError, match=told):
        LabelBudget(repeats=3, **fields).measure(X, cheap, truth if trusted is None else trusted)
