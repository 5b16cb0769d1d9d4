from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from labelwise.advice import Candidate, blend_of, race
from labelwise.advice.candidates import describe
from labelwise.advice.problem import Problem
from labelwise.advice.result import COLUMNS
from labelwise.base import InputError
from labelwise.baselines import Baseline
from labelwise.supervision import infer

RNG = np.random.default_rng(0)
RINGS = RNG.normal(size=(240, 2))
INSIDE = ((RINGS**2).sum(1) < 1.4).astype(int)

LINEAR = Candidate(
    "baseline", lambda p: Baseline(**{"family": "linear", "draws": 1} | p), {"penalty": [1e-3, 1e-2, 1e-1]}
)
NEIGHBOURS = Candidate("neighbours", lambda p: KNeighborsClassifier(**p), {"n_neighbors": [3, 9, 25]}, "Local.")
BAYES = Candidate("bayes", lambda p: GaussianNB(**p), {"var_smoothing": [1e-9, 1e-2]})
CONSTANT = Candidate("constant", lambda p: DummyClassifier(strategy="prior"))


def unlimited(X, y, candidates=(NEIGHBOURS, CONSTANT), baseline=LINEAR, **settings):
    return race(X, y, list(candidates), baseline, **{"budget_seconds": None, "draws": 2} | settings)


@pytest.fixture(scope="module")
def rings():
    return unlimited(RINGS, INSIDE, draws=3)


def same(one, two):
    columns = [name for name in COLUMNS if name != "seconds"]
    pd.testing.assert_frame_equal(one.leaderboard[columns], two.leaderboard[columns], check_exact=True)
    pd.testing.assert_frame_equal(one.fold_scores, two.fold_scores, check_exact=True)
    np.testing.assert_array_equal(one.oof, two.oof)
    assert (one.verdict, one.reason, one.params) == (two.verdict, two.reason, two.params)


def test_a_better_method_wins(rings):
    assert rings.verdict == "beats baseline"
    assert rings.chosen.name in ("neighbours", "neighbours + baseline")
    assert "with 90% confidence at least" in rings.reason
    assert (rings.metric, rings.folds, rings.repeats, rings.rows) == ("accuracy", 5, 2, 240)
    model = rings.build().fit(RINGS, INSIDE)
    assert np.mean(model.predict(RINGS) == INSIDE) > 0.85


def test_leaderboard_is_in_order_and_adds_up(rings):
    board = rings.leaderboard
    assert list(board.columns) == COLUMNS
    assert board["rank"].tolist() == [1, 2, 3, 4]
    assert board["status"].value_counts().to_dict() == {"winner": 1, "baseline": 1, "candidate": 2}
    assert board["status"][0] == "winner"
    means = rings.fold_scores.groupby("method")["score"].mean()
    np.testing.assert_allclose(board.set_index("method")["score"], means[board["method"]])
    base = board.set_index("status").loc["baseline"]
    np.testing.assert_allclose(
        board["difference"].dropna(), board["score"][board["status"] != "baseline"] - base["score"]
    )
    assert board["difference_low"][0] > 0 > board.set_index("method").loc["constant", "difference_low"]
    assert ((board["score_low"] <= board["score"]) & (board["score"] <= board["score_high"])).all()
    assert (board["adjusted_p"].dropna() >= board["p_value"].dropna()).all()


def test_out_of_fold_predictions_are_those_of_models_that_did_not_see_the_row():
    """Labels drawn by chance are remembered by one neighbour, unless a row is predicted without its own label."""
    y = RNG.integers(0, 2, 240)
    memory = Candidate("memory", lambda p: KNeighborsClassifier(1))
    result = unlimited(RINGS, y, [CONSTANT], memory)
    assert result.chosen is memory
    assert abs(np.mean(result.oof.argmax(1) == y) - 0.5) < 0.1
    assert result.oof_rows["row"].tolist() == list(range(240))
    np.testing.assert_array_equal(result.oof_rows["given"], y)
    np.testing.assert_allclose(result.oof.sum(1), 1, rtol=1e-5)


def test_the_blend_is_what_it_would_be_as_a_candidate_of_its_own():
    X, y = load_iris(return_X_y=True)
    flat = Candidate("plain", lambda p: LogisticRegression(C=0.01))
    free = unlimited(X, y, [BAYES], flat, draws=1).leaderboard.set_index("method")
    blend = blend_of(BAYES, flat)
    fitted = unlimited(X, y, [Candidate("fitted", lambda p: blend.build({}))], flat, draws=1)
    assert free.loc["bayes + plain", "score"] == pytest.approx(
        fitted.leaderboard.set_index("method").loc["fitted", "score"]
    )


def test_same_seed_same_result_and_another_seed_another():
    one, two = (unlimited(RINGS, INSIDE, [CONSTANT]) for _ in range(2))
    same(one, two)
    other = unlimited(RINGS, INSIDE, [CONSTANT], random_state=1)
    assert not other.fold_scores["score"].equals(one.fold_scores["score"])


class Stops(KNeighborsClassifier):
    """Interrupts the race at its n-th fit."""

    fits = 0
    at = 10**9

    def fit(self, X, y):
        type(self).fits += 1
        if type(self).fits == type(self).at:
            raise KeyboardInterrupt
        return super().fit(X, y)


@pytest.mark.parametrize("at", [1, 5, 12])
def test_a_resumed_race_equals_an_uninterrupted_one(tmp_path, at):
    stops = Candidate("stops", lambda p: Stops(**p), {"n_neighbors": [3, 9]})
    Stops.fits, Stops.at = 0, 10**9
    whole = unlimited(RINGS, INSIDE, [stops, BAYES])
    total, Stops.fits, Stops.at = Stops.fits, 0, at
    with pytest.raises(KeyboardInterrupt):
        unlimited(RINGS, INSIDE, [stops, BAYES], checkpoint=tmp_path)
    Stops.fits, Stops.at = 0, 10**9
    same(unlimited(RINGS, INSIDE, [stops, BAYES], checkpoint=tmp_path), whole)
    assert Stops.fits == total - at + 1
    done = unlimited(RINGS, INSIDE, [stops, BAYES], checkpoint=tmp_path)
    assert Stops.fits == total - at + 1
    same(done, whole)


def test_a_race_within_a_budget_resumes_with_the_same_decisions(tmp_path):
    first = race(RINGS, INSIDE, [NEIGHBOURS], LINEAR, budget_seconds=0.3, checkpoint=tmp_path)
    again = race(RINGS, INSIDE, [NEIGHBOURS], LINEAR, budget_seconds=0.3, checkpoint=tmp_path)
    same(first, again)
    assert again.seconds == first.seconds


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    unlimited(RINGS, INSIDE, checkpoint=tmp_path)
    with pytest.raises(InputError, match="other data"):
        unlimited(RINGS + 1, INSIDE, checkpoint=tmp_path)
    with pytest.raises(InputError, match="other data"):
        unlimited(RINGS, INSIDE, folds=4, checkpoint=tmp_path)


class Broken(DummyClassifier):
    """Fails where it is told to."""

    def __init__(self, where="fit"):
        super().__init__(strategy="prior")
        self.where = where

    def fit(self, X, y):
        if self.where == "fit":
            raise ValueError("cannot\nlearn this")
        return super().fit(X, y)

    def predict_proba(self, X):
        proba = super().predict_proba(X)
        return {"nan": proba * np.nan, "shape": proba[:, :1]}.get(self.where, proba)


@pytest.mark.parametrize(
    ("where", "message"),
    [("fit", "ValueError: cannot learn this"), ("nan", "not finite"), ("shape", "classes")],
)
def test_a_method_that_fails_is_noted_and_the_race_goes_on(where, message):
    broken = Candidate("broken", lambda p: Broken(where))
    result = unlimited(RINGS, INSIDE, [broken, NEIGHBOURS])
    line = result.leaderboard.set_index("method").loc["broken"]
    assert line["status"] == "failed"
    assert message in line["note"]
    assert np.isnan(line["score"])
    assert result.verdict == "beats baseline"


def test_a_candidate_that_cannot_even_be_built_fails():
    result = unlimited(RINGS, INSIDE, [Candidate("unbuilt", lambda p: 1 / 0)])
    assert result.leaderboard.set_index("method").loc["unbuilt", "note"].startswith("ZeroDivisionError")
    assert (result.verdict, result.chosen) == ("not raced", LINEAR)
    assert "Every method that was tried failed" in result.reason


def test_a_setting_that_fails_is_only_not_chosen():
    some = Candidate("some", lambda p: KNeighborsClassifier(**p), {"n_neighbors": [-3, 9]})
    result = unlimited(RINGS, INSIDE, [some], draws=3)
    line = result.leaderboard.set_index("method").loc["some"]
    assert line["status"] in ("winner", "candidate")
    assert "-3" not in line["params"]


def test_a_baseline_that_fails_is_an_error():
    with pytest.raises(InputError, match=r"baseline could not be fitted.*cannot learn this"):
        unlimited(RINGS, INSIDE, [NEIGHBOURS], Candidate("broken", lambda p: Broken("fit")))


@pytest.mark.parametrize("budget", [1e-9, 0.05])
def test_a_tiny_budget_still_returns_the_baseline(budget):
    result = race(RINGS, INSIDE, [NEIGHBOURS, BAYES], LINEAR, budget_seconds=budget)
    assert not np.isnan(result.oof).any()
    board = result.leaderboard.set_index("method")
    if budget < 1e-6:
        assert (result.verdict, result.chosen) == ("not raced", LINEAR)
        assert (board.loc[["neighbours", "bayes"], "status"] == "dropped").all()
        assert "time budget" in result.reason
    assert result.build().fit(RINGS, INSIDE).predict(RINGS).shape == (240,)


class Slow(KNeighborsClassifier):
    """Takes long."""

    def fit(self, X, y):
        time.sleep(0.2)
        return super().fit(X, y)


def test_a_method_that_cannot_finish_is_dropped_after_its_first_fit():
    slow = Candidate("slow", lambda p: Slow())
    result = race(RINGS, INSIDE, [slow, NEIGHBOURS], LINEAR, budget_seconds=1.2)
    board = result.leaderboard.set_index("method")
    assert board.loc["slow", "status"] == "dropped"
    assert "first fit" in board.loc["slow", "note"]
    assert board.loc["neighbours", "folds"] >= 5


def test_many_rows_and_little_time_are_raced_on_a_part():
    X = np.repeat(RINGS, 20, axis=0)
    slow = Candidate("baseline", lambda p: Slow())
    result = race(X, np.repeat(INSIDE, 20), [NEIGHBOURS], slow, budget_seconds=1.5, repeats=1)
    assert result.rows < len(X)
    assert np.isnan(result.oof).any(axis=1).sum() == len(X) - result.rows


def test_nobody_to_race():
    result = unlimited(RINGS, INSIDE, [])
    assert result.verdict == "not raced"
    assert result.leaderboard["status"].tolist() == ["baseline"]
    assert "No method was entered" in result.reason


def test_draws_are_the_same_number_for_all():
    asked = {"one": set(), "two": set()}

    def candidate(name):
        def build(params):
            asked[name].add(describe(params))
            return KNeighborsClassifier(**params)

        return Candidate(name, build, {"n_neighbors": list(range(3, 30))})

    unlimited(RINGS, INSIDE, [candidate("two")], candidate("one"), draws=5)
    assert len(asked["one"]) == len(asked["two"]) == 5


class Steady(KNeighborsClassifier):
    """Takes a fixed time."""

    def fit(self, X, y):
        time.sleep(0.04)
        return super().fit(X, y)


def test_where_time_is_short_the_baseline_is_tuned_as_much_as_any_and_others_less():
    asked = {"quick": set(), "steady": set()}

    def candidate(name, method):
        def build(params):
            asked[name].add(describe(params))
            return method(**params)

        return Candidate(name, build, {"n_neighbors": list(range(3, 30))})

    quick, steady = candidate("quick", KNeighborsClassifier), candidate("steady", Steady)
    result = race(RINGS, INSIDE, [steady], quick, budget_seconds=3.0, draws=4)
    assert len(asked["quick"]) == 4
    assert len(asked["steady"]) < 4
    assert result.leaderboard.set_index("method").loc["steady", "folds"] >= 5


def test_settings_that_take_too_long_are_not_chosen():
    def build(params):
        return Steady(**params) if params else KNeighborsClassifier(n_neighbors=60)

    uneven = Candidate("uneven", build, {"n_neighbors": [9]})
    assert race(RINGS, INSIDE, [], uneven, budget_seconds=1.0, draws=2).baseline_params == {}
    assert race(RINGS, INSIDE, [], uneven, budget_seconds=60.0, draws=2).baseline_params == {"n_neighbors": 9}


def test_unlabelled_rows_are_always_trained_on_and_never_scored():
    seen = []

    class Watching(DummyClassifier):
        def fit(self, X, y):
            seen.append((len(X), int((y == -1).sum())))
            return super().fit(X[y >= 0], y[y >= 0])

    y = np.where(np.arange(240) % 3 == 0, -1, INSIDE)
    watching = Candidate("watching", lambda p: Watching(strategy="prior"))
    result = unlimited(RINGS, y, [watching], LINEAR, draws=1)
    assert {unlabelled for _, unlabelled in seen} == {80}
    assert np.isnan(result.oof[::3]).all()
    assert not np.isnan(np.delete(result.oof, np.arange(0, 240, 3), axis=0)).any()


def test_groups_domains_and_trusted_rows_reach_the_splits():
    groups = np.array([f"g{i}" for i in range(40)])[np.arange(240) % 40]
    trusted = np.arange(240) < 120
    problem = Problem.read(RINGS, INSIDE, groups=groups, domains=np.arange(240) % 2, trusted=trusted)
    assert problem.rows.scorable.tolist() == trusted.tolist()
    assert problem.rows.groups.max() == 39
    result = unlimited(RINGS, INSIDE, groups=groups, trusted=trusted)
    assert np.isnan(result.oof).any(axis=1).tolist() == (~trusted).tolist()


def test_trusted_rows_are_not_corrected_for_noise_and_others_are():
    noise = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert Problem.read(RINGS, INSIDE, noise_matrix=noise).metric.corrected
    assert not Problem.read(RINGS, INSIDE, noise_matrix=noise, trusted=np.arange(240) < 50).metric.corrected
    result = unlimited(RINGS, INSIDE, noise_matrix=noise)
    assert result.corrected
    assert result.leaderboard["score_high"].max() <= 1


def test_noise_that_favours_one_class_does_not_choose_the_method_that_repeats_it():
    """Nearly half of one class is labelled as the other: only the corrected score prefers what is right."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 600)
    X = np.column_stack([y + 0.1 * rng.normal(size=600), rng.normal(size=600)])
    given = np.where((y == 0) & (rng.random(600) < 0.45), 1, y)

    class Rule(DummyClassifier):
        def predict_proba(self, X):
            return np.eye(2)[(X[:, 0] > 0.5).astype(int)]

    right, lazy = Candidate("right", lambda p: Rule()), Candidate("lazy", lambda p: DummyClassifier())
    noise = np.array([[0.55, 0.45], [0.0, 1.0]])
    result = unlimited(X, given, [right], lazy, noise_matrix=noise, metric="accuracy")
    assert result.verdict == "beats baseline"
    assert result.leaderboard["score"][0] > 0.95
    assert unlimited(X, given, [right], lazy, metric="accuracy").leaderboard["score"][0] < 0.85


def test_real_targets():
    X, y = load_diabetes(return_X_y=True)
    y[::7] = np.nan
    forest = Candidate("forest", lambda p: RandomForestRegressor(10, random_state=0))
    ridge = Candidate("baseline", lambda p: _KnownRidge(**p), {"alpha": [0.1, 1.0, 10.0]})
    useless = Candidate("useless", lambda p: _KnownRidge(alpha=1e9))
    result = unlimited(X, y, [useless], ridge, folds=3)
    assert (result.metric, result.oof.shape) == ("R2", (len(y), 1))
    assert result.verdict == "baseline kept"
    other = unlimited(X, y, [ridge_of(forest)], useless, folds=3)
    assert other.verdict == "beats baseline"
    assert other.chosen.name in ("forest", "forest + useless")
    assert np.isnan(result.oof[::7]).all()
    kept = ~np.isnan(y)
    assert np.corrcoef(result.oof[kept, 0], y[kept])[0, 1] > 0.6


class _KnownRidge(Ridge):
    """Ignores rows without a target."""

    def fit(self, X, y):
        known = ~np.isnan(y)
        return super().fit(X[known], y[known])


def ridge_of(candidate):
    """Fit a regressor on rows with a target."""

    class Known:
        def get_params(self, deep=True):
            return {}

        def fit(self, X, y):
            known = ~np.isnan(y)
            self.model = candidate.build({}).fit(X[known], y[known])

        def predict(self, X):
            return self.model.predict(X)

    return Candidate(candidate.name, lambda p: Known())


def test_rows_of_other_kinds():
    X, y = load_iris(return_X_y=True)
    frame = pd.DataFrame(X, columns=list("abcd"))
    fits_frames = Candidate("baseline", lambda p: LogisticRegression(max_iter=200))
    whole = unlimited(frame, y, [BAYES], fits_frames, draws=1)
    np.testing.assert_array_equal(whole.oof, unlimited(X, y, [BAYES], fits_frames, draws=1).oof)
    assert unlimited(sp.csr_array(X), y, [CONSTANT], LINEAR, draws=1).oof.shape == (150, 3)
    images = X.reshape(150, 2, 2, 1)
    assert race(images, y, [], budget_seconds=None, draws=1).oof.shape == (150, 3)


def test_progress_tells_the_share_done():
    told = []
    unlimited(RINGS, INSIDE, progress=lambda text, share: told.append((text, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert 0.99 <= shares[-1] <= 1
    assert {"Tuning neighbours", "Comparing baseline"} <= {text for text, _ in told}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget_seconds": -1}, "budget_seconds"),
        ({"level": 1.0}, "level"),
        ({"folds": 1}, "folds"),
        ({"draws": 0}, "draws"),
        ({"metric": "auc"}, "metric"),
        ({"groups": [1, 2]}, "groups"),
        ({"groups": [None] * 240}, "groups is missing in row 0"),
        ({"trusted": np.ones(240)}, "trusted"),
        ({"noise_matrix": np.eye(3)}, "noise_matrix"),
        ({"candidates": [BAYES, BAYES]}, "used twice"),
    ],
)
def test_bad_input_is_named(settings, message):
    with pytest.raises(InputError, match=message):
        unlimited(RINGS, INSIDE, **settings)


def test_other_kinds_of_labels_are_refused():
    with pytest.raises(InputError, match="one class, one number or several labels"):
        unlimited(RINGS[:4], infer(np.array([[0.2, 0.8], [1, 0], [0.5, 0.5], [0.9, 0.1]]), kind="soft"))
    with pytest.raises(InputError, match="two folds"):
        unlimited(RINGS[:3], [0, 1, 2])
    with pytest.raises(InputError, match="rows"):
        unlimited(RINGS[:3], infer([0, 1]))
