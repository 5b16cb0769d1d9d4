"""Kills at random moments of a command, and of its resumption."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.faults.child import End, Trial
from tests.faults.harness import Nursery, Scene, Stage, decisions, state
from tests.review.pages import free_port

from labelwise.review.store import OWNER

AGAIN = 0.35
"""Share of the trials whose resumption is killed too, perhaps several times."""


def random_kills(stage: Stage, kills: int, seed: int) -> int:
    """Kill the scene's command so often, each time at a moment of its own, and check; return how many were killed."""
    rng = np.random.default_rng(seed)
    done = 0
    while done < kills:
        moment = rng.uniform(0.0, 1.1 * stage.whole.seconds)
        where = f"{stage.scene.name}, seed {seed}, killed after {moment:.3f} s"
        end = stage.fails(after=max(moment, 0.001))
        done += 1
        while end.code == -9 and done < kills and rng.random() < AGAIN:
            moment = rng.uniform(0.0, stage.whole.seconds)
            where += f", and after {moment:.3f} s of going on"
            found = state(stage.place / stage.scene.out)
            assert found in (stage.old, stage.new), f"{where}: neither the old result nor the new one"
            if found == stage.new:
                break
            end = stage.nursery.run(stage.scene.resumed(stage.place, after=max(moment, 0.001)))
            done += 1
        assert end.code in (0, -9), f"{where}: {end.err}"
        stage.holds(where)
    return done


@dataclass
class Page:
    """An annotator's program that posts decisions to a review server until that is killed."""

    nursery: Nursery
    scene: Scene
    place: Path

    def __post_init__(self) -> None:
        self.kept: dict[int, tuple[int, str]] = {}
        self.before = len(decisions(self.place / "r"))
        self.sent = self.kills = 0
        self.end: End | None = None

    def killed_after(self, seconds: float) -> int:
        """Serve, post decisions one after the other, kill the server so long after it began to; return how many it kept."""
        argv = [*self.scene.argv, "--port", str(free_port())]
        (Path(self.nursery.folder.name) / "out").unlink(missing_ok=True)
        server = threading.Thread(target=self._serve, args=(Trial(argv, str(self.place), after=120.0),))
        server.start()
        url = self._address(server)
        pid = json.loads((self.place / "r" / OWNER).read_text())["pid"]
        timer = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
        timer.start()
        answered = self._post(url, server)
        server.join()
        timer.cancel()
        self.kills += 1
        assert self.end is not None and self.end.code == -9, self.end
        return answered

    def _serve(self, trial: Trial) -> None:
        self.end = self.nursery.run(trial)

    def _address(self, server: threading.Thread) -> str:
        out = Path(self.nursery.folder.name) / "out"
        while server.is_alive():
            with suppress(OSError, ValueError, KeyError):
                return str(json.loads(out.read_text())["url"])
            time.sleep(0.02)
        raise AssertionError(f"the page did not open: {self.end}")

    def _post(self, url: str, server: threading.Thread) -> int:
        base, _, token = url.partition("/?token=")
        answered, rows = 0, list[int]()
        with suppress(OSError, http.client.HTTPException):  # it may be killed at once
            rows = [card["row"] for card in _ask(f"{base}/api/cards", token)["cards"]]
        while rows and server.is_alive():
            row, label = rows[self.sent % len(rows)], ["yes", "no"][self.sent // len(rows) % 2]
            self.sent += 1
            given = {"row": row, "annotator": "Ann", "action": "label", "label": label}
            try:
                answer = _ask(f"{base}/api/decisions", token, given)
            except urllib.error.HTTPError as error:  # it lives, and refuses
                raise AssertionError(error.read().decode()) from error
            except (OSError, http.client.HTTPException):  # it was killed
                continue
            self.kept[int(answer["decision"])] = row, label
            answered += 1
        return answered

    def holds(self, where: str) -> None:
        """Every decision that was answered is there, once; of those without an answer at most one for each kill."""
        history = decisions(self.place / "r")
        found = {one[0]: (one[1], one[4]) for one in history}
        assert len(found) == len(history)
        lost = {number for number, told in self.kept.items() if found.get(number) != told}
        assert not lost, f"{where}: lost {sorted(lost)[:5]}"
        assert len(history) <= self.before + len(self.kept) + self.kills, where


def _ask(url: str, token: str, given: dict[str, Any] | None = None) -> Any:
    body = None if given is None else json.dumps(given).encode()
    request = urllib.request.Request(url, body, {"X-Labelwise-Token": token, "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def review_kills(nursery: Nursery, scene: Scene, place: Path, kills: int, seed: int) -> int:
    """Kill a review server while decisions are posted, so often, over one run directory; return how many were answered."""
    rng = np.random.default_rng(seed)
    page, answered = Page(nursery, scene, scene.laid(place)), 0
    for number in range(kills):
        answered += page.killed_after(float(rng.uniform(0.02, 0.6)))
        page.holds(f"review, seed {seed}, kill {number}")
    assert answered, "no decision was taken before a kill"
    return answered
