"""Loops and simulations: what is labelled when, pairing, areas, outliers, pseudo-labels."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.naive_bayes import GaussianNB
from sklearn.semi_supervised import LabelSpreading

from labelwise.active import (
    ActiveLoop,
    CoreSet,
    LabellingCurves,
    LabellingSimulation,
    MarginQuery,
    Query,
    RandomQuery,
    simulate,
)
from labelwise.active.drawing import Ranked
from labelwise.base import InputError
from labelwise.data.synthetic import blobs


class Worst(Query):
    """Asks for rows of class 0 first."""

    def picker(self, pool, rows, limits, rng):
        return Ranked(-pool.X[rows, 0], rng)


def world(n=120, k=3, seed=0, separation=3.0):
    drawn = blobs(n, k, 4, separation=separation, random_state=seed)
    return drawn.X, drawn.y


@given(st.integers(0, 500), st.integers(1, 9), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_every_round_labels_its_batch_once(seed, batch, rounds):
    X, truth = world(seed=seed % 7)
    start = np.full(120, -1)
    for c in range(3):
        start[np.flatnonzero(truth == c)[:2]] = c
    asked: list[int] = []

    def oracle(rows):
        asked.extend(rows.tolist())
        return truth[rows]

    loop = ActiveLoop(estimator=GaussianNB(), query=RandomQuery(), batch=batch, rounds=rounds, random_state=seed)
    told = list(loop.iterate(X, start, oracle))
    assert len(told) == rounds + 1
    assert len(asked) == len(set(asked)) == batch * rounds
    assert (start[asked] == -1).all()
    for before, after in itertools.pairwise(told):
        new = np.flatnonzero((before.codes == -1) & (after.codes >= 0))
        assert set(new) == set(before.rows)
        np.testing.assert_array_equal(after.codes[new], truth[new])
    _, labels = loop.run(X, start, lambda rows: truth[rows])
    np.testing.assert_array_equal(labels, told[-1].codes)


def test_areas_and_gains_by_hand():
    rows = [
        {"strategy": s, "repeat": r, "round": i, "n_labels": 10 * (i + 1), "accuracy": a, "inlier_rate": 1.0, "n_pseudo": 0,
         "pseudo_accuracy": np.nan}
        for s, r, curve in [("random", 0, [0.2, 0.4, 0.6]), ("random", 1, [0.2, 0.2, 0.2]), ("margin", 0, [0.2, 0.6, 0.6]),
                            ("margin", 1, [0.2, 0.4, 0.2])]
        for i, a in enumerate(curve)
    ]  # fmt: skip
    told = LabellingCurves(pd.DataFrame(rows), "random", 0.3, 0.9)
    assert told.areas()["random"].tolist() == pytest.approx([0.4, 0.2])
    assert told.areas()["margin"].tolist() == pytest.approx([0.5, 0.3])
    gain = told.gain("margin")
    assert gain.value == pytest.approx(0.1)
    assert gain.low == pytest.approx(gain.high) == pytest.approx(0.1)
    assert "margin: 40.0%, +10.0 points [+10.0, +10.0], better." in told.describe()
    assert told.to_frame() is told.table


def test_strategies_start_alike_and_seeds_repeat():
    X, y = world()
    fields = {"estimator": GaussianNB(), "batch": 5, "rounds": 3, "repeats": 3, "random_state": 7}
    one, two = (simulate(X, y, ["random", "margin", "BADGE"], **fields).table for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    first = one[one["round"] == 0].pivot(index="repeat", columns="strategy", values="accuracy")
    assert (first.nunique(axis=1) == 1).all()
    assert one.groupby("round")["n_labels"].unique().tolist() == [[3], [8], [13], [18]]
    assert (one.loc[one["round"] > 0, "inlier_rate"] == 1).all()


def test_a_bad_strategy_loses_and_a_good_one_wins():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    y = (X[:, 0] > 0.5).astype(int)
    told = simulate(
        X,
        y,
        {"random": RandomQuery(), "worst": Worst(), "margin": MarginQuery()},
        batch=5,
        rounds=5,
        repeats=6,
        random_state=0,
    )
    assert told.gain("margin").value > 0.02
    assert told.gain("worst").value < -0.02
    summary = told.summary()
    assert summary["strategy"].tolist() == ["margin", "random", "worst"]
    assert "worst: " in str(told)


def test_rows_of_no_class_are_asked_for_but_not_learned():
    X, y = world(200, 4, separation=8.0)
    names = np.array(["a", "b", "none", "c"], dtype=object)[y]
    told = simulate(
        X, names, {"random": RandomQuery(), "core-set": CoreSet()}, outlier="none", batch=10, rounds=4, random_state=0
    )
    asked = told.table[told.table["round"] > 0]
    assert asked["inlier_rate"].between(0.3, 1).all()
    assert asked["inlier_rate"].mean() == pytest.approx(0.75, abs=0.15)
    assert told.table["accuracy"].min() > 0.5
    assert told.table.groupby("round")["n_labels"].unique().tolist() == [[3], [13], [23], [33], [43]]


def test_estimators_that_read_the_pool_get_it():
    X, y = world(200, 3, separation=4.0)
    seen = []

    class Reader(ClassifierMixin, BaseEstimator):
        def fit(self, X, y, outliers):
            seen.append((len(X), int((y < 0).sum()), int(outliers.sum())))
            self.inner_ = GaussianNB().fit(X[y >= 0], y[y >= 0])
            self.classes_ = self.inner_.classes_
            return self

        def predict(self, X):
            return self.inner_.predict(X)

        def predict_proba(self, X):
            return self.inner_.predict_proba(X)

    simulate(X, y, ["random"], estimator=Reader(), batch=20, rounds=2, repeats=2, outlier=2, random_state=0)
    assert {n for n, _, _ in seen} == {140}
    assert seen[0][2] == 0 < seen[2][2]
    spread = simulate(X, y, ["random"], estimator=LabelSpreading(kernel="knn"), rounds=2, repeats=2, random_state=0)
    plain = simulate(X, y, ["random"], rounds=2, repeats=2, random_state=0)
    assert spread.areas()["random"].mean() > plain.areas()["random"].mean() - 0.05


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strategies": []}, "at least one"), ({"strategies": ["margins"]}, "no 'margins'"), ({"outlier": 9}, "labelled 9"),
        ({"start": 200}, "too few"), ({"strategies": {"a": "margin"}}, "query strategy"),
    ],
)  # fmt: skip
def test_bad_input(fields, message):
    X, y = world()
    with pytest.raises(InputError, match=message):
        LabellingSimulation(**fields).measure(X, y)


def test_a_loop_needs_two_classes_and_integers():
    X, _ = world()
    for y, message in (
        (np.full(120, -1), "two classes"),
        (np.full(120, "a"), "integer"),
        (np.zeros(3, int), "one integer"),
    ):
        with pytest.raises(InputError, match=message):
            ActiveLoop().run(X, y, lambda rows: rows)
