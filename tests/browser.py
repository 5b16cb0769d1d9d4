"""Drives a headless Chromium through chromedriver's plain HTTP protocol, without a client library."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "needs chromium and chromedriver on the PATH"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-extensions",
)  # fmt: skip
NAMED_KEYS = {
    "Enter": 13,
    "Escape": 27,
    "Tab": 9,
    "ArrowDown": 40,
    "ArrowUp": 38,
    "Home": 36,
    "End": 35,
    "Backspace": 8,
}
CONTROL = 2


class Browser:
    """One tab: open a page, set the window, press keys, run a script, take a picture."""

    def __init__(self, port: int, profile: Path) -> None:
        self.base = f"http://127.0.0.1:{port}"
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "unhandledPromptBehavior": "accept",
        }
        self.session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def tell(self, what: str, **body: Any) -> Any:
        return self.call("POST", f"/session/{self.session}/{what}", body)

    def devtools(self, command: str, **params: Any) -> Any:
        return self.tell("goog/cdp/execute", cmd=command, params=params)

    def window(self, width: int, height: int, *, dark: bool = False) -> None:
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.devtools("Emulation.setTouchEmulationEnabled", enabled=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", media="", features=[scheme])

    def open(self, page: Path | str, width: int, height: int, *, dark: bool = False) -> None:
        self.window(width, height, dark=dark)
        self.tell("url", url=page if isinstance(page, str) else page.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.tell("execute/sync", script=script, args=list(arguments))

    def run_later(self, script: str, *arguments: Any) -> Any:
        """Return what a script hands to its last argument, a function, when it is done."""
        return self.tell("execute/async", script=script, args=list(arguments))

    def wait(self, condition: str, *arguments: Any, seconds: float = 20) -> Any:
        """Return what an expression gives as soon as that is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.run(f"return {condition}", *arguments)
            if found:
                return found
            time.sleep(0.03)
        shown = self.run("return document.body.innerText.slice(0, 1500)")
        raise AssertionError(f"not within {seconds:g} s: {condition}\n{shown}")

    def press(self, key: str, *, control: bool = False, repeat: bool = False) -> None:
        """Press and release a key as a keyboard does: one character, or a name such as ``Enter``."""
        letter = key.upper() if len(key) == 1 else ""
        code = f"Key{letter}" if letter.isalpha() else f"Digit{letter}" if letter.isdigit() else key
        number = NAMED_KEYS.get(key) or (ord(letter) if letter.isalnum() else 0)
        text = {} if control else {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": CONTROL if control else 0}
        down = "keyDown" if text else "rawKeyDown"
        self.devtools("Input.dispatchKeyEvent", type=down, autoRepeat=repeat, **text, **event)
        self.devtools("Input.dispatchKeyEvent", type="keyUp", **event)

    def write(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.devtools("Input.insertText", text=text)

    def log(self) -> list[str]:
        return [entry["message"] for entry in self.tell("se/log", type="browser")]

    def picture(self, file: Path, *, whole: bool = True) -> None:
        shot = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    def paper(self, file: Path) -> None:
        sheet = self.devtools(
            "Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True, printBackground=False
        )
        file.write_bytes(base64.b64decode(sheet["data"]))


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start a driver on a free port and a browser with a fresh profile; end both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert DRIVER is not None
    with subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        try:
            _wait(port)
            tab = Browser(port, profile)
            try:
                yield tab
            finally:
                tab.call("DELETE", f"/session/{tab.session}")
        finally:
            driver.terminate()


def _wait(port: int, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=1) as answer,
        ):
            if json.load(answer)["value"]["ready"]:
                return
        time.sleep(0.1)
    raise TimeoutError("chromedriver did not get ready")
