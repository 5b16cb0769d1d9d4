"""The page's three files as text: nothing from outside, nothing that turns data into markup, one look with the report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import labelwise
from labelwise.report.page import render, theme
from labelwise.report.reading import read_run
from labelwise.review import pages

PACKAGE = Path(labelwise.__file__).parent
HTML, STYLE, SCRIPT = (
    (PACKAGE / "review" / f"page.{end}").read_text(encoding="utf-8") for end in ("html", "css", "js")
)


def test_the_style_and_the_script_are_put_in_once_each():
    assert HTML.count("{{style}}") == HTML.count("{{script}}") == 1
    assert "</style" not in STYLE.lower() and "</script" not in SCRIPT.lower() and "<!--" not in SCRIPT


@pytest.mark.parametrize("text", [HTML, STYLE, SCRIPT])
def test_nothing_points_outside(text):
    assert re.findall(r"https?://|[\"'`]//|@import|url\(", text) == []


def test_no_inline_style_or_handler():
    assert re.findall(r"\s(?:style|on\w+)\s*=", HTML) == []


def test_data_reach_the_page_as_text_only():
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\(|new Function"
    assert re.findall(ways, SCRIPT) == [] and "srcdoc" not in SCRIPT


def test_every_element_the_script_asks_for_is_there():
    asked = set(re.findall(r"\$\(\"([\w-]+)\"\)", SCRIPT))
    there = set(re.findall(r'\bid="([\w-]+)"', HTML))
    assert len(asked) > 20 and asked - there == set()


def test_every_class_the_script_gives_has_a_look():
    given = {name for found in re.findall(r"class: [`\"]([^`\"$]+)", SCRIPT) for name in found.split()}
    without = {"what", "unseen", "plain", "side", "preview", "labels", "share", "mark"}
    assert len(given) > 20
    assert {name for name in given - without if not re.search(rf"\.{re.escape(name)}\b", STYLE)} == set()


def test_the_page_has_its_colours_and_type_from_the_report(tmp_path):
    """One style sheet gives both their looks, and every variable that is used is there."""
    assert pages.page().count(theme()) == 1
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    assert render(read_run(tmp_path)).count(theme()) == 1
    there = set(re.findall(r"(--[\w-]+):", theme() + STYLE + SCRIPT))
    assert set(re.findall(r"var\((--[\w-]+)", STYLE)) <= there
    assert not re.search(r"--(page|ink|accent|serif):", STYLE), "those come from the theme"


def test_the_help_names_every_key():
    named = set(re.findall(r"<kbd>(.*?)</kbd>", HTML.partition('id="keys"')[2]))
    tables = re.search(r"const MOVES = \{(.*?)const IN_LIST", SCRIPT, re.DOTALL).group(1)
    handled = set(re.findall(r"[\s{\"]([a-z]|Enter|Arrow\w+|[?/])\"?: ", tables)) | set(re.findall(r" (u),", tables))
    shown = {"ArrowDown": "↓", "ArrowUp": "↑"}
    assert len(handled) == 12
    assert {shown.get(key, key.upper() if key.isalpha() and len(key) == 1 else key) for key in handled} <= named
