from __future__ import annotations

import os
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from labelwise.data import ImageEncoder, TableEncoder, TextEncoder, cache
from labelwise.data.cache import default_directory, encoded, fitted

RNG = np.random.default_rng(0)


def frame(rows: int = 30) -> pd.DataFrame:
    words = RNG.choice(["card", "late", "lost", "app"], (rows, 4))
    return pd.DataFrame({"size": RNG.normal(size=rows), "text": [" ".join(row) for row in words]})


ENCODERS = [TableEncoder(columns=["size"]), TextEncoder(model="tfidf", n_components=3)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def files(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: type(encoder).__name__)
def test_the_second_time_comes_from_disk(folder, encoder, monkeypatch):
    table = frame()
    expected = encoder.fit(table).transform(table)
    np.testing.assert_array_equal(encoded(encoder, table, directory=folder), expected)
    monkeypatch.setattr(type(encoder), "encode", lambda self, rows: pytest.fail("encoded again"))
    again = encoded(encoder, table, directory=folder)
    assert isinstance(again, np.memmap)
    assert not again.flags.writeable
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.assign(text=table["text"].where(table.index != 7, "another text")),
        lambda table: table.iloc[::-1],
        lambda table: table.head(20),
    ],
)
def test_other_content_is_another_entry(folder, change):
    table = frame()
    encoder = TextEncoder(model="tfidf", n_components=3).fit(table)
    encoded(encoder, table, directory=folder)
    other = change(table).reset_index(drop=True)
    np.testing.assert_array_equal(encoded(encoder, other, directory=folder), encoder.transform(other))
    assert len(files(folder)) == 2


def test_columns_that_are_not_read_do_not_matter(folder):
    table = frame()
    encoder = TableEncoder(columns=["size"]).fit(table)
    encoded(encoder, table, directory=folder)
    encoded(encoder, table.assign(text="changed"), directory=folder)
    assert len(files(folder)) == 1


def test_an_encoder_fitted_on_other_rows_is_another_entry(folder):
    table = frame()
    one, two = TableEncoder(columns=["size"]).fit(table), TableEncoder(columns=["size"]).fit(table.head(9))
    np.testing.assert_array_equal(encoded(one, table, directory=folder), one.transform(table))
    np.testing.assert_array_equal(encoded(two, table, directory=folder), two.transform(table))


def test_an_image_file_counts_by_what_is_in_it(folder, tmp_path):
    table = pd.DataFrame({"image": [str(tmp_path / "a.png")]})
    for value in (10, 200):
        Image.new("L", (4, 4), value).save(tmp_path / "a.png")
        pixels = encoded(ImageEncoder(size=2).fit(table), table, directory=folder)
        assert np.all(pixels == value)


@pytest.mark.parametrize("damage", ["truncate", "garbage", "flip", "empty"])
def test_a_damaged_file_is_written_anew(folder, damage):
    table = frame()
    encoder = TableEncoder(columns=["size"]).fit(table)
    expected = encoded(encoder, table, directory=folder)
    [name] = files(folder)
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 0x10
    damaged = {"truncate": content[:-20], "garbage": b"not an array", "flip": content, "empty": b""}[damage]
    (folder / name).write_bytes(bytes(damaged))
    np.testing.assert_array_equal(encoded(encoder, table, directory=folder), expected)
    assert files(folder) == [name]
    np.testing.assert_array_equal(np.load(folder / name), expected)


def test_what_was_learned_is_restored(folder, monkeypatch):
    table = frame()
    reference = fitted(TextEncoder(model="tfidf", n_components=3), table, directory=folder)
    monkeypatch.setattr(TextEncoder, "learn", lambda self, rows: pytest.fail("fitted again"))
    restored = fitted(TextEncoder(model="tfidf", n_components=3), table, directory=folder)
    np.testing.assert_array_equal(restored.transform(table), reference.transform(table))


def test_other_parameters_are_fitted_anew(folder):
    table = frame()
    for width in (2, 3):
        encoder = fitted(TextEncoder(model="tfidf", n_components=width), table, directory=folder)
        assert encoder.n_features_ == width


def test_a_damaged_state_is_fitted_anew(folder):
    table = frame()
    fitted(TableEncoder(columns=["size"]), table, directory=folder)
    [name] = files(folder)
    (folder / name).write_bytes(b"PK not a zip")
    encoder = fitted(TableEncoder(columns=["size"]), table, directory=folder)
    np.testing.assert_array_equal(encoder.transform(table), TableEncoder(columns=["size"]).fit_transform(table))


def test_an_encoder_that_holds_a_function_is_not_cached(folder):
    table = pd.DataFrame({"image": pd.Series([np.ones((4, 4), np.uint8)] * 3, dtype=object)})
    encoder = fitted(ImageEncoder(size=2, encoder=lambda x: x.reshape(len(x), -1)), table, directory=folder)
    assert encoded(encoder, table, directory=folder).shape == (3, 4)
    assert not folder.exists()


def test_the_oldest_files_go_when_there_is_no_room(folder, monkeypatch):
    encoder = TableEncoder(columns=["size"]).fit(frame())
    tables = [frame() for _ in range(4)]
    for number, table in enumerate(tables):
        encoded(encoder, table, directory=folder)
        for file in folder.iterdir():
            os.utime(file, (file.stat().st_mtime - 100,) * 2)
        if number == 2:
            monkeypatch.setattr(cache, "LIMIT", 2 * next(folder.iterdir()).stat().st_size)
    assert len(files(folder)) == 2


def test_what_a_kill_left_goes_after_a_day(folder):
    folder.mkdir()
    old, young = folder / ".new-old", folder / ".new-young"
    for file, age in ((old, 2), (young, 0)):
        file.write_bytes(b"half")
        os.utime(file, (time.time() - age * 86_400,) * 2)
    table = frame()
    encoded(TableEncoder(columns=["size"]).fit(table), table, directory=folder)
    assert not old.exists() and young.exists()


def test_a_folder_that_cannot_be_written_costs_only_the_cache(tmp_path):
    (tmp_path / "file").write_text("in the way")
    table = frame()
    encoder = TableEncoder(columns=["size"]).fit(table)
    features = encoded(encoder, table, directory=tmp_path / "file" / "cache")
    np.testing.assert_array_equal(features, encoder.transform(table))


def test_a_full_disk_leaves_no_half_file(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    table = frame()
    encoder = TableEncoder(columns=["size"]).fit(table)
    np.testing.assert_array_equal(encoded(encoder, table, directory=folder), encoder.transform(table))
    assert files(folder) == []


def test_the_environment_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LABELWISE_CACHE", str(tmp_path / "here"))
    assert default_directory() == tmp_path / "here"
    encoded(TableEncoder(columns=["size"]).fit(frame()), frame())
    assert len(files(tmp_path / "here")) == 1
    monkeypatch.setenv("LABELWISE_CACHE", "")
    assert default_directory() is None
    monkeypatch.delenv("LABELWISE_CACHE")
    assert default_directory().parts[-2:] == (".cache", "labelwise")
