"""Everybody can use the page: axe finds nothing in any state, light or dark; it fits a phone; contrast and focus hold."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.browser import Browser, browser
from tests.review.pages import CAN_BROWSE, WHY_NOT, Desk, serving
from tests.review.runs import many_flags

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CAN_BROWSE, reason=WHY_NOT)]

AXE_PLACES = ("axe_core_python/axe.min.js", "axe_playwright_python/axe.min.js")
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]})
  .then((found) => done(found.violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) =>
    node.html.slice(0, 160) + " " + (node.any[0] ? node.any[0].message : "")).slice(0, 4).join(" | ")}`)))
  .catch((error) => done([`axe failed: ${error}`]));
"""
STATES = {
    "card": "",
    "keys": "document.querySelector('#open-keys').click()",
    "name": "document.querySelector('#who').click()",
    "files": "document.querySelector('#open-files').click()",
    "pick": "document.querySelector('.choice.other').click()",
    "nothing found": "const box = document.querySelector('#search'); box.value = 'zzzz';"
                     "box.dispatchEvent(new Event('input'))",
}  # fmt: skip


def axe() -> Path | None:
    """The axe to use: the file named by LABELWISE_AXE, or one that a package brought; None where that is older than 4."""
    named = os.environ.get("LABELWISE_AXE")
    found = [Path(named)] if named else [file for place in AXE_PLACES if (file := _in_package(place)) is not None]
    for file in found:
        version = re.match(r"/\*! axe v(\d+)", file.read_text(encoding="utf-8")[:100])
        if version and int(version[1]) >= 4:
            return file
    return None


def _in_package(place: str) -> Path | None:
    package, _, rest = place.partition("/")
    spec = importlib.util.find_spec(package)
    file = None if spec is None or spec.origin is None else Path(spec.origin).parent / rest
    return file if file is not None and file.is_file() else None


NO_AXE = "needs axe 4 or newer: name its axe.min.js in LABELWISE_AXE, or install axe-core-python"
needs_axe = pytest.mark.skipif(axe() is None, reason=NO_AXE)


def violations(tab: Browser) -> list[str]:
    file = axe()
    assert file is not None
    tab.run(file.read_text(encoding="utf-8"))
    return list(tab.run_later(RUN_AXE))


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def desk(tab: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    run = many_flags(tmp_path_factory.mktemp("access") / "run", n=60, classes=30, queries=10)
    with serving(run) as (url, _):
        yield Desk(tab, url)


@needs_axe
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_in_any_state(desk: Desk, width: int, dark: bool) -> None:
    found = {}
    for name, script in STATES.items():
        desk.sit("Ann", width, 844, dark=dark)
        if width == 390:
            desk.tab.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        desk.tab.run(script)
        desk.tab.wait({"nothing found": "document.querySelector('.finished')", "card": "true"}.get(
            name, "document.querySelector('dialog[open]')"))  # fmt: skip
        found[name] = violations(desk.tab)
    assert {name: problems for name, problems in found.items() if problems} == {}


@needs_axe
@pytest.mark.parametrize("show", ["text", "image", "table"])
def test_axe_finds_nothing_on_a_card_of_each_kind(tab: Browser, run_dir: Callable[..., Path], show: str) -> None:
    with serving(run_dir(show)) as (url, review):
        desk = Desk(tab, url)
        review.material.wait()
        found = {}
        for width, dark in ((1280, False), (390, True)):
            desk.sit("Ann", width, 844, dark=dark)
            tab.wait("document.querySelector('.side')")
            found[width, dark] = violations(tab)
            assert tab.run("return document.documentElement.scrollWidth") <= width
        assert [problem for problems in found.values() for problem in problems] == []
        assert desk.foreign() == [] and tab.log() == []


@needs_axe
def test_axe_finds_nothing_when_all_is_done_or_the_server_is_gone(tab: Browser, tmp_path: Path) -> None:
    with serving(many_flags(tmp_path / "run", n=3, classes=3, queries=1)) as (url, _):
        desk = Desk(tab, url)
        desk.sit()
        desk.press("s", "s", "s", "s")
        tab.wait("document.querySelector('.finished')")
        desk.saved()
        assert "Every card has been seen" in desk.text("#card")
        assert violations(tab) == []
    desk.press("u")
    tab.wait("!document.querySelector('#trouble').hidden")
    assert violations(tab) == []


def test_focus_stays_where_keys_work(desk: Desk) -> None:
    desk.sit()
    active = "return document.activeElement.id || document.activeElement.tagName"
    for opener, closed_by in (("?", "Escape"), ("l", "Escape")):
        desk.press(opener)
        desk.tab.wait("document.querySelector('dialog[open]')")
        desk.press(closed_by)
        desk.tab.wait("!document.querySelector('dialog[open]')")
        desk.tab.wait("['card', ''].includes(document.activeElement.id)")
    row = desk.row()
    desk.tab.run("document.querySelector('.choice.given').focus()")
    desk.press("Enter")
    desk.next_row(row)
    desk.saved()
    assert desk.tab.run(active) == "card" and desk.decided(row) is not None and desk.decided(row)[0] == "keep"
    assert desk.tab.run("return document.querySelector('#said').textContent").startswith(f"Row {row}: ")


def test_the_theme_button_turns_the_page_over_and_is_remembered(desk: Desk) -> None:
    desk.sit()
    look = "return [getComputedStyle(document.body).backgroundColor, document.querySelector('.theme').ariaPressed]"
    before = desk.tab.run(look)
    desk.tab.run("document.querySelector('.theme').click()")
    after = desk.tab.run(look)
    desk.tab.open(desk.url, 1280, 800)
    assert before[0] != after[0] and [before[1], after[1]] == ["false", "true"] and desk.tab.run(look) == after


def test_motion_stops_for_who_wants_none(desk: Desk) -> None:
    desk.sit()
    desk.tab.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    assert desk.tab.run("return getComputedStyle(document.querySelector('.meter i')).transitionDuration") == "0s"


@pytest.mark.parametrize("width", [360, 390, 768, 1024, 1280, 1920])
def test_nothing_hangs_over_the_edge(desk: Desk, width: int) -> None:
    desk.sit("a rather long name of forty characters ..", width, 800)
    assert desk.tab.run("return document.documentElement.scrollWidth") <= width
    shown = desk.tab.run(
        "const box = document.querySelector('[data-do=accept]').getBoundingClientRect();"
        "return [box.top, box.bottom, innerHeight]"
    )
    assert 0 < shown[0] < shown[1] <= shown[2], "the buttons are out of sight"
