"""What was tried? The leaderboard with intervals, and every method that was considered, raced or not, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from labelwise.report import content, wording
from labelwise.report.differences import difference_scale, difference_write
from labelwise.report.plots import Item, intervals
from labelwise.report.reading import Run, rows_of
from labelwise.report.wording import clean, count, number, plural, sentence

View = dict[str, Any]

MAX_METHODS = 16
MAX_TABLE = 60
MAX_CONSIDERED = 400
COLUMNS = (
    "rank", "method", "status", "score", "score_low", "score_high", "difference", "difference_low", "difference_high",
    "p_value", "adjusted_p", "folds", "seconds", "params", "note",
)  # fmt: skip
TONES = {"winner": "main", "baseline": "reference"}


def tried(run: Run) -> View | None:
    """Leaderboard and considered methods; None where nothing was raced."""
    view = {"race": race(run), "considered": considered(run.info)}
    return view if any(view.values()) else None


def considered(info: Mapping[str, Any]) -> View | None:
    """Methods of the catalogue that did not race, by the reason why; and for those that did, what speaks for them."""
    found = content.listing(info, "advice", "considered")[:MAX_CONSIDERED]
    if not found:
        return None
    lines = [
        {
            "method": clean(item.get("method"), 60), "room": wording.words_of(item.get("room") or "", 40),
            "raced": bool(item.get("raced")), "why": sentence(item.get("why"), 300),
        }
        for item in found
    ]  # fmt: skip
    raced = sum(bool(line["raced"]) for line in lines)
    return {
        "said": f"{plural(len(lines), 'method')} considered: {count(raced)} raced, {count(len(lines) - raced)} left out.",
        "rows": sorted(lines, key=lambda line: (not line["raced"], line["room"], line["method"])),
    }


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
    scale = difference_scale(items)
    return intervals(items, "Difference to the baseline", difference_write(metric, scale), scale, zero=0.0)


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
