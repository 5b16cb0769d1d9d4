"""The summary on the command line: complete, aligned, and deaf to what labels say."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.report.fixture import CASES, make_run

from labelwise.report import terminal


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], list[dict[Any, Any]]]]:
    found = {}
    for case in CASES:
        run = make_run(tmp_path_factory.mktemp(case), case)
        file = run / "leaderboard.parquet"
        rows = pd.read_parquet(file).to_dict("records") if file.exists() else []
        found[case] = (json.loads((run / "run.json").read_text(encoding="utf-8")), rows)
    return found


def on_terminal(info: dict[str, Any], rows: list[dict[Any, Any]], width: int = 100) -> str:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=True).print(terminal.summary(info, rows, terminal=True))
    return file.getvalue()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [40, 100])
def test_terminal_shows_every_case(runs: Any, case: str, width: int) -> None:
    shown = on_terminal(*runs[case], width=width)
    assert "\x1b[1m" in shown
    assert {sequence[0] for sequence in shown.split("\x1b")[1:]} <= {"["}
    assert "\x1b[31mred" not in shown and "\x07" not in shown and "\x00" not in shown


@pytest.mark.parametrize("case", CASES)
def test_plain_text_has_no_escape_and_says_the_same(runs: Any, case: str) -> None:
    info, rows = runs[case]
    text = terminal.plain(info, rows)
    assert "\x1b" not in text and text.splitlines()[0] == terminal.content.headline(info)
    assert [block.title for block in terminal.blocks(info, rows) if block.title not in text] == []


def test_plain_summary_of_a_run(runs: Any) -> None:
    text = terminal.plain(*runs["many"])
    assert "10,003 (10,003 labelled, 3,080 in the test set)" in text
    assert "critical  The test set has other class shares  3,080  total variation 0.112 (0.094 to 0.13)" in text
    assert "+2.3 points" in text and "failed" in text and "+1.2 points (+0.4 to +2.0) of accuracy" in text
    assert "labelwise review runs/bank" in text and "labelwise run runs/bank --resume" in text


def test_the_summary_keeps_the_order_of_the_questions(runs: Any) -> None:
    text = terminal.plain(*runs["many"])
    parts = ["What was understood", "In short", "Can I trust", "What does it cost", "What should I do", "How good is",
             "What was tried", "Findings", "Next", "Leaderboard"]  # fmt: skip
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_columns_line_up_for_wide_signs() -> None:
    block = terminal.Block("T", [("漢字", "1"), ("e\u0301", "22")], ("name", "n"), frozenset({1}))
    assert terminal._lines(block) == ["  name   n", "  漢字   1", "  e\u0301     22"]
    assert len({cell_len(line) for line in terminal._lines(block)}) == 1


def test_markup_of_rich_is_only_text(runs: Any) -> None:
    advice = {"reason": "[bold red]boo[/] [link=x]y", "verdict": "baseline kept"}
    shown = on_terminal({"advice": advice, "data": {"source": "[blink]z"}}, [])
    assert "[bold red]boo[/]" in shown and "[link=x]y" in shown and "[blink]z" in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_show_uses_colours_on_a_terminal_only(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    pipe, tty, dumb = io.StringIO(), Terminal(), Terminal()
    terminal.show(*runs["two"], file=pipe)
    terminal.show(*runs["two"], file=tty)
    monkeypatch.setenv("TERM", "dumb")
    terminal.show(*runs["two"], file=dumb)
    assert "\x1b[" in tty.getvalue()
    assert "\x1b[" not in pipe.getvalue() + dumb.getvalue() and pipe.getvalue() == dumb.getvalue()


def test_show_survives_a_narrow_encoding(runs: Any) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    terminal.show(*runs["hostile"], file=file)
    file.flush()
    assert b"Leaderboard" in raw.getvalue()


def test_understood_comes_before_any_result(runs: Any) -> None:
    text = str(terminal.understood(runs["many"][0], terminal=False))
    assert text.startswith("What was understood") and "Findings" not in text
    assert "question (text), intent (label), customer_id (group)" in text


def test_import_is_light() -> None:
    script = "import sys, labelwise.report.terminal as t; t.plain({}); print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"rich", "pandas", "numpy", "sklearn", "torch", "jinja2"} & set(loaded)


def test_summary_without_leaderboard_is_short(runs: Any, tmp_path: Path) -> None:
    info, _ = runs["many"]
    assert "Leaderboard" not in terminal.plain(info)
