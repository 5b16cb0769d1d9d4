"""Bad input at the command line: one clear line that names the column, row or file, exit code 2, nothing changed on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from labelwise.cli import app


def table(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    return pd.DataFrame(
        {"size": rng.normal(size=n) + y, "weight": rng.normal(size=n), "kind": np.where(y, "cat", "dog")}
    )


def with_column(name: str, values: object) -> Callable[[Path], list[str]]:
    return lambda folder: csv(folder, table().assign(**{name: values}))


def csv(folder: Path, frame: pd.DataFrame, *options: str) -> list[str]:
    frame.to_csv(folder / "t.csv", index=False)
    return [str(folder / "t.csv"), "--label", "kind", *options]


def raw(folder: Path, name: str, content: bytes, *options: str) -> list[str]:
    (folder / name).write_bytes(content)
    return [str(folder / name), "--label", "kind", *options]


def existing_run(folder: Path) -> list[str]:
    (folder / "old").mkdir()
    (folder / "old" / "run.json").write_text("{}")
    return csv(folder, table(), "--out", str(folder / "old"))


def interrupted_run(folder: Path) -> list[str]:
    (folder / "old.partial").mkdir()
    return csv(folder, table(), "--out", str(folder / "old"))


def out_is_a_file(folder: Path) -> list[str]:
    (folder / "file").write_text("mine")
    return csv(folder, table(), "--out", str(folder / "file"))


def parent_is_a_file(folder: Path) -> list[str]:
    (folder / "file").write_text("mine")
    return csv(folder, table(), "--out", str(folder / "file" / "run"))


def missing_test_column(folder: Path) -> list[str]:
    table().drop(columns="weight").assign(weigth=1.0).to_csv(folder / "test.csv", index=False)
    return csv(folder, table(), "--test", str(folder / "test.csv"))


MIXED = b'{"size":1,"kind":1}\n{"size":2,"kind":"a"}\n{"size":3,"kind":1}\n'

CASES: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "missing file": (lambda f: [str(f / "none.csv"), "--label", "kind"], r"none\.csv"),
    "nearest file": (lambda f: [csv(f, table())[0].replace("t.csv", "tt.csv"), "--label", "kind"], r"t\.csv"),
    "unreadable file": (lambda f: raw(f, "t.parquet", b"PAR1 no parquet"), r"t\.parquet"),
    "unknown ending": (lambda f: raw(f, "t.doc", b"x"), r"t\.doc.*(csv|parquet)"),
    "empty file": (lambda f: raw(f, "t.csv", b""), r"t\.csv.*empty|empty"),
    "no rows": (lambda f: raw(f, "t.csv", b"size,kind\n"), r"no row|empty"),
    "duplicated column": (lambda f: raw(f, "t.csv", b"size,size,kind\n1,2,a\n3,4,b\n"), r"'size'"),
    "unknown label": (lambda f: [csv(f, table())[0], "--label", "kid"], r"'kid'.*'kind'"),
    "no label": (lambda f: csv(f, table())[:1], r"label: no label column"),
    "unknown feature": (lambda f: csv(f, table(), "--features", "sise"), r"'sise'.*'size'"),
    "all labels missing": (with_column("kind", None), r"'kind'.*missing"),
    "one class only": (with_column("kind", "cat"), r"'kind'.*cat"),
    "an id column as label": (with_column("kind", [f"id{i}" for i in range(40)]), r"'kind'"),
    "mixed labels": (lambda f: raw(f, "t.jsonl", MIXED), r"'kind'.*row"),
    "infinite feature": (with_column("size", [np.inf] + [1.0] * 39), r"'size'.*row 0"),
    "text for numbers": (
        lambda f: csv(f, table().assign(size=["12"] * 7 + ["large"] + ["3"] * 32), "--features", "size"), r"'size'.*row 7",
    ),
    "only constant features": (lambda f: csv(f, table().assign(size=1, weight=2)), r"column|feature"),
    "negative budget": (lambda f: csv(f, table(), "--budget=-5m"), r"--budget.*-5m"),
    "zero budget": (lambda f: csv(f, table(), "--budget", "0s"), r"--budget"),
    "words for a budget": (lambda f: csv(f, table(), "--budget", "soon"), r"--budget.*soon"),
    "existing output": (existing_run, r"--out.*old.*--overwrite"),
    "interrupted output": (interrupted_run, r"--out.*old\.partial.*--resume"),
    "nothing to resume": (lambda f: csv(f, table(), "--resume", "--out", str(f / "r")), r"--resume"),
    "output is a file": (out_is_a_file, r"--out.*file is a file"),
    "unwritable output": (parent_is_a_file, r"--out.*file"),
    "test table without a column": (missing_test_column, r"'weight'.*'weigth'"),
    "unknown method": (lambda f: csv(f, table(), "--method", "ELRR"), r"ELRR.*ELR"),
    "unknown metric": (lambda f: csv(f, table(), "--metric", "accurate"), r"metric.*accuracy"),
}  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("case", CASES)
def test_run_refuses(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, pattern = CASES[case]
    arguments = make(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path)
    budget = [] if any("--budget" in a for a in arguments) else ["--budget", "1s"]
    result = CliRunner().invoke(app, ["run", *arguments, *budget])
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("labelwise: "), result.stderr
    import re

    assert re.search(pattern, lines[0], re.IGNORECASE), lines[0]
    assert "Traceback" not in result.output
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "pattern"),
    [(None, "no|not"), (b"{", "model"), (b"[]", "model"), (b'{"format": "99.0"}', "model")],
)
def test_predict_refuses_what_is_no_model(content: bytes | None, pattern: str, tmp_path: Path) -> None:
    csv(tmp_path, table())
    model = tmp_path / "model"
    if content is not None:
        model.mkdir()
        (model / "model.json").write_bytes(content)
    before = snapshot(tmp_path)
    result = CliRunner().invoke(
        app, ["predict", str(model), str(tmp_path / "t.csv"), "--out", str(tmp_path / "p.parquet")]
    )
    assert result.exit_code == 2, result.output
    assert pattern.split("|")[0] in result.stderr.lower() or pattern.split("|")[-1] in result.stderr.lower()
    assert snapshot(tmp_path) == before


def test_predict_refuses_other_columns_endings_and_files(tmp_path: Path) -> None:
    runner, arguments = CliRunner(), csv(tmp_path, table())
    model = str(tmp_path / "model")
    assert runner.invoke(app, ["fit", *arguments, "--method", "SharedVarianceNB", "--out", model]).exit_code == 0
    out = str(tmp_path / "p.csv")
    table().drop(columns="weight").to_csv(tmp_path / "fewer.csv", index=False)
    result = runner.invoke(app, ["predict", model, str(tmp_path / "fewer.csv"), "--out", out])
    assert result.exit_code == 2 and "'weight'" in result.stderr
    result = runner.invoke(app, ["predict", model, arguments[0], "--out", str(tmp_path / "p.doc")])
    assert result.exit_code == 2 and ".parquet" in result.stderr
    assert runner.invoke(app, ["predict", model, arguments[0], "--out", out]).exit_code == 0
    result = runner.invoke(app, ["predict", model, arguments[0], "--out", out])
    assert result.exit_code == 2 and "--overwrite" in result.stderr
    again = runner.invoke(app, ["fit", *arguments, "--method", "SharedVarianceNB", "--out", model])
    assert again.exit_code == 2 and "--overwrite" in again.stderr


def test_fit_refuses_a_setting_out_of_range_and_an_unknown_one(tmp_path: Path) -> None:
    arguments = [*csv(tmp_path, table()), "--method", "FixMatch", "--out", str(tmp_path / "m")]
    for setting, pattern in (("threshold=7", "[0, 1]"), ("thresh=0.5", "thresh"), ("nonsense", "name=value")):
        result = CliRunner().invoke(app, ["fit", *arguments, "--param", setting])
        assert result.exit_code == 2, result.output
        assert pattern in result.stderr
    assert not (tmp_path / "m").exists()


def test_query_and_report_refuse_what_is_no_run(tmp_path: Path) -> None:
    for command in (["query", str(tmp_path)], ["query", str(tmp_path), "--n", "0"], ["report", str(tmp_path)]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2 and result.stderr.startswith("labelwise: "), result.output


def test_usage_errors_exit_with_2() -> None:
    assert CliRunner().invoke(app, ["run"]).exit_code == 2
    assert CliRunner().invoke(app, ["methods", "--handles", "bad hair"]).exit_code == 2
