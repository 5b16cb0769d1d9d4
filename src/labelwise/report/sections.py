"""What each section of the page says: a run in, display-ready text and charts out.

Text from the user's data stays plain text here; the template and `svg.tag` escape it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from labelwise.report import content, label_errors, race, wording
from labelwise.report.caveats import caveats
from labelwise.report.plots import Item, bars, intervals, skyline
from labelwise.report.reading import Run, rows_of
from labelwise.report.svg import Scale
from labelwise.report.wording import clean, count, number, percent, percent_tick, plural, sentence

View = dict[str, Any]

MARKS = {"critical": "▲", "major": "◆", "minor": "●", "info": "○"}
"""A shape a severity, for readers who see no difference in colour and for black and white print."""

MAX_QUERIES = 50
MAX_COLUMNS = 24
MAX_CLASSES = 400
NO_OPTION = frozenset({"answers", "image_size", "resume", "overwrite"})
"""Arguments of a run that repeat nothing: not on the command line, or about the run before."""
NAMED_CLASSES = 16
"""Up to so many classes have a bar with a name each; more are columns by rank."""


def sections(run: Run) -> View:
    """Every section of the page by name; None for one that this run has nothing to say in."""
    return {
        "head": head(run),
        "data": data(run),
        "findings": findings(run),
        "checked": checked(run),
        "errors": label_errors.label_errors(run),
        "race": race.race(run),
        "scores": race.scores(run),
        "rounds": rounds(run),
        "queries": queries(run),
        "making": making(run),
        "caveats": caveats(run.info, run.leaderboard),
    }


def head(run: Run) -> View:
    """Verdict, the three things to know, and up to four figures."""
    info = run.info
    tiles = (_rows_tile(info), _errors_tile(info), _score_tile(info), race.gain_tile(run), _findings_tile(info))
    return {
        "name": content.data_name(info),
        "created": wording.moment(info["created"]) if info.get("created") else "",
        "verdict": content.verdict(info),
        "reason": sentence(content.part(info, "advice").get("reason")),
        "unfinished": info.get("status") == "running",
        "things": content.three_things(info),
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
    found = label_errors.finding(info)
    if found is None:
        return None
    share = label_errors.error_share(info)
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


def findings(run: Run) -> list[View]:
    """One card a finding, worst first."""
    return [_card(run, item) for item in content.findings(run.info)]


def checked(run: Run) -> View | None:
    """Every check of the audit with its outcome, those that found nothing or could not look among them."""
    outcomes = [
        (clean(name, 60), clean(outcome, 300)) for name, outcome in content.part(run.info, "audit", "checked").items()
    ]
    if not outcomes:
        return None
    looked = sum(not outcome.startswith("not checked") for _, outcome in outcomes)
    clear = sum(outcome == "nothing found" for _, outcome in outcomes)
    return {"said": f"{plural(looked, 'check')} made; {count(clear)} found nothing.", "outcomes": outcomes[:60]}


def _evidence(item: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (str(name), estimate)
        for name, estimate in content.part(item, "evidence").items()
        if isinstance(estimate, Mapping)
    ]


def _card(run: Run, item: Mapping[str, Any]) -> View:
    severity = content.severity(item)
    evidence = [pair for pair in _evidence(item) if number(pair[1].get("value")) is not None][:8]
    shares = [_evidence_item(*pair) for pair in evidence if wording.is_share(pair[0])]
    others = [_evidence_item(*pair) for pair in evidence if not wording.is_share(pair[0])]
    return {
        "severity": severity,
        "mark": MARKS[severity],
        "title": clean(item.get("title"), 160) or wording.words_of(item.get("kind")),
        "summary": sentence(item.get("summary"), 600),
        "rows": plural(item["count"], "row") if number(item.get("count")) else "",
        "plot": _share_plot(shares),
        "numbers": others,
        "levels": ", ".join(
            sorted({wording.level(estimate.get("level")) for _, estimate in evidence if _is_range(estimate)})
        ),
        "next_step": sentence(item.get("next_step"), 400),
        "handles": [clean(name, 40) for name in content.values(item, "handles")][:8],
        "methods": [clean(name, 40) for name in content.values(item, "methods")][:8],
        "examples": label_errors.examples(run.flagged, item.get("kind")),
    }


def _is_range(estimate: Mapping[str, Any]) -> bool:
    return number(estimate.get("low")) is not None and number(estimate.get("low")) != number(estimate.get("high"))


def _evidence_item(name: str, estimate: Mapping[str, Any]) -> Item:
    low, high = number(estimate.get("low")), number(estimate.get("high"))
    value = number(estimate.get("value")) or 0.0
    return Item(
        wording.heading(name),
        value,
        wording.score(name, value),
        low,
        high,
        note=wording.span(name, low, high),
        tone="main",
    )


def _share_plot(shares: list[Item]) -> Any:
    """Shares on one axis from zero, so that their sizes compare; no wider than needed."""
    if not shares:
        return None
    top = max(item.ends[1] for item in shares)
    return intervals(
        shares, "Evidence", percent_tick, Scale(0.0, min(1.0, 1.2 * top) if 0 < top <= 1 else max(top, 1.0))
    )


def queries(run: Run) -> View | None:
    """Rows to label next."""
    if run.queries.empty:
        return None
    columns = ("rank", "row", "preview", "prediction", "confidence", "reason")
    return {"rows": rows_of(run.queries, columns, MAX_QUERIES), "total": len(run.queries), "run": run.path.name}


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
        ("Splits", race.splits(advice)),
        ("Answers", _answers(info)),
        ("labelwise", clean(info.get("labelwise"), 20)),
        *((clean(name, 40), clean(version, 40)) for name, version in [*content.part(info, "versions").items()][:12]),
    ]
    return {"facts": [fact for fact in facts if fact[1]], "command": _command(info), "seconds": _seconds(info)}


def _answers(info: Mapping[str, Any]) -> str:
    given = content.part(info, "command").get("answers")
    return f"{count(given)} labels of answers.csv stand in the place of the table's" if number(given) else ""


def _command(info: Mapping[str, Any]) -> str:
    """Command line that the arguments amount to."""
    given = content.part(info, "command")
    arguments = {name: value for name, value in given.items() if value not in (None, [], "auto") and value is not False}
    if "source" not in arguments:
        return ""
    only_audit = arguments.pop("audit_only", False)
    words = ["labelwise", "audit" if only_audit else "run", str(arguments.pop("source"))]
    for method in arguments.pop("methods", []):
        words += ["--method", str(method)]
    for name, value in arguments.items():
        if name not in NO_OPTION and not (only_audit and name == "budget"):
            words += _option(name, value)
    return clean(shlex.join(words), 600)


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if name == "budget" and number(value) is not None:
        value = f"{value:g}s"
    return ["--" + name.replace("_", "-"), *([] if value is True else [str(value)])]


def _seconds(info: Mapping[str, Any]) -> Any:
    spent = content.part(info, "seconds")
    items = [
        Item(clean(name, 30), seconds, wording.duration(seconds))
        for name, raw in spent.items()
        if name != "total" and (seconds := number(raw)) is not None
    ]
    return bars(items, "Time by stage") if items else None
