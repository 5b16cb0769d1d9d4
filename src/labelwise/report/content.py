"""What ``run.json`` says, read forgivingly: a part that is missing or of another type reads as empty.

Nothing here imports more than the standard library: the command line prints its summary with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labelwise.report.wording import clean, number, sentence

SEVERITIES = ("critical", "major", "minor", "info")
"""Severities of a finding, worst first."""


def part(info: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the object at `path`, or an empty one.

    >>> part({"data": {"rows": 3}}, "data")["rows"], part({}, "audit", "noise_matrix")
    (3, {})
    """
    found: Any = info
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def listing(info: Mapping[str, Any], *path: str) -> list[Mapping[str, Any]]:
    """Return the objects of the list at `path`, or no objects."""
    return [item for item in values(info, *path) if isinstance(item, Mapping)]


def values(info: Mapping[str, Any], *path: str) -> list[Any]:
    """Return the list at `path`, or an empty one."""
    found = part(info, *path[:-1]).get(path[-1])
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else []


def severity(finding: Mapping[str, Any]) -> str:
    """Severity of a finding; an unknown one reads as ``info``."""
    found = str(finding.get("severity", "")).lower()
    return found if found in SEVERITIES else "info"


def findings(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Findings of the audit, worst first."""
    return sorted(listing(info, "audit", "findings"), key=lambda item: SEVERITIES.index(severity(item)))


def three_things(info: Mapping[str, Any]) -> list[str]:
    """Return the three sentences to know, as many as there are."""
    return [text for text in (sentence(item, 400) for item in values(info, "three_things")[:3]) if text]


def data_name(info: Mapping[str, Any], limit: int = 80) -> str:
    """Name of the data: the last part of its path."""
    source = clean(part(info, "data").get("source")) or "your data"
    return clean(source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or source, limit)


def verdict(info: Mapping[str, Any]) -> str:
    """Outcome of a run in one sentence.

    >>> verdict({"advice": {"verdict": "not raced"}})
    'The labels were audited; no method was raced.'
    """
    advice = part(info, "advice")
    chosen = clean(advice.get("chosen"), 60) or "A method"
    if info.get("status") == "running":
        return "This run has not finished yet."
    if advice.get("verdict") == "beats baseline":
        return f"{chosen} beats the plain baseline on your data."
    if advice.get("verdict") == "baseline kept":
        return "Nothing proved better than the plain baseline, so you keep the baseline."
    if part(info, "model"):
        return "The plain baseline was trained; there was nothing to compare it with."
    return "The labels were audited; no method was raced."


def chosen_score(info: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]] | None:
    """Return place, metric and estimate of the score to quote: that on the test set before that in validation."""
    wanted = str(part(info, "advice").get("metric") or "")
    for where in ("test", "validation"):
        scores = part(info, "scores", where)
        for metric in (wanted, *scores):
            estimate = part(scores, metric)
            if number(estimate.get("value")) is not None:
                return where, metric, estimate
    return None


def rounds(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rounds of a labelling session with the score that compares them (``metric``, ``score``); none before the second.

    >>> rounds({"rounds": [{"round": 1}]})
    []
    """
    found = listing(info, "rounds")
    return [_round(item) for item in found] if len(found) > 1 else []


def _round(item: Mapping[str, Any]) -> Mapping[str, Any]:
    metric = str(item.get("metric") or "accuracy")
    where = "test" if part(item, "test") else "table_labels"
    return {**item, "metric": metric, "score": part(item, where, metric), "where": where}
