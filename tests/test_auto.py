from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import labelwise
from labelwise import Auto, AutoClassifier, AutoRegressor, load, save
from labelwise.audit import AuditReport, Finding
from labelwise.base import InputError
from labelwise.baselines import Baseline

IRIS = load_iris(return_X_y=True)
PLAIN = {"methods": [], "budget": 0.5}
TEXTS = [f"{word} {number}" for number in range(30) for word in ("a good film", "a bad meal")]
KINDS = ["film", "meal"] * 30


@pytest.fixture(scope="module")
def raced():
    """Fit one estimator with a real, short race; a tenth of the labels is wrong and a fifth missing."""
    rng = np.random.default_rng(0)
    X, y = IRIS
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    wrong = rng.random(150) < 0.1
    names[wrong] = "setosa"
    names[rng.random(150) < 0.2] = None
    return AutoClassifier(budget=4, methods=["ConfidentLearning", "GCE"], random_state=0).fit(X, names)


def test_a_race_leaves_everything_behind(raced):
    X, y = IRIS
    assert list(raced.classes_) == ["setosa", "versicolor", "virginica"]
    assert raced.predict_proba(X).shape == (150, 3)
    assert np.mean(raced.predict(X) == np.array(raced.classes_)[y]) > 0.8
    assert {"baseline", "ConfidentLearning", "GCE"} <= set(raced.leaderboard_["method"])
    assert raced.verdict_ == raced.result_.reason
    assert {one.method for one in raced.considered_ if one.raced} == {"ConfidentLearning", "GCE", "Baseline"}
    assert list(raced.findings_) == list(raced.report_.findings)
    assert set(raced.flagged_["row"]) <= set(range(150))


def test_queries_say_why(raced):
    asked = raced.query(5)
    assert list(asked["rank"]) == [1, 2, 3, 4, 5]
    assert asked["reason"].str.len().gt(10).all()
    with pytest.raises(InputError, match="n must be at least 1"):
        raced.query(0)


def test_what_is_shown_is_the_verdict(raced):
    assert raced.verdict_ in repr(raced)
    shown = raced._repr_html_()
    assert "<strong>" in shown and "ConfidentLearning" in shown
    assert "nan" not in shown.split("<style")[0]
    assert "<strong>" not in AutoClassifier()._repr_html_().split("<style")[0]
    assert "\n" not in repr(AutoClassifier())


def test_a_fitted_race_is_pickled_and_saved(raced, tmp_path):
    X = IRIS[0]
    again = pickle.loads(pickle.dumps(raced))
    np.testing.assert_array_equal(again.predict_proba(X), raced.predict_proba(X))
    assert again.verdict_ == raced.verdict_
    assert type(again.result_.build()) is type(raced.result_.build())
    assert again.result_.build().get_params().keys() == raced.result_.build().get_params().keys()
    pd.testing.assert_frame_equal(again.leaderboard_, raced.leaderboard_)
    kept = load(save(raced, tmp_path / "auto"))
    np.testing.assert_array_equal(kept.predict(X), raced.predict(X))
    assert kept.verdict_ == raced.verdict_ and not hasattr(kept, "report_")


def test_hostile_names_are_escaped_in_html():
    auto = AutoClassifier(**PLAIN).fit(*IRIS)
    auto.verdict_ = "<script>alert(1)</script>"
    assert "<script>alert" not in auto._repr_html_()


def test_without_a_race_it_is_the_tuned_baseline():
    X, y = IRIS
    auto = AutoClassifier(**PLAIN).fit(X, y)
    np.testing.assert_array_equal(auto.predict_proba(X), Baseline(random_state=0).fit(X, y).predict_proba(X))
    assert auto.result_ is None and len(auto.leaderboard_) == 0
    assert auto.verdict_ == "No method was asked for, so the plain baseline is used."


@pytest.mark.parametrize(("rows", "told"), [(np.r_[0:6, 50:56], "12 rows with a label are too few"),
                                            (np.r_[0:30, 50:53], "Only 3 rows are outside the largest class")])  # fmt: skip
def test_too_few_rows_are_not_raced(rows, told):
    auto = AutoClassifier(budget=2).fit(IRIS[0][rows], IRIS[1][rows])
    assert auto.verdict_.startswith(told)
    assert set(auto.predict(IRIS[0][rows])) <= {0, 1}


@settings(max_examples=4, deadline=None)
@given(st.integers(2, 6), st.integers(1, 3), st.booleans())
def test_a_handful_of_rows_is_enough(n, d, unlabelled):
    X = np.arange(n * d, dtype=float).reshape(n, d)
    y = np.arange(n) % 2
    if unlabelled and n > 3:
        y[-1] = -1
    assert set(AutoClassifier(**PLAIN).fit(X, y).predict(X)) <= {0, 1}
    assert AutoRegressor(**PLAIN).fit(X, y.astype(float)).predict(X).shape == (n,)


def frames():
    frame = pd.DataFrame({"length": IRIS[0][:, 0], "width": IRIS[0][:, 1]})
    mixed = frame.assign(
        colour=np.where(IRIS[0][:, 2] > 3, "red", "white"), width=frame["width"].mask(frame.index % 7 == 0)
    )
    pytest.importorskip("polars")
    import polars
    import pyarrow

    return [frame, mixed, polars.from_pandas(mixed), pyarrow.Table.from_pandas(mixed), sparse.csr_matrix(IRIS[0]),
            IRIS[0].tolist(), polars.from_pandas(frame)]  # fmt: skip


@pytest.mark.parametrize("number", range(7))
def test_rows_in_any_container(number):
    X = frames()[number]
    auto = AutoClassifier(**PLAIN).fit(X, IRIS[1])
    assert auto.score(X, IRIS[1]) > 0.6
    np.testing.assert_array_equal(auto.predict(X), pickle.loads(pickle.dumps(auto)).predict(X))


def test_texts_and_pictures(monkeypatch):
    monkeypatch.setenv("LABELWISE_TEXT_MODEL", "")
    auto = AutoClassifier(**PLAIN).fit(TEXTS, KINDS)
    assert auto.score(TEXTS, KINDS) > 0.9
    with pytest.raises(InputError, match="must hold what the model was fitted on"):
        auto.predict(np.zeros((2, 3)))
    rng = np.random.default_rng(0)
    pictures = rng.random((40, 6, 6, 1)).astype(np.float32)
    pictures[::2] += 1
    auto = AutoClassifier(**PLAIN).fit(pictures, np.arange(40) % 2)
    assert auto.score(pictures, np.arange(40) % 2) > 0.9
    with pytest.raises(InputError, match=r"rows of shape \(6, 6, 1\)"):
        auto.predict(pictures[:, :3])


@pytest.mark.parametrize(
    ("y", "task"),
    [(np.arange(60) % 3, "classification"), (np.arange(60) * 0.37, "regression"), (["a", "b", None] * 20, "classification"),
     ([True, False] * 30, "classification"), (np.r_[np.nan, np.arange(59) % 2], "classification"),
     (np.r_[np.nan, np.arange(59) * 0.21], "regression"), (pd.Series(["x", "y"] * 30, dtype="category"), "classification")],
)  # fmt: skip
def test_the_task_is_read_off_the_labels(y, task):
    X = np.random.default_rng(0).normal(size=(60, 3))
    auto = Auto(**PLAIN).fit(X, y)
    assert auto.task_ == task
    assert is_classifier(auto) == (task == "classification") and is_regressor(auto) == (task == "regression")
    assert hasattr(auto, "predict_proba") == (task == "classification")


@pytest.mark.slow
def test_rows_without_a_label_and_a_pool_are_the_same():
    X, y = IRIS
    hidden = np.where(np.arange(150) % 3 == 0, -1, y)
    known = hidden >= 0
    one = AutoClassifier(budget=None, methods=["SharedVarianceNB"]).fit(
        np.concatenate([X[known], X[~known]]), np.concatenate([y[known], hidden[~known]])
    )
    other = AutoClassifier(budget=None, methods=["SharedVarianceNB"]).fit(X[known], y[known], pool=X[~known])
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.verdict_ == other.verdict_


def test_pool_rows_are_not_trusted_have_their_own_source_and_group(monkeypatch):
    seen = {}

    def race(rows, targets, candidates, **arguments):
        seen.update(arguments, rows=len(rows))
        raise InterruptedError

    monkeypatch.setattr("labelwise.auto.race", race)
    X, y = IRIS
    with pytest.raises(InterruptedError):
        AutoClassifier(budget=5).fit(
            X, y, groups=np.arange(150) // 3, domains=["a", "b"] * 75, trusted=y == 0, pool=X[:10]
        )
    assert seen["rows"] == 160
    assert seen["trusted"].dtype == bool and seen["trusted"].sum() == 50
    assert set(seen["domains"]) == {"a", "b", "pool"}
    assert len(set(seen["groups"])) == 60
    assert 2.5 <= seen["budget_seconds"] <= 5


def test_real_targets():
    X, y = load_diabetes(return_X_y=True)
    auto = AutoRegressor(budget=3, methods=["AbsoluteError"]).fit(
        X[:200], np.where(np.arange(200) < 20, np.nan, y[:200])
    )
    assert auto.score(X[200:], y[200:]) > 0.2
    assert not hasattr(auto, "predict_proba") and not hasattr(auto, "classes_")
    with pytest.raises(InputError, match="chosen for classes"):
        auto.query()


@pytest.mark.slow
def test_in_pipelines_searches_and_cross_validation():
    X, y = IRIS
    auto = AutoClassifier(**PLAIN)
    pipe = make_pipeline(StandardScaler(), auto)
    assert cross_val_score(pipe, X, y, cv=3).mean() > 0.9
    assert cross_val_score(Auto(**PLAIN), X, y, cv=3).mean() > 0.9
    search = GridSearchCV(auto, {"level": [0.8, 0.9]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.9
    assert clone(auto).get_params() == auto.get_params()


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"budget": 0}, "budget"), ({"level": 1.0}, "level"), ({"workers": 0}, "workers"),
     ({"metric": "speed"}, "metric must be"), ({"methods": ["ConfidentLerning"]}, "Did you mean"),
     ({"methods": ["BBSE"]}, "cannot race"), ({"methods": "GCE"}, "must be a list of names")],
)  # fmt: skip
def test_bad_settings_are_refused_before_any_time_is_spent(fields, message, monkeypatch):
    monkeypatch.setattr("labelwise.auto.audit", lambda *a, **k: pytest.fail("the audit was started"))
    with pytest.raises(InputError, match=message):
        AutoClassifier(**fields).fit(*IRIS)


def test_a_wide_sparse_matrix_is_refused():
    wide = sparse.csr_matrix((300, 1_000_000))
    with pytest.raises(InputError, match="TruncatedSVD"):
        AutoClassifier(**PLAIN).fit(wide, np.arange(300) % 2)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(InputError, match="y must hold numbers"):
        AutoRegressor(**PLAIN).fit(IRIS[0], ["a"] * 150)


def test_the_poisoned_pool_guard_holds_in_memory(monkeypatch):
    X, y = IRIS
    poison, few = (
        Finding(
            kind=kind, severity="critical", title=kind, summary="", evidence={}, next_step="", handles=frozenset({tag})
        )
        for kind, tag in (("poisoned pool", "poisoning"), ("few labels", "few labels"))
    )
    report = AuditReport(findings=[poison, few], checked={})
    monkeypatch.setattr("labelwise.auto.audit", lambda *a, **k: report)
    monkeypatch.setattr(
        "labelwise.auto.race", lambda rows, targets, candidates, **k: (_ for _ in ()).throw(Names(candidates))
    )
    with pytest.raises(Names) as raised:
        AutoClassifier(budget=1).fit(X, np.where(np.arange(150) % 3, -1, y))
    assert not {"FixMatch", "HAST", "CacheModel"} & set(raised.value.names)
    assert "Classifier" in raised.value.names


class Names(Exception):
    """Carries the names of the candidates out of a fit."""

    def __init__(self, candidates):
        self.names = [candidate.name for candidate in candidates]


@pytest.mark.slow
@pytest.mark.parametrize("cls", [AutoClassifier, AutoRegressor, Auto])
def test_scikit_learns_own_suite(cls):
    check_estimator(cls(**PLAIN), expected_failed_checks=cls.card.expected_failed_checks, on_skip=None)


def test_it_is_at_the_top_of_the_package():
    assert labelwise.Auto is Auto and {"Auto", "AutoClassifier", "AutoRegressor"} <= set(dir(labelwise))
