"""All sections of the page in their order; each question has a module that turns a run into text and charts.

Text from the user's data stays plain text there; the templates and `svg.tag` escape it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labelwise.report import content, wording
from labelwise.report.answers import answers
from labelwise.report.caveats import caveats
from labelwise.report.cost import cost
from labelwise.report.data import data
from labelwise.report.examples import Shown
from labelwise.report.making import making
from labelwise.report.model import model
from labelwise.report.next_steps import next_steps
from labelwise.report.reading import Run
from labelwise.report.tried import gain_tile, tried
from labelwise.report.trust import trust
from labelwise.report.wording import count, number, percent, plural

View = dict[str, Any]


def sections(run: Run) -> View:
    """Every section of the page by name; None for a part that this run has nothing to say in."""
    shown = Shown(run.examples)
    told = answers(run.info, run.leaderboard.to_dict("records"))  # type: ignore[arg-type]  # columns are named by strings
    return {
        "head": head(run),
        "answers": told,
        "answer": {answer.section: answer.text for answer in told},
        "question_of": {answer.section: answer.question for answer in told},
        "trust": trust(run, shown),
        "cost": cost(run),
        "next": next_steps(run, shown),
        "model": model(run),
        "tried": tried(run),
        "data": data(run),
        "making": making(run),
        "caveats": caveats(run.info, run.leaderboard),
    }


def head(run: Run) -> View:
    """Headline and up to four figures."""
    info = run.info
    tiles = (_rows_tile(info), _errors_tile(info), _score_tile(info), gain_tile(run), _findings_tile(info))
    return {
        "name": content.data_name(info),
        "created": wording.moment(info["created"]) if info.get("created") else "",
        "headline": content.headline(info),
        "unfinished": info.get("status") == "running",
        "tiles": [tile for tile in tiles if tile][:4],
    }


def _tile(label: str, value: str, note: str = "") -> View:
    return {"label": label, "value": value, "note": note}


def _rows_tile(info: Mapping[str, Any]) -> View | None:
    about = content.part(info, "data")
    if number(about.get("rows")) is None:
        return None
    note = f"{count(about.get('labelled'))} labelled" if number(about.get("unlabelled")) else "all labelled"
    kinds = len(content.values(info, "data", "classes"))
    return _tile("rows", count(about["rows"]), note + (f", {plural(kinds, 'class', 'classes')}" if kinds else ""))


def _errors_tile(info: Mapping[str, Any]) -> View | None:
    found = content.label_errors(info)
    if found is None:
        return None
    share = content.error_share(info)
    flagged = f"{plural(found.get('count'), 'row')} flagged"
    if share is None:
        return _tile("labels flagged as wrong", count(found.get("count")))
    spread = wording.span("share", share.get("low"), share.get("high"))
    return _tile("labels that look wrong", percent(share.get("value")), "; ".join(filter(None, (spread, flagged))))


def _score_tile(info: Mapping[str, Any]) -> View | None:
    found = content.chosen_score(info)
    if found is None:
        return None
    where, metric, estimate = found
    place = "on the test set" if where == "test" else "in cross-validation"
    spread = wording.span(metric, estimate.get("low"), estimate.get("high"))
    return _tile(wording.words_of(metric), wording.score(metric, estimate.get("value")), f"{spread} {place}".strip())


def _findings_tile(info: Mapping[str, Any]) -> View | None:
    found = content.findings(info)
    if not found:
        return None
    worst = content.severity(found[0])
    same = sum(content.severity(item) == worst for item in found)
    return _tile("findings" if len(found) > 1 else "finding", count(len(found)), f"{same} {worst}")
