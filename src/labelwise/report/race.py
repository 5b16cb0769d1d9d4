"""The sections on methods: what the race showed, and how good the chosen model is."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import median_low
from typing import Any

import numpy as np
import pandas as pd

from labelwise.report import content, wording
from labelwise.report.plots import Item, histogram, intervals, pairs, reliability
from labelwise.report.reading import Run, rows_of
from labelwise.report.svg import Scale, span_scale
from labelwise.report.wording import clean, count, number, percent, percent_tick, plural, sentence

View = dict[str, Any]

MAX_METHODS = 16
MAX_TABLE = 60
MAX_CLASSES = 14
MAX_CLASS_TABLE = 400
COLUMNS = (
    "rank", "method", "status", "score", "score_low", "score_high", "difference", "difference_low", "difference_high",
    "p_value", "adjusted_p", "folds", "seconds", "params", "note",
)  # fmt: skip
TONES = {"winner": "main", "baseline": "reference"}


def race(run: Run) -> View | None:
    """Leaderboard: paired differences to the baseline as dots and intervals, and as a table."""
    advice = content.part(run.info, "advice")
    rows = rows_of(run.leaderboard, COLUMNS, MAX_TABLE)
    if not rows:
        return None
    metric = str(advice.get("metric") or "score")
    items = [item for row in rows if (item := _difference(row, metric)) is not None][:MAX_METHODS]
    return {
        "said": _course(run.leaderboard, advice),
        "reason": sentence(advice.get("reason")),
        "metric": wording.words_of(metric),
        "level": wording.level(advice.get("level")),
        "plot": _difference_plot(items, metric),
        "rows": [_table_row(row, metric) for row in rows],
        "more": max(len(run.leaderboard) - MAX_TABLE, 0),
        "shortlist": [
            (clean(item.get("method"), 60), sentence(item.get("why"), 300))
            for item in content.listing(advice, "shortlist")[:20]
        ],
    }


def _course(frame: pd.DataFrame, advice: Mapping[str, Any]) -> str:
    """Return how the race went, in one sentence."""
    statuses = frame["status"] if "status" in frame else pd.Series(dtype=str)
    where = f", all on the same splits ({splits(advice)})" if splits(advice) else ""
    ends = [
        f"{count(total)} {text}"
        for status, text in (("dropped", "dropped early"), ("failed", "failed"))
        if (total := (statuses == status).sum())
    ]
    return f"{plural(len(frame), 'method')} raced{where}" + (f"; {' and '.join(ends)}." if ends else ".")


def splits(advice: Mapping[str, Any]) -> str:
    """Return how the scores were measured: ``5-fold cross-validation, repeated 3 times``."""
    folds, repeats = number(advice.get("folds")), number(advice.get("repeats"))
    if folds is None:
        return ""
    again = f", repeated {count(repeats)} times" if repeats is not None and repeats > 1 else ""
    return f"{count(folds)}-fold cross-validation{again}"


def _difference(row: Mapping[str, Any], metric: str) -> Item | None:
    status = str(row["status"] or "candidate")
    baseline = status == "baseline"
    value = 0.0 if baseline and number(row["difference"]) is None else number(row["difference"])
    if value is None or status == "failed":
        return None
    spread = wording.difference_span(metric, row["difference_low"], row["difference_high"])
    return Item(
        clean(row["method"]), value, "baseline" if baseline else wording.difference(metric, value),
        None if baseline else number(row["difference_low"]), None if baseline else number(row["difference_high"]),
        note=wording.score(metric, row["score"]) if baseline else spread, tone=TONES.get(status, "plain"),
        badge=status if status in ("winner", "dropped") else "",
    )  # fmt: skip


def _difference_plot(items: Sequence[Item], metric: str) -> Any:
    if not any(item.tone != "reference" for item in items):
        return None
    unit = 100 if wording.is_share(metric) else 1
    scale = difference_scale(items)
    step = abs(np.diff(scale.ticks()[:2])[0]) * unit if len(scale.ticks()) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return intervals(
        items, "Difference to the baseline", lambda tick: wording.signed(tick * unit, digits), scale, zero=0.0
    )


def difference_scale(items: Sequence[Item]) -> Scale:
    """Scale around zero that one hopeless method cannot stretch: far on the losing side, lines run off it.

    >>> difference_scale([Item("good", 0.02, "", 0.01, 0.03), Item("hopeless", -0.6, "", -0.7, -0.5)]).low > -0.2
    True
    """
    ends = [item.ends for item in items if item.tone != "reference"]
    gain = max(0.0, *(high for _, high in ends))
    usual = median_low([high - low for low, high in ends])
    floor = -4 * max(gain, usual, 1e-6)
    return span_scale([max(low, floor) for low, _ in ends] + [max(high, floor) for _, high in ends], include=[0.0])


def _table_row(row: Mapping[str, Any], metric: str) -> View:
    params = clean(row["params"], 160)
    return {
        "rank": count(row["rank"]),
        "method": clean(row["method"], 80),
        "params": "" if params == "{}" else params,
        "status": clean(row["status"], 20),
        "score": wording.score(metric, row["score"]),
        "score_span": wording.span(metric, row["score_low"], row["score_high"]),
        "difference": wording.difference(metric, row["difference"]),
        "difference_span": wording.difference_span(metric, row["difference_low"], row["difference_high"]),
        "p": wording.NONE if number(row["adjusted_p"]) is None else wording.figure(row["adjusted_p"]),
        "folds": count(row["folds"]),
        "seconds": wording.duration(row["seconds"]),
        "note": clean(row["note"], 240),
        "keys": {name: number(row[name]) for name in ("rank", "score", "difference", "adjusted_p", "folds", "seconds")},
    }


def gain_tile(run: Run) -> View | None:
    """Difference of the chosen method to the baseline, or of the best challenger if the baseline was kept."""
    frame = run.leaderboard
    if frame.empty or "status" not in frame or "difference" not in frame:
        return None
    metric = content.part(run.info, "advice").get("metric") or "score"
    challengers = frame[~frame["status"].isin(["baseline", "failed"]) & frame["difference"].notna()]
    if challengers.empty:
        return None
    winners = challengers[challengers["status"] == "winner"]
    best = (winners if len(winners) else challengers.sort_values("difference", ascending=False)).iloc[0]
    spread = wording.difference_span(metric, best.get("difference_low"), best.get("difference_high"))
    label, doubt = ("gain over the baseline", "") if len(winners) else ("best challenger", "not proven better")
    note = "; ".join(filter(None, (spread, doubt)))
    return {"label": label, "value": wording.difference(metric, best["difference"]), "note": note}


def scores(run: Run) -> View | None:
    """Scores with intervals, reliability, precision and recall by class, confidence of the predictions."""
    view = {
        "metrics": _metrics(run.info),
        "reliability": _reliability(run.info),
        "classes": _per_class(run.info),
        "confidence": _confidence(run.predictions),
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
    scale = _share_scale([item.ends[0] for item in shares])
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


def _share_scale(lows: Sequence[float]) -> Scale:
    """From zero if anything is small, else from a round number below the lowest end."""
    low = min(lows, default=0.0)
    return Scale(0.0, 1.0) if low < 0.5 else Scale(math.floor(low * 10 - 0.5) / 10, 1.0)


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


def wilson(share: float, rows: float, z: float = 1.645) -> tuple[float, float]:
    """Wilson's interval of a share measured on `rows` rows, 90 % by default.

    >>> [round(end, 3) for end in wilson(0.9, 100)]
    [0.84, 0.939]
    """
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _per_class(info: Mapping[str, Any]) -> View | None:
    items = []
    for row in content.listing(info, "scores", "per_class"):
        precision, recall = number(row.get("precision")), number(row.get("recall"))
        if precision is not None and recall is not None:
            text = f"{percent(precision)} · {percent(recall)}"
            name = clean(row.get("class"), 200)
            items.append(Item(name, precision, text, second=recall, note=plural(row.get("support"), "row")))
    if not items:
        return None
    items.sort(key=_f1)
    worst = items[:MAX_CLASSES]
    scale = _share_scale([min(item.value, item.second or 0.0) for item in worst])
    return {
        "plot": pairs(worst, "Precision and recall by class", percent_tick, scale),
        "total": len(items),
        "shown": len(worst),
        "zoomed": scale.low > 0,
        "table": items[:MAX_CLASS_TABLE] if len(items) > len(worst) else None,
    }


def _f1(item: Item) -> float:
    second = item.second or 0.0
    return 2 * item.value * second / (item.value + second) if item.value + second > 0 else 0.0


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
