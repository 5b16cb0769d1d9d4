"""Decisions out and in: what goes out comes back as it was, and the corrected table says who decided what."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from labelwise.base import InputError
from labelwise.cli import app
from labelwise.data.exchange import Given, read_answers, write_tasks
from labelwise.review import exchange
from labelwise.review.desk import Review


@pytest.fixture
def review(run_dir: Callable[..., Path]) -> Iterator[Review]:
    review = Review(run_dir("table"), "Ann")
    yield review
    review.close()


def decide(review: Review, row: int, action: str, label: str | None = None, name: str = "Ann") -> None:
    review.decide({"row": int(row), "annotator": name, "action": action, "label": label, "seconds": 1.5})


def flagged(review: Review) -> list[int]:
    table = review.cards.table
    return [int(row) for row in table.loc[table["kind"] == "label errors", "row"]]


def queried(review: Review) -> list[int]:
    table = review.cards.table
    return [int(row) for row in table.loc[table["given"].isna(), "row"]]


def source(review: Review) -> pd.DataFrame:
    return pd.read_parquet(review.info["command"]["source"])


def test_the_corrected_table_says_who_decided_what(review: Review) -> None:
    changed, kept, torn, skipped = flagged(review)[:4]
    first = queried(review)[0]
    decide(review, changed, "accept")
    decide(review, changed, "accept", name="Bob")
    decide(review, kept, "keep")
    decide(review, torn, "keep")
    decide(review, torn, "accept", name="Bob")
    decide(review, skipped, "skip")
    decide(review, first, "label", "Carla")
    before = source(review)
    table = pd.read_parquet(io.BytesIO(exchange.export(review, "parquet")))
    assert list(table.columns) == [*before.columns, "label_before", "review", "reviewed_by", "reviewed_at"]
    pd.testing.assert_frame_equal(table[before.columns].drop(columns="grower"), before.drop(columns="grower"))
    assert table["review"].dropna().to_dict() == {
        changed: "changed", kept: "confirmed", torn: "disputed", first: "labelled"
    }  # fmt: skip
    touched = table["grower"].fillna("") != before["grower"].fillna("")
    assert set(np.flatnonzero(touched)) == {changed, first}
    assert table["label_before"].dropna().to_dict() == {row: before["grower"][row] for row in (changed, kept, torn)}
    assert table["reviewed_by"].dropna().to_dict() == {
        changed: "Ann, Bob", kept: "Ann", torn: "Ann, Bob", first: "Ann"
    }  # fmt: skip
    assert table["reviewed_at"].notna().sum() == 4
    csv = pd.read_csv(io.BytesIO(exchange.export(review, "csv")))
    pd.testing.assert_frame_equal(csv, table, check_dtype=False)


def test_the_corrected_table_is_a_table_to_run_on(review: Review, tmp_path: Path) -> None:
    for row in flagged(review)[:3]:
        decide(review, row, "accept")
    (tmp_path / "fixed.csv").write_bytes(exchange.export(review, "csv"))
    from labelwise.job import Job, understand

    data = understand(Job(tmp_path / "fixed.csv", label="grower", features=list(source(review).columns[:8])))
    for row in flagged(review)[:3]:
        assert data.given[row] == review.cards.columns["suggested"][review.cards.position(row)]


def test_names_that_the_table_has_already_are_left_alone() -> None:
    frame = pd.DataFrame({"review": ["good", "bad"], "y": [1.0, np.nan], "label_before": [0, 0]})
    decided = pd.DataFrame({"row": [1], "label": ["3"], "disputed": [False], "annotators": ["Ann"], "at": ["t"]})
    table = exchange._with_reviewers(frame, frame.assign(y=[1.0, 3.0]), "y", decided)
    assert table["review"].tolist() == ["good", "bad"]
    assert table["review_"].fillna("").tolist() == ["", "labelled"]
    assert table["label_before_"].isna().all()
    assert table["label_before_"].dtype == np.float64


def test_pictures_go_into_parquet_but_not_into_csv(run_dir: Callable[..., Path]) -> None:
    review = Review(run_dir("image"), "Ann")
    try:
        decide(review, flagged(review)[0], "accept")
        table = pd.read_parquet(io.BytesIO(exchange.export(review, "parquet")))
        assert isinstance(table["picture"].iloc[0], bytes)
        with pytest.raises(InputError, match="'picture' holds pictures or vectors, which CSV cannot keep"):
            exchange.export(review, "csv")
        with pytest.raises(InputError, match="format must be one of csv, parquet, label-studio"):
            exchange.export(review, "xlsx")
    finally:
        review.close()


def test_decisions_go_to_label_studio_and_come_back(run_dir: Callable[..., Path], tmp_path: Path) -> None:
    one, other = (Review(run_dir("text", name), "Ann") for name in ("one", "other"))
    try:
        rows = [int(row) for row in one.cards.rows]
        decide(one, rows[0], "accept")
        decide(one, rows[0], "label", "transfer", name="bob@example.org")
        decide(one, rows[1], "label", "card")
        decide(one, rows[2], "skip")
        one.material.start()
        one.material.wait(60)
        tasks = json.loads(exchange.export(one, "label-studio"))
        assert [task["data"]["row"] for task in tasks] == rows
        table = source(one)
        assert all(task["data"]["item"] == table["text"].iloc[task["data"]["row"]] for task in tasks)
        suggested = [task["predictions"][0]["result"][0]["value"]["choices"] for task in tasks]
        assert suggested == [[label] for label in one.cards.columns["suggested"]]
        people = [annotation.get("completed_by") for annotation in tasks[0]["annotations"]]
        assert people == [None, {"email": "bob@example.org"}], "other names are no users of Label Studio"
        assert tasks[2]["annotations"][0]["was_cancelled"]
        assert "annotations" not in tasks[3]
        told = exchange.import_bytes(other, json.dumps(tasks).encode())
        assert (told["imported"], told["skipped"]) == (3, len(rows) - 2), "one skipped, the others have no annotation"
        mine, theirs = (
            {(d.row, d.annotator): (d.action, d.label) for d in review.store.live() if d.label}
            for review in (one, other)
        )
        assert {key: label for key, (_, label) in mine.items()} == {key: label for key, (_, label) in theirs.items()}
        assert theirs[rows[0], "Ann"][0] == "accept"
        again = exchange.import_bytes(other, json.dumps(tasks).encode())
        assert again["imported"] == 0, "what is known already is no new decision"
        assert other.progress()["disputed"] == one.progress()["disputed"] == 1
    finally:
        one.close()
        other.close()


@pytest.mark.parametrize(("label", "row", "word"), [
    ("cart", 3, "Did you mean 'card'"), ("card", 10**6, "row"), ("card", "x", "row"),
])  # fmt: skip
def test_imports_are_taken_whole_or_not_at_all(run_dir: Callable[..., Path], label: str, row: Any, word: str) -> None:
    review = Review(run_dir(), "Ann")
    try:
        good, bad = ({"data": {"row": number, "item": "x"}, "annotations": [{"result": [
            {"from_name": "label", "to_name": "item", "type": "choices", "value": {"choices": [name]}}]}]}
            for number, name in ((1, "card"), (row, label)))  # fmt: skip
        with pytest.raises(InputError, match=word) as caught:
            exchange.import_bytes(review, json.dumps([good, bad]).encode())
        assert "upload.json" not in str(caught.value)
        assert review.store.empty
        assert exchange.import_bytes(review, json.dumps([good]).encode())["imported"] == 1
        assert review.store.live()[0].annotator == exchange.NAMELESS
        with pytest.raises(InputError, match="not JSON"):
            exchange.import_bytes(review, b"{")
    finally:
        review.close()


def test_labels_that_annotators_gave_already_go_out_for_every_tool(tmp_path: Path) -> None:
    queries = pd.DataFrame({"row": [4, 7], "preview": ["a", "b"], "prediction": ["cat", "dog"]})
    given = {4: [Given("Ann", "cat", "2026-01-01T00:00:00+00:00", 2.0), Given("Bob", "dog")], 7: [Given("Ann", None)]}
    for tool in ("label-studio", "argilla"):
        file = tmp_path / f"{tool}.json"
        write_tasks(queries, file, tool, given=given)  # type: ignore[arg-type]
        found = read_answers(file)
        assert found.to_dict("records") == [
            {"row": 4, "label": "cat", "annotator": "Ann"}, {"row": 4, "label": "dog", "annotator": "Bob"},
        ]  # fmt: skip
    numbers = {4: [Given("Ann", "2.5", number=True)]}
    write_tasks(queries.head(1), tmp_path / "n.json", given=numbers)
    assert json.loads((tmp_path / "n.json").read_text())[0]["annotations"][0]["result"][0]["value"] == {"number": 2.5}
    assert read_answers(tmp_path / "n.json")["label"].tolist() == ["2.5"]


def call(*arguments: Any, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["review", *map(str, arguments)])
    assert result.exit_code == code, result.output + result.stderr
    return result.output + result.stderr


def test_the_command_takes_labels_in_and_hands_them_out(run_dir: Callable[..., Path], tmp_path: Path) -> None:
    run = run_dir("table")
    answers = tmp_path / "answers.csv"
    answers.write_text("row,label,annotator\n1,Ada,Ann\n2,Bruno,Bob\n3,,Ann\n")
    out = tmp_path / "fixed.parquet"
    told = call(run, "--import", answers, "--export", out)
    assert "2 labels of" in told
    assert "labelwise run" in told
    table = pd.read_parquet(out)
    assert table.loc[[1, 2], "grower"].tolist() == ["Ada", "Bruno"]
    assert table.loc[[1, 2], "reviewed_by"].tolist() == ["Ann", "Bob"]
    assert "exists already" in call(run, "--export", out, code=2)
    info = json.loads(call(run, "--export", out, "--overwrite", "--json"))
    assert info["export"] == str(out)
    assert "must end in" in call(run, "--export", tmp_path / "t.xlsx", code=2)
    assert "there is no directory" in call(run, "--export", tmp_path / "no" / "t.csv", code=2)
    tasks = tmp_path / "tasks.json"
    call(run, "--export", tasks)
    assert {task["data"]["row"] for task in json.loads(tasks.read_text())} >= {1, 2}
    assert "no complete run" in call(tmp_path, code=2)
    holder = Review(run, "Ann")
    assert "in use by a review page" in call(run, "--export", tmp_path / "a.csv", code=2)
    holder.close()


def test_a_run_without_cards_or_without_a_label_column_says_so(run_dir: Callable[..., Path]) -> None:
    run = run_dir("table")
    info = json.loads((run / "run.json").read_text())
    for column in info["data"]["columns"]:
        column["role"] = "vote" if column["role"] == "label" else column["role"]
    (run / "run.json").write_text(json.dumps(info))
    review = Review(run, "Ann")
    assert review.session()["next"] == f"labelwise review {run} --export corrected.parquet"
    review.close()
    for name in ("flagged.csv", "queries.csv"):
        (run / name).unlink()
    assert "nothing to review" in call(run, "--no-browser")
    assert json.loads(call(run, "--no-browser", "--json"))["url"] is None


def test_labels_of_whole_numbers_stay_whole_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"v": [0, 1, 2], "label": [1.0, 2.0, np.nan]})
    decided = pd.DataFrame({"row": [1, 2], "label": ["1", "2"], "disputed": False, "annotators": "Ann", "at": "t"})
    from labelwise.data.answers import with_answers

    now, first, changed = with_answers(frame, "label", decided)
    assert (first, changed) == (1, 1)
    table = exchange._with_reviewers(frame, now, "label", decided)
    table.to_parquet(tmp_path / "t.parquet")
    assert table["label"].tolist() == [1, 1, 2]
    assert table["label_before"].fillna(-1).tolist() == [-1, 2, -1]


def test_a_missing_extra_is_named(run_dir: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "uvicorn" else find(name, *a))
    told = call(run_dir(), "--no-browser", code=2)
    assert "needs uvicorn" in told
    assert "pip install 'labelwise[review]'" in told
