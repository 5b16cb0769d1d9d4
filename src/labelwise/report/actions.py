"""What to do next, in the order in which it pays: the promised gain by the rows somebody has to look at.

Nothing here imports more than the standard library: the command line prints its summary with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from labelwise.report import content, wording
from labelwise.report.command import again, command
from labelwise.report.content import estimate
from labelwise.report.wording import count, number, plural, sentence

AT_ONCE = 50.0
"""Rows that cost as much as starting at all: gains are compared by the row beyond that."""
LITTLE = 1e-5
"""Gain a row, one point for a thousand rows, below which the severity of findings says more."""
BATCH = 200
"""Labels to buy at once where the learning curve cannot say how many bring a point."""
MOST = 8


@dataclass(frozen=True)
class Action:
    """One thing to do: its name, why, the command that starts it, the rows to look at, and what it promises."""

    title: str
    why: str = ""
    command: str = ""
    rows: float = 0.0
    gain: Mapping[str, Any] | None = None
    urgency: int = 9
    effort: str = ""
    projected: bool = False

    @property
    def proven(self) -> bool:
        """Whether the interval of the promise lies above zero."""
        return self.gain is not None and (number(self.gain.get("low")) or 0) > 0

    @property
    def promise(self) -> str:
        """What the interval lets one say of the gain, in a word or two."""
        high = number(self.gain.get("high")) if self.gain else None
        if self.proven:
            return "Should bring" if self.projected else "Promises"
        return "Might bring" if high is None or high >= 0 else "Changes the score by"

    @property
    def worth(self) -> float:
        """Promised gain by effort; 0 where it is unknown or may be chance."""
        value = number(self.gain.get("value")) if self.gain is not None and self.proven else None
        worth = (value or 0.0) / (AT_ONCE + self.rows)
        return worth if worth >= LITTLE else 0.0


def actions(info: Mapping[str, Any]) -> list[Action]:
    """Return what to do, first what is proven to pay most for the effort, then by severity, then the next round.

    >>> [action.title for action in actions({"audit": {"findings": [{"severity": "minor", "next_step": "keep calm"}]}})]
    ['Keep calm.']
    """
    found = [*_findings(info), *_labels(info), *_race(info)]
    first = sorted(found, key=lambda action: (-action.worth, action.urgency))[:MOST]
    answering = any("labelwise review" in action.command or "labelwise query" in action.command for action in first)
    return [*first, *_round(info)] if answering else first


def _findings(info: Mapping[str, Any]) -> Iterator[Action]:
    for item in content.findings(info):
        urgency = content.SEVERITIES.index(content.severity(item))
        gain = content.part(item, "gain") if estimate(item.get("gain")) else None
        rows = number(item.get("count")) or 0.0
        if content.is_label_error(item.get("kind")) and rows:
            yield _review(info, item, gain, rows)
        elif (urgency < 3 or gain) and (step := sentence(item.get("next_step"), 300)):
            why = sentence(item.get("title") or item.get("kind"), 160)
            found = Action(step, why, "", rows, gain, urgency, f"{plural(rows, 'row')} concerned" if rows else "")
            yield _by_its_promise(found, gain) if gain and found.proven else found


def _by_its_promise(found: Action, gain: Mapping[str, Any]) -> Action:
    """Name an action by what was simulated; the next step that the audit names follows."""
    done = sentence(gain.get("action"), 160)
    return replace(found, title=done[:1].upper() + done[1:], why=f"{found.why} {found.title}") if done else found


def _review(info: Mapping[str, Any], item: Mapping[str, Any], gain: Mapping[str, Any] | None, rows: float) -> Action:
    urgency, effort = min(content.SEVERITIES.index(content.severity(item)), 1), f"{plural(rows, 'row')} to look at"
    if content.several(info):
        why = "flagged.csv lists them, the most suspicious first. Correct the table's label columns, and run again."
        return Action(f"Look at the {plural(rows, 'row')} with a doubtful label", why, "", rows, gain, urgency, effort)
    return Action(
        f"Review the {plural(rows, 'flagged label')}",
        "They are listed from the most to the least suspicious: stop where most turn out right.",
        f"labelwise review {content.place(info)}",
        rows, gain, urgency, effort,
    )  # fmt: skip


def _labels(info: Mapping[str, Any]) -> Iterator[Action]:
    """More labels, as many as the learning curve says that the next point takes."""
    data, curve = content.part(info, "data"), content.part(info, "learning_curve")
    waiting, price = number(data.get("unlabelled")) or 0.0, number(curve.get("label_cost"))
    more, gain = _next_point(info)
    if not waiting and gain is None:
        return
    effort = plural(more, "label") + (f", about {wording.figure(more * price)} at {price:g} each" if price else "")
    why = "The learning curve says that it still pays: see below." if gain else "More labels teach the model more."
    if waiting:
        title = f"Label more rows: {count(waiting)} wait for a label"
        asks = "" if content.several(info) else f"labelwise query {content.place(info)} --n 50"
        yield Action(title, why, asks, more, gain, 3, effort, projected=True)
    elif number(data.get("labelled")):
        yield Action(f"Collect and label about {count(more)} new rows", why, "", more, gain, 6, effort, projected=True)


def _next_point(info: Mapping[str, Any]) -> tuple[float, Mapping[str, Any] | None]:
    """Return the labels that the first step of the learning curve takes, and the gain; a batch and None if unknown."""
    metric = content.part(info, "learning_curve").get("metric")
    for step in content.listing(info, "learning_curve", "next"):
        labels, gain = number(content.part(step, "labels").get("value")), number(step.get("gain"))
        if labels and gain:
            return labels, {"value": gain, "low": gain, "high": None, "metric": metric}
    return float(BATCH), None


def _race(info: Mapping[str, Any]) -> Iterator[Action]:
    advice, given = content.part(info, "advice"), content.part(info, "command")
    if not given or info.get("status") == "running":
        return
    if not advice and given.get("audit_only"):
        why = "This run looked at the labels only; a race tells which method copes best with them."
        yield Action("Train a model", why, again(info, audit_only=False), 0.0, None, 1)
    elif advice.get("verdict") == "not raced" and (spent := number(info.get("budget_seconds"))):
        longer = f"{max(300, round(4 * spent / 60) * 60):g}s"
        why = "The time allowed no method beside the baseline."
        yield Action("Give the race more time", why, again(info, budget=longer), 0.0, None, 2)


def _round(info: Mapping[str, Any]) -> Iterator[Action]:
    if command(info) and not content.part(info, "command").get("audit_only"):
        why = "Decided labels replace those of the table and count as trusted; the file itself stays as it is."
        yield Action("Run again with the decided labels", why, f"labelwise run {content.place(info)} --resume")
