"""Where the model errs more than elsewhere: slices that stand out, and scores by source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from labelwise.report import content, wording
from labelwise.report.answers import slice_name
from labelwise.report.content import estimate
from labelwise.report.plots import Item, intervals
from labelwise.report.svg import Scale, span_scale
from labelwise.report.wording import clean, count, number, percent, percent_tick, plural

View = dict[str, Any]

MAX_SLICES = 10
MAX_SOURCES = 30


def slices(info: Mapping[str, Any]) -> View | None:
    """Slices with more errors than elsewhere, with support; None where the run compared none."""
    told = content.part(info, "slices")
    looked = number(told.get("looked_at"))
    if looked is None:
        return None
    rate = wording.is_share(told.get("measure") or "error rate")
    write = percent if rate else wording.figure
    items = [item for line in content.listing(info, "slices", "found")[:MAX_SLICES] if (item := _slice(line, write))]
    top = max([item.ends[1] for item in items] + [item.second or 0.0 for item in items], default=1.0)
    scale = Scale(0.0, min(1.0, 1.1 * top) if rate else 1.1 * top)
    return {
        "looked": count(looked), "rows": count(told.get("rows")), "measure": wording.words_of(told.get("measure") or ""),
        "plot": intervals(items, "Error by slice", percent_tick if rate else wording.figure, scale) if items else None,
        "doubtful": _doubtful(content.listing(info, "slices", "found")[:MAX_SLICES]),
    }  # fmt: skip


def _slice(line: Mapping[str, Any], write: Any) -> Item | None:
    error, elsewhere = estimate(line.get("error")), number(line.get("elsewhere"))
    if error is None or elsewhere is None:
        return None
    value, low, high = error
    text, note = f"{write(value)} against {write(elsewhere)}", plural(line.get("support"), "row")
    return Item(slice_name(line), value, text, low, high, note=note, tone="main", second=elsewhere)


def _doubtful(lines: list[Mapping[str, Any]]) -> list[str]:
    """Say of slices where many errors are in flagged rows that the labels, not the model, may be wrong."""
    return [
        f"Where {slice_name(line)}, {percent(share)} of the errors are in flagged rows: the labels may be what is wrong."
        for line in lines
        if (share := number(line.get("doubtful"))) is not None and share >= 0.25
    ]


def sources(info: Mapping[str, Any]) -> list[View]:
    """Scores by source and by group, one chart a column."""
    return [view for told in content.listing(info, "sources") if (view := _source(told)) is not None]


def _source(told: Mapping[str, Any]) -> View | None:
    measure = str(told.get("measure") or "accuracy")
    share = wording.is_share(measure)
    items = [item for line in content.listing(told, "rows")[:MAX_SOURCES] if (item := _source_item(line, measure))]
    if not items:
        return None
    ends = [end for item in items for end in item.ends]
    low = math.floor(10 * min(ends) - 0.01) / 10
    scale = Scale(max(0.0, low), min(1.0, math.ceil(10 * max(ends)) / 10)) if share else span_scale(ends)
    total = number(told.get("total")) or len(items)
    return {
        "column": clean(told.get("column"), 60), "measure": wording.words_of(measure),
        "plot": intervals(items, f"{measure} by source", percent_tick if share else wording.figure, scale),
        "more": max(int(total) - len(items), 0), "zoomed": share and scale.low > 0,
    }  # fmt: skip


def _source_item(line: Mapping[str, Any], measure: str) -> Item | None:
    found = estimate(line)
    if found is None:
        return None
    value, low, high = found
    spread = wording.span(measure, low, high)
    note = "; ".join(filter(None, (spread, plural(line.get("support"), "row"))))
    return Item(
        clean(line.get("source"), 80) or "(empty)",
        value,
        wording.score(measure, value),
        low,
        high,
        note=note,
        tone="main",
    )
