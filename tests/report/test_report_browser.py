"""The page in a real browser: fits a phone, breaks no policy, sorts, filters, changes theme. Skipped without Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.report.browser import CHROMIUM, DRIVER, Browser, browser
from tests.report.fixture import CASES, make_run

from labelwise.report import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH"),
]

CONTRAST = """
const shade = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgb = (color) => { shade.clearRect(0, 0, 1, 1); shade.fillStyle = color; shade.fillRect(0, 0, 1, 1);
  return [...shade.getImageData(0, 0, 1, 1).data]; };
const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const behind = (node) => { for (let at = node; at; at = at.parentElement) {
  const found = rgb(getComputedStyle(at).backgroundColor); if (found[3] === 255) return found; } return [255, 255, 255]; };
document.querySelectorAll("details").forEach((part) => { part.open = true; });
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const bad = new Set();
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest(".unseen, title, option")) continue;
  const style = getComputedStyle(node), inside = node.closest("svg");
  const [a, b] = [light(rgb(inside ? style.fill : style.color)), light(behind(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.add(`${node.tagName}.${node.getAttribute("class")} ${ratio.toFixed(2)}`);
}
return [...bad];
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {case: write_report(make_run(tmp_path_factory.mktemp(case), case)) for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_fits_a_phone_and_breaks_no_policy(tab: Browser, pages: dict[str, Path], case: str) -> None:
    tab.open(pages[case], 360, 800)
    assert tab.run("document.querySelectorAll('details').forEach((part) => { part.open = true; });"
                   "return document.documentElement.scrollWidth") <= 360  # fmt: skip
    assert tab.log() == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("case", ["many", "hostile"])
def test_text_keeps_contrast(tab: Browser, pages: dict[str, Path], case: str, dark: bool) -> None:
    tab.open(pages[case], 1280, 900, dark=dark)
    assert tab.run(CONTRAST) == []


def test_theme_button_turns_the_page_over(tab: Browser, pages: dict[str, Path]) -> None:
    tab.open(pages["two"], 1280, 900)
    script = "return [getComputedStyle(document.body).backgroundColor, document.querySelector('.theme').ariaPressed]"
    before = tab.run(script)
    tab.run("document.querySelector('.theme').click()")
    after = tab.run(script)
    tab.run("localStorage.clear()")
    assert before[1] == "false" and after[1] == "true" and before[0] != after[0]


def test_flagged_rows_sort_and_filter(tab: Browser, pages: dict[str, Path]) -> None:
    tab.open(pages["many"], 1280, 900)
    column = "[...document.querySelectorAll('#flagged-table tbody th')].map((cell) => Number(cell.textContent))"
    rows = tab.run(f"document.querySelector('#flagged-table thead button').click(); return {column}")
    assert rows == sorted(rows) and len(rows) == 200
    assert tab.run("return document.querySelector('#flagged-table th').ariaSort") == "ascending"
    rows = tab.run(f"document.querySelector('#flagged-table thead button').click(); return {column}")
    assert rows == sorted(rows, reverse=True)
    shown = tab.run("""
        const kind = document.querySelector(".filter select"), output = document.querySelector(".filter output");
        kind.value = "near duplicates"; kind.dispatchEvent(new Event("change"));
        return [output.textContent, document.querySelectorAll("#flagged-table tbody tr:not([hidden])").length]""")
    assert shown == ["14 of 200 rows", 14]


def test_prints_light_and_whole(tab: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    tab.open(pages["many"], 1280, 900, dark=True)
    tab.devtools(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    found = tab.run("const style = (name) => getComputedStyle(document.querySelector(name));"
                    "return [style('body').backgroundColor, style('.theme').display,"
                    " style('.scroll').overflowX]")  # fmt: skip
    assert found == ["rgb(255, 255, 255)", "none", "visible"]
    tab.paper(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes()[:5] == b"%PDF-"


def test_complete_without_javascript(tab: Browser, pages: dict[str, Path]) -> None:
    tab.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(pages["two"], 1280, 900)
        root = tab.devtools("DOM.getDocument")["root"]["nodeId"]
        shown = tab.devtools("DOM.getOuterHTML", nodeId=root)["outerHTML"]
    finally:
        tab.devtools("Emulation.setScriptExecutionDisabled", value=False)
    assert 'role="search" hidden' in shown and 'type="button" hidden' in shown and 'class="sort"' not in shown
    assert shown.count("<tr data-kind=") == 200
