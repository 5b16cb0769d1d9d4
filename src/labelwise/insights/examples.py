"""The rows that a report shows, so that a person can judge them: their text, their picture, or their fields."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from labelwise.data.thumbnails import thumbnail
from labelwise.job import Understood

TEXT = 2000
"""Characters of a text that are kept."""
FIELDS = 16
MOST_BYTES = 1_200_000
"""All thumbnails together: the page they go into stays under 3 MB."""
COLUMNS = ["row", "text", "image", "fields"]


def examples(data: Understood, rows: Iterable[int], *, most_bytes: int = MOST_BYTES) -> pd.DataFrame:
    """Return what each row is: ``text`` (2,000 characters), ``image`` (data URL), ``fields`` (JSON of names and values).

    Parameters
    ----------
    data
        What the run read.
    rows
        Row numbers, the most important first.
    most_bytes
        Pictures stop where they reach this size together.
    """
    left, lines = most_bytes, []
    for row in dict.fromkeys(int(row) for row in rows):
        picture = _picture(data, row) if left > 0 else ""
        left -= len(picture)
        lines.append({"row": row, "text": _text(data, row), "image": picture, "fields": _fields(data, row)})
    return pd.DataFrame(lines, columns=COLUMNS)


def _picture(data: Understood, row: int) -> str:
    column = data.roles.image
    return "" if column is None else thumbnail(data.frame[column].iloc[row])


def _text(data: Understood, row: int) -> str:
    column = data.roles.text
    return "" if column is None else str(data.frame[column].iloc[row])[:TEXT]


def _fields(data: Understood, row: int) -> str:
    """Return names and values of the first features; none beside a text or an image, which say what the row is."""
    if data.roles.text or data.roles.image:
        return "[]"
    line = data.frame.iloc[row]
    return json.dumps([[name, _short(line[name])] for name in data.roles.features[:FIELDS]], ensure_ascii=False)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:80]
