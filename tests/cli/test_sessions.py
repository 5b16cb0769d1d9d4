"""A labelling session from the command line: ask, fill in, go on; with pools, tools and everything that can go wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from typer.testing import CliRunner

from labelwise.base import InputError
from labelwise.cli import app
from labelwise.data.answers import fingerprint, with_answers
from labelwise.session import reopen


def call(*arguments: Any, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == code, result.output + result.stderr
    return result.output + result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iris with 6 labels a class and 3 groups, its pool in a file of its own, and the truth."""
    folder = tmp_path_factory.mktemp("session")
    X, y = load_iris(return_X_y=True)
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    frame["kind"] = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    frame["plot"] = np.arange(150) % 3
    frame["price"] = 1.0 + np.arange(150) % 2
    frame = frame.sample(frac=1, random_state=0, ignore_index=True)
    frame[["kind"]].to_csv(folder / "truth.csv", index=False)
    few = frame.groupby("kind").cumcount() < 6
    frame.loc[~few, "kind"] = None
    frame.to_parquet(folder / "t.parquet")
    frame[few].to_csv(folder / "few.csv", index=False)
    frame[~few].drop(columns="kind").to_csv(folder / "pool.csv", index=False)
    call("run", folder / "t.parquet", "--label", "kind", "--group", "plot", "--budget", "3s", "--method", "GCE",
         "--features", "a,b,c,d", "--out", folder / "run")  # fmt: skip
    truth = pd.read_csv(folder / "truth.csv")["kind"]
    frame.assign(kind=truth.where(np.arange(150) % 2 == 0)).to_parquet(folder / "full.parquet")
    call("run", folder / "full.parquet", "--label", "kind", "--budget", "2s", "--method", "GCE", "--features", "a,b,c,d",
         "--out", folder / "full")  # fmt: skip
    return folder


def filled(folder: Path, out: str, *options: Any, n: int = 10) -> Path:
    """Ask for rows and fill in the truth."""
    call("query", folder / "run", "--n", n, "--out", folder / out, "--overwrite", *options)
    table = pd.read_csv(folder / out)
    table["label"] = pd.read_csv(folder / "truth.csv")["kind"].to_numpy()[table["row"]]
    table.to_csv(folder / out, index=False)
    return folder / out


def info_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "run.json").read_text())
    return content


@pytest.mark.parametrize(
    "strategy", ["margin", "entropy", "least-confidence", "badge", "core-set", "k-means", "typical", "diverse-margin"]
)
def test_every_strategy_asks_for_new_rows_only(folder: Path, strategy: str) -> None:
    output = call("query", folder / "run", "--n", 7, "--strategy", strategy, "--json")
    rows = [item["row"] for item in json.loads(output)["queries"]]
    table = pd.read_parquet(folder / "t.parquet")
    assert len(set(rows)) == 7
    assert table["kind"].iloc[rows].isna().all()
    again = json.loads(call("query", folder / "run", "--n", 7, "--strategy", strategy, "--json"))
    assert rows == [item["row"] for item in again["queries"]]


def test_groups_and_prices_are_kept_to(folder: Path) -> None:
    output = call("query", folder / "run", "--n", 20, "--strategy", "margin", "--per-group", 2, "--json")
    rows = [item["row"] for item in json.loads(output)["queries"]]
    table = pd.read_parquet(folder / "t.parquet")
    assert table["plot"].iloc[rows].value_counts().tolist() == [2, 2, 2]
    told = call("query", folder / "run", "--strategy", "margin", "--cost", "kind", "--spend", 7, code=2)
    assert "--cost: 'kind' holds '" in told
    output = call("query", folder / "run", "--strategy", "margin", "--cost", "price", "--spend", 7, "--json")
    rows = [item["row"] for item in json.loads(output)["queries"]]
    assert 5 <= table["price"].iloc[rows].sum() <= 7


def test_what_the_next_labels_bring_is_said(folder: Path) -> None:
    told = call("query", folder / "full", "--n", 5, "--gain", "--compare")
    assert "The next 5 are expected to add" in told
    assert "random" in told
    found = json.loads(call("query", folder / "full", "--n", 5, "--gain", "--json"))
    assert {"run", "queries", "gain"} == set(found)
    assert "must label at least 24 rows" in call("query", folder / "run", "--gain", code=2)


def test_rounds_keep_every_answer(folder: Path) -> None:
    first = filled(folder, "first.csv")
    output = call("run", folder / "run", "--resume", "--answers", first, "--budget", "2s")
    assert "Rounds of labelling" in output
    second = filled(folder, "second.csv")
    assert not set(pd.read_csv(second)["row"]) & set(pd.read_csv(first)["row"])
    inside = folder / "run" / "queries.csv"
    table = pd.read_csv(inside, keep_default_na=False)
    chosen = pd.read_csv(second).set_index("row")["label"]
    table["label"] = [chosen.get(row, "") for row in table["row"]]
    table.to_csv(inside, index=False)
    call("run", folder / "t.parquet", "--label", "kind", "--resume", "--out", folder / "run", "--budget", "2s")
    info = info_of(folder / "run")
    assert [item["labelled"] for item in info["rounds"]] == [18, 28, 38]
    assert [item["answers"] for item in info["rounds"]] == [0, 10, 20]
    answers = pd.read_csv(folder / "run" / "answers.csv").set_index("row")["label"]
    assert (answers == pd.read_csv(folder / "truth.csv")["kind"].iloc[answers.index]).all()
    assert pd.read_parquet(folder / "t.parquet")["kind"].notna().sum() == 18, "the table itself is never changed"
    page = (folder / "run" / "report.html").read_text()
    assert 'id="rounds-title"' in page
    assert "20 labels of answers.csv" in page
    assert "--answers" not in page
    assert info["scores"]["table_labels"]["accuracy"]["value"] > 0.8


def test_a_tool_gets_tasks_and_gives_labels_back(folder: Path) -> None:
    tasks = folder / "tasks.json"
    call("query", folder / "run", "--n", 3, "--tool", "label-studio", "--out", tasks, "--overwrite")
    exported = json.loads(tasks.read_text())
    for task in exported:
        choice = {"from_name": "label", "to_name": "item", "type": "choices", "value": {"choices": ["setosa"]}}
        task["annotations"] = [{"id": 1, "completed_by": 7, "result": [choice], "was_cancelled": False}]
    (folder / "export.json").write_text(json.dumps(exported))
    job = reopen(folder / "run", [folder / "export.json"])
    assert job.answers is not None
    fresh = job.answers[job.answers["row"].isin([task["data"]["row"] for task in exported])]
    assert fresh["label"].tolist() == ["setosa"] * 3


@pytest.mark.parametrize("strategy", ["core-set", "typical"])
def test_rows_are_drawn_as_if_the_test_rows_were_not_there(folder: Path, tmp_path: Path, strategy: str) -> None:
    table = pd.read_parquet(folder / "full.parquet")
    table["split"] = np.where(np.arange(150) < 110, "train", "test")
    table.to_parquet(tmp_path / "marked.parquet")
    table.iloc[:110].to_parquet(tmp_path / "cut.parquet")
    drawn = []
    for name in ("marked", "cut"):
        call("run", tmp_path / f"{name}.parquet", "--label", "kind", "--features", "a,b,c,d", "--method", "GCE", "--budget",
             "1s", "--out", tmp_path / name)  # fmt: skip
        output = call("query", tmp_path / name, "--n", 6, "--strategy", strategy, "--json")
        drawn.append([item["row"] for item in json.loads(output)["queries"]])
    assert max(drawn[0]) < 110
    assert drawn[0] == drawn[1]


def test_a_pool_is_asked_about_and_taught(folder: Path) -> None:
    out = folder / "pooled"
    call("run", folder / "few.csv", "--label", "kind", "--pool", folder / "pool.csv", "--features", "a,b,c,d",
         "--budget", "3s", "--method", "GCE", "--out", out)  # fmt: skip
    info = info_of(out)
    assert (info["data"]["labelled"], info["data"]["unlabelled"]) == (18, 132)
    call("query", out, "--n", 4, "--strategy", "margin", "--out", folder / "q.csv")
    table = pd.read_csv(folder / "q.csv")
    assert (table["row"] >= 18).all()
    table.assign(label="virginica").to_csv(folder / "q.csv", index=False)
    call("run", out, "--resume", "--answers", folder / "q.csv", "--budget", "2s")
    assert info_of(out)["data"]["labelled"] == 22


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p.iloc[:0], "the table is empty"),
        (lambda p: p.drop(columns="c"), "--pool: column 'c' of the training table is missing"),
    ],
)
def test_pools_that_do_not_fit(folder: Path, tmp_path: Path, change: Any, told: str) -> None:
    change(pd.read_csv(folder / "pool.csv")).to_csv(tmp_path / "pool.csv", index=False)
    output = call("run", folder / "few.csv", "--label", "kind", "--features", "a,b,c,d", "--pool", tmp_path / "pool.csv",
                  "--out", tmp_path / "run", code=2)  # fmt: skip
    assert told in output
    assert not (tmp_path / "run").exists()


def test_what_a_session_refuses(folder: Path, tmp_path: Path) -> None:
    run = folder / "pooled2"
    call("run", folder / "few.csv", "--label", "kind", "--features", "a,b,c,d", "--budget", "1s", "--method", "GCE",
         "--out", run)  # fmt: skip
    before = (run / "run.json").read_bytes()
    assert "there is no new label" in call("run", run, "--resume", code=2)
    assert "Add --resume" in call("run", run, code=2)
    assert "label='kind', now it is 'a'" in call("run", run, "--resume", "--label", "a", code=2)
    assert "--answers needs --resume" in call(
        "run", folder / "few.csv", "--answers", "x.csv", "--out", tmp_path / "n", code=2
    )
    for rows, told in (
        ("row,label\n99,setosa\n", "row 99 is not in the table"),
        ("row,label\nx,setosa\n", "found row 'x'"),
    ):
        (tmp_path / "a.csv").write_text(rows)
        assert told in call("run", run, "--resume", "--answers", tmp_path / "a.csv", code=2)
    assert "--strategy must be one of" in call("query", run, "--strategy", "best", code=2)
    assert "need a --strategy" in call("query", run, "--per-group", 2, code=2)
    assert "--tool must be one of" in call("query", run, "--tool", "excel", "--out", tmp_path / "q.csv", code=2)
    assert "--per-group needs a run with --group" in call(
        "query", run, "--strategy", "margin", "--per-group", 2, code=2
    )
    table = pd.read_csv(folder / "few.csv")
    (tmp_path / "good.csv").write_text("row,label\n0,setosa\n1,setosa\n")
    try:
        table.sample(frac=1, random_state=1).to_csv(folder / "few.csv", index=False)
        output = call("run", run, "--resume", "--answers", tmp_path / "good.csv", code=2)
        assert "is not the table of the run" in output
        (folder / "few.csv").unlink()
        assert "cannot be read again" in call("run", run, "--resume", "--answers", tmp_path / "good.csv", code=2)
    finally:
        table.to_csv(folder / "few.csv", index=False)
    assert (run / "run.json").read_bytes() == before


def test_annotators_vote_and_a_tie_changes_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text(
        "row,label,annotator\n3,setosa,a\n3,setosa,b\n3,virginica,c\n4,setosa,a\n4,virginica,b\n5,,a\n"
    )
    job = reopen(folder / "run", [tmp_path / "votes.csv"])
    assert job.answers is not None
    found = dict(zip(job.answers["row"], job.answers["label"], strict=True))
    assert found[3] == "setosa"
    kept = pd.read_csv(folder / "run" / "answers.csv")["row"] if (folder / "run" / "answers.csv").exists() else []
    assert {4, 5} & set(found) <= set(kept)


@pytest.mark.parametrize(
    ("column", "label", "expected"),
    [
        (pd.Series([1, -1, 2]), "2", [1, 2, 2]),
        (pd.Series([1.0, np.nan, 2.0]), "2", [1, 2, 2]),
        (pd.Series(["x", None, "y"]), "y", ["x", "y", "y"]),
        (pd.Series([True, None, False], dtype="boolean"), "False", [True, False, False]),
        (pd.Series(pd.Categorical(["x", None, "y"])), "z", ["x", "z", "y"]),
        (pd.Series([0.5, np.nan, 1.5]), "2.25", [0.5, 2.25, 1.5]),
    ],
)
def test_an_answer_becomes_a_value_of_the_column(column: pd.Series, label: str, expected: list[Any]) -> None:
    frame, first, changed = with_answers(pd.DataFrame({"y": column}), "y", pd.DataFrame({"row": [1], "label": [label]}))
    assert frame["y"].tolist() == expected
    assert (first, changed) == (1, 0)


@pytest.mark.parametrize(
    ("column", "label", "told"),
    [([1, 2], "cat", "holds numbers"), ([True, False], "maybe", "true or false")],
)
def test_an_answer_of_another_kind(column: list[Any], label: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        with_answers(pd.DataFrame({"y": column}), "y", pd.DataFrame({"row": [1], "label": [label]}))


def test_the_digest_knows_order_values_and_columns() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "t": ["x", None]})
    same = fingerprint(frame, ["a", "t"])
    assert same == fingerprint(frame.copy(), ["a", "t"])
    others = [frame.iloc[::-1], frame.assign(a=[1.0, 2.5]), frame.assign(t=["x", "y"])]
    assert len({same, *(fingerprint(other, ["a", "t"]) for other in others), fingerprint(frame, ["a"])}) == 5
