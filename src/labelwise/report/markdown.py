"""The five answers as Markdown: what a log, a pull request or a chat shows of a run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from labelwise.report import content, wording
from labelwise.report.actions import Action, actions
from labelwise.report.answers import answers, gain_text
from labelwise.report.wording import clean, count, number

MAX_FINDINGS = 12
MAX_METHODS = 12
_SPECIAL = re.compile(
    r"([\\`*_\[\]<>|~$&@]|(?<=:)/|(?<=www)\.)"
)  # the last three: addresses and names that become links
_START = re.compile(r"^(\d*)([#+\-=.)])")


def markdown(info: Mapping[str, Any], leaderboard: Iterable[Mapping[str, Any]] = ()) -> str:
    """Return a run as Markdown; foreign text is escaped, so it makes neither markup nor links.

    Parameters
    ----------
    info
        Content of ``run.json``; parts that are missing are left out.
    leaderboard
        Rows of ``leaderboard.parquet`` as mappings, best first.

    Examples
    --------
    >>> markdown({}).splitlines()[0]
    '# The labels were audited; no method was raced.'
    """
    board = [*leaderboard]
    parts = {
        "trust": _findings(info),
        "next": _actions(actions(info)),
        "model": _scores(info),
        "tried": _board(info, board),
    }
    lines = [f"# {plain(content.headline(info))}", "", _origin(info), ""]
    for answer in answers(info, board):
        lines += [f"## {answer.question}", "", plain(answer.text), ""]
        beside = [*parts.get(answer.section, [])]
        lines += [*beside, ""] if beside else []
    return "\n".join([*lines, "Plots, flagged rows and rows to label: `report.html` beside this file.", ""])


def plain(text: object, limit: int = 1000) -> str:
    """Foreign text that Markdown takes as it is.

    >>> print(plain("a_b <b> [x](y)"))
    a\\_b \\<b\\> \\[x\\](y)
    """
    return _START.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", clean(text, limit)))


def code(text: str) -> str:
    """Text as code, whatever backticks are in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"{fence}{text}{fence}"


def _origin(info: Mapping[str, Any]) -> str:
    rows = number(content.part(info, "data").get("rows"))
    told = [
        plain(content.data_name(info)),
        f"{count(rows)} rows" if rows is not None else "",
        wording.moment(info.get("created") or ""),
    ]
    return " · ".join(filter(None, told))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield "| " + " | ".join(heads) + " |"
        yield "|" + " --- |" * len(heads)
        for row in rows:
            yield "| " + " | ".join(cell or " " for cell in row) + " |"


def _findings(info: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for item in content.findings(info)[:MAX_FINDINGS]:
        gain = content.part(item, "gain")
        promise = f"{gain_text(gain)} of {wording.words_of(gain.get('metric'))}" if content.estimate(gain) else ""
        concerned = count(item["count"]) if number(item.get("count")) else ""
        rows.append(
            (content.severity(item), plain(item.get("title") or item.get("kind"), 160), concerned, plain(promise))
        )
    return _table(("severity", "finding", "rows", "mending promises"), rows)


def _actions(todo: Sequence[Action]) -> Iterator[str]:
    for place, action in enumerate(todo, 1):
        promise = f" {action.promise}: {plain(gain_text(action.gain))}." if action.gain else ""
        yield f"{place}. **{plain(action.title.rstrip('.'))}.**{promise}" + (
            f" {code(action.command)}" if action.command else ""
        )


def _scores(info: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (plain(wording.words_of(metric)), place, wording.score(metric, estimate.get("value")),
         wording.span(metric, estimate.get("low"), estimate.get("high")))
        for where, place in (("test", "test set"), ("validation", "cross-validation"))
        for metric, estimate in content.part(info, "scores", where).items()
        if isinstance(estimate, Mapping) and number(estimate.get("value")) is not None
    ]  # fmt: skip
    return _table(("score", "on", "value", "interval"), rows[:12])


def _board(info: Mapping[str, Any], board: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    metric = str(content.part(info, "advice").get("metric") or "score")
    rows = [
        (plain(item.get("method"), 60), wording.score(metric, item.get("score")),
         wording.difference(metric, item.get("difference")),
         wording.difference_span(metric, item.get("difference_low"), item.get("difference_high")),
         plain(item.get("status"), 20))
        for item in board[:MAX_METHODS]
    ]  # fmt: skip
    return _table(("method", plain(wording.words_of(metric)), "to baseline", "interval", "status"), rows)
