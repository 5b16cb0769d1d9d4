"""Parquet read by blocks: the same features and labels as read whole; damage and change are told where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelwise.base import InputError
from labelwise.data import make_encoder, read_table, read_targets, resolve_roles
from labelwise.data.parquet import is_parquet, open_parquet, sample, take
from labelwise.data.stream import Direct, Streamed, read_stream, understand_stream
from labelwise.parts.row_hashes import equal_rows, first_equal, text_hashes
from labelwise.parts.work import Work

N, D = 600, 20


def columns(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    y = np.array(["cat", "dog ", "bird", None], dtype=object)[rng.integers(0, 4, N)]
    return {
        **{f"emb{i}": rng.normal(size=N).astype(np.float32) for i in range(D)},
        "y": y,
        "site": np.array(["north", "south"], dtype=object)[rng.integers(0, 2, N)],
        "sure": rng.random(N) < 0.2,
        "split": np.where(rng.random(N) < 0.2, "test", "train"),
    }


def written(path: Path, table: pa.Table | dict[str, Any], rows: int = 150) -> Path:
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path, row_group_size=rows)
    return path


def streamed(path: Path, **named: Any) -> tuple[Any, Streamed]:
    stream = understand_stream(open_parquet(path), **named)
    return stream, read_stream(stream, Work())


def test_embeddings_labels_and_names_are_those_of_the_whole_table(tmp_path):
    path = written(tmp_path / "t.parquet", columns())
    named = {"label": "y", "features": "emb*", "domain": "site", "trusted": "sure"}
    stream, data = streamed(path, **named)
    frame = read_table(path)
    roles = resolve_roles(frame, **named)
    whole = read_targets(frame, roles)
    test = (frame["split"] == "test").to_numpy()
    assert isinstance(stream.features, Direct) and stream.features.names() == [f"emb{i}" for i in range(D)]
    np.testing.assert_array_equal(data.X, frame[roles.features].to_numpy())
    assert data.targets.classes.tolist() == whole.classes.tolist()
    np.testing.assert_array_equal(data.targets.codes, np.where(test, -1, whole.codes))
    np.testing.assert_array_equal(data.targets.trusted, whole.trusted)
    assert list(data.domains) == frame["site"].tolist() and list(data.splits) == frame["split"].tolist()


@pytest.mark.parametrize("kind", ["fixed", "list"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_vectors_and_a_missing_one(tmp_path, kind, dtype):
    X = np.random.default_rng(0).normal(size=(N, D)).astype(dtype)
    flat = pa.array(X.ravel())
    vectors = pa.FixedSizeListArray.from_arrays(flat, D)
    if kind == "list":
        vectors = pa.ListArray.from_arrays(pa.array(np.arange(0, N * D + 1, D, dtype=np.int32)), flat)
    gone = pa.array([i == 7 for i in range(N)])
    vectors = pa.compute.if_else(gone, pa.scalar(None, vectors.type), vectors)
    y = np.arange(N) % 3
    stream, data = streamed(written(tmp_path / "t.parquet", {"emb": vectors, "y": y}), label="y", features="emb")
    assert np.dtype(stream.features.dtype) == dtype
    X[7] = np.nan
    np.testing.assert_array_equal(data.X, X)
    assert data.targets.codes.tolist() == y.tolist()


def test_other_inputs_go_through_the_encoder_of_a_table_in_memory(tmp_path):
    rng = np.random.default_rng(1)
    words = np.array(["red", "green", "blue", "late", "card", "top", "up", "lost"])
    texts = [" ".join(rng.choice(words, 6)) for _ in range(N)]
    texts[500] = texts[3].upper() + "!"
    path = written(tmp_path / "t.parquet", {"text": texts, "size": rng.normal(size=N), "y": np.arange(N) % 2})
    for named in ({"text": "text"}, {"features": "size"}):
        _, data = streamed(path, label="y", **named)
        frame = read_table(path)
        encoder = make_encoder(frame, resolve_roles(frame, label="y", **named), random_state=0)
        np.testing.assert_allclose(data.X, encoder.fit(frame).transform(frame), rtol=1e-5, atol=1e-6)
        assert data.wording is None if "text" not in named else data.wording[500] == data.wording[3]


def test_integer_labels_with_gaps_and_real_targets(tmp_path):
    y = pa.array([None if i % 5 == 0 else i % 3 for i in range(N)])
    z = np.random.default_rng(0).normal(size=N)
    path = written(tmp_path / "t.parquet", {**columns(), "y": y, "z": z})
    _, data = streamed(path, label="y", features="emb*", split="site")
    assert data.targets.codes.tolist() == [-1 if i % 5 == 0 else i % 3 for i in range(N)]
    _, data = streamed(path, label="z", features="emb*", split="site")
    np.testing.assert_array_equal(data.targets.values, z)


def test_a_folder_of_parts_is_one_table(tmp_path):
    table, folder = pa.table(columns()), tmp_path / "parts"
    folder.mkdir()
    for number, start in enumerate(range(0, N, 200)):
        written(folder / f"part-{number}.parquet", table.slice(start, 200), 90)
    assert is_parquet(folder) and not is_parquet(tmp_path)
    _, parts = streamed(folder, label="y", features="emb*")
    _, whole = streamed(written(tmp_path / "t.parquet", table), label="y", features="emb*")
    np.testing.assert_array_equal(parts.X, whole.X)
    np.testing.assert_array_equal(parts.targets.codes, whole.targets.codes)
    rows = np.array([5, 199, 200, 599])
    pd.testing.assert_frame_equal(take(open_parquet(folder), ["y"], rows), table.select(["y"]).take(rows).to_pandas())
    assert len(sample(open_parquet(folder), ["y"], 100, 0)) == 100


def test_a_sample_reads_some_row_groups_and_takes_their_own_rows(tmp_path, monkeypatch):
    path = written(tmp_path / "t.parquet", {"x": np.arange(N), "y": np.arange(N) % 3}, 20)
    table = open_parquet(path)
    assert sample(table, ["x"], 50, 0)["x"].is_monotonic_increasing
    monkeypatch.setattr("labelwise.data.parquet.SAMPLED", 4)
    found = sample(table, ["x"], 50, 0)["x"].to_numpy()
    assert len(np.unique(found)) == 50 and len(np.unique(found // 20)) == 4


def test_a_column_that_changes_its_type_is_named_with_its_file(tmp_path):
    written(tmp_path / "a.parquet", {"x": np.arange(9.0), "y": [0, 1, 2] * 3})
    written(tmp_path / "b.parquet", {"x": np.arange(9.0), "y": ["0", "1", "2"] * 3})
    with pytest.raises(InputError, match=r"b\.parquet: column 'y' is string there and int64 in a\.parquet"):
        open_parquet(tmp_path)
    written(tmp_path / "b.parquet", {"x": np.arange(9.0)})
    with pytest.raises(InputError, match=r"b\.parquet: column 'y' of a\.parquet is missing"):
        open_parquet(tmp_path)


def test_a_cut_off_file_is_named(tmp_path):
    path = written(tmp_path / "t.parquet", columns())
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"t\.parquet: cannot be read as Parquet .* cut off or damaged"):
        open_parquet(path)


def test_a_file_damaged_in_the_middle_is_told_by_row_group(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns()), path, row_group_size=150, use_dictionary=False, write_page_checksum=True)
    raw = bytearray(path.read_bytes())
    place = pq.read_metadata(path).row_group(2).column(3).data_page_offset
    raw[place : place + 60] = b"\xff" * 60
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"row group 2 \(rows 300 to 449 of the table\)"):
        take(open_parquet(path), ["emb3"], np.arange(N))


def test_what_is_not_streamed_is_refused(tmp_path):
    path = written(tmp_path / "t.parquet", {**columns(), "v1": np.arange(N) % 3, "v2": np.arange(N) % 2})
    for named in ({"label": None, "votes": "v1,v2"}, {"label": "v1,v2", "features": "emb*"}):
        with pytest.raises(InputError, match="add --stream no"):
            understand_stream(open_parquet(path), **named)


def test_ragged_vectors_are_told_by_row(tmp_path):
    vectors = [[1.0, 2.0]] * 300 + [[1.0]] + [[1.0, 2.0]] * 299
    path = written(tmp_path / "t.parquet", {"emb": vectors, "y": np.arange(N) % 3})
    with pytest.raises(InputError, match="row 300"):
        streamed(path, label="y", features="emb")


def test_hashes_of_rows_and_texts():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (500, 3)).astype(np.float32)
    expected = [int(np.flatnonzero((row == X).all(1))[0]) for row in X]
    assert equal_rows(X).tolist() == expected
    one_bit = np.repeat(np.float32([[1.0, 2.0, 3.0]]), 64, 0)
    one_bit.view(np.uint32)[np.arange(64), np.arange(64) % 3] ^= np.uint32(1) << (np.arange(64, dtype=np.uint32) // 3)
    assert len(np.unique(equal_rows(np.nan_to_num(one_bit, nan=7.0)))) >= 60
    both = np.concatenate([text_hashes(["a b", None]), text_hashes(["A  b!", None], 2)])
    assert first_equal(both).tolist() == [0, 1, 0, 3]
