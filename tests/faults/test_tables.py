"""Tables that were cut off, or change in the middle: one line that names the file, whatever the reader says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelwise.base import InputError
from labelwise.data import read_table


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """A file of ten row groups."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=2000), "text": [f"row {n} {'word ' * (n % 7)}" for n in range(2000)]})
    path = tmp_path / "t.parquet"
    frame.to_parquet(path, row_group_size=200)
    assert pq.ParquetFile(path).num_row_groups == 10
    return path


def refused(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_parquet_file_cut_off(parquet: Path, share: float) -> None:
    content = parquet.read_bytes()
    parquet.write_bytes(content[: int(share * len(content))])
    refused(parquet)


@pytest.mark.parametrize("bytes_", [1, 4, 8])
def test_a_parquet_file_without_its_last_bytes(parquet: Path, bytes_: int) -> None:
    parquet.write_bytes(parquet.read_bytes()[:-bytes_])
    refused(parquet)


def test_a_parquet_file_with_a_hole_in_a_row_group(parquet: Path) -> None:
    """As after a lost power: the footer is there, and zeros where pages were."""
    content = bytearray(parquet.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    parquet.write_bytes(content)
    refused(parquet)


def test_an_arrow_file_cut_off(parquet: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.feather"
    table = pq.read_table(parquet)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=200)
    content = path.read_bytes()
    for share in (0.01, 0.5, 0.99):
        path.write_bytes(content[: int(share * len(content))])
        refused(path)


def test_batches_that_change_type_are_no_arrow_stream(tmp_path: Path) -> None:
    """The second half of one stream behind the first half of another, whose column has another type."""
    streams = []
    for values in ([1.0, 2.0] * 500, ["a", "b"] * 500):
        sink = pa.BufferOutputStream()
        table = pa.table({"x": values})
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=100)
        streams.append(sink.getvalue().to_pybytes())
    path = tmp_path / "t.arrow"
    path.write_bytes(streams[0][: len(streams[0]) // 2] + streams[1][len(streams[1]) // 2 :])
    refused(path)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_feature_that_turns_into_words_halfway_is_named(tmp_path: Path, ending: str) -> None:
    from labelwise.run import Job, prepare

    frame = pd.DataFrame({"x": [*map(float, range(50)), *["high"] * 50], "y": ["a", "b"] * 50})
    path = tmp_path / f"t.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_json(path, orient="records", lines=True)
    with pytest.raises(InputError, match=r"'x'.*row 50"):
        prepare(Job(path, label="y", features="x"))


def test_a_compressed_table_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    pd.DataFrame({"x": np.random.default_rng(0).normal(size=5000)}).to_csv(path, index=False)
    path.write_bytes(path.read_bytes()[:-2000])
    refused(path)
