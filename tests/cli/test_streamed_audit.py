"""``labelwise audit --stream yes``: the findings of the audit in memory, resumed after a stop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from labelwise import streaming
from labelwise.cli import auditing
from labelwise.cli.app import app


def table(folder: Path, n: int = 900, d: int = 20) -> Path:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, n)
    X = (rng.normal(size=(n, d)) + 3 * rng.normal(size=(3, d))[truth]).astype(np.float16)
    X[:20] = X[300:320]
    y = np.where(rng.random(n) < 0.1, (truth + 1) % 3, truth)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), d)
    path = folder / "t.parquet"
    pq.write_table(pa.table({"emb": vectors, "y": np.array(["a", "b", "c"])[y]}), path, row_group_size=300)
    return path


def audited(path: Path, out: Path, *more: str) -> tuple[int, str]:
    command = ["audit", str(path), "--label", "y", "--features", "emb", "--out", str(out), "--json", *more]
    done = CliRunner().invoke(app, command)
    return done.exit_code, done.output


@pytest.mark.slow
def test_streamed_and_in_memory_find_the_same(tmp_path):
    path = table(tmp_path)
    for stream in ("yes", "no"):
        code, said = audited(path, tmp_path / stream, "--stream", stream)
        assert code == 0, said
    one, other = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("yes", "no"))
    assert one["status"] == "complete" and one["data"]["rows"] == 900
    assert [f["kind"] for f in one["audit"]["findings"]] == [f["kind"] for f in other["audit"]["findings"]]
    assert one["data"]["class_counts"] == other["data"]["class_counts"]
    rows = [pd.read_csv(tmp_path / name / "flagged.csv") for name in ("yes", "no")]
    pd.testing.assert_series_equal(rows[0]["row"], rows[1]["row"])
    assert (tmp_path / "yes" / "report.html").stat().st_size > 10_000
    assert not (tmp_path / "yes" / "work").exists()


@pytest.mark.slow
def test_an_interrupted_streamed_audit_goes_on(tmp_path, monkeypatch):
    path = table(tmp_path)
    monkeypatch.setattr(streaming, "audit_info", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    assert audited(path, tmp_path / "out", "--stream", "yes")[0] == 130
    monkeypatch.undo()
    assert audited(path, tmp_path / "out", "--stream", "yes")[0] == 2  # says that --resume is wanted
    code, said = audited(path, tmp_path / "out", "--stream", "yes", "--resume")
    assert code == 0, said
    assert json.loads((tmp_path / "out" / "run.json").read_text())["audit"]["findings"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--stream", "maybe"], "--stream must be auto, yes or no"),
        (["--engine", "spark"], "--engine must be local or ray"),
        (["--engine", "ray", "--stream", "no"], "Add --stream yes"),
        (["--stream", "yes", "--group", "y"], "--group: a streamed audit does not take it"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path, more, said):
    code, output = audited(table(tmp_path), tmp_path / "out", *more)
    assert code == 2 and said in output
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "BYTES_A_ROW", 2**60)
    code, output = audited(table(tmp_path), tmp_path / "out", "--stream", "yes")
    assert code == 2 and "GiB are free" in output
    assert not (tmp_path / "out.partial").exists()


def test_auto_streams_what_would_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(auditing, "free_memory", lambda: 1000)
    code, said = audited(table(tmp_path), tmp_path / "out")
    assert code == 0, said
    assert "read by blocks" in json.dumps(json.loads((tmp_path / "out" / "run.json").read_text())["data"]["notes"])
