"""The processes that fit, as the process that races sees them: started, given work, stopped.

Processes are started afresh, never forked from the user's: that may have threads, which a fork would lose. They import
nothing of the user's script but what the candidates need. On Linux one process, the nursery, imports everything once and
forks the workers; it waits a while for the next race.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Listener
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import joblib

from labelwise.advice.ledger import Fit
from labelwise.advice.problem import Problem
from labelwise.advice.serve import CANDIDATES, PROBLEM

FORKS = sys.platform.startswith("linux")
LONGEST_ADDRESS = 100
"""Bytes; systems allow names of sockets of 103 and more."""
ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA", "VECLIB", "NUMEXPR")
} | {"VECLIB_MAXIMUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1", "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
START = (
    "import json, sys; told = json.loads(sys.stdin.readline()); sys.path[:] = told.pop('path'); "
    "told['key'] = bytes.fromhex(told['key']); "
    "from labelwise.advice.serve import main; main(**told)"
)


class Worker:
    """One process that fits; `ready` as soon as it has said so, and `busy` while it fits."""

    def __init__(self, connection: Any, pid: int, folder: Path) -> None:
        self.connection, self.pid = connection, pid
        self.busy = False
        connection.send_bytes(pickle.dumps(str(folder)))

    def give(self, message: bytes) -> None:
        """Hand it a fit to do."""
        self.connection.send_bytes(message)
        self.busy = True

    def take(self) -> Fit | str | None:
        """Return its answer; None if the process ended instead."""
        self.busy = False
        try:
            answer: Fit | str = self.connection.recv()
        except (EOFError, OSError):
            return None
        return answer

    def kill(self) -> None:
        """End the process at once, with those that it started."""
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGTERM)
        self.connection.close()


class Home:
    """Where workers come from: a folder, an address to call, and on Linux a nursery. There is one a process."""

    def __init__(self, forks: bool = FORKS) -> None:
        self.owner, self.forks = os.getpid(), forks
        self.folder = Path(tempfile.mkdtemp(prefix="labelwise-"))
        self.key = os.urandom(32)
        self.listener = Listener(self._address(), authkey=self.key, backlog=64)
        self.calls: SimpleQueue[tuple[Any, int]] = SimpleQueue()
        self.nursery: Any = None
        self.races = 0
        self.children: list[subprocess.Popen[bytes]] = []
        self.called: set[int] = set()
        self.due, self.modules, self.open, self.lock = 0, list[str](), False, threading.Lock()
        threading.Thread(target=self._accept, daemon=True, name="labelwise workers").start()
        if forks:
            self._start("nursery")

    def _address(self) -> Any:
        """Return where to listen: a file of our folder, or a loopback port where its name would be too long for a socket."""
        if not hasattr(os, "killpg"):
            return None
        file = str(self.folder / "socket")
        return file if len(os.fsencode(file)) <= LONGEST_ADDRESS else ("127.0.0.1", 0)

    @property
    def alive(self) -> bool:
        """Whether workers can be started from here."""
        if self.owner != os.getpid() or not self.folder.exists():
            return False
        return not self.forks or self.children[0].poll() is None

    def start(self, number: int, modules: list[str]) -> None:
        """Start workers; `arrivals` returns them as they come."""
        for _ in range(0 if self.forks else number):
            self._start("worker")
        with self.lock:
            self.modules, self.due, self.open = modules, self.due + number, True
        self._fork()

    def room(self) -> Path:
        """Return a new name for a folder of a race."""
        self.races += 1
        return self.folder / f"race-{self.races}"

    def rest(self) -> None:
        """Send away who still comes: the race is over."""
        with self.lock:
            self.due, self.open = 0, False
        with suppress(Empty):
            while True:
                _send_away(self.calls.get_nowait()[0])

    def arrivals(self, folder: Path) -> list[Worker]:
        """Return the workers that have come up since; they serve the race in that folder."""
        come = []
        with suppress(Empty, OSError):
            while True:
                connection, pid = self.calls.get_nowait()
                come.append(Worker(connection, pid, folder))
        return come

    def failed(self) -> bool:
        """Whether a process ended before it came up, or the nursery at any time."""
        ended = [child.pid for child in self.children if child.poll() is not None]
        return any(self.forks or pid not in self.called for pid in ended)

    def close(self) -> None:
        """End the nursery, and remove the folder."""
        if self.owner != os.getpid():
            return
        for child in self.children:
            child.kill()
            child.wait()
        with suppress(OSError):
            self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, role: str) -> None:
        told = {"path": [os.path.abspath(part) for part in sys.path], "address": self.listener.address,
                "key": self.key.hex(), "role": role, "folder": str(self.folder)}  # fmt: skip
        own_group: dict[str, Any] = {"process_group": 0} if hasattr(os, "killpg") else {}
        child = subprocess.Popen(
            [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD}, **own_group,
        )  # fmt: skip
        assert child.stdin is not None
        child.stdin.write(json.dumps(told).encode() + b"\n")
        child.stdin.flush()
        self.children.append(child)

    def _accept(self) -> None:
        """Wait for processes to call; a thread of its own, because they come when they are ready."""
        while True:
            try:
                connection = self.listener.accept()
                role, pid = connection.recv()
            except Exception:  # a process that ended while it called, or a listener that was closed
                if not self.folder.exists():
                    return
                time.sleep(0.05)
                continue
            self.called.add(pid)
            if role == "nursery":
                self.nursery = connection
                self._fork()
            elif self.open:
                self.calls.put((connection, pid))
            else:
                _send_away(connection)

    def _fork(self) -> None:
        """Ask the nursery, once it is up, for the workers that are due."""
        if self.nursery is None:
            return
        with self.lock, suppress(OSError):
            while self.due > 0:
                self.due -= 1
                self.nursery.send(self.modules)


def _send_away(connection: Any) -> None:
    with suppress(OSError):
        connection.send_bytes(b"")


_home: Home | None = None


def warm_up() -> None:
    """Begin to start workers for a race that is to come; where that is not possible, the race will say why."""
    with suppress(Exception):
        home()


def home() -> Home:
    """Return this process's place to start workers from; started where there is none, or where it has gone."""
    global _home
    if _home is None or not _home.alive:
        if _home is not None:
            _home.close()
        _home = Home()
        atexit.register(_home.close)
    return _home


def pack(problem: Problem, builders: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Write what workers read, and return, by name, why some candidates cannot be sent to another process.

    Raises
    ------
    Exception
        Any, if the rows cannot be written.
    """
    packed, stay = {}, {}
    for name, build in builders.items():
        try:
            packed[name] = cloudpickle.dumps(build)
        except Exception as error:  # whatever a user's object raises when it is pickled
            stay[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
    folder.mkdir()
    joblib.dump(problem, folder / PROBLEM)
    (folder / CANDIDATES).write_bytes(pickle.dumps(packed))
    return stay


def room_for(X: Any) -> int:
    """Return how many workers the free memory has room for: each copies the rows that it trains on."""
    size = getattr(X, "nbytes", 0) or getattr(getattr(X, "data", None), "nbytes", 0)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):  # other systems do not tell
        return 1_000
    return max(1, int(free / (2 * size + 2**28)))


def message(name: str, params: Any, split: Any, keep: bool) -> bytes:
    """Return a fit to do as bytes for a worker."""
    packed: bytes = cloudpickle.dumps((name, params, split, keep))
    return packed


def imported() -> list[str]:
    """Return the modules of this package that are imported here: workers will want them too."""
    return sorted(name for name in sys.modules if name.split(".")[0] == "labelwise" and "__main__" not in name)
