"""The harness: its interval and verdict against scipy, what it stores, what it refuses, what it skips."""

from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks.claims import __main__ as command
from benchmarks.claims import store
from benchmarks.claims.harness import Claim, data_path, interval, measure, tuned, verdict
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression


def claim(run=lambda seed: (0.5, 0.6 + 0.01 * seed), **changes):
    told = {"method": "labelwise.x.Y", "statement": "better", "data": "toy", "baseline": "plain", "metric": "accuracy"}
    return Claim(**{**told, "run": run, **changes})


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=20).filter(lambda values: np.std(values) > 1e-6))
def test_interval_agrees_with_scipy(values):
    low, high = interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert np.allclose([low, high], [expected.low, expected.high])


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.1, 0.2, 0.0, "shown"),
        (0.0, 0.2, 0.0, "not shown"),
        (-0.2, -0.1, 0.0, "opposite"),
        (0.04, 0.2, 0.05, "not shown"),
        (0.05, 0.2, 0.05, "shown"),
        (-0.2, -0.01, 0.05, "opposite"),
        (-0.005, 0.1, -0.01, "shown"),
        (-0.02, -0.005, -0.01, "not shown"),
        (-0.05, -0.02, -0.01, "opposite"),
    ],
)
def test_verdict(low, high, margin, expected):
    assert verdict(low, high, margin) == expected


def test_errors_count_in_the_methods_favour_when_lower():
    row = measure(claim(lambda seed: {"baseline": 2.0 + seed, "method": 1.0}, higher_is_better=False), range(4))
    assert row["difference"] == pytest.approx(2.5)
    assert row["scores"]["baseline"] == [2, 3, 4, 5]


def test_a_claim_without_enough_seeds_is_refused():
    with pytest.raises(ValueError, match="at least 3"):
        claim(seeds=(1, 1, 2))


@pytest.mark.parametrize("scores", [{"method": 1.0}, (float("nan"), 1.0)])
def test_scores_must_be_complete_and_finite(scores):
    with pytest.raises(ValueError, match="finite scores"):
        measure(claim(lambda seed: scores), range(3))


def test_store_replaces_forgets_and_keeps_other_rooms(tmp_path):
    path, pages = tmp_path / "claims.json", tmp_path / "pages"
    for room, name in [("noisy", "a"), ("noisy", "b"), ("shift", "c"), ("noisy", "a")]:
        store.record(room, measure(claim(name=name, tried="less | more"), range(3)), path=path, pages=pages)
    assert [(row["room"], row["name"]) for row in store.read(path)] == [("noisy", "a"), ("noisy", "b"), ("shift", "c")]
    store.forget("noisy", [claim(name="b").key], path=path, pages=pages)
    assert [(row["room"], row["name"]) for row in store.read(path)] == [("noisy", "b"), ("shift", "c")]
    text = (pages / "noisy.md").read_text()
    assert "`x.Y` (b)" in text
    assert "(a)" not in text
    assert "**shown**" in text
    assert sorted(file.name for file in tmp_path.iterdir()) == ["claims.json", "pages"]
    assert json.loads(path.read_text())["format"] == 1


def test_missing_data_is_skipped_and_keeps_the_old_row(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("LABELWISE_DATA", str(tmp_path))
    monkeypatch.setattr(store, "record", lambda *_: pytest.fail("a skipped claim was stored"))
    assert command.run_claim("noisy", claim(needs=("cifar10n",)), quick=False)
    assert "skipped, its old row is kept" in capsys.readouterr().out
    (tmp_path / "cifar10n").mkdir()
    assert data_path("cifar10n") == tmp_path / "cifar10n"


def test_a_failing_claim_is_reported_and_not_stored(monkeypatch):
    monkeypatch.setattr(store, "record", lambda *_: pytest.fail("a failed claim was stored"))
    assert not command.run_claim("noisy", claim(lambda seed: 1 / 0), quick=False)


def test_every_room_of_claims_is_well_formed():
    for room in command.rooms():
        claims = command.claims_of(room)
        assert len({item.key for item in claims}) == len(claims) > 0
        assert all(item.method.startswith(("labelwise.", "examples.")) for item in claims)


def test_tuned_never_holds_out_unlabelled_rows_and_picks_the_better_setting():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = np.where(np.arange(200) < 100, X[:, 0] > 0, -1).astype(int)
    seen = []

    class Spy(LogisticRegression):
        def fit(self, X, y):
            seen.append(y.copy())
            return super().fit(X[y >= 0], y[y >= 0])

    model = tuned(Spy(), {"C": [1e-9, 10.0]}, X, y, seed=0)
    assert model.C == 10.0
    assert [len(part) for part in seen] == [175, 175, 200]
    assert all((part == -1).sum() == 100 for part in seen)


def test_tuned_keeps_to_its_budget():
    calls = []

    def score(model, X, y):
        calls.append(model.C)
        return -model.C

    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.tile([0, 1], 20)
    model = tuned(LogisticRegression(), {"C": [1.0, 2.0, 3.0, 4.0]}, X, y, seed=0, budget=3, score=score)
    assert len(calls) == len(set(calls)) == 3
    assert min(calls) == model.C
