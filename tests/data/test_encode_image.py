from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from labelwise.base import InputError
from labelwise.data import ImageEncoder

RNG = np.random.default_rng(0)


def picture(value: int, mode: str = "RGB", size: int = 9) -> Image.Image:
    return Image.fromarray(np.full((size, size, 3), value, np.uint8)).convert(mode)


def as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["path", "bytes", "array", "dict"])
def test_images_in_every_form(tmp_path, form):
    images = [picture(10), picture(200)]
    values: list[object] = [as_png(image) for image in images]
    if form == "path":
        for number, image in enumerate(images):
            image.save(tmp_path / f"{number}.png")
        values = [str(tmp_path / "0.png"), str(tmp_path / "1.png")]
    if form == "array":
        values = [np.asarray(image) for image in images]
    if form == "dict":
        values = [{"bytes": value, "path": None} for value in values]
    frame = pd.DataFrame({"image": pd.Series(values, dtype=object)})
    pixels = ImageEncoder(size=4).fit_transform(frame)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.broadcast_to(np.array([10, 200])[:, None, None, None], (2, 4, 4, 3)))


def test_images_are_resized_as_pillow_does():
    images = [Image.fromarray(RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8)) for _ in range(3)]
    frame = pd.DataFrame({"image": pd.Series([np.asarray(image) for image in images], dtype=object)})
    expected = [np.asarray(image.resize((8, 8))) for image in images]
    np.testing.assert_array_equal(ImageEncoder(size=8).fit_transform(frame), expected)


def test_grey_images_have_one_channel_unless_one_has_colour():
    grey, colour = as_png(picture(50, "L")), as_png(picture(50))
    encoder = ImageEncoder(size=4).fit(pd.DataFrame({"image": [grey, grey]}))
    assert encoder.describe() == "images 'image' as 4 x 4 grey pixels"
    assert encoder.transform(pd.DataFrame({"image": [grey, colour]})).shape == (2, 4, 4, 1)
    assert ImageEncoder(size=4).fit_transform(pd.DataFrame({"image": [grey, colour]})).shape == (2, 4, 4, 3)


def test_real_pixels_are_shares_of_white():
    frame = pd.DataFrame({"image": pd.Series([np.full((3, 3), 0.2), np.ones((3, 3))], dtype=object)})
    assert ImageEncoder(size=1).fit_transform(frame).ravel().tolist() == [51, 255]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/nowhere/x.png", "row 1: no such image file '/nowhere/x.png'"),
        (b"no image", "row 1: this is no readable image"),
        (np.full((3, 3), 7.5), "row 1: .*pixels from 7.5 to 7.5"),
        (3, "row 1: .*neither a path"),
        (None, "row 1: .*neither a path"),
    ],
)
def test_unreadable_images_name_their_row(value, message):
    frame = pd.DataFrame({"image": pd.Series([as_png(picture(1)), value], dtype=object)})
    with pytest.raises(InputError, match=message):
        ImageEncoder().fit(frame)


def test_a_cut_off_image_is_noticed_when_its_pixels_are_read():
    noise = Image.fromarray(RNG.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    frame = pd.DataFrame({"image": [as_png(noise)[:3000]]})
    with pytest.raises(InputError, match="row 0: this is no readable image"):
        ImageEncoder().fit(frame).transform(frame)


def test_an_encoder_of_the_users():
    frame = pd.DataFrame({"image": pd.Series([np.full((8, 8), i % 256, np.uint8) for i in range(300)], dtype=object)})
    encoder = ImageEncoder(size=2, encoder=lambda pixels: pixels.reshape(len(pixels), -1)[:, :3]).fit(frame)
    np.testing.assert_array_equal(encoder.transform(frame), np.repeat(np.arange(300) % 256, 3).reshape(300, 3))
    assert encoder.describe().endswith("through the given encoder to 3 dimensions")
    with pytest.raises(InputError, match="Set it again"):
        encoder.set_params(encoder=None).transform(frame)
    with pytest.raises(InputError, match=r"into shape \(2, d\)"):
        ImageEncoder(encoder=lambda pixels: pixels[:1].reshape(1, -1)).fit(frame)
