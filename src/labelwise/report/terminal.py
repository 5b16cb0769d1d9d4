"""The end of a run on the command line: what was understood, the five answers, findings, what to do, what was tried.

`blocks` lays the summary out once; it is dressed with rich for a terminal and set as plain text for everything else.
Foreign text goes through `wording.clean`, so a label can neither colour nor steer a terminal, and it is never read as
rich's markup.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from labelwise.report import content, wording
from labelwise.report.actions import actions
from labelwise.report.answers import answers, gain_text
from labelwise.report.wording import clean, count, number, plural

if TYPE_CHECKING:
    from rich.console import RenderableType

STYLES = {
    "critical": "bold red", "major": "yellow", "minor": "cyan", "info": "dim",
    "winner": "bold green", "baseline": "bold", "dropped": "dim", "failed": "dim",
}  # fmt: skip
MAX_FINDINGS = 12
MAX_METHODS = 10
MAX_ACTIONS = 4


@dataclass(frozen=True)
class Block:
    """One part of the summary: a title, and rows of cells under optional heads; `styles` holds one style a row."""

    title: str
    rows: Sequence[tuple[str, ...]]
    heads: tuple[str, ...] = ()
    numeric: frozenset[int] = frozenset()
    styles: tuple[str, ...] = ()


def understood(info: Mapping[str, Any], terminal: bool | None = None) -> RenderableType:
    """What was understood of the data, to show before the work starts: for rich, or plain text as `summary` says."""
    return _dressed("", [_understood(info)], terminal)


def _understood(info: Mapping[str, Any]) -> Block:
    data = content.part(info, "data")
    columns = content.listing(info, "data", "columns")
    named = [item for item in columns if item.get("role") != "feature"]
    roles = [f"{clean(item.get('name'), 24)} ({clean(item.get('role'), 12)})" for item in named[:6]]
    more = [f"{count(len(named) - 6)} more"] if len(named) > 6 else []
    more += [plural(len(columns) - len(named), "feature")] if len(columns) > len(named) else []
    rows = [
        ("data", content.data_name(info, 60)),
        ("rows", _rows(data)),
        ("columns", ", ".join(roles + more)),
        ("task", clean(data.get("task"), 60)),
        ("labels", clean(data.get("supervision"), 160)),
        ("classes", _classes(content.part(data, "class_counts"))),
        ("features", clean(data.get("encoder"), 160)),
    ]
    return Block("What was understood", [row for row in rows if row[1]])


def _rows(data: Mapping[str, Any]) -> str:
    named = (("labelled", "labelled"), ("unlabelled", "without a label"), ("test_rows", "in the test set"))
    parts = [f"{count(data[key])} {words}" for key, words in named if number(data.get(key))]
    total = "" if number(data.get("rows")) is None else count(data["rows"])
    return f"{total} ({', '.join(parts)})" if total and parts else total


def _classes(counts: Mapping[str, Any]) -> str:
    sizes = [rows for raw in counts.values() if (rows := number(raw)) is not None]
    return f"{count(len(sizes))}, from {count(min(sizes))} to {count(max(sizes))} rows" if sizes else ""


def blocks(info: Mapping[str, Any], leaderboard: Iterable[Mapping[str, Any]] = ()) -> list[Block]:
    """Lay out the whole summary; parts with nothing in them are left out."""
    board = [*leaderboard]
    parts = [
        _understood(info), _answers(info, board), _findings(info), _next(info), _rounds(info), _leaderboard(info, board),
    ]  # fmt: skip
    return [part for part in parts if part.rows]


def _findings(info: Mapping[str, Any]) -> Block:
    items = content.findings(info)[:MAX_FINDINGS]
    rows = [
        (content.severity(item), clean(item.get("title") or item.get("kind"), 60), _size(item), _promise(item))
        for item in items
    ]
    styles = tuple(STYLES[content.severity(item)] for item in items)
    return Block(
        "Findings", rows, ("severity", "finding", "rows", "mending promises, or evidence"), frozenset({2}), styles
    )


def _size(item: Mapping[str, Any]) -> str:
    return count(item["count"]) if number(item.get("count")) else ""  # 0: it is about the whole data set


def _promise(item: Mapping[str, Any]) -> str:
    """Gain of mending a finding, or the first number of its evidence where the gain is not known."""
    gain = content.part(item, "gain")
    if content.estimate(gain) is None:
        return _evidence(item)
    return f"{gain_text(gain)} of {wording.words_of(gain.get('metric'), 30)}"


def _evidence(item: Mapping[str, Any]) -> str:
    for name in content.part(item, "evidence"):
        estimate = content.part(item, "evidence", name)
        if number(estimate.get("value")) is not None:
            spread = wording.span(name, estimate.get("low"), estimate.get("high"))
            return f"{wording.words_of(name, 30)} {wording.score(name, estimate['value'])}" + (
                f" ({spread})" if spread else ""
            )
    return ""


def _leaderboard(info: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> Block:
    metric = str(content.part(info, "advice").get("metric") or "score")
    rows, styles = [], []
    for item in items[:MAX_METHODS]:
        status = clean(item.get("status"), 12)
        spread = wording.difference_span(metric, item.get("difference_low"), item.get("difference_high"))
        gain = wording.NONE if status == "baseline" else wording.difference(metric, item.get("difference"))
        rows.append((
            clean(item.get("method"), 40), wording.score(metric, item.get("score")), gain,
            "" if status == "baseline" else spread, wording.duration(item.get("seconds")), status,
        ))  # fmt: skip
        styles.append(STYLES.get(status, ""))
    heads = ("method", wording.words_of(metric), "to baseline", "interval", "time", "status")
    return Block("Leaderboard", rows, heads, frozenset({1, 2, 4}), tuple(styles))


def _rounds(info: Mapping[str, Any]) -> Block:
    found = content.rounds(info)
    metric = found[-1]["metric"] if found else ""
    rows = [
        (count(item.get("round")), count(item.get("labelled")), clean(item.get("method"), 40),
         wording.score(item["metric"], item["score"].get("value")),
         wording.span(item["metric"], item["score"].get("low"), item["score"].get("high")))
        for item in found
    ]  # fmt: skip
    place = "on the test set" if found and found[-1]["where"] == "test" else "on the table's own labels"
    heads = ("round", "labels", "method", f"{wording.words_of(metric)} {place}", "interval")
    return Block("Rounds of labelling", rows, heads, frozenset({0, 1, 3}))


def _answers(info: Mapping[str, Any], board: Sequence[Mapping[str, Any]]) -> Block:
    return Block("In short", [(answer.question, answer.text) for answer in answers(info, board)] if info else [])


def _next(info: Mapping[str, Any]) -> Block:
    """Name the actions that a command starts, in their order."""
    todo = [action for action in actions(info) if action.command][:MAX_ACTIONS]
    return Block(
        "Next", [(f"{place}.", clean(action.title, 60), action.command) for place, action in enumerate(todo, 1)]
    )


def summary(
    info: Mapping[str, Any], leaderboard: Iterable[Mapping[str, Any]] = (), terminal: bool | None = None
) -> RenderableType:
    """Summary of a run as something that rich can print; plain text, which rich prints too, where nobody reads colours.

    Parameters
    ----------
    info
        Content of ``run.json``; parts that are missing are left out.
    leaderboard
        Rows of ``leaderboard.parquet`` as mappings, best first.
    terminal
        Whether it goes to a terminal; None asks standard output.
    """
    return _dressed(content.headline(info), blocks(info, leaderboard), terminal)


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody reads `stream` on a terminal that knows colours and columns."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _dressed(heading: str, parts: Sequence[Block], terminal: bool | None) -> RenderableType:
    if not (is_terminal(sys.stdout) if terminal is None else terminal):
        return _plain(heading, parts)
    from rich.console import Group
    from rich.text import Text

    dressed: list[RenderableType] = [Text(heading, style="bold")] if heading else []
    for block in parts:
        dressed += [*([Text("")] if dressed else []), Text(block.title, style="bold underline"), _table(block)]
    return Group(*dressed)


def _table(block: Block) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=bool(block.heads), header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for place, head in enumerate(block.heads or block.rows[0]):
        kept = (not block.heads and place == 0) or place in block.numeric
        table.add_column(
            Text(head if block.heads else ""), justify="right" if place in block.numeric else "left", no_wrap=kept,
            style="" if block.heads or place else "dim", overflow="fold",
        )  # fmt: skip
    for row, style in zip(block.rows, block.styles or ("",) * len(block.rows), strict=True):
        table.add_row(*(Text(cell) for cell in row), style=style)
    return table


def plain(info: Mapping[str, Any], leaderboard: Iterable[Mapping[str, Any]] = ()) -> str:
    """Summary of a run as plain text with aligned columns: for pipes, files and dumb terminals.

    >>> print(plain({"data": {"source": "wine.csv"}}).splitlines()[0])
    The labels were audited; no method was raced.
    """
    return _plain(content.headline(info), blocks(info, leaderboard))


def _plain(heading: str, parts: Sequence[Block]) -> str:
    texts = ["\n".join([block.title, *_lines(block)]) for block in parts]
    return "\n\n".join([heading, *texts] if heading else texts)


def _lines(block: Block) -> list[str]:
    rows = [block.heads, *block.rows] if block.heads else block.rows
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(_padded(*cell) for cell in _cells(row, widths, block.numeric)).rstrip() for row in rows]


def _cells(row: tuple[str, ...], widths: Sequence[int], numeric: frozenset[int]) -> list[tuple[str, int, bool]]:
    return [(cell, width, place in numeric) for place, (cell, width) in enumerate(zip(row, widths, strict=True))]


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if right else cell + space


def _width(text: str) -> int:
    """Columns that a text takes: two for a wide character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def show(info: Mapping[str, Any], leaderboard: Iterable[Mapping[str, Any]] = (), file: TextIO | None = None) -> None:
    """Print the summary: through rich if `file` (default: standard output) is a terminal, else as plain text."""
    stream = sys.stdout if file is None else file
    if is_terminal(stream):
        from rich.console import Console

        Console(file=stream).print(summary(info, leaderboard, terminal=True))
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(plain(info, leaderboard).encode(encoding, "replace").decode(encoding), file=stream)
