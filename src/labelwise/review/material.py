"""What a card shows: the row's text, picture or fields, the model's probabilities, and neighbours that argue for each label.

All of it comes from the run's own table and is read in the background, so that the page opens at once. Where the table is
gone or has changed, the previews kept in the run must do.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.review.cards import Cards

if TYPE_CHECKING:
    from labelwise.job import Understood
    from labelwise.review.near import Near

READING, READY, MISSING = "reading", "ready", "missing"
NEIGHBOURS = 3
TOP = 5
PREVIEW = 200
THUMBNAIL = 256
MOST_TEXT, MOST_CELL, MOST_FIELDS = 20_000, 500, 200
ROWS_AT_ONCE = 16_384


class Material:
    """The content of a run's cards.

    Parameters
    ----------
    run
        The run's directory.
    cards
        Its cards.
    info
        Its run.json.
    """

    def __init__(self, run: Path, cards: Cards, info: dict[str, Any]) -> None:
        self.run, self.cards = run, cards
        self.show = shown_as(info)
        self.state = READING
        self.notes: list[str] = []
        self._data: Understood | None = None
        self._near: Near | None = None
        self._top: tuple[list[str], NDArray[np.int64], NDArray[np.float64]] | None = None
        self._picture = lru_cache(512)(self._thumbnail)
        self._thread = Thread(target=self._read, name="labelwise-material", daemon=True)

    def start(self) -> None:
        """Begin to read, in the background."""
        self._thread.start()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until everything is read, or cannot be."""
        self._thread.join(seconds)

    def content(self, row: int, preview: str | None) -> dict[str, Any]:
        """Return the row's ``text``, ``image`` (a data URL) and ``fields``; of the table's part what is there by now."""
        data = self._data
        if data is None:
            return {"text": preview, "image": None, "fields": []}
        values, roles = data.frame.iloc[row], data.roles
        text = None if roles.text is None else _text(values[roles.text], MOST_TEXT)
        beside = [name for name in (roles.domain, roles.group, roles.id) if name and name not in roles.inputs()]
        names = [*roles.features, *beside][:MOST_FIELDS]
        image = self._picture(row) if roles.image else None
        if roles.image and image is None:
            text = preview if text is None else text
        return {"text": text, "image": image, "fields": [[name, _text(values[name], MOST_CELL)] for name in names]}

    def proba(self, row: int) -> list[list[Any]]:
        """Return the most probable classes with the model's out-of-fold probabilities; empty where there are none."""
        place = self.cards.position(row)
        if self._top is None or place is None:
            return []
        names, codes, chances = self._top
        return [[names[code], float(p)] for code, p in zip(codes[place], chances[place], strict=True) if code >= 0]

    def neighbours(self, row: int, label: str | None) -> list[dict[str, Any]]:
        """Return the nearest labelled training rows of a class, nearest first."""
        data, near = self._data, self._near
        if data is None or near is None or label is None:
            return []
        found = near.of_class(row, label, NEIGHBOURS)
        return [
            {"row": other, "label": label, "similarity": alike, "preview": self._preview(other),
             "image": self._picture(other) if data.roles.image else None}
            for other, alike in found
        ]  # fmt: skip

    def shown(self, rows: list[int]) -> dict[int, str] | None:
        """Return the whole texts, or the addresses of pictures, of rows; None where the table has neither."""
        data = self._data
        name = None if data is None else data.roles.text or data.roles.image
        if data is None or name is None:
            return None
        values = data.frame[name].iloc[rows]
        if not all(isinstance(value, str) for value in values):
            return None
        return {row: value for row, value in zip(rows, values, strict=True) if value}

    def _preview(self, row: int) -> str:
        """Return a line about a row: the beginning of its text, the name of its picture, or its first fields."""
        content = self.content(row, "image")
        if content["text"] is not None:
            return str(content["text"])[:PREVIEW]
        return ", ".join(f"{name}={value}" for name, value in content["fields"][:4])[:PREVIEW] or "image"

    # -- reading

    def _read(self) -> None:
        """Read the probabilities, the table, and its encoded rows, each shown as soon as it is there."""
        self._attempt("The model's probabilities cannot be shown", self._read_proba)
        if self._attempt("Cards show the previews kept in the run, and no neighbours", self._read_table):
            self._attempt("No neighbours are shown", self._read_near)
        self.state = MISSING if self._data is None else READY

    def _attempt(self, else_: str, read: Callable[[], None]) -> bool:
        try:
            read()
        except InputError as error:
            self.notes.append(f"{else_}: {str(error).removeprefix('--resume: ')}")
            return False
        except Exception as error:  # a thread must not die unheard: what it was to read is said to be missing
            self.notes.append(f"{else_}: {type(error).__name__}: {error}")
            return False
        return True

    def _read_proba(self) -> None:
        file = self.run / "predictions.parquet"
        if file.is_file():
            self._top = most_probable(file, self.cards.rows)

    def _read_table(self) -> None:
        from labelwise.job import understand
        from labelwise.session import job_of

        self._job = job_of(self.run)
        self._data = understand(self._job)

    def _read_near(self) -> None:
        from labelwise.job import encode
        from labelwise.review.near import Near

        if self._data is not None and not self._data.real and len(self.cards):
            encode(self._job, self._data)
            self._near = Near(self._data)

    def _thumbnail(self, row: int) -> str | None:
        assert self._data is not None and self._data.roles.image is not None
        return thumbnail(self._data.frame[self._data.roles.image].iloc[row])


def shown_as(info: dict[str, Any]) -> str:
    """Return whether the rows of a run are best shown as ``image``, ``text`` or ``table``."""
    roles = {column.get("role") for column in info["data"].get("columns") or []}
    return next((role for role in ("image", "text") if role in roles), "table")


def most_probable(
    file: Path, rows: NDArray[np.int64], most: int = TOP
) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]] | None:
    """Return the class names, and the codes and probabilities (len(rows), most) of the most probable classes of rows.

    The file is read in blocks: of a million rows and a thousand classes it would not fit into memory. A code of -1 stands
    where there are fewer classes. None for a file without probabilities.
    """
    import pyarrow.parquet as pq

    reader = pq.ParquetFile(file)
    columns = [name for name in reader.schema_arrow.names if name.startswith("proba_")]
    if not columns:
        return None
    order = np.argsort(rows, kind="stable")
    width = min(most, len(columns))
    codes, chances = np.full((len(rows), most), -1), np.zeros((len(rows), most))
    start = 0
    for block in reader.iter_batches(ROWS_AT_ONCE, columns=columns):
        inside = order[np.searchsorted(rows[order], start) : np.searchsorted(rows[order], start + len(block))]
        if len(inside):
            p = np.stack([block[name].to_numpy()[rows[inside] - start] for name in columns], axis=1)
            best = np.argsort(-p, axis=1, kind="stable")[:, :width]
            codes[inside, :width], chances[inside, :width] = best, np.take_along_axis(p, best, axis=1)
        start += len(block)
    return [name.removeprefix("proba_") for name in columns], codes, chances


def thumbnail(value: Any, size: int = THUMBNAIL) -> str | None:
    """Return a picture of at most `size` pixels a side as a data URL; None where it cannot be read."""
    from PIL import Image, ImageOps

    from labelwise.data.encode_image import _open

    try:
        image = ImageOps.exif_transpose(_open(value))
        image = image.convert("L" if image.mode in {"1", "L", "I", "I;16", "F"} else "RGBA")
        image.thumbnail((size, size))
        small = max(image.size) <= size // 4
        if image.mode == "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        file = io.BytesIO()
        image.save(file, "PNG" if small else "JPEG", quality=85)
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        return None  # a damaged or missing file is no reason not to show the rest of the card
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"


def _text(value: Any, most: int) -> str:
    """Return a cell as text, short enough to show."""
    if (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, float | np.floating) and np.isnan(value))
    ):
        return ""
    text = f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
    return text if len(text) <= most else f"{text[:most]} ..."
