"""Images to pixels of one size, or to vectors through the user's own encoder."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import pandas as pd

from labelwise.base import Count, InputError
from labelwise.data.columns import shown
from labelwise.data.encoder import Encoder

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
    >>> frame = pd.DataFrame({"image": pd.Series([np.zeros((8, 8), np.uint8), np.ones((6, 6), np.uint8)], dtype=object)})
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
        self.channels_ = 3
        self.channels_ = 1 if all(_is_grey(image) for image in self._open_all(frame)) else 3
        self.n_features_ = 0
        if self.encoder is not None:
            self.n_features_ = self._vectors(self._pixels(frame.head(2))).shape[1]

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Decode and resize the images; encode them if there is an encoder."""
        if self.encoder is None:
            if self.n_features_:
                raise InputError(f"ImageEncoder was fitted with an encoder to {self.n_features_} dimensions, which is not "
                                 "stored. Set it again: set_params(encoder=...).")  # fmt: skip
            return self._pixels(frame)
        starts = range(0, len(frame), BATCH)
        return np.vstack([self._vectors(self._pixels(frame.iloc[start : start + BATCH])) for start in starts])

    def _pixels(self, frame: pd.DataFrame) -> np.ndarray:
        pixels = np.empty((len(frame), self.size, self.size, self.channels_), dtype=np.uint8)
        for row, image in enumerate(self._open_all(frame)):
            shaped = image.convert("L" if self.channels_ == 1 else "RGB").resize((self.size, self.size))
            pixels[row] = np.asarray(shaped).reshape(self.size, self.size, self.channels_)
        return pixels

    def _vectors(self, pixels: np.ndarray) -> np.ndarray:
        assert self.encoder is not None
        vectors = np.asarray(self.encoder(pixels), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(pixels) or self.n_features_ not in (0, vectors.shape[1]):
            width = self.n_features_ or "d"
            raise InputError(f"ImageEncoder.encoder must turn {len(pixels)} images into shape ({len(pixels)}, {width}). "
                             f"Got shape {vectors.shape}.")  # fmt: skip
        return vectors

    def _open_all(self, frame: pd.DataFrame) -> Iterator[Any]:
        for row, value in zip(frame.index, frame[self.column], strict=True):
            yield _open(value, self.column, row)

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


def _open(value: object, column: str, row: object) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        if isinstance(value, np.ndarray):
            return Image.fromarray(np.asarray(value.squeeze(), dtype=np.uint8))
        if isinstance(value, dict):  # how Hugging Face data sets store images
            value = value.get("bytes") or value.get("path")
        image = Image.open(io.BytesIO(value) if isinstance(value, bytes | bytearray) else str(value))
        image.load()
    except FileNotFoundError as error:
        raise InputError(f"Column {column!r}, row {row}: no such image file {shown(value, 200)}. "
                         "Paths are relative to the table's folder.") from error  # fmt: skip
    except (UnidentifiedImageError, OSError, TypeError, ValueError, SyntaxError) as error:
        raise InputError(f"Column {column!r}, row {row}: {shown(value)} cannot be read as an image ({error}). "
                         "Remove the row or mend the file.") from error  # fmt: skip
    return image
