"""The commands from end to end, on small tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from typer.testing import CliRunner

from labelwise import run as run_module
from labelwise.cli import app
from labelwise.cli.commands import seconds
from labelwise.cli.guard import INTERRUPTED

FILES = {
    "run.json", "findings.parquet", "leaderboard.parquet", "predictions.parquet", "flagged.csv", "queries.csv",
    "map.parquet", "examples.parquet", "report.html", "report.md",
    "model",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with 10 % wrong labels, rows without a label, and rows for testing."""
    folder = tmp_path_factory.mktemp("data")
    X, y = make_classification(n_samples=700, n_features=6, n_informative=4, class_sep=1.5, flip_y=0, random_state=0)
    rng = np.random.default_rng(0)
    wrong = rng.random(700) < 0.1
    label = np.where(wrong, 1 - y, y).astype(object)
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(6)])
    frame["y"] = np.where(label == 1, "yes", "no")
    frame.loc[400:499, "y"] = None
    frame["row_id"] = [f"r{i}" for i in range(700)]
    frame["split"] = np.where(np.arange(700) >= 600, "test", "train")
    frame.to_parquet(folder / "t.parquet")
    np.save(folder / "wrong.npy", wrong)
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> Path:
    out = folder / "run"
    result = CliRunner().invoke(
        app, ["run", str(folder / "t.parquet"), "--label", "y", "--budget", "6s", "--out", str(out), "--method", "GCE"]
    )
    assert result.exit_code == 0, result.output + result.stderr
    assert "report.html" in result.output
    return out


def test_the_run_directory_is_complete(done: Path) -> None:
    assert {p.name for p in done.iterdir()} == FILES
    assert not done.with_name("run.partial").exists()
    info = json.loads((done / "run.json").read_text())
    assert info["status"] == "complete" and len(info["three_things"]) == 3 and all(info["three_things"])
    assert info["data"] | {"rows": 700, "labelled": 500, "unlabelled": 100, "test_rows": 100} == info["data"]
    assert info["seconds"]["total"] > 0


def test_there_is_a_prediction_for_every_row_and_labelled_ones_are_out_of_fold(done: Path, folder: Path) -> None:
    table = pd.read_parquet(done / "predictions.parquet")
    frame = pd.read_parquet(folder / "t.parquet")
    assert table["row"].tolist() == list(range(700))
    np.testing.assert_allclose(table["proba_no"] + table["proba_yes"], 1, atol=1e-5)
    np.testing.assert_allclose(table["confidence"], table[["proba_no", "proba_yes"]].max(axis=1))
    labelled = frame["y"].notna() & (frame["split"] == "train")
    assert table["out_of_fold"].tolist() == labelled.tolist()
    wrong = np.load(folder / "wrong.npy") & labelled.to_numpy()
    agree = (table["prediction"] == table["given_label"])[wrong].mean()
    assert agree < 0.5  # a model that had seen these rows would give their wrong labels back


def test_the_leaderboard_holds_baseline_and_challenger(done: Path) -> None:
    board = pd.read_parquet(done / "leaderboard.parquet")
    assert {"baseline", "GCE"} <= set(board["method"])
    raced = board[board["status"].isin(["baseline", "candidate", "winner"])]
    assert (raced["score_low"] <= raced["score"]).all() and (raced["score"] <= raced["score_high"]).all()


def test_flagged_rows_are_mostly_wrong_and_say_why(done: Path, folder: Path) -> None:
    flagged = pd.read_csv(done / "flagged.csv")
    errors = flagged[flagged["kind"] == "label errors"]
    wrong = np.load(folder / "wrong.npy")
    assert len(errors) > 15 and wrong[errors["row"]].mean() > 0.6
    assert (errors["given_label"] != errors["suggested_label"]).all()
    assert errors["reason"].str.len().min() > 10
    assert errors["expected_precision"].between(0, 1).all()
    assert (errors["row"] < 600).all()  # labels of test rows are not looked at


def test_queries_are_ranked_and_to_be_filled_in(done: Path) -> None:
    queries = pd.read_csv(done / "queries.csv")
    assert queries["rank"].tolist() == list(range(1, len(queries) + 1))
    assert queries["row"].is_unique and queries["label"].isna().all() and (queries["row"] < 600).all()


def test_query_prints_the_first_rows(done: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["query", str(done), "--n", "5", "--json"])
    assert [q["rank"] for q in json.loads(result.stdout)["queries"]] == [1, 2, 3, 4, 5]
    out = tmp_path / "todo.csv"
    assert CliRunner().invoke(app, ["query", str(done), "--n", "7", "--out", str(out)]).exit_code == 0
    assert len(pd.read_csv(out)) == 7


def test_predict_writes_row_for_row(done: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.parquet"
    source = folder / "t.parquet"
    result = CliRunner().invoke(app, ["predict", str(done), str(source), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["rows"] == 700
    table, inside = pd.read_parquet(out), pd.read_parquet(done / "predictions.parquet")
    assert list(table.columns) == ["prediction", "confidence", "proba_no", "proba_yes"]
    unseen = ~inside["out_of_fold"]
    np.testing.assert_allclose(table["proba_yes"][unseen], inside["proba_yes"][unseen], atol=1e-6)
    shuffled = pd.read_parquet(source).sample(frac=1, random_state=0)
    shuffled.drop(columns=["y", "split", "row_id"]).to_csv(tmp_path / "s.csv", index=False)
    CliRunner().invoke(
        app, ["predict", str(done / "model"), str(tmp_path / "s.csv"), "--out", str(tmp_path / "s.parquet")]
    )
    again = pd.read_parquet(tmp_path / "s.parquet")
    np.testing.assert_allclose(again["proba_yes"], table["proba_yes"].to_numpy()[shuffled.index], atol=1e-6)


def test_json_output_is_one_document_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    arguments = ["audit", str(folder / "t.parquet"), "--label", "y", "--out", str(tmp_path / "a"), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and result.stderr == ""
    info = json.loads(result.stdout)
    assert info["advice"] is None and info["audit"]["findings"]
    assert not (tmp_path / "a" / "model").exists()
    assert Path(info["report"]).is_file()


def test_an_interrupted_run_resumes_and_its_place_is_kept_free(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r"
    arguments = [
        "run",
        str(folder / "t.parquet"),
        "--label",
        "y",
        "--budget",
        "4s",
        "--out",
        str(out),
        "--method",
        "GCE",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "_fit", interrupted)
        result = CliRunner().invoke(app, arguments)
    assert result.exit_code == INTERRUPTED and "--resume" in result.stderr
    assert not out.exists() and (tmp_path / "r.partial").is_dir()
    assert CliRunner().invoke(app, arguments).exit_code == 2
    other = CliRunner().invoke(app, [*arguments, "--resume", "--seed", "3"])
    assert other.exit_code == 2 and "seed" in other.stderr
    fits = count_fits(monkeypatch)
    assert CliRunner().invoke(app, [*arguments, "--resume"]).exit_code == 0
    assert {p.name for p in out.iterdir()} == FILES and not (tmp_path / "r.partial").exists()
    assert len(fits) == 1  # the race's fits were kept: only the chosen method is fitted, on all rows


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def count_fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    from labelwise.advice import problem

    fits, fit = [1], problem.Problem.out_of_fold

    def counted(self: problem.Problem, *args: object) -> object:
        fits.append(1)
        return fit(self, *args)

    monkeypatch.setattr(problem.Problem, "out_of_fold", counted)
    return fits


def test_overwriting_keeps_the_old_run_until_the_new_one_is_complete(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, few = tmp_path / "r", folder / "few.parquet"
    pd.read_parquet(folder / "t.parquet").head(60).to_parquet(few)
    arguments = ["audit", str(few), "--label", "y", "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    before = (out / "run.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_flagged", interrupted)
        assert CliRunner().invoke(app, [*arguments, "--overwrite"]).exit_code == INTERRUPTED
    assert (out / "run.json").read_bytes() == before
    assert CliRunner().invoke(app, [*arguments, "--overwrite"]).exit_code == 0
    assert (out / "run.json").read_bytes() != before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r"]


def test_test_labels_are_seen_by_the_score_only(folder: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(folder / "t.parquet")
    test = frame["split"] == "test"
    frame.loc[test, "y"] = np.where(frame.loc[test, "y"] == "yes", "no", "yes")
    frame.to_parquet(tmp_path / "flipped.parquet")
    outs = []
    for name, source in (("a", folder / "t.parquet"), ("b", tmp_path / "flipped.parquet")):
        arguments = [
            "run",
            str(source),
            "--label",
            "y",
            "--budget",
            "2s",
            "--out",
            str(tmp_path / name),
            "--method",
            "SharedVarianceNB",
        ]
        assert CliRunner().invoke(app, arguments).exit_code == 0
        outs.append(tmp_path / name)
    scores = [json.loads((out / "run.json").read_text())["scores"]["test"]["accuracy"]["value"] for out in outs]
    assert scores[0] + scores[1] == pytest.approx(1.0, abs=0.1)
    flagged = [pd.read_csv(out / "flagged.csv").drop(columns="preview") for out in outs]
    pd.testing.assert_frame_equal(*flagged)


def test_regression_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    frame = pd.DataFrame(x, columns=list("abcd")).assign(price=x[:, 0] + 0.1 * rng.normal(size=300))
    frame.loc[:20, "price"] = np.nan
    frame.to_parquet(tmp_path / "t.parquet")
    out = tmp_path / "r"
    result = CliRunner().invoke(
        app, ["run", str(tmp_path / "t.parquet"), "--label", "price", "--budget", "4s", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output + result.stderr
    info = json.loads((out / "run.json").read_text())
    assert info["data"]["task"] == "regression" and info["scores"]["validation"]["R2"]["value"] > 0.8
    assert list(pd.read_parquet(out / "predictions.parquet").columns)[:3] == ["row", "given_label", "prediction"]


def test_votes_without_labels_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    votes = {f"lf{i}": np.where(rng.random(300) < 0.3, -1, np.where(rng.random(300) < 0.8, y, 1 - y)) for i in range(5)}
    frame = pd.DataFrame({"a": y + 0.5 * rng.normal(size=300), "b": rng.normal(size=300), **votes})
    frame.to_parquet(tmp_path / "t.parquet")
    out = tmp_path / "r"
    arguments = ["run", str(tmp_path / "t.parquet"), "--votes", "lf*", "--budget", "4s", "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output + result.stderr
    predicted = pd.read_parquet(out / "predictions.parquet")["prediction"].astype(int)
    assert (predicted == y).mean() > 0.78  # the best possible on these features is 0.84


def test_methods_and_papers_as_json() -> None:
    noisy = json.loads(CliRunner().invoke(app, ["methods", "--handles", "noise", "--json"]).stdout)
    assert {"ELR", "ConfidentLearning"} <= {m["name"] for m in noisy}
    assert {"name", "import_path", "room", "kind", "paper", "handles", "needs", "claim"} <= set(noisy[0])
    papers = json.loads(CliRunner().invoke(app, ["papers", "--json"]).stdout)
    assert len(papers) == 257


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("45", 45), ("1.5m", 90)]
)
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_version_and_help() -> None:
    from labelwise import __version__

    assert CliRunner().invoke(app, ["--version"]).output.strip() == __version__
    assert "Exit codes" in CliRunner().invoke(app, ["--help"]).output
