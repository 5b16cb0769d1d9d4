"""Work at the page, end to end in a real browser: nothing is lost, nothing runs, nobody waits. Skipped without Chromium."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser import Browser, browser
from tests.review.pages import CAN_BROWSE, WHY_NOT, Desk, Process, serving
from tests.review.runs import many_flags

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CAN_BROWSE, reason=WHY_NOT)]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def few(tmp_path: Path) -> Path:
    return many_flags(tmp_path / "run", n=60, classes=12, queries=5)


@pytest.fixture
def process(few: Path) -> Iterator[Process]:
    found = Process(few)
    yield found
    found.kill()


def decide(desk: Desk, keys: str) -> dict[int, tuple[str, str | None]]:
    """Press one deciding key a card; what was said, by row."""
    said = {}
    for key in keys:
        row = desk.row()
        given, suggested = desk.choices()[:2]
        said[row] = {"a": ("accept", suggested), "k": ("keep", given), "s": ("skip", None)}[key]
        desk.press(key)
        desk.next_row(row)
    return said


def test_twenty_rows_survive_a_killed_server(tab: Browser, process: Process) -> None:
    desk = Desk(tab, process.start())
    desk.sit()
    desk.only("label errors")
    said = decide(desk, "aakasaakaasakaakaaka")
    process.kill()
    tab.press("a")  # the card on the screen can still be decided; the page knows the next ones
    tab.press("a")
    tab.wait("!document.querySelector('#trouble').hidden", seconds=40)
    assert "not saved yet" in desk.text("#trouble-text")
    assert desk.url == process.start()
    tab.run("document.querySelector('#retry').click()")
    desk.saved()
    assert {row: desk.decided(row) for row in said} == said
    progress = desk.ask("/api/progress?annotator=Ann")
    assert (progress["done"], progress["skipped"]) == (20, 2)
    desk.settle()
    tab.press("u")
    tab.press("u")
    tab.press("u")
    last = list(said)[-1]
    tab.wait(f"document.querySelector('#card h2').innerText === 'Row {last}'")
    assert desk.decided(last) is None
    assert desk.ask("/api/progress?annotator=Ann")["left"] == 65 - 19


def test_a_closed_page_hands_in_later_what_it_could_not_send(tab: Browser, process: Process) -> None:
    desk = Desk(tab, process.start())
    desk.sit()
    desk.only("label errors")
    decide(desk, "ak")
    desk.saved()
    process.kill()
    rows = []
    for key in "ka":
        rows.append(desk.row())
        tab.press(key)
        tab.wait(f"document.querySelector('#card h2')?.innerText !== 'Row {rows[-1]}'")
    tab.wait("document.body.dataset.unsent === '2'")
    tab.tell("url", url="about:blank")
    process.start()
    tab.open(desk.url, 1280, 800)
    desk.settle()
    desk.saved()
    tab.wait("document.body.dataset.unsent === '0'")
    assert [desk.decided(row)[0] for row in rows if desk.decided(row)] == ["keep", "accept"]


def test_two_people_disagree_and_it_shows(tab: Browser, few: Path) -> None:
    with serving(few) as (url, _):
        desk = Desk(tab, url)
        desk.sit("Ann")
        desk.only("label errors")
        said = decide(desk, "aaak")
        desk.saved()
        tab.run("document.querySelector('#who').click()")
        tab.run("document.querySelector('#name-field').select()")
        tab.write("Ben")
        tab.press("Enter")
        tab.wait(
            "document.querySelector('#who').textContent.includes('Ben') && !document.querySelector('#list').ariaBusy"
        )
        desk.settle()
        assert desk.row() == next(iter(said))
        assert desk.tab.run("return document.querySelector('.others').open") is False
        decide(desk, "akkk")
        desk.saved()
        tab.wait("document.querySelector('#numbers').textContent.includes('Disputed')")
        numbers = desk.text("#numbers")
        assert "50%" in numbers and "on 4 rows" in numbers and "Ann 4, Ben 4" in numbers
        tab.run("document.querySelector('#numbers .link').click()")
        tab.wait(
            "document.querySelector('#count').textContent === '2 cards' && !document.querySelector('#list').ariaBusy"
        )
        desk.settle()
        tab.wait("document.querySelector('.badge.warn')?.textContent === 'disputed'")
        assert desk.row() in [list(said)[1], list(said)[2]]
        assert "Ann said" in desk.text(".others") and desk.tab.run("return document.querySelector('.others').open")


HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\">", "</script><script>document.title='owned'</script>",
    "\u202eabc\u202c def", "w" * 5000, "🦄" * 400, "one\ntwo\n\n\nfive\tsix", "e" + "\u0301" * 80, "", "\x00\x1b[31m red",
    "שלום 123 عالم", "javascript:alert(1)", "${document.title='owned'}", "\ud800 lone",
]  # fmt: skip


def test_hostile_strings_stay_text(tab: Browser, few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(few) as (url, review):
        card, page, session = review.card, review.page, review.session

        def hostile_card(row: int, annotator: str | None = None) -> dict[str, Any]:
            evil = HOSTILE[row % len(HOSTILE)]
            near = [
                {"row": 1, "label": evil, "similarity": 0.5, "preview": evil, "image": "https://example.invalid/a.png"}
            ]
            return card(row, annotator) | {
                "text": evil, "image": "https://example.invalid/b.png", "fields": [[evil, evil], ["b", evil]], "given": evil,
                "reason": evil, "proba": [[text, 0.1] for text in HOSTILE[:6]], "kind": evil,
                "neighbours": {"given": near, "suggested": near},
                "decisions": [{"annotator": evil, "action": "label", "label": evil, "at": evil}],
            }  # fmt: skip

        def hostile_page(*asked: Any) -> dict[str, Any]:
            found = page(*asked)
            for number, line in enumerate(found["cards"]):
                line |= {"preview": HOSTILE[number % len(HOSTILE)], "given": HOSTILE[number % len(HOSTILE)]}
            return found

        def hostile_session() -> dict[str, Any]:
            evil = {"run": HOSTILE[0], "data": HOSTILE[1], "classes": HOSTILE, "annotators": HOSTILE, "notes": HOSTILE}
            return session() | evil

        for name, what in (("card", hostile_card), ("page", hostile_page), ("session", hostile_session)):
            monkeypatch.setattr(review, name, what)
        desk = Desk(tab, url)
        desk.sit()
        tab.log()
        for width in (1280, 390):
            tab.window(width, 844)
            for _ in range(len(HOSTILE)):
                row = desk.row()
                found = tab.run("""return {title: document.title, wide: document.documentElement.scrollWidth,
                    text: document.querySelector("#card .text")?.textContent ?? "", images: document.images.length,
                    scripts: document.scripts.length, loaded: [...document.images].filter((one) => one.src).length}""")
                evil = HOSTILE[row % len(HOSTILE)]
                assert "owned" not in found["title"].replace(HOSTILE[0], "") and found["wide"] <= width
                assert found["scripts"] == 1 and found["loaded"] == 0
                assert found["text"] == "" if not evil else found["text"][:1] in (evil[0], "�", "a")
                desk.press("j")
                desk.next_row(row)
        desk.press("l")
        tab.wait("document.querySelector('#pick').open")
        assert tab.run("return document.querySelectorAll('#pick-list script, #pick-list img').length") == 0
        assert desk.foreign() == [] and tab.log() == []


def test_thousands_of_classes_are_picked_by_typing(tab: Browser, tmp_path: Path) -> None:
    with serving(many_flags(tmp_path / "run", n=30, classes=4000, queries=2)) as (url, _):
        desk = Desk(tab, url)
        desk.sit()
        row = desk.row()
        desk.press("t")
        tab.wait("document.querySelector('#pick').open")
        assert tab.run("return document.querySelectorAll('#pick-list [role=option]').length") == 100
        tab.write("2718")
        tab.wait("document.querySelectorAll('#pick-list [role=option]').length === 1")
        desk.press("Enter")
        desk.next_row(row)
        desk.saved()
        assert desk.decided(row)[1] == "class 2718"
        row = desk.row()
        desk.press("l")
        tab.write("no such class")
        desk.press("Enter")
        assert tab.run("return document.querySelector('#pick').open") and "No class" in desk.text("#pick-note")
        desk.press("Escape")
        assert desk.row() == row


def test_the_last_screen_says_what_changed_and_what_is_next(tab: Browser, tmp_path: Path) -> None:
    with serving(many_flags(tmp_path / "run", n=6, classes=3, queries=1)) as (url, _):
        desk = Desk(tab, url)
        desk.sit()
        for key in "aaakas":
            row = desk.row()
            desk.press(key)
            desk.next_row(row)
        desk.press("a")
        tab.wait("document.querySelector('.finished')")
        desk.saved()
        tab.wait("document.querySelector('.finished').innerText.includes('changed')")
        shown = desk.text("#card")
        progress = desk.ask("/api/progress?annotator=Ann")
        assert f"{progress['changed']} labels were changed and {progress['kept']} confirmed" in shown
        assert "You skipped 1 card" in shown and "labelwise run" in shown and "--resume" in shown
        tab.run(
            "[...document.querySelectorAll('.finished button')].find((one) => /skipped/.test(one.innerText)).click()"
        )
        tab.wait(
            "document.querySelector('#count').textContent === '1 card' && document.querySelector('#card .evidence')"
        )
        desk.press("u")
        tab.wait("!document.querySelector('#card .badge.done')")


def test_labels_leave_and_come_back(tab: Browser, few: Path, tmp_path: Path) -> None:
    with serving(few) as (url, _):
        desk = Desk(tab, url)
        desk.sit()
        desk.only("label errors")
        said = decide(desk, "aa")
        desk.saved()
        tab.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "down"))
        desk.press("?", "Escape")
        tab.run("document.querySelector('#open-files').click()")
        tab.run("document.querySelector('[data-format=label-studio]').click()")
        tab.wait("document.querySelector('#files-said').textContent.includes('downloads')")
        end = time.monotonic() + 10
        while not (files := list((tmp_path / "down").glob("*.json"))) and time.monotonic() < end:
            time.sleep(0.05)
        tasks = json.loads(files[0].read_text(encoding="utf-8"))
        assert len(tasks) >= len(said)
        root = tab.devtools("DOM.getDocument")["root"]["nodeId"]
        field = tab.devtools("DOM.querySelector", nodeId=root, selector="#import")["nodeId"]
        tab.devtools("DOM.setFileInputFiles", nodeId=field, files=[str(files[0])])
        tab.wait("/came in/.test(document.querySelector('#files-said').textContent)")
        bad = tmp_path / "bad.json"
        bad.write_text("{not json", encoding="utf-8")
        tab.devtools("DOM.setFileInputFiles", nodeId=field, files=[str(bad)])
        tab.wait("!/came in|Reading/.test(document.querySelector('#files-said').textContent)")
        assert desk.text("#files-said")


def test_a_hundred_thousand_cards_stay_fluid(
    tab: Browser, crowded: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    import shutil

    run = Path(shutil.copytree(crowded, tmp_path / "run"))
    with serving(run) as (url, _):
        desk = Desk(tab, url)
        desk.sit()
        start = time.monotonic()
        tab.open(url, 1280, 800)
        desk.settle()
        record_property("opening, ms", round(1000 * (time.monotonic() - start)))
        total = desk.ask("/api/progress?annotator=Ann")["cards"]
        start = time.monotonic()
        for part in range(1, 21):
            tab.run(
                "const list = document.querySelector('#list'); list.scrollTop = list.scrollHeight * arguments[0]",
                part / 20,
            )
            assert tab.run("return document.querySelectorAll('*').length") < 600
        tab.wait(f"document.querySelector('.item[aria-posinset=\"{total}\"] .preview')?.textContent")
        record_property("scrolling to the end, ms", round(1000 * (time.monotonic() - start)))
        tab.run("document.querySelector('#list').scrollTop = 0")
        took = tab.run_later("""
            const done = arguments[arguments.length - 1], took = [];
            const press = () => {
              const start = performance.now();
              document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "s", code: "KeyS", bubbles: true}));
              took.push(performance.now() - start);
              if (took.length < 50) requestAnimationFrame(press); else done(took);
            };
            press();""")
        took.sort()
        record_property("a decision, median ms", round(took[25], 1))
        record_property("a decision, slowest ms", round(took[-1], 1))
        desk.saved()
        assert desk.ask("/api/progress?annotator=Ann")["skipped"] == 50
        assert took[25] < 50, "a decision must show the next card at once"
        assert tab.run("return document.querySelectorAll('*').length") < 600
        desk.tab.run("document.querySelector('#list').focus()")
        desk.press("End")
        tab.wait(f"document.querySelector('.item[aria-selected=true]')?.ariaPosInSet === '{total}'")
        desk.settle()
        desk.press("a")
        desk.saved()
        assert desk.ask("/api/progress?annotator=Ann")["done"] == 1
