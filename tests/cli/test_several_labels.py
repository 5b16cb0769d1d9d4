"""A table with several labels a row, some unknown, from the command line to predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from labelwise.cli import app
from labelwise.data.synthetic import partial_multilabel

LABELS = ["red", "round", "rare"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    drawn = partial_multilabel(
        500, 3, 5, sharpness=5, positive_rate=0.3, observed_positive=0.9, observed_negative=0.9, random_state=0
    )
    y = pd.DataFrame(drawn.y, columns=LABELS).astype("Int64").replace(-1, pd.NA)
    y.loc[40:399, "rare"] = y.loc[40:399, "rare"].where(y.loc[40:399, "rare"] != 1, pd.NA)
    frame = pd.DataFrame(drawn.X, columns=[f"f{i}" for i in range(5)]).join(y)
    frame["split"] = np.where(np.arange(500) < 400, "train", "test")
    path = tmp_path_factory.mktemp("several") / "t.parquet"
    frame.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def done(table: Path) -> Path:
    out = table.parent / "run"
    arguments = ["run", str(table), "--label", ",".join(LABELS), "--budget", "4s", "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output + result.stderr
    return out


def test_the_run_tells_what_it_did(done):
    info = json.loads((done / "run.json").read_text())
    assert info["data"]["task"] == "multi-label" and list(info["data"]["class_counts"]) == LABELS
    assert info["advice"]["metric"] == "mAP"
    assert info["scores"]["test"]["mAP"]["value"] > 0.6
    assert [row["class"] for row in info["scores"]["per_class"]] == LABELS
    assert info["notes"] == []
    parts = {row["part"] for row in info["scores"]["tail"]["parts"]}
    assert len(parts) > 1 <= len(info["slices"]["found"] or [1])
    page = (done / "report.html").read_text()
    assert "Label by label" in page and "Many, medium and few training rows" in page and "labelwise review" not in page


def test_predictions_name_the_labels(done, table):
    told = pd.read_parquet(done / "predictions.parquet")
    assert len(told) == 500 and {f"proba_{name}" for name in LABELS} <= set(told)
    said = told["prediction"].str.split("; ").map(set)
    for name in LABELS:
        assert (said.map(lambda names, name=name: name in names) == (told[f"proba_{name}"] > 0.5)).all()
    out = table.parent / "again.parquet"
    result = CliRunner().invoke(app, ["predict", str(done), str(table), "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert list(pd.read_parquet(out)["prediction"])[400:] == list(told["prediction"])[400:]


def test_the_rows_asked_for_have_unknown_labels(done, table):
    asked, given = pd.read_csv(done / "queries.csv"), pd.read_parquet(table)[LABELS]
    assert given.iloc[asked["row"]].isna().any(axis=1).all() and (asked["row"] < 400).all()


def test_what_takes_one_label_a_row_says_so(done):
    for arguments in (["review", str(done), "--no-browser"], ["run", str(done), "--resume"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2 and "several labels" in result.stderr and "label columns" in result.stderr


def test_a_method_for_one_class_a_row_is_refused(table):
    arguments = ["run", str(table), "--label", ",".join(LABELS), "--method", "GCE", "--out", str(table.parent / "no")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "several labels a row" in result.stderr
    assert not (table.parent / "no").exists()


def test_one_method_is_trained(table):
    out = table.parent / "model"
    arguments = ["fit", str(table), "--label", ",".join(LABELS), "--method", "MultiLabelClassifier", "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output + result.stderr
    target = table.parent / "p.csv"
    assert CliRunner().invoke(app, ["predict", str(out), str(table), "--out", str(target)]).exit_code == 0
    assert set(pd.read_csv(target)) >= {"prediction", "confidence", "proba_red"}


def _table(folder: Path, **columns: object) -> str:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 2)), columns=["w", "x"]).assign(**columns)
    frame.to_csv(folder / "t.csv", index=False)
    return str(folder / "t.csv")


def test_what_is_no_yes_or_no_is_named_by_row_and_column(tmp_path):
    a = (np.arange(120) % 2).tolist()
    table = _table(tmp_path, a=a, b=[2 if row == 7 else 0 for row in range(120)])
    result = CliRunner().invoke(app, ["run", table, "--label", "a,b", "--out", str(tmp_path / "run")])
    assert result.exit_code == 2 and "Row 7, column 'b' holds 2" in result.stderr
    assert not (tmp_path / "run").exists()


def test_words_are_read_and_a_label_that_nobody_has_is_told(tmp_path):
    a, b = ["yes", "no", None] * 40, ["true", "false", "false"] * 40
    table = _table(tmp_path, a=a, b=b, c=[0] * 120)
    out = tmp_path / "run"
    result = CliRunner().invoke(app, ["run", table, "--label", "a,b,c", "--budget", "1s", "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    info = json.loads((out / "run.json").read_text())
    assert info["data"]["class_counts"] == {"a": 40, "b": 40, "c": 0}
    assert "40 unknown" in info["data"]["supervision"]
    assert any("No row outside the test set has the label 'c'" in note for note in info["data"]["notes"])


def test_numbers_that_are_all_the_same_are_refused(tmp_path):
    table = _table(tmp_path, y=[5.5] * 120)
    result = CliRunner().invoke(
        app, ["run", table, "--label", "y", "--task", "regression", "--out", str(tmp_path / "run")]
    )
    assert result.exit_code == 2 and "every number of column 'y'" in result.stderr
