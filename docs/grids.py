"""The comparisons of whole rooms in ``docs/claims``: what each of them says of one method."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CLAIMS = Path(__file__).parent / "claims"
NAMES = {
    "margin": "MarginQuery", "typical": "TypiClust", "diverse margin": "DiverseBatch", "core-set": "CoreSet",
    "k-means": "KMeansQuery", "weighted k-means": "KMeansQuery", "least confidence": "LeastConfidence",
    "entropy": "EntropyQuery", "variance ratio": "VarianceRatio",
}  # fmt: skip
"""What the table of strategies calls a method."""
REFERENCES = ("plain", "labelled rows alone", "random (", "plain k-means")
"""How the row begins that the others are compared with."""


@dataclass(frozen=True)
class Row:
    """One method's line in one comparison."""

    told: str
    title: str
    page: str
    anchor: str
    columns: tuple[str, ...]
    reference: str
    against: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def against_whom(self) -> str:
        """Return what the others are compared with, without the unit of its own line."""
        return self.reference.removesuffix(" (accuracy)")

    @property
    def worse(self) -> list[str]:
        """Return the columns in which the method is surely worse: bold and negative."""
        return [
            f"{name} ({value.strip('*')})"
            for name, value in self.pairs()
            if value.startswith("**-")
        ]

    @property
    def better(self) -> list[str]:
        """Return the columns in which the method is surely better: bold and positive."""
        return [
            f"{name} ({value.strip('*')})"
            for name, value in self.pairs()
            if value.startswith("**+")
        ]

    def pairs(self) -> list[tuple[str, str]]:
        """Return (column, value) without the summaries at the end."""
        return [
            pair
            for pair in zip(self.columns, self.values, strict=True)
            if pair[0] not in ("mean", "seconds")
        ]


def rows_of(name: str) -> list[Row]:
    """Return what the comparisons say of the method called `name`."""
    return [row for told, row in _rows() if told == name]


@cache
def _rows() -> tuple[tuple[str, Row], ...]:
    return tuple(found for page in sorted(CLAIMS.glob("*.md")) for found in _read(page))


def _read(page: Path) -> list[tuple[str, Row]]:
    sections = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[
        1:
    ]
    kept = [
        section
        for section in sections
        if not section.startswith("Details") and page.stem != "index"
    ]
    return [row for section in kept for row in _table(page.name, section)]


def _table(page: str, section: str) -> list[tuple[str, Row]]:
    title, body = section.split("\n", 1)
    table = re.search(r"^\|.*(?:\n\|.*)+", body, flags=re.MULTILINE)
    if table is None:
        return []
    head, _, *lines = (_cells(line) for line in table.group().splitlines())
    reference = next(
        (line for line in lines if line[0].startswith(REFERENCES)), lines[0]
    )
    anchor = re.sub(r"[^\w]+", "-", title.lower()).strip("-")
    same = (title, page, anchor, tuple(head[1:]), reference[0], tuple(reference[1:]))
    return [
        (_method(line[0]), Row(line[0], *same, tuple(line[1:])))
        for line in lines
        if line is not reference
    ]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _method(told: str) -> str:
    bare = re.sub(r" \(\d+ bootstraps\)$", "", told)
    return NAMES.get(bare, bare)
