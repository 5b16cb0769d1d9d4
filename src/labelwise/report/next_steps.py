"""What should I do next? Actions in order, what more labels would bring and cost, the rows to label, past rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labelwise.report import content, wording
from labelwise.report.actions import Action, actions
from labelwise.report.answers import gain_text
from labelwise.report.charts import Stop, growth
from labelwise.report.content import estimate
from labelwise.report.examples import Shown, looked_at
from labelwise.report.reading import Run, rows_of
from labelwise.report.wording import clean, count, number, percent_tick

View = dict[str, Any]

MAX_QUERIES = 50


def next_steps(run: Run, shown: Shown) -> View:
    """One view for the template."""
    return {
        "actions": [_action(item) for item in actions(run.info)],
        "curve": learning_curve(run.info),
        "queries": queries(run, shown),
        "rounds": rounds(run),
    }


def _action(item: Action) -> View:
    return {
        "title": item.title, "why": item.why, "command": item.command, "effort": item.effort, "promise": item.promise,
        "gain": gain_text(item.gain) if item.gain else "", "metric": wording.words_of((item.gain or {}).get("metric") or ""),
    }  # fmt: skip


# -- the learning curve


def learning_curve(info: Mapping[str, Any]) -> View | None:
    """Measured scores by labels, their projection, and the labels (and money) that the next points take."""
    told = content.part(info, "learning_curve")
    measured, ahead = (_stops(told, name) for name in ("points", "projection"))
    if len(measured) < 2:
        return None
    metric = str(told.get("metric") or "accuracy")
    share = wording.is_share(metric)
    price = number(told.get("label_cost"))
    said = _said(metric, measured, ahead)
    return {
        "plot": growth(measured, ahead, said, percent_tick if share else wording.figure, share=share),
        "said": said,
        "method": clean(told.get("method"), 80),
        "stand_in": clean(told.get("method"), 80) != clean(content.part(info, "model").get("method"), 80),
        "metric": wording.words_of(metric),
        "price": "" if price is None else wording.figure(price),
        "level": wording.level(told.get("level")),
        "next": [_needed(metric, item, price) for item in content.listing(told, "next") if number(item.get("gain"))],
        "table": [_line(metric, stop, price, measured[-1].labels, ahead) for stop in [*measured, *ahead]],
    }  # fmt: skip


def _stops(told: Mapping[str, Any], name: str) -> list[Stop]:
    stops = []
    for item in content.listing(told, name)[:24]:
        labels, found = number(item.get("labels")), estimate(item)
        if labels and labels > 0 and found:
            value, low, high = found
            stops.append(Stop(labels, value, value if low is None else low, value if high is None else high))
    return sorted(stops, key=lambda stop: stop.labels)


def _said(metric: str, measured: list[Stop], ahead: list[Stop]) -> str:
    name = wording.words_of(metric)
    start = f"From {count(measured[0].labels)} to {count(measured[-1].labels)} labels, {name} went from "
    start += f"{wording.score(metric, measured[0].value)} to {wording.score(metric, measured[-1].value)}."
    double = next((stop for stop in ahead if ahead and stop.labels >= 1.99 * ahead[0].labels), None)
    if double is None:
        return start
    gain = wording.difference(metric, max(double.value - ahead[0].value, 0.0))
    return f"{start} Twice today's labels would bring about {gain}."


def _needed(metric: str, item: Mapping[str, Any], price: float | None) -> View:
    """One line: a gain, the labels it takes with their interval, and what they cost."""
    labels = content.part(item, "labels")
    value, low, high = (number(labels.get(name)) for name in ("value", "low", "high"))
    beyond = "more than 9 times today's"
    return {
        "gain": wording.difference(metric, item.get("gain")),
        "labels": beyond if value is None else f"about {count(value)}",
        "spread": "" if value is None else f"{count(low)} to {beyond if high is None else count(high)}",
        "cost": "" if price is None or value is None else wording.figure(value * price),
    }


def _line(metric: str, stop: Stop, price: float | None, last: float, ahead: list[Stop]) -> View:
    today = ahead[0].labels if ahead else last
    more = stop.labels - today
    return {
        "labels": count(stop.labels), "score": wording.score(metric, stop.value),
        "spread": wording.span(metric, stop.low, stop.high), "projected": stop in ahead,
        "cost": "" if price is None or more <= 0 else wording.figure(more * price),
    }  # fmt: skip


# -- the rows to label, and past rounds


def queries(run: Run, shown: Shown) -> View | None:
    """Rows to label next."""
    if run.queries.empty:
        return None
    columns = ("rank", "row", "preview", "prediction", "confidence", "reason")
    rows = looked_at(rows_of(run.queries, columns, MAX_QUERIES), shown)
    return {"rows": rows, "total": len(run.queries), "place": content.place(run.info, run.path.name),
            "several": content.several(run.info)}  # fmt: skip


def rounds(run: Run) -> View | None:
    """Rounds of a labelling session, compared by a score that the choice of rows cannot bend."""
    found = content.rounds(run.info)
    if not found:
        return None
    rows = [
        {
            "round": count(item.get("round")), "created": wording.moment(item["created"]) if item.get("created") else "",
            "labelled": count(item.get("labelled")), "method": clean(item.get("method"), 60),
            "score": wording.score(item["metric"], item["score"].get("value")),
            "span": wording.span(item["metric"], item["score"].get("low"), item["score"].get("high")),
        }
        for item in found
    ]  # fmt: skip
    return {"rows": rows, "metric": wording.words_of(found[-1]["metric"]), "test": found[-1]["where"] == "test"}
