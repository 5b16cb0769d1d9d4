"""Class by class: how many rows it has against how often it is right, and precision and recall of the weakest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from labelwise.report import content
from labelwise.report.charts import ClassPoint, support_plot
from labelwise.report.plots import Item, intervals, pairs
from labelwise.report.reading import Run
from labelwise.report.svg import Scale
from labelwise.report.wording import clean, count, figure, number, percent, percent_tick, plural

View = dict[str, Any]

MAX_CLASSES = 14
MAX_CLASS_TABLE = 400
NAMED = 4
"""Classes whose names stand in the plot of support against accuracy: those furthest below the others."""


def per_class(run: Run) -> View | None:
    """Two charts and a table of the classes; None where the run scored none."""
    rows = content.listing(run.info, "scores", "per_class")
    items = [item for row in rows if (item := _item(row)) is not None]
    if not items:
        return None
    items.sort(key=_f1)
    worst = items[:MAX_CLASSES]
    scale = share_scale([min(item.value, item.second or 0.0) for item in worst])
    return {
        "plot": pairs(worst, "Precision and recall by class", percent_tick, scale),
        "support": _support(run.info, rows),
        "labels": content.several(run.info),
        "total": len(items),
        "shown": len(worst),
        "zoomed": scale.low > 0,
        "table": items[:MAX_CLASS_TABLE] if len(items) > len(worst) else None,
    }


def tail(run: Run) -> View | None:
    """The score where training rows are many, medium and few; None where they are about even."""
    told = content.part(run.info, "scores", "tail")
    share, what = told.get("measure") == "recall", "label" if content.several(run.info) else "class"
    items = []
    for row in content.listing(run.info, "scores", "tail", "parts"):
        value, low, high = (number(row.get(name)) for name in ("value", "low", "high"))
        if value is not None:
            write = percent if share else figure
            spread = "" if low is None or high is None else f"{write(low)} to {write(high)}"
            items.append(Item(_part(row, what), value, write(value), low, high, spread, tone="main"))
    if len(items) < 2:
        return None
    scale = share_scale([item.ends[0] for item in items]) if share else Scale(0.0, max(item.ends[1] for item in items))
    tick = percent_tick if share else figure
    return {
        "plot": intervals(items, "Score where training rows are many, medium and few", tick, scale),
        "measure": clean(told.get("measure"), 40),
        "share": share,
        "what": "labels" if what == "label" else "classes",
        "zoomed": scale.low > 0,
    }


def _part(row: Mapping[str, Any], what: str) -> str:
    """Name a part of the tail: ``few: 4 classes of 3 to 19 rows``."""
    name, classes = clean(row.get("part"), 20), number(row.get("classes"))
    if classes is None:
        return f"{name}: {plural(row.get('rows'), 'row')} scored"
    low, high = number(row.get("from")) or 0, number(row.get("to")) or 0
    sizes = count(low) if low == high else f"{count(low)} to {count(high)}"
    return f"{name}: {plural(classes, what, f'{what}es' if what == 'class' else 'labels')} of {sizes} rows"


def _item(row: Mapping[str, Any]) -> Item | None:
    precision, recall = number(row.get("precision")), number(row.get("recall"))
    if precision is None or recall is None:
        return None
    text = f"{percent(precision)} · {percent(recall)}"
    return Item(clean(row.get("class"), 200), precision, text, second=recall, note=plural(row.get("support"), "row"))


def _f1(item: Item) -> float:
    second = item.second or 0.0
    return 2 * item.value * second / (item.value + second) if item.value + second > 0 else 0.0


def _support(info: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> View | None:
    """Rows of a class against the share of them that is predicted right; few classes are told by the other chart."""
    sizes = content.part(info, "data", "class_counts")
    told = [
        (clean(row.get("class"), 80), number(sizes.get(str(row.get("class")))) or support, recall, support)
        for row in rows
        if (support := number(row.get("support"))) and (recall := number(row.get("recall"))) is not None
    ]
    if len(told) < 5 or max(one[1] for one in told) < 1.3 * min(one[1] for one in told):
        return None
    overall = sum(recall * support for *_, recall, support in told) / sum(one[-1] for one in told)
    named = _named(told)
    points = [
        ClassPoint(name, size, recall, *wilson(recall, support), place in named, "main" if place in named else "plain")
        for place, (name, size, recall, support) in enumerate(told[:1000])
    ]
    said = _said(told, overall, content.several(info))
    return {"plot": support_plot(points, said, overall), "said": said}


def _named(told: Sequence[tuple[str, float, float, float]]) -> set[int]:
    """Places of the least accurate classes whose names do not cover each other."""
    kept: list[int] = []
    for place in sorted(range(len(told)), key=lambda place: told[place][2]):
        if all(abs(told[place][2] - told[other][2]) > 0.04 for other in kept):
            kept.append(place)
        if len(kept) == NAMED:
            break
    return set(kept)


def _said(told: Sequence[tuple[str, float, float, float]], overall: float, labels: bool) -> str:
    """Say how accurate the smaller half of the classes is against the larger half."""
    ordered = sorted(told, key=lambda one: one[1])
    half = len(ordered) // 2
    small, large = (
        sum(recall * support for *_, recall, support in part) / sum(one[-1] for one in part)
        for part in (ordered[:half], ordered[half:])
    )
    few = count(ordered[half - 1][1])
    if labels:
        return (
            f"Of all labels that rows have {percent(overall)} are found: {percent(small)} of the {plural(half, 'label')} "
            f"with fewest rows (up to {few}), {percent(large)} of the others."
        )
    return (
        f"Of all rows {percent(overall)} are predicted right: {percent(small)} in the {plural(half, 'class', 'classes')} "
        f"with fewest labels (up to {few}), {percent(large)} in the others."
    )


def share_scale(lows: Sequence[float]) -> Scale:
    """From zero if anything is small, else from a round number below the lowest end."""
    low = min(lows, default=0.0)
    return Scale(0.0, 1.0) if low < 0.5 else Scale(math.floor(low * 10 - 0.5) / 10, 1.0)


def wilson(share: float, rows: float, z: float = 1.645) -> tuple[float, float]:
    """Wilson's interval of a share measured on `rows` rows, 90 % by default.

    >>> [round(end, 3) for end in wilson(0.9, 100)]
    [0.84, 0.939]
    """
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return max(middle - half, 0.0), min(middle + half, 1.0)
