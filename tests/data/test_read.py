from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from labelwise.base import InputError
from labelwise.data import read_table
from labelwise.data.naming import expand, listed, nearest

WORDS = st.text("abcxyzäß,;'\"\t 0", min_size=1).filter(lambda word: word.strip(" \t") == word)
TABLES = st.integers(1, 8).flatmap(
    lambda rows: st.fixed_dictionaries(
        {
            "count": st.lists(st.integers(-(2**40), 2**40), min_size=rows, max_size=rows),
            "size, cm": st.lists(st.floats(-1e6, 1e6), min_size=rows, max_size=rows),
            "name": st.lists(WORDS.filter(lambda word: word.strip("0") != ""), min_size=rows, max_size=rows),
        }
    )
)


def write(frame: pd.DataFrame, path):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if path.name.endswith((".csv", ".csv.gz")):
        frame.to_csv(path, index=False)
    elif path.name.endswith((".tsv", ".tsv.gz")):
        frame.to_csv(path, index=False, sep="\t")
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        frame.to_json(path, orient="records", lines=True, double_precision=15)
    elif path.suffix == ".parquet":
        pa.parquet.write_table(table, path)
    elif path.suffix == ".feather":
        pa.feather.write_feather(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    return path


@pytest.mark.parametrize(
    "ending", ["csv", "csv.gz", "tsv", "tsv.gz", "parquet", "feather", "arrow", "jsonl", "jsonl.gz"]
)
@given(columns=TABLES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_format_gives_back_what_was_written(tmp_path, ending, columns):
    frame = pd.DataFrame(columns)
    back = read_table(write(frame, tmp_path / f"table.{ending}"))
    assert list(back.columns) == list(frame.columns)
    assert back["count"].tolist() == frame["count"].tolist()
    assert back["name"].tolist() == frame["name"].tolist()
    np.testing.assert_allclose(back["size, cm"], frame["size, cm"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table, dict])
def test_frames_in_memory_read_alike(make):
    columns = {"x": [1.5, None, 3.0], "y": ["a", None, "c"], "n": [1, 2, 3]}
    frame = read_table(make(columns))
    assert frame.shape == (3, 3)
    np.testing.assert_array_equal(frame["x"], [1.5, np.nan, 3.0])
    assert frame["y"].isna().tolist() == [False, True, False]
    assert frame["y"].dropna().tolist() == ["a", "c"]
    assert frame["n"].dtype.kind == "i"


def test_the_users_frame_stays_as_it_was():
    frame = pd.DataFrame({"x": [1, 2]}, index=[7, 9])
    assert read_table(frame).index.tolist() == [0, 1]
    assert frame.index.tolist() == [7, 9]


def test_parquet_reads_only_the_columns_asked_for(tmp_path, monkeypatch):
    path = write(pd.DataFrame({"a": [1], "b": [2], "c": [3]}), tmp_path / "t.parquet")
    asked = {}
    original = pa.parquet.read_table

    def spy(file, columns=None):
        asked["columns"] = columns
        return original(file, columns=columns)

    monkeypatch.setattr(pa.parquet, "read_table", spy)
    assert list(read_table(path, columns=["c", "a"]).columns) == ["c", "a"]
    assert asked["columns"] == ["c", "a"]


@pytest.mark.parametrize("ending", ["parquet", "csv", "feather"])
def test_an_unknown_column_suggests_the_nearest(tmp_path, ending):
    path = write(pd.DataFrame({"label": [1], "text": ["a"]}), tmp_path / f"t.{ending}")
    with pytest.raises(InputError, match=r"no column 'lable'\. Did you mean 'label'\?"):
        read_table(path, columns=["lable"])


def test_a_pandas_index_in_a_parquet_file_is_no_column(tmp_path):
    pd.DataFrame({"x": [1, 2, 3]}).query("x > 1").to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet").columns) == ["x"]


def test_npz_lays_arrays_side_by_side(tmp_path):
    x, emb, y = np.arange(6.0).reshape(3, 2), np.ones((3, 4), np.float32), np.array(["a", "b", "c"])
    np.savez(tmp_path / "t.npz", y=y, X=x, emb=emb, scale=np.ones(9), version=np.array(1))
    frame = read_table(tmp_path / "t.npz")
    assert list(frame.columns) == ["y", "X_0", "X_1", "emb_0", "emb_1", "emb_2", "emb_3"]
    np.testing.assert_array_equal(frame[["X_0", "X_1"]], x)
    assert frame["y"].tolist() == ["a", "b", "c"]


def test_npz_without_x_takes_its_rows_from_the_first_matrix(tmp_path):
    np.savez(tmp_path / "t.npz", other=np.ones(7), emb=np.ones((3, 2)), y=np.arange(3))
    assert list(read_table(tmp_path / "t.npz").columns) == ["emb_0", "emb_1", "y"]


def test_npz_pictures_become_one_array_a_row(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (4, 5, 6), dtype=np.uint8)
    np.savez(tmp_path / "t.npz", image=pictures, y=np.arange(4))
    np.testing.assert_array_equal(np.stack(read_table(tmp_path / "t.npz")["image"].tolist()), pictures)


def test_npz_with_python_objects_is_refused(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"cannot be read as \.npz"):
        read_table(tmp_path / "t.npz")


def test_numpy_in_memory():
    assert list(read_table(np.ones((2, 3))).columns) == ["X_0", "X_1", "X_2"]
    records = np.array([(1, 2.0), (3, 4.0)], dtype=[("a", int), ("b", float)])
    assert read_table(records)["b"].tolist() == [2.0, 4.0]
    with pytest.raises(InputError, match=r"shape \(3,\).*2-D"):
        read_table(np.ones(3))


def test_a_dict_may_hold_matrices():
    frame = read_table({"X": np.eye(3), "y": ["a", "b", "c"]})
    assert list(frame.columns) == ["X_0", "X_1", "X_2", "y"]


def test_a_dict_of_uneven_columns_is_refused():
    with pytest.raises(InputError, match=r"lengths.*'x': 2.*'y': 3"):
        read_table({"x": [1, 2], "y": [1, 2, 3]})


@pytest.fixture
def pictures(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8), (number * 99, 0, 0)).save(tmp_path / "pets" / label / f"{number}.png")
    return tmp_path / "pets"


def test_a_folder_of_images_has_one_class_a_folder(pictures):
    (pictures / "cat" / "notes.txt").write_text("not a picture")
    frame = read_table(pictures)
    assert frame["label"].tolist() == ["cat", "cat", "dog", "dog"]
    assert all(Image.open(path).size == (8, 8) for path in frame["image"])


def test_image_paths_are_relative_to_the_table(pictures):
    absolute = str(pictures / "dog" / "1.png")
    pd.DataFrame({"file": ["cat/0.png", absolute, None], "y": [0, 1, 0]}).to_csv(pictures / "t.csv", index=False)
    files = read_table(pictures / "t.csv")["file"]
    assert files[0] == str(pictures / "cat" / "0.png")
    assert files[1] == absolute
    assert pd.isna(files[2])


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match=r"no images.*one sub-folder a class"):
        read_table(tmp_path)


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "reviews.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match=r"no such file. Did you mean .*reviews\.csv\?"):
        read_table(tmp_path / "review.csv")
    with pytest.raises(InputError, match="no folder"):
        read_table(tmp_path / "nowhere" / "review.csv")


@pytest.mark.parametrize("ending", ["parquet", "feather", "arrow", "npz", "csv.gz", "jsonl", "csv"])
def test_a_damaged_file_says_so_in_one_line(tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    path.write_bytes(b"\xff\xfe\x00 this is no table \x80")
    with pytest.raises(InputError, match=rf"t\.{ending}: cannot be read as \.{ending}") as raised:
        read_table(path)
    assert "\n" not in str(raised.value)


def test_a_cut_off_parquet_file_is_refused(tmp_path):
    path = write(pd.DataFrame({"x": np.arange(1000)}), tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"cannot be read as \.parquet"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "the file is empty"),
        ("t.csv", "a,b\n", r"the table is empty \(0 rows, 2 columns\)"),
        ("t.csv", "a,b,a\n1,2,3\n", "duplicated column names 'a'"),
        ("t.csv", "a, a \n1,2\n", "duplicated column names 'a'"),
        ("t.csv", "a,b\n1,2,3\n4,5,6\n", "more cells than the 2 column names"),
        ("t.csv", "a,b\n1,2\n3,4,5\n", "cannot be read as .csv .*line 3"),
        ("t.xyz", "a,b\n1,2\n", r"unknown file type '\.xyz'. Accepted: \.csv"),
        ("t", "a,b\n1,2\n", "unknown file type ''"),
    ],
)
def test_bad_tables_name_what_is_wrong(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / name)


def test_duplicated_names_in_parquet(tmp_path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="duplicated column names 'x'"):
        read_table(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="duplicated column names '1'"):
        read_table(pd.DataFrame([[1, 2]], columns=[1, "1"]))


def test_a_csv_may_have_a_mark_at_its_start_and_line_ends_in_cells(tmp_path):
    (tmp_path / "t.csv").write_bytes('\ufefftext,y\r\n"two\nlines",1\r\n'.encode())
    frame = read_table(tmp_path / "t.csv")
    assert list(frame.columns) == ["text", "y"]
    assert frame["text"][0] == "two\nlines"


def test_json_lines_keep_strings_of_digits(tmp_path):
    with gzip.open(tmp_path / "t.jsonl.gz", "wt") as file:
        file.write('{"code": "007", "n": 1}\n{"code": "008"}\n')
    frame = read_table(tmp_path / "t.jsonl.gz")
    assert frame["code"].tolist() == ["007", "008"]
    assert frame["n"].isna().tolist() == [False, True]


def test_a_lazy_frame_must_be_collected():
    with pytest.raises(InputError, match=r"\.collect\(\)"):
        read_table(pl.DataFrame({"x": [1]}).lazy())


@pytest.mark.parametrize("source", [3, None, {1, 2}, ["a"]])
def test_other_things_are_no_tables(source):
    with pytest.raises(TypeError, match="A table cannot be read from"):
        read_table(source)


@given(st.lists(st.sampled_from(["e0", "e1", "x", "y,z", "a*"]), min_size=1, unique=True))
def test_names_expand_to_themselves(names):
    columns = ["e0", "e1", "x", "y,z", "a*"]
    assert expand("features", names, columns) == names


def test_globs_pass_over_columns_that_have_a_part():
    assert expand("features", "*", ["x", "y", "e0"], exclude={"y"}) == ["x", "e0"]
    with pytest.raises(InputError, match="column 'y' already has another part"):
        expand("features", "x,y", ["x", "y"], exclude={"y"})
    with pytest.raises(InputError, match="no column matches 'q\\*'"):
        expand("features", "q*", ["x"])


def test_the_nearest_name_ignores_case_and_gives_up():
    assert nearest("LABEL", ["text", "label"]) == "label"
    assert nearest("zzz", ["text", "label"]) is None
    assert listed(list("abcdefghijk"), most=3) == "'a', 'b', 'c' and 8 more"
