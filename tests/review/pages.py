"""The review page under test: a server for a run directory, and a browser's tab as an annotator uses it."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.browser import CHROMIUM, DRIVER, MISSING, Browser

TOKEN = "token-of-the-tests"
ROOT = Path(__file__).resolve().parents[2]
CAN_BROWSE = bool(CHROMIUM and DRIVER and find_spec("uvicorn") and find_spec("starlette"))
WHY_NOT = f"{MISSING}, and the packages of labelwise[review]"


@contextlib.contextmanager
def serving(run: Path) -> Iterator[tuple[str, Any]]:
    """Serve a run from this process; gives the page's address and the review behind it."""
    import uvicorn

    from labelwise.review import server
    from labelwise.review.desk import Review

    review, wanted, ready = Review(run, "Ann"), server.listen(0), threading.Event()
    app = server.make_app(review, TOKEN, ready.set)
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [wanted]}, daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield server.address(wanted, TOKEN), review
    finally:
        running.should_exit = True
        thread.join(10)
        wanted.close()
        review.close()


class Process:
    """``labelwise review`` in a process of its own, which can be killed and started again at the same address."""

    def __init__(self, run: Path) -> None:
        self.run, self.port = run, free_port()
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start it and return the address it prints."""
        options = ["--port", str(self.port), "--no-browser", "--annotator", "Ann", "--json"]
        command = [sys.executable, "-m", "labelwise", "review", str(self.run), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        told = ""
        for line in self.process.stdout:
            told += line
            if line.rstrip() == "}" or (line.startswith("{") and line.rstrip().endswith("}")):
                break
        return str(json.loads(told)["url"])

    def kill(self) -> None:
        """End it with SIGKILL: nothing can be tidied up."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Desk:
    """An annotator at the page."""

    def __init__(self, tab: Browser, url: str) -> None:
        self.tab, self.url = tab, url

    def sit(self, name: str = "Ann", width: int = 1280, height: int = 800, *, dark: bool = False) -> None:
        """Open the page in a browser that has not seen it, and give a name."""
        self.tab.open(self.url, width, height, dark=dark)
        self.tab.run("localStorage.clear()")
        self.tab.open(self.url, width, height, dark=dark)
        self.tab.wait("document.querySelector('#name').open")
        self.tab.run("document.querySelector('#name-field').select()")
        self.tab.write(name)
        self.press("Enter")
        self.settle()

    def only(self, kind: str) -> None:
        """Show cards of one kind."""
        self.tab.run(
            "const box = document.querySelector('#kind'); box.value = arguments[0]; box.dispatchEvent(new Event('change'))",
            kind,
        )
        self.tab.wait(
            "document.querySelector('#count').textContent.includes('found') && !document.querySelector('#list').ariaBusy"
        )
        self.settle()

    def settle(self) -> None:
        """Wait until the card, or the last screen, is whole."""
        self.tab.wait(
            "document.querySelector('#card .evidence, #card .finished') && !document.querySelector('dialog[open]')"
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.press(key)

    def saved(self) -> None:
        """Wait until the server has every decision."""
        self.tab.wait("document.querySelector('#trouble').hidden && document.body.dataset.unsent === '0'")

    def text(self, where: str) -> str:
        return str(self.tab.run("return document.querySelector(arguments[0])?.innerText ?? ''", where))

    def row(self) -> int:
        """Number of the row on the screen."""
        return int(self.text("#card h2").removeprefix("Row "))

    def next_row(self, after: int) -> int:
        """Wait for another card than `after`'s, whole, and return its row."""
        self.tab.wait(f"document.querySelector('#card h2')?.innerText !== 'Row {after}'")
        self.settle()
        return self.row()

    def choices(self) -> list[str]:
        return list(
            self.tab.run("return [...document.querySelectorAll('.choices .name')].map((name) => name.textContent)")
        )

    def ask(self, path: str) -> Any:
        """What the server answers, without the page."""
        base, _, token = self.url.partition("/?token=")
        request = urllib.request.Request(base + path, headers={"X-Labelwise-Token": token})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def decided(self, row: int, annotator: str = "Ann") -> tuple[str, str | None] | None:
        """Action and label that stand for a row, by the server."""
        found = [one for one in self.ask(f"/api/cards/{row}")["decisions"] if one["annotator"] == annotator]
        return (found[0]["action"], found[0]["label"]) if found else None

    def foreign(self) -> list[str]:
        """Addresses outside the server that the page asked for."""
        base = self.url.partition("/?")[0]
        names = self.tab.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        return [name for name in names if not name.startswith((base, "data:", "blob:"))]
