"""Rows as a reader sees them: a picture, a text that can be unfolded, or the fields of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from labelwise.report.reading import rows_of
from labelwise.report.wording import clean, words_of

EXCERPT = 160
"""Characters of a text that are shown before it is unfolded."""
WHOLE = 2000
_PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]{1,40000}")

FLAGGED = (
    "row", "kind", "preview", "given_label", "suggested_label", "confidence", "expected_precision", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What a row looks like: `head` always, `rest` and `fields` when unfolded, `image` as a data URL."""

    head: str
    rest: str = ""
    image: str = ""
    fields: tuple[tuple[str, str], ...] = ()


class Shown:
    """The rows that the run kept for its report, by number; of others, the preview is all there is."""

    def __init__(self, frame: pd.DataFrame) -> None:
        usable = not frame.empty and "row" in frame
        self.lines: dict[str, Mapping[Any, Any]] = {
            str(line["row"]): line for line in (frame.head(2000).to_dict("records") if usable else [])
        }

    def look(self, row: object, preview: object) -> Look:
        """Return how to show a row: from what the run kept of it, else from its preview."""
        line = self.lines.get(str(row), {})
        text = clean(line.get("text"), WHOLE) or clean(preview, WHOLE)
        image = str(line.get("image") or "")
        if image and not line.get("text"):
            text = text.replace("\\", "/").rsplit("/", 1)[-1]  # beside its picture, the name of the file is enough
        head, rest = _split(text)
        return Look(head, rest, image if _PICTURE.fullmatch(image) else "", _fields(line.get("fields")))


def _split(text: str) -> tuple[str, str]:
    """Break a text at a space near the length of an excerpt.

    >>> _split("short")
    ('short', '')
    """
    if len(text) <= EXCERPT + 40:
        return text, ""
    at = text.rfind(" ", EXCERPT // 2, EXCERPT)
    at = at if at > 0 else EXCERPT
    return text[:at], text[at:]


def _fields(raw: object) -> tuple[tuple[str, str], ...]:
    try:
        found = json.loads(raw) if isinstance(raw, str) else []
    except ValueError:
        return ()
    pairs = [pair for pair in found if isinstance(pair, list) and len(pair) == 2] if isinstance(found, list) else []
    return tuple((clean(name, 60), clean(value, 80)) for name, value in pairs[:16])


def with_preview(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with a column ``preview``: the column that shows a row may be named for what it holds."""
    if "preview" in frame:
        return frame
    return frame.rename(columns={name: "preview" for name in ("text", "text/preview", "image") if name in frame})


def looked_at(rows: list[dict[str, Any]], shown: Shown) -> list[dict[str, Any]]:
    """Add to every row how to show it, as ``look``."""
    return [{**row, "look": shown.look(row.get("row"), row.get("preview") or "")} for row in rows]


def shown_rows(frame: pd.DataFrame, shown: Shown, kind: object, most: int = 3) -> list[dict[str, Any]]:
    """Return the first flagged rows of a kind, for its card."""
    if frame.empty or "kind" not in frame:
        return []
    same = [found for found in frame["kind"].unique() if words_of(found) == words_of(kind)]
    return looked_at(rows_of(with_preview(frame[frame["kind"].isin(same)].head(most)), FLAGGED, most), shown)
