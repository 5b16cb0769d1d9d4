"""The short report in Markdown: the five answers, and no markup from the data."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.report.fixture import CASES, HOSTILE, make_run

from labelwise.report import write_report
from labelwise.report.markdown import code, markdown, plain
from labelwise.report.wording import clean

PARSER = MarkdownIt("commonmark").enable("table")
OURS = {
    "heading", "paragraph", "inline", "text", "softbreak", "table", "thead", "tbody", "tr", "th", "td", "ordered_list",
    "list_item", "strong", "code_inline",
}  # fmt: skip


def kinds(text: str) -> set[str]:
    tokens = [token for block in PARSER.parse(text) for token in (block, *(block.children or []))]
    return {token.type.removesuffix("_open").removesuffix("_close") for token in tokens}


def shown(text: str) -> str:
    return "".join(child.content for block in PARSER.parse(text) for child in block.children or [])


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_its_answers_and_no_foreign_markup(tmp_path: Path, case: str):
    run = make_run(tmp_path / "run", case)
    write_report(run)
    text = (run / "report.md").read_text(encoding="utf-8")
    assert kinds(text) <= OURS
    places = [text.index(f"## {word}") for word in ("Can", "What does", "What should", "How", "What was")]
    assert text.count("\n## ") == 5 and places == sorted(places)
    assert len(text) < 20_000


def test_a_run_in_markdown(tmp_path: Path):
    run = make_run(tmp_path / "run", "many")
    info = json.loads((run / "run.json").read_text())
    text = markdown(info, pd.read_parquet(run / "leaderboard.parquet").to_dict("records"))
    assert "`labelwise review runs/bank`" in text
    assert "flagged labels." in shown(text) and "+1.2 points (+0.4 to +2.0) of accuracy" in text


@given(st.text(max_size=60) | st.sampled_from(HOSTILE))
def test_plain_text_is_shown_as_it_is(text: str):
    for line in (plain(text, 60), "x " + plain(text, 60)):
        assert kinds(line) <= {"paragraph", "inline", "text", "text_special", "entity"}
        assert shown(line).split() == line.replace(plain(text, 60), clean(text, 60)).split()


@given(st.text("a` ", max_size=12).map(str.strip).filter(bool))
def test_code_holds_backticks(text: str):
    inline = PARSER.parseInline(code(text))[0].children or []
    assert [token.type for token in inline] == ["code_inline"]
