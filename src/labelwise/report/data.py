"""What was read: columns and their parts, rows, classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labelwise.report import content
from labelwise.report.plots import Item, bars, skyline
from labelwise.report.reading import Run
from labelwise.report.wording import clean, count, number, percent, plural, sentence

View = dict[str, Any]

MAX_COLUMNS = 24
MAX_CLASSES = 400
NAMED_CLASSES = 16
"""Up to so many classes have a bar with a name each; more are columns by rank."""


def data(run: Run) -> View:
    """Columns, task, supervision and class counts."""
    about = content.part(run.info, "data")
    columns = content.listing(run.info, "data", "columns")
    facts = [
        ("Task", sentence(about.get("task"))),
        ("Labels", sentence(about.get("supervision"))),
        ("Features", sentence(about.get("encoder")) + _features(about)),
    ]
    return {
        "facts": [fact for fact in facts if fact[1]],
        "rows": _row_bars(about),
        "columns": [
            {"name": item.get("name"), "role": clean(item.get("role"), 40), "dtype": clean(item.get("dtype"), 40)}
            for item in sorted(columns, key=lambda item: item.get("role") == "feature")[:MAX_COLUMNS]
        ],
        "more_columns": max(len(columns) - MAX_COLUMNS, 0),
        "classes": _classes(about),
        "notes": [clean(note, 400) for note in content.values(run.info, "data", "notes")[:12]],
    }


def _features(about: Mapping[str, Any]) -> str:
    return f" {plural(about['n_features'], 'number')} a row." if number(about.get("n_features")) else ""


def _row_bars(about: Mapping[str, Any]) -> Any:
    rows = [
        ("Labelled", "labelled", "main"),
        ("Without a label", "unlabelled", "plain"),
        ("Test set", "test_rows", "plain"),
    ]
    items = [
        Item(name, float(about[key]), count(about[key]), tone=tone)
        for name, key, tone in rows
        if number(about.get(key))
    ]
    return bars(items, "Rows by kind") if len(items) > 1 else None


def _classes(about: Mapping[str, Any]) -> View | None:
    counts = {
        str(name): int(rows)
        for name, raw in content.part(about, "class_counts").items()
        if (rows := number(raw)) is not None
    }
    if not counts:
        return None
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    total = sum(counts.values()) or 1
    items = [
        Item(name, rows, count(rows), note=percent(rows / total), tone="warn" if rows < 10 else "plain")
        for name, rows in ordered
    ]
    few = len(items) <= NAMED_CLASSES
    small = sum(rows < 10 for rows in counts.values())
    said = f"{plural(len(items), 'class', 'classes')}: from {count(ordered[-1][1])} to {count(ordered[0][1])} rows each"
    return {
        "said": said + (f"; {count(small)} with fewer than 10." if small else "."),
        "plot": bars(items, "Rows per class") if few else skyline([*counts], [*counts.values()], said),
        "largest": None if few else bars(items[:5], "The five largest classes"),
        "smallest": None if few else bars(items[-5:], "The five smallest classes", top=items[0].value),
        "all": None if few else [(name, count(rows)) for name, rows in ordered[:MAX_CLASSES]],
        "more": max(len(items) - MAX_CLASSES, 0) if not few else 0,
    }
