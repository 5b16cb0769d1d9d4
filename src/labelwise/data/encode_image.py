"""Images to pixels of one size, or to vectors through the user's own encoder."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
import pandas as pd

from labelwise.base import Count, InputError
from labelwise.data.encoder import Encoder
from labelwise.data.read import reason

BATCH = 256


class ImageEncoder(Encoder):
    """Read a column of images as pixels ``(n, size, size, c)`` uint8, or encode these with a function of the user's.

    Grey images have one channel (if all images seen at `fit` are grey), others three. Images are resized to a square.

    Parameters
    ----------
    column
        The column: paths, bytes of image files, or arrays ``(h, w)`` or ``(h, w, c)`` of pixels.
    size
        Height and width in pixels.
    encoder
        A function from uint8 pixels ``(b, size, size, c)`` to vectors ``(b, d)``, called on batches. It is not stored
        with the encoder: give it again after loading.

    Examples
    --------
    >>> images = [np.zeros((8, 8), np.uint8), np.ones((6, 6), np.uint8)]
    >>> frame = pd.DataFrame({"image": pd.Series(images, dtype=object)})
    >>> ImageEncoder(size=4).fit(frame).transform(frame).shape
    (2, 4, 4, 1)
    """

    column: str = "image"
    size: Annotated[int, Count] = 32
    encoder: Callable[[np.ndarray], Any] | None = None

    def columns_read(self, frame: pd.DataFrame) -> list[str]:
        """Return the column of images."""
        return [self.column]

    def learn(self, frame: pd.DataFrame) -> None:
        """Learn whether there is colour, and the width of the vectors if there is an encoder."""
        grey = [_is_grey(image) for image in self._open_all(frame)]  # opens every image, so that none is missing
        self.channels_ = 1 if all(grey) else 3
        self.n_features_ = 0
        if self.encoder is not None:
            self.n_features_ = self._vectors(self._pixels(frame.head(2))).shape[1]

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Decode and resize the images; encode them if there is an encoder."""
        if self.encoder is None and self.n_features_ == 0:
            return self._pixels(frame)
        if self.encoder is None:
            raise InputError(
                f"ImageEncoder was fitted with an encoder to {self.n_features_} dimensions, which is not stored "
                "with it. Set it again: set_params(encoder=...)."
            )
        starts = range(0, len(frame), BATCH)
        return np.vstack([self._vectors(self._pixels(frame.iloc[start : start + BATCH])) for start in starts])

    def _pixels(self, frame: pd.DataFrame) -> np.ndarray:
        mode, square = ("L" if self.channels_ == 1 else "RGB"), (self.size, self.size)
        pixels = np.empty((len(frame), *square, self.channels_), dtype=np.uint8)
        for row, image in enumerate(self._open_all(frame)):
            with _readable(self.column, frame.index[row]):
                pixels[row] = np.asarray(image.convert(mode).resize(square)).reshape(*square, self.channels_)
        return pixels

    def _vectors(self, pixels: np.ndarray) -> np.ndarray:
        vectors = np.asarray(self.encoder(pixels) if self.encoder else pixels, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(pixels) or self.n_features_ not in (0, vectors.shape[1]):
            raise InputError(
                f"ImageEncoder.encoder must turn {len(pixels)} images into shape ({len(pixels)}, "
                f"{self.n_features_ or 'd'}). Got shape {vectors.shape}."
            )
        return vectors

    def _open_all(self, frame: pd.DataFrame) -> Iterator[Any]:
        """Open the images one by one; their pixels are read later."""
        for row, value in zip(frame.index, frame[self.column], strict=True):
            with _readable(self.column, row):
                image = _open(value)
            yield image

    def feature_names(self) -> list[str]:
        """Name the vectors' dimensions, or the pixels by row, column and channel."""
        if self.n_features_:
            return [f"{self.column}~{number}" for number in range(self.n_features_)]
        shape = (self.size, self.size, self.channels_)
        return [f"{self.column}[{','.join(map(str, place))}]" for place in np.ndindex(shape)]

    def describe(self) -> str:
        """Say what the images become."""
        pixels = (
            f"images {self.column!r} as {self.size} x {self.size} {'grey' if self.channels_ == 1 else 'colour'} pixels"
        )
        return pixels + (f" through the given encoder to {self.n_features_} dimensions" if self.n_features_ else "")


def _is_grey(image: Any) -> bool:
    return image.mode in {"1", "L", "LA", "I", "I;16", "F"}


def _open(value: Any) -> Any:
    from PIL import Image

    if isinstance(value, dict):  # how Hugging Face data sets store images
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes | bytearray):
        return Image.open(io.BytesIO(value))
    if isinstance(value, np.ndarray):
        return Image.fromarray(_as_bytes(value.squeeze()))
    if isinstance(value, str):
        return Image.open(value)
    raise TypeError("neither a path, nor bytes, nor an array")


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    """Return pixels as uint8: whole numbers of 0 to 255 as they are, real numbers of 0 to 1 times 255."""
    low, high = float(pixels.min()), float(pixels.max())
    most = 1 if pixels.dtype.kind == "f" else 255
    if not (low >= 0 and high <= most):
        raise ValueError(f"pixels from {low:g} to {high:g}; accepted: whole numbers of 0 to 255, real ones of 0 to 1")
    return np.asarray(np.rint(pixels * 255) if most == 1 else pixels, dtype=np.uint8)


@contextmanager
def _readable(column: str, row: object) -> Iterator[None]:
    """Name the column and the row of an image that cannot be read."""
    from PIL import Image

    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            f"column {column!r}, row {row}: no such image file {error.filename!r}. "
            "Paths are relative to the table's folder."
        ) from error
    except (OSError, TypeError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f"column {column!r}, row {row}: this is no readable image ({reason(error)}). "
            "Accepted: image files, their bytes, arrays of pixels. Mend the image or remove the row."
        ) from error
