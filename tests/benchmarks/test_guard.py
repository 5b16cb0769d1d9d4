from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks.claims.harness import MissingData
from benchmarks.guard_problems import CLEAN, DEFECTIVE, PROBLEMS, Problem, few, opened, symmetric
from sklearn.datasets import load_iris

from benchmarks import guard

BUILT_IN = [
    p for p in PROBLEMS if p.name in ("iris", "wine cultivars", "breast cancer", "digits", "diabetes", "youtube")
]


def test_the_suite_is_large_and_half_of_it_has_no_defect():
    assert len(PROBLEMS) >= 40 and len({problem.key for problem in PROBLEMS}) == len(PROBLEMS)
    assert sorted(p.key for p in PROBLEMS) == sorted(p.key for p in (*CLEAN, *DEFECTIVE))
    assert abs(len(CLEAN) - len(DEFECTIVE)) <= 1
    assert not any(problem.defect for problem in CLEAN) and all(problem.defect for problem in DEFECTIVE)
    kinds = {problem.defect for problem in DEFECTIVE}
    assert {"symmetric noise", "asymmetric noise", "instance noise", "few labels", "imbalance", "biased missing labels",
            "shifted pool", "open pool", "duplicates"} <= kinds  # fmt: skip


@pytest.mark.parametrize("problem", BUILT_IN, ids=lambda problem: problem.key)
def test_test_rows_are_clean_and_apart(problem):
    X, y = problem.read()
    true = {}
    for row, label in zip(X, y, strict=True):
        true.setdefault(row.tobytes(), set()).add(float(label))
    rows, again = problem.draw(), problem.draw()
    np.testing.assert_array_equal(rows.X, again.X)
    np.testing.assert_array_equal(rows.y, again.y)
    assert len(rows.y_test) and all(
        float(label) in true[row.tobytes()] for row, label in zip(rows.X_test, rows.y_test, strict=True)
    )
    assert not {row.tobytes() for row in rows.X_test} & {row.tobytes() for row in rows.X}
    wrong = [
        label not in true[row.tobytes()] for row, label in zip(rows.X, map(float, rows.y), strict=True) if label >= 0
    ]
    expected = {"symmetric noise": 0.3, "asymmetric noise": 0.3, "instance noise": 0.3, "duplicates": 0.1}
    assert np.mean(wrong) == pytest.approx(expected.get(problem.defect, 0), abs=0.06)


def iris():
    X, y = load_iris(return_X_y=True)
    return X.astype(np.float32), y.astype(np.int64)


def test_pools_have_no_label_and_open_ones_hold_more_classes():
    small = Problem("iris", iris, "few labels", few).draw()
    assert np.bincount(small.y).tolist() == [10, 10, 10] and len(small.pool) == 60
    open_set = Problem("iris", iris, "open pool", opened).draw()
    assert set(open_set.y) == set(open_set.y_test) == {0, 1}


def test_what_was_measured_is_kept_and_not_measured_again(tmp_path, monkeypatch):
    problems = [Problem("iris", iris), Problem("iris", iris, "symmetric noise", symmetric)]
    found, left = guard.collect(problems[:1], tmp_path, budget=0.5)
    assert not left and found[0]["differences"]["baseline"].keys() == {"value", "low", "high"}
    assert {"labelwise", "baseline", "boosting"} <= set(found[0]["scores"])
    monkeypatch.setattr(guard, "measure", lambda *a: pytest.fail("measured again"))
    again, left = guard.collect(problems, tmp_path, budget=0.5, again=False)
    assert again == found and left == ["iris, symmetric noise: not measured yet"]
    table = guard.page(again, left)
    assert "| iris | none |" in table and "- iris, symmetric noise: not measured yet" in table


def test_a_half_written_result_is_measured_again(tmp_path, monkeypatch):
    (tmp_path / "iris-1s.partial").write_text('{"problem"')
    monkeypatch.setattr(guard, "measure", lambda *a: result("iris", "", 0.1, 0.0, 0.2))
    found, _ = guard.collect([Problem("iris", iris)], tmp_path, budget=1)
    assert json.loads((tmp_path / "iris-1s.json").read_text()) == found[0]


def test_missing_sets_are_told(tmp_path):
    def gone():
        raise MissingData("no such folder")

    assert guard.collect([Problem("far", gone)], tmp_path) == ([], ["far: no such folder"])


def test_time_is_kept_between_problems(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "measure", lambda *a: result("iris", "", 0.1, 0.0, 0.2))
    found, left = guard.collect([Problem("iris", iris), Problem("late", iris)], tmp_path, seconds=-1.0)
    assert not found and len(left) == 2


def result(name, defect, value, low, high):
    told = {"value": value, "low": low, "high": high}
    return {"problem": name, "defect": defect, "labelled": 10, "unlabelled": 0, "method": "GCE", "seconds": 1.0,
            "scores": {"labelwise": 0.9, "baseline": 0.9 - value}, "differences": {"baseline": told}}  # fmt: skip


def test_the_summary_counts_by_intervals_over_rows():
    results = [result("a", "", 0.0, 0.0, 0.0), result("b", "noise", 0.05, 0.01, 0.09),
               result("c", "noise", 0.02, -0.01, 0.05), result("d", "", -0.03, -0.05, -0.01)]  # fmt: skip
    told = guard.summary(results, "baseline")
    assert (told["problems"], told["above"], told["below"], told["same"]) == (4, 1, 1, 1)
    assert told["mean"] == pytest.approx(0.01) and told["low"] < 0.01 < told["high"]
    assert (told["worst"], told["best"]) == (-0.03, 0.05)
    assert guard.summary(results, "boosting")["problems"] == 0
    assert "| its tuned baseline | with a defect | 2 | 1 | 0 | 0 |" in guard.page(results, [])


def test_intervals_hold_the_difference_they_are_of():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    better, worse = (np.where(rng.random(500) < rate, y, 1 - y) for rate in (0.9, 0.7))
    told = guard.compare(guard.METRICS["accuracy"], y, better, worse, 0)
    assert 0 < told["low"] < told["value"] < told["high"] < 0.35
    assert guard.compare(guard.METRICS["accuracy"], y, better, better, 0) == {"value": 0.0, "low": 0.0, "high": 0.0}
