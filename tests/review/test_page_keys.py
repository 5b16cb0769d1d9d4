"""The page by keyboard in a real browser, on a small run. Skipped without Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser import Browser, browser
from tests.review.pages import CAN_BROWSE, WHY_NOT, Desk, serving
from tests.review.runs import many_flags

pytestmark = pytest.mark.skipif(not CAN_BROWSE, reason=WHY_NOT)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    with serving(many_flags(tmp_path / "run", n=40, classes=12, queries=8)) as found:
        yield found


@pytest.fixture
def desk(tab: Browser, served: tuple[str, Any]) -> Desk:
    found = Desk(tab, served[0])
    tab.log()
    found.sit()
    return found


def labels(desk: Desk) -> tuple[str, str]:
    card = desk.ask(f"/api/cards/{desk.row()}")
    return card["given"], card["suggested"]


def test_every_key_decides_what_it_says(desk: Desk) -> None:
    desk.only("label errors")
    expected = {}
    row = desk.row()
    for keys in (["a"], ["Enter"], ["k"], ["1"], ["2"], ["s"], ["l", "class 07", "Enter"]):
        given, suggested = labels(desk)
        expected[row] = {
            "a": ("accept", suggested), "Enter": ("accept", suggested), "k": ("keep", given), "1": ("keep", given),
            "2": ("accept", suggested), "s": ("skip", None), "l": ("label", "class 07"),
        }[keys[0]]  # fmt: skip
        if expected[row] == ("label", suggested):
            expected[row] = ("accept", suggested)
        if expected[row] == ("label", given):
            expected[row] = ("keep", given)
        for key in keys:
            desk.tab.write(key) if len(key) > 1 and key != "Enter" else desk.press(key)
        row = desk.next_row(row)
    desk.saved()
    assert {done: desk.decided(done) for done in expected} == expected
    assert "6\ndecided" in desk.text("#numbers").lower().replace("decided\n6", "6\ndecided")
    for last in list(reversed(expected))[:3]:
        desk.press("u")
        desk.tab.wait(f"document.querySelector('#card h2').innerText === 'Row {last}'")
        desk.tab.wait("!document.querySelector('#card .badge.done')")
        assert desk.decided(last) is None
    assert desk.foreign() == [] and desk.tab.log() == []


def test_no_key_decides_while_somebody_types(desk: Desk) -> None:
    row = desk.row()
    desk.press("/")
    assert desk.tab.run("return document.activeElement.id") == "search"
    desk.press("a", "k", "s", "1", "?", "u")
    assert desk.tab.run("return document.querySelector('#search').value") == "aks1?u"
    desk.tab.wait(
        "document.querySelector('.finished') || document.querySelector('#count').textContent.includes('found')"
    )
    desk.press("Escape")
    desk.tab.wait("document.activeElement.id === 'card' && document.querySelector('#search').value === ''")
    desk.settle()
    desk.press("?")
    desk.tab.wait("document.querySelector('#keys').open")
    desk.press("a", "k", "j")
    desk.press("Escape")
    desk.tab.wait("!document.querySelector('#keys').open")
    desk.press("l")
    desk.press("a", "s")
    desk.press("Escape")
    desk.tab.wait("!document.querySelector('#pick').open")
    assert desk.row() == row and desk.ask("/api/progress?annotator=Ann")["left"] == 48


def test_a_held_key_decides_once_and_control_keys_not_at_all(desk: Desk) -> None:
    row = desk.row()
    desk.tab.press("a")
    for _ in range(5):
        desk.tab.press("a", repeat=True)
    desk.next_row(row)
    desk.tab.press("s", control=True)
    desk.tab.press("k", control=True)
    desk.saved()
    assert desk.ask("/api/progress?annotator=Ann")["done"] == 1
    desk.tab.press("z", control=True)
    desk.tab.wait(f"document.querySelector('#card h2').innerText === 'Row {row}'")
    assert desk.ask("/api/progress?annotator=Ann")["done"] == 0


def test_moving_decides_nothing_and_comes_back(desk: Desk) -> None:
    rows = [desk.row()]
    for key in ("j", "ArrowDown", "j"):
        desk.press(key)
        rows.append(desk.next_row(rows[-1]))
    for row in reversed(rows[:-1]):
        desk.press("ArrowUp")
        assert desk.next_row(0 if desk.row() == row else desk.row()) == row
    assert len(set(rows)) == 4 and desk.ask("/api/progress?annotator=Ann")["left"] == 48


def test_a_slow_server_holds_nobody_up(desk: Desk, served: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    review = served[1]
    decide = review.decide
    monkeypatch.setattr(review, "decide", lambda given: (time.sleep(0.5), decide(given))[1])
    desk.tab.wait(
        "performance.getEntriesByType('resource').filter((entry) => /cards\\/\\d/.test(entry.name)).length >= 4"
    )
    desk.press("a")
    shown = desk.tab.run("""
        const before = document.querySelector("#card h2").innerText, start = performance.now();
        document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "a", code: "KeyA", bubbles: true}));
        return [before, document.querySelector("#card h2").innerText, performance.now() - start]""")
    assert shown[0] != shown[1] and shown[2] < 200
    assert "↑" in desk.tab.run("return [...document.querySelectorAll('.item .mark')].map((mark) => mark.textContent)")
    desk.saved()
    assert desk.ask("/api/progress?annotator=Ann")["done"] == 2


def test_a_refused_decision_is_shown_and_can_be_discarded(
    desk: Desk, served: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from labelwise.base import InputError

    def refuse(given: object) -> None:
        raise InputError("This label is not wanted.")

    monkeypatch.setattr(served[1], "decide", refuse)
    desk.press("a")
    desk.tab.wait("!document.querySelector('#trouble').hidden")
    assert "1 decision was refused" in desk.text("#trouble-text")
    desk.tab.run("document.querySelector('#unsent').open = true")
    assert "This label is not wanted." in desk.text("#unsent li")
    desk.tab.run("document.querySelector('#unsent li button').click()")
    desk.tab.wait("document.querySelector('#trouble').hidden")
    assert desk.tab.run("return document.querySelector('.item .mark').textContent") == ""
