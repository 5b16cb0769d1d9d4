"""Insights are additions: they tell what they can, note what failed, and never cost a run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labelwise.audit import AuditReport
from labelwise.insights import collect, insights
from labelwise.job import Job, Understood, understand
from labelwise.outcome import Held
from labelwise.rundir import RunDirectory


def read(real: bool = False, n: int = 300) -> Understood:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "site": rng.choice(["north", "south"], n)})
    frame["y"] = frame["a"] if real else np.where(frame["a"] > 0, "up", "down")
    frame.loc[:9, "y"] = None
    data = understand(Job(source=frame, label="y", domain="site"))
    data.X = frame[["a", "b"]].to_numpy(dtype=np.float32)
    return data


def told(data: Understood, tmp_path: Path, held: Held | None, **job: Any) -> dict[str, Any]:
    directory = RunDirectory(tmp_path / "run")
    directory.work.mkdir()
    info: dict[str, Any] = {"advice": None}
    insights(Job(source="t", budget=12.0, **job), data, AuditReport([], {}), None, held, directory, info)
    directory.json("run.json", info)
    return info | json.loads((directory.work / "run.json").read_text())


@pytest.mark.parametrize("real", [False, True])
def test_a_run_tells_slices_sources_curve_and_map(tmp_path: Path, real: bool):
    data = read(real)
    wrong = (data.frame["site"] == "south").to_numpy() & (np.arange(300) % 2 == 0)
    truth = np.nan_to_num(data.values) if real else data.values
    held = Held(np.where(wrong, truth + 3 if real else 1 - truth, truth), np.asarray(data.targets.labelled))
    info = told(data, tmp_path, held, label_cost=2.0)
    assert info["notes"] == [] and info["slices"]["found"][0]["value"] == "south"
    assert {line["source"] for line in info["sources"][0]["rows"]} == {"north", "south"}
    assert info["learning_curve"]["labels"] == 290 and info["learning_curve"]["unlabelled"] == 10
    places = pd.read_parquet(tmp_path / "run.partial" / "map.parquet")
    assert len(places) == info["map"]["rows"] == 300 and set(places["split"]) == {"train"}
    assert places["class"].nunique() == (4 if real else 2)


def test_without_predictions_there_are_no_slices(tmp_path: Path):
    info = told(read(), tmp_path, None)
    assert "slices" not in info and info["learning_curve"] and info["map"] and not info["notes"]


def test_what_fails_is_noted_and_breaks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise MemoryError("no room")

    for name in ("_slices", "_sources", "_curve", "_map", "_examples"):
        monkeypatch.setattr(collect, name, broken)
    info = told(read(), tmp_path, Held(np.zeros(300), np.ones(300, bool)))
    assert len(info["notes"]) == 5 and "learning curve: left out (MemoryError: no room)" in info["notes"]
    assert info["slices"] is info["map"] is None


def test_too_few_labels_are_said_in_words(tmp_path: Path):
    info = told(read(n=30), tmp_path, None)
    assert info["learning_curve"] is None and any("needs 40 labels" in note for note in info["notes"])


def test_the_baseline_is_measured_only_where_the_race_found_it_quick():
    board = pd.DataFrame({"method": ["baseline"], "folds": [5], "seconds": [10.0]})
    result: Any = SimpleNamespace(leaderboard=board, baseline=SimpleNamespace(name="baseline"), baseline_params={})
    assert collect._baseline(result, 3.0) is None
    found = collect._baseline(result, 9.0)
    assert found is not None and found[0] == "baseline"
