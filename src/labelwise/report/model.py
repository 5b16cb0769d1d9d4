"""How good is the model, and for whom? Scores, calibration, classes, slices with more errors than elsewhere, sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from labelwise.report import content, wording
from labelwise.report.classes import per_class, share_scale, tail, wilson
from labelwise.report.parts_of_data import slices, sources
from labelwise.report.plots import Item, histogram, intervals, reliability
from labelwise.report.reading import Run
from labelwise.report.wording import number, percent, percent_tick, plural

View = dict[str, Any]


def model(run: Run) -> View | None:
    """Scores with intervals, reliability, confidence, classes, slices and sources; None without a model."""
    view = {
        "metrics": _metrics(run.info),
        "reliability": _reliability(run.info),
        "confidence": _confidence(run.predictions),
        "classes": per_class(run),
        "tail": tail(run),
        "slices": slices(run.info),
        "sources": sources(run.info),
    }
    return view if any(view.values()) else None


def _metrics(info: Mapping[str, Any]) -> View | None:
    shares: list[Item] = []
    others: list[Item] = []
    for where, place in (("test", "test set"), ("validation", "cross-validation")):
        for metric, estimate in content.part(info, "scores", where).items():
            value = number(content.part({"": estimate}, "").get("value"))
            if value is not None:
                item = _metric(str(metric), place, value, estimate)
                (shares if _fits_axis(str(metric), value) else others).append(item)
    if not shares and not others:
        return None
    order = [item.name for item in shares]
    shares.sort(key=lambda item: order.index(item.name))
    scale = share_scale([item.ends[0] for item in shares])
    return {
        "plot": intervals(shares, "Scores", percent_tick, scale) if shares else None,
        "others": others,
        "zoomed": scale.low > 0,
    }


def _fits_axis(metric: str, value: float) -> bool:
    """Shares where more is better share an axis; errors and losses are written only."""
    return (
        wording.is_share(metric)
        and 0 <= value <= 1
        and not re.search(r"\bece\b|error|loss", wording.words_of(metric).lower())
    )


def _metric(metric: str, place: str, value: float, estimate: Mapping[str, Any]) -> Item:
    low, high = number(estimate.get("low")), number(estimate.get("high"))
    spread = wording.span(metric, low, high)
    tone = "main" if place == "test set" else "plain"
    return Item(wording.heading(metric), value, wording.score(metric, value), low, high, spread, place, tone)


def _reliability(info: Mapping[str, Any]) -> View | None:
    bins = []
    for item in content.listing(info, "scores", "reliability"):
        sure, right, rows = (number(item.get(name)) for name in ("confidence", "accuracy", "count"))
        if sure is not None and right is not None and rows:
            bins.append((sure, right, *wilson(right, rows), rows))
    if not bins:
        return None
    weights = np.array([rows for *_, rows in bins])
    gaps = np.array([sure - right for sure, right, *_ in bins])
    error, bias = float(np.average(abs(gaps), weights=weights)), float(np.average(gaps, weights=weights))
    said = f"Stated confidence and measured accuracy differ by {percent(error)} on average. {_honesty(error, bias)}"
    return {"plot": reliability(sorted(bins), said), "said": said, "table": sorted(bins)}


def _honesty(error: float, bias: float) -> str:
    if error < 0.02:
        return "The model's confidence can be taken at its word."
    if abs(bias) < error / 2:
        return "It is too sure in some places and too shy in others."
    return "The model is more sure than it should be." if bias > 0 else "The model is better than it says."


def _confidence(frame: pd.DataFrame) -> View | None:
    if "confidence" not in frame:
        return None
    sure = pd.to_numeric(frame["confidence"], errors="coerce").dropna().to_numpy()
    sure = sure[(sure >= 0) & (sure <= 1)]
    if not len(sure):
        return None
    counts, edges = np.histogram(sure, bins=20, range=(0, 1))
    high = float((sure >= 0.9).mean())
    said = f"The model is at least 90% sure of {percent(high)} of {plural(len(sure), 'row')}."
    return {"plot": histogram(edges.tolist(), counts.tolist(), said, "confidence of the prediction"), "said": said}
