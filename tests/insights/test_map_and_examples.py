"""The map keeps what is near near; examples keep what a person needs to judge a row, and stay small."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelwise.base import InputError
from labelwise.data.thumbnails import thumbnail
from labelwise.insights import embedding_map, examples, map_rows
from labelwise.insights.cuts import _bins, cuts
from labelwise.job import Job, Understood, understand


@given(st.integers(1, 300), st.data())
@settings(max_examples=30)
def test_map_rows_are_rows_once_and_hold_the_first_flagged(n: int, data: st.DataObject):
    flagged = data.draw(st.lists(st.integers(0, n - 1), max_size=40))
    rows = map_rows(n, np.array(flagged, dtype=int), most=80)
    assert len(rows) == min(n, 80) and len(set(rows.tolist())) == len(rows) and (np.diff(rows) > 0).all()
    assert set(list(dict.fromkeys(flagged))[:20]) <= set(rows.tolist())


@pytest.mark.parametrize("seconds", [0.0, 10.0])
def test_groups_far_apart_stay_apart_on_the_map(seconds: float):
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 40)
    X = (20 * np.eye(3, 80)[group] + rng.normal(size=(120, 80))).astype(np.float32)
    places, made = embedding_map(X, seconds=seconds)
    assert made == ("t-SNE" if seconds else "principal components")
    assert places.shape == (120, 2) and places.min() >= 0 and places.max() <= 1
    near = np.argsort(((places[:, None] - places) ** 2).sum(-1), axis=1)[:, 1]
    assert (group[near] == group).mean() > 0.95


@pytest.mark.parametrize(
    "X",
    [np.zeros((3, 1)), np.zeros((40, 5)), np.ones((12, 4, 4, 3), np.uint8), np.eye(12)[np.arange(200) % 12],
     np.eye(5)[np.arange(60) % 5], 1e-12 * np.random.default_rng(0).normal(size=(50, 6))],
)  # fmt: skip
def test_maps_of_almost_nothing(X: np.ndarray):
    places, _ = embedding_map(X)
    assert np.isfinite(places).all()
    same = np.flatnonzero((X[0] == X).reshape(len(X), -1).all(axis=1))
    assert np.ptp(places[same], axis=0).max() < 1e-6


def test_a_map_refuses_what_is_not_finite():
    with pytest.raises(InputError, match="finite"):
        embedding_map(np.full((20, 3), np.nan))


def opened(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))


@pytest.mark.parametrize(("shape", "size"), [((300, 200, 3), (64, 96)), ((8, 8), (8, 8)), ((400, 10), (2, 96))])
def test_thumbnails_fit_and_keep_their_shape(shape: tuple[int, ...], size: tuple[int, int]):
    url = thumbnail(np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))
    assert opened(url).size == size and len(url) < 12_000


def test_what_is_no_image_has_no_thumbnail():
    assert thumbnail(b"no image") == thumbnail(None) == thumbnail("missing.png") == thumbnail(3) == ""


def table(n: int = 60) -> Understood:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"size": rng.normal(size=n), "colour": rng.choice(["red", "<b>"], n), "y": rng.choice(["a", "b"], n)}
    )
    frame.loc[:4, "size"] = np.nan
    return understand(Job(source=frame, label="y"))


def test_examples_of_a_table_hold_its_fields_and_of_texts_the_text():
    found = examples(table(), [3, 5, 3])
    assert found["row"].tolist() == [3, 5]
    assert dict(json.loads(found["fields"][1]))["colour"] in ("red", "<b>")
    texts = understand(Job(source=pd.DataFrame({"t": ["word " * 900, "a b c"] * 30, "y": ["a", "b"] * 30}), label="y"))
    if texts.roles.text:
        assert len(examples(texts, [0])["text"][0]) == 2000


def test_pictures_stop_at_their_size_together(tmp_path: Path):
    for place in range(6):
        folder = tmp_path / "ab"[place % 2]
        folder.mkdir(exist_ok=True)
        pixels = np.random.default_rng(place).integers(0, 255, (90, 90, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{place}.png")
    data = understand(Job(source=str(tmp_path)))
    found = examples(data, range(6), most_bytes=20_000)
    sizes = found["image"].str.len()
    assert sizes[0] > 0 and sizes.iloc[-1] == 0 and sizes.sum() < 20_000 + sizes.max()


def test_cuts_of_a_table():
    data = table()
    data.X = np.zeros((60, 2))
    found = list(cuts(data, np.arange(60)))
    assert {cut.column for cut in found} == {"class", "size", "colour"}
    assert sum(cut.value == "missing" for cut in found) == 1
    numbers = [cut.rows for cut in found if cut.column == "size" and cut.value != "missing"]
    assert np.sum(numbers, axis=0).max() == 1 and np.any(numbers, axis=0).sum() == 55


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=60))
def test_quantile_bins_share_out_what_is_finite(values: list[float]):
    array = np.array(values)
    masks = [cut.rows for cut in _bins("x", array, "")]
    if masks and np.ptp(array[np.isfinite(array)]) > 0:
        assert (np.sum(masks, axis=0) == np.isfinite(array)).all()
