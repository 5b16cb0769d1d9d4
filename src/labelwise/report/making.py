"""How the report came to be: enough to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labelwise.report import content, wording
from labelwise.report.command import command
from labelwise.report.plots import Item, bars
from labelwise.report.reading import Run
from labelwise.report.tried import splits
from labelwise.report.wording import clean, count, number

View = dict[str, Any]

STAGES = {"look": "slices, curve and map"}
"""Stages whose name says too little."""


def making(run: Run) -> View:
    """How the report came to be: enough to repeat it."""
    info = run.info
    advice, model = content.part(info, "advice"), content.part(info, "model")
    facts = [
        ("Data", clean(content.part(info, "data").get("source"), 300)),
        ("Chosen method", clean(model.get("method") or advice.get("chosen"), 80)),
        ("Model", clean(model.get("path"), 300)),
        ("Seed", clean(info.get("seed"), 20)),
        ("Time allowed", wording.duration(info["budget_seconds"]) if number(info.get("budget_seconds")) else ""),
        ("Splits", splits(advice)),
        ("Answers", _answers(info)),
        ("labelwise", clean(info.get("labelwise"), 20)),
        *((clean(name, 40), clean(version, 40)) for name, version in [*content.part(info, "versions").items()][:12]),
    ]
    return {
        "facts": [fact for fact in facts if fact[1]],
        "command": command(info),
        "seconds": _seconds(info),
        "notes": notes(info),
    }


def _answers(info: Mapping[str, Any]) -> str:
    given = content.part(info, "command").get("answers")
    return f"{count(given)} labels of answers.csv stand in the place of the table's" if number(given) else ""


def _seconds(info: Mapping[str, Any]) -> Any:
    spent = content.part(info, "seconds")
    items = [
        Item(STAGES.get(str(name), clean(name, 30)), seconds, wording.duration(seconds))
        for name, raw in spent.items()
        if name != "total" and (seconds := number(raw)) is not None
    ]
    return bars(items, "Time by stage") if items else None


def notes(info: Mapping[str, Any]) -> list[str]:
    """Return what the run left out, and why."""
    return [clean(note, 400) for note in content.values(info, "notes")[:12] if isinstance(note, str)]
