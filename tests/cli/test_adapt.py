"""The command `adapt`: from a run and a table of another place to a corrected model, or a reason why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from labelwise.cli import app
from labelwise.data.synthetic.mixtures import mixture
from labelwise.persistence import load

CLASSES = mixture(3, 5, separation=2.2, random_state=0)
NAMES = np.array(["green", "red", "white"])


def table(shares, n, seed, move=0.0):
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=shares)
    X = CLASSES.sample(y, rng) + move
    return pd.DataFrame(X, columns=[f"f{i}" for i in range(5)]), NAMES[y]


def called(*arguments):
    return CliRunner().invoke(app, ["adapt", *map(str, arguments)])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A run, a model trained on half of its table, and tables of other places."""
    folder = tmp_path_factory.mktemp("adapt")
    frame, y = table([1 / 3] * 3, 900, 1)
    frame.assign(y=y).to_csv(folder / "t.csv", index=False)
    frame.assign(y=y)[:450].to_csv(folder / "half.csv", index=False)
    frame.assign(y=y)[450:].to_csv(folder / "other.csv", index=False)
    run = ["run", folder / "t.csv", "--label", "y", "--budget", "4s", "--out", folder / "run", "--method", "GCE"]
    fit = ["fit", folder / "half.csv", "--label", "y", "--method", "Classifier", "--out", folder / "model"]
    for command in (run, fit):
        done = CliRunner().invoke(app, [str(part) for part in command])
        assert done.exit_code == 0, done.output + done.stderr
    for name, shares, move in (
        ("shares", [0.85, 0.1, 0.05], 0.0), ("same", [1 / 3] * 3, 0.0), ("moved", [1 / 3] * 3, 2.5),
    ):  # fmt: skip
        rows, truth = table(shares, 600, 2, move)
        rows.to_csv(folder / f"{name}.csv", index=False)
        np.save(folder / f"{name}.npy", truth)
    return folder


def test_other_shares_are_corrected(place, tmp_path):
    out = tmp_path / "adapted"
    done = called(place / "run", place / "shares.csv", "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["adapted"] is True and told["label_shift"]["p_value"] < 0.01
    now = {share["class"]: share for share in told["label_shift"]["shares"]}
    assert now["green"]["low"] - 0.05 <= 0.85 <= now["green"]["high"] + 0.05
    assert told["expected_accuracy"]["gain"]["low"] > 0
    assert {path.name for path in out.iterdir()} == {"model", "predictions.parquet", "adapt.json"}
    truth = np.load(place / "shares.npy")
    predicted = pd.read_parquet(out / "predictions.parquet")
    plain = load(place / "run" / "model").predict_frame(pd.read_csv(place / "shares.csv"))
    right, before = ((part["prediction"] == truth).mean() for part in (predicted, plain))
    assert right > before
    assert abs(right - told["expected_accuracy"]["adapted"]["value"]) < 0.06
    again = CliRunner().invoke(
        app, ["predict", str(out), str(place / "shares.csv"), "--out", str(tmp_path / "p.parquet")]
    )
    assert again.exit_code == 0, again.stderr
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "p.parquet"), predicted)


def test_where_nothing_changed_nothing_is_written(place, tmp_path):
    done = called(place / "run", place / "same.csv", "--out", tmp_path / "adapted")
    assert done.exit_code == 0 and not list(tmp_path.iterdir())
    assert "no sign that the new place differs" in done.stdout and "Use the model." in done.stdout


def test_rows_that_look_different_need_labels(place, tmp_path):
    done = called(place / "run", place / "moved.csv", "--out", tmp_path / "adapted", "--json")
    told = json.loads(done.stdout)
    assert told["adapted"] is False and not list(tmp_path.iterdir())
    assert told["covariate_shift"]["auc"]["value"] > 0.8 and "better buy" in told["advice"]


def test_a_model_alone_is_compared_with_rows_that_are_named(place, tmp_path):
    done = called(place / "model", place / "shares.csv", "--out", tmp_path / "adapted")
    assert done.exit_code == 2 and "--source TABLE" in done.stderr
    known = ("--source", place / "other.csv", "--label", "y")
    done = called(place / "model", place / "shares.csv", "--out", tmp_path / "adapted", *known)
    assert done.exit_code == 0 and (tmp_path / "adapted" / "model").is_dir(), done.stderr
    again = called(tmp_path / "adapted", place / "shares.csv", *known)
    assert again.exit_code == 2 and "adapted already" in again.stderr


def test_without_the_table_of_the_run_the_rows_are_not_compared(place, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    info = json.loads((run / "run.json").read_text())
    info["command"]["source"] = "nowhere.csv"
    (run / "run.json").write_text(json.dumps(info))
    told = json.loads(called(run, place / "shares.csv", "--json").stdout)
    assert told["covariate_shift"] is None and "is gone" in told["note"] and told["adapted"] is True
    assert (tmp_path / "run-adapted").is_dir()


def test_bad_input_changes_nothing(place, tmp_path):
    few = tmp_path / "few.csv"
    pd.read_csv(place / "same.csv")[:5].to_csv(few, index=False)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    known = ("--source", place / "other.csv")
    for arguments, message in (
        ((place / "run", few, "--out", tmp_path / "o"), "has 5 rows; at least 20"),
        ((place / "run", place / "shares.csv", "--out", taken), "exists already"),
        ((place / "run", place / "shares.csv", "--out", taken, "--overwrite"), "is no adapted model"),
        ((place / "run", place / "shares.csv", "--out", tmp_path / "no" / "o"), "there is no directory"),
        ((place / "model", place / "shares.csv", "--out", tmp_path / "o", *known), "--source needs --label"),
        ((place / "model", place / "shares.csv", "--out", tmp_path / "o", *known, "--label", "z"), "no column 'z'"),
        ((place / "model", place / "shares.csv", "--out", tmp_path / "o", *known, "--label", "f0"), "does not know"),
        ((tmp_path / "nothing", place / "shares.csv"), "nothing"),
    ):
        done = called(*arguments)
        assert done.exit_code == 2 and message in done.stderr, (arguments, done.stderr)
    assert sorted(tmp_path.rglob("*")) == before
