"""What ``run.json`` says, read forgivingly: a part that is missing or of another type reads as empty.

Nothing here imports more than the standard library: the command line prints its summary with it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from labelwise.report.wording import clean, is_share, number, percent, sentence, words_of

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


def several(info: Mapping[str, Any]) -> bool:
    """Whether rows have several labels."""
    return part(info, "data").get("task") == "multi-label"


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


def estimate(found: object) -> tuple[float, float | None, float | None] | None:
    """Return value, low and high of an estimate as it stands in ``run.json``; None where it has no value.

    >>> estimate({"value": 0.5, "low": 0.4}), estimate(None)
    ((0.5, 0.4, None), None)
    """
    if not isinstance(found, Mapping):
        return None
    value = number(found.get("value"))
    return None if value is None else (value, number(found.get("low")), number(found.get("high")))


def is_label_error(kind: object) -> bool:
    """Whether findings and flagged rows of this kind are suspected label errors."""
    words = words_of(kind).lower()
    return words.startswith(("label error", "label issue", "mislabel", "wrong label"))


def label_errors(info: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the finding on label errors, if there is one."""
    return next((item for item in findings(info) if is_label_error(item.get("kind"))), None)


def error_share(info: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the estimated share of wrong labels, if the finding on label errors tells one."""
    evidence = part(label_errors(info) or {}, "evidence")
    named = [name for name in evidence if is_share(name) and not re.search("precision|recall|flagged", words_of(name))]
    shares = (part(evidence, name) for name in named)
    return next((share for share in shares if number(share.get("value")) is not None), None)


def gains(info: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the findings whose promised gain is known, with it: of the model's score first, the largest first."""
    told = [(item, part(item, "gain")) for item in findings(info)]
    known = [(item, gain) for item, gain in told if estimate(gain)]
    return sorted(known, key=lambda pair: ("labels" in str(pair[1].get("metric")), -float(pair[1]["value"])))


def place(info: Mapping[str, Any], default: str = "RUN") -> str:
    """Return the run's directory as a shell takes it."""
    found = clean(part(info, "command").get("out"), 200)
    return shlex.quote(found or default)


def headline(info: Mapping[str, Any]) -> str:
    """Say the most important thing of a run: how right the labels are, and how the race ended.

    >>> headline({"advice": {"verdict": "baseline kept"}})
    'Nothing proved better than the plain baseline, so you keep the baseline.'
    """
    found, outcome = error_share(info), part(info, "audit", "checked").get("label errors")
    if info.get("status") == "running":
        return verdict(info)
    if found is not None:
        return f"About {percent(found.get('value'))} of the labels look wrong. {verdict(info)}"
    return f"The labels look right. {verdict(info)}" if outcome == "nothing found" else verdict(info)


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
