"""What tables over all methods rest on: cells measured once, gains in points, and the grid of few labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from benchmarks.claims import grids
from benchmarks.claims.grids import gain, measure, told
from benchmarks.claims.semi import grid

from labelwise.base import UNLABELED


def product(cell: Any, name: str) -> dict[str, float]:
    if name == "bad" and cell["seed"] == 1:
        raise ValueError("this one fails")
    return {"accuracy": cell["seed"] / 10}


def test_cells_are_measured_once_and_failures_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [{"data": "x", "seed": seed} for seed in range(2)]
    measure(tmp_path / "g.csv", cells, lambda cell: ["good", "bad"], product, 1)
    first = pd.read_csv(tmp_path / "g.csv")
    assert list(zip(first.method, first.seed, strict=True)) == [("bad", 0), ("good", 0), ("good", 1)]
    first.loc[0, "accuracy"] = 0.77
    first.to_csv(tmp_path / "g.csv", index=False)
    measure(tmp_path / "g.csv", cells, lambda cell: ["good", "more"], product, 1)
    again = pd.read_csv(tmp_path / "g.csv")
    assert len(again) == 5
    assert 0.77 in again.accuracy.to_numpy()


def test_gains_are_in_points_with_their_doubt() -> None:
    assert gain([0.1, 0.1001, 0.0999]) == (pytest.approx(10.0), True)
    assert gain([0.2, -0.1, 0.0])[1] is False
    assert told(*gain([])) == "–"
    assert told(1.04, True) == "**+1.0**"


def fake(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(900) % 6
    X = rng.normal(size=(900, 8)) + 4 * np.eye(8)[y]
    monkeypatch.setitem(grid.SETS, data, lambda: (X, y))


@pytest.mark.parametrize("unknown", [0.0, 0.5])
def test_a_cell_has_few_labels_and_never_shows_the_rest(unknown: float, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("satimage (table)", monkeypatch)
    rows = grid.draw("satimage (table)", 4, 3, unknown)
    n_known = 3 if unknown else 6
    assert rows.n_known == n_known
    assert np.bincount(rows.y[rows.y != UNLABELED]).tolist() == [4] * n_known
    assert (rows.y_test == n_known).mean() == pytest.approx(unknown, abs=0.15)
    seen = {row.tobytes() for row in rows.X}
    assert not any(row.tobytes() in seen for row in rows.X_test)


def test_methods_and_peers_learn_in_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    fake("satimage (table)", monkeypatch)
    cell = {"data": "satimage (table)", "labels": 4, "seed": 0}
    for name in (grid.ALONE, *grid.PEERS, "FixMatch"):
        assert grid.score(cell, name)["accuracy"] > 0.6
    for name in (grid.ALONE, grid.PEERS[0], "IOMatch"):
        found = grid.score({**cell, "unknown": 0.5, "labels": 10}, name)
        assert set(found) == {"accuracy", "auroc", "balanced"}
        assert found["auroc"] > 0.5


def test_the_tables_say_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"data": data, "labels": labels, "seed": seed, "method": name, "accuracy": accuracy, "seconds": 1.0}
        for data in grid.SETS for labels in grid.LABELS for seed in range(3)
        for name, accuracy in ((grid.ALONE, 0.5), ("FixMatch", 0.6 + 0.001 * seed))
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "grid.csv", index=False)
    frame = pd.DataFrame(rows).assign(unknown=0.25, auroc=0.7, balanced=0.6)
    pd.concat([frame, frame.assign(unknown=0.5)]).to_csv(tmp_path / "open.csv", index=False)
    monkeypatch.setattr(grid, "CLOSED", tmp_path / "grid.csv")
    monkeypatch.setattr(grid, "OPEN", tmp_path / "nothing.csv")
    table = "\n".join(grid.section())
    assert "| FixMatch | " + " | ".join(["**+10.1**"] * 12) + " | +10.1 | 1.0 |" in table
    assert "unknown classes" not in table
    one = pd.read_csv(tmp_path / "open.csv").query("labels == 10").drop(columns="labels")
    one.to_csv(tmp_path / "open.csv", index=False)
    monkeypatch.setattr(grid, "OPEN", tmp_path / "open.csv")
    assert "| FixMatch | **+10.1** | 0.700 | 60.0% | **+10.1** | 0.700 | 60.0% |" in "\n".join(grid.section())


def test_real_sets_are_what_they_say() -> None:
    X, y = grids.digit_pictures()
    assert X.shape == (1797, 8, 8, 1)
    assert X.max() == 1
    try:
        X, y = grids.vowels()
    except grids.MissingData as missing:
        pytest.skip(str(missing))
    assert X.shape == (640, 12, 29)
    assert np.isfinite(X).all()
    assert len(np.unique(y)) == 9
