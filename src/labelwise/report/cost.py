"""What does it cost me? What mending each finding promises, with intervals, on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from labelwise.report import content, wording
from labelwise.report.differences import difference_write
from labelwise.report.plots import Item, intervals
from labelwise.report.reading import Run
from labelwise.report.svg import span_scale
from labelwise.report.wording import clean, number, sentence

View = dict[str, Any]
Promise = tuple[Mapping[str, Any], Mapping[str, Any]]


def cost(run: Run) -> View:
    """Promised gains in one plot a metric, and the findings whose gain is unknown with the reason."""
    known = sorted(content.gains(run.info), key=lambda pair: str(pair[1].get("metric")))
    levels = {wording.level(gain.get("level")) for _, gain in known}
    by_metric = groupby(known, lambda pair: str(pair[1].get("metric") or "score"))
    return {
        "plots": [_plot(metric, [*group]) for metric, group in by_metric],
        "level": ", ".join(sorted(levels)),
        "unknown": _unknown(run.info),
    }  # fmt: skip


def _plot(metric: str, promises: Sequence[Promise]) -> View:
    items = [_item(metric, *promise) for promise in sorted(promises, key=lambda pair: -float(pair[1]["value"]))]
    scale = span_scale([end for item in items for end in item.ends], include=[0.0])
    plot = intervals(items, "Promised gains", difference_write(metric, scale), scale, zero=0.0)
    return {"metric": wording.words_of(metric), "unit": "points" if wording.is_share(metric) else "", "plot": plot}


def _item(metric: str, found: Mapping[str, Any], gain: Mapping[str, Any]) -> Item:
    value, low, high = (number(gain.get(name)) for name in ("value", "low", "high"))
    proven, chance = (low or 0) > 0, (low is None or low <= 0) and (high is None or high >= 0)
    name = clean(gain.get("action"), 100) or clean(found.get("title") or found.get("kind"), 100)
    return Item(
        name[:1].upper() + name[1:], value or 0.0, wording.difference(metric, value), low, high,
        note=wording.difference_span(metric, low, high), tone="main" if proven else "plain",
        badge="" if proven else "may be chance" if chance else "lowers it",
    )  # fmt: skip


def _unknown(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the findings without a promise, and why."""
    return [
        (clean(item.get("title") or item.get("kind"), 120), why)
        for item in content.findings(info)
        if content.estimate(item.get("gain")) is None and (why := sentence(item.get("no_gain"), 300))
    ]
