"""A labelwise command in a process of its own, which fails at a chosen point: killed, out of room, or with a wrong clock.

`main` is a nursery: it imports everything once and forks a process for every line it reads, so that a kill costs no imports.
Its lines are JSON: a `Trial` in, an `End` out.
"""

from __future__ import annotations

import builtins
import errno
import functools
import importlib
import io
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Trial:
    """What to run, and how it fails.

    `at` is the number of the operation on files below `folder` (from 1) before which `act` happens: ``kill``, or ``full``,
    and then every later one finds the disk full too; 0: never. `after` kills from outside after so many seconds. `largest`
    is the size in bytes that no file may exceed, `clock` what is added to the time of day, `user` an id to run as.
    """

    argv: list[str]
    folder: str
    at: int = 0
    act: str = "kill"
    after: float = 0.0
    largest: int = 0
    clock: float = 0.0
    user: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    modules: bool = False


@dataclass(frozen=True)
class End:
    """How it ended: exit code (negative: the signal), what it said, operations counted, seconds, modules it imported."""

    code: int
    out: str
    err: str
    points: int
    seconds: float
    modules: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)


class Points:
    """Counts the operations that change files below a folder, and fails at one of them."""

    WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

    def __init__(self, trial: Trial, count: Path) -> None:
        self.folder, self.trial = os.path.realpath(trial.folder), trial
        self.number = 0
        self.file = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def install(self) -> None:
        sys.addaudithook(self._heard)
        builtins.open = io.open = self._opening(io.open)  # type: ignore[assignment]
        os.fsync = self._syncing(os.fsync)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[2], int) and args[2] & self.WRITES:
            self._point(event, args[0], makes=True)
        elif event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate", "sqlite3.connect"):
            self._point(event, args[0], makes=event in ("os.rename", "os.mkdir"))

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            found = real(file, mode, *args, **kwargs)
            if set(mode) & set("wax+"):
                self._point("opened", file, makes=False)
            return found

        return opened

    def _syncing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(number: int) -> None:
            self._point("fsync", os.readlink(f"/proc/self/fd/{number}"), makes=True)
            real(number)

        return sync

    def _point(self, event: str, path: Any, *, makes: bool) -> None:
        if not isinstance(path, str | bytes | os.PathLike) or not self._inside(os.fsdecode(path)):
            return
        self.number += 1
        with suppress(OSError):
            os.write(self.file, f"{event} {os.path.relpath(os.fsdecode(path), self.folder)}\n".encode())
        if not self.trial.at or self.number < self.trial.at:
            return
        if self.trial.act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif makes:
            where = () if event == "fsync" else (os.fsdecode(path),)  # as the system does it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *where)

    def _inside(self, path: str) -> bool:
        """Whether a path is below the folder; names relative to an open folder, as `shutil.rmtree` uses them, are too."""
        if not os.path.isabs(path) and not os.path.exists(path) and "/" not in path:
            return True
        return os.path.realpath(os.path.dirname(path) or ".").startswith(self.folder)


def _lighter() -> None:
    """Race on two folds with one setting each, and promise no gains: the same files in less time."""
    from labelwise import run
    from labelwise.insights import collect

    run.race = functools.partial(run.race, folds=2, repeats=1, draws=1)  # type: ignore[assignment]
    look = run.audit
    run.audit = lambda *args, **given: look(*args, **{**given, "gains": False})  # type: ignore[assignment]
    curve = collect.learning_curve  # an audit has no --budget none: as many repeats as the machine's load allows
    collect.learning_curve = lambda *args, **given: curve(*args, **{**given, "seconds": float("inf")})


def _turn_clock(by: float) -> None:
    import datetime as module

    real, now = time.time, module.datetime

    class Turned(now):  # type: ignore[misc,valid-type]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return now.fromtimestamp(real() + by, tz)

    time.time = lambda: real() + by
    for name, loaded in list(sys.modules.items()):
        if name.startswith("labelwise") and getattr(loaded, "datetime", None) is now:
            loaded.datetime = Turned  # type: ignore[attr-defined]


def _live(trial: Trial, folder: Path) -> None:
    """Be the child: run the command and end with its exit code."""
    os.setpgid(0, 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(trial.environment)
    os.chdir(trial.folder)
    _lighter()
    if trial.clock:
        _turn_clock(trial.clock)
    if trial.largest:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (trial.largest, trial.largest))
    Points(trial, folder / "points").install()
    if trial.user:
        os.setgroups([])
        os.setuid(trial.user)
    code = _called(trial.argv)
    if trial.modules:
        (folder / "modules").write_text("\n".join(sorted(sys.modules)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _called(argv: list[str]) -> int:
    from labelwise.cli.app import app

    try:
        app(argv, prog_name="labelwise")
    except SystemExit as end:
        return int(end.code or 0) if isinstance(end.code, int | None) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def fork(trial: Trial, folder: Path) -> End:
    """Run a trial in a forked process and wait for its end."""
    for name in ("out", "err", "points", "modules"):
        (folder / name).unlink(missing_ok=True)
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            _live(trial, folder)
        finally:
            os._exit(70)
    status = _waited(child, trial.after)
    seconds = time.monotonic() - start
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    texts = {name: _text(folder / name) for name in ("out", "err", "points", "modules")}
    steps = texts["points"].splitlines()
    return End(status, texts["out"], texts["err"], len(steps), seconds, texts["modules"].split(), steps)


def _waited(child: int, after: float) -> int:
    """Return the exit code of a child; one that lives longer than `after` seconds is killed with its group."""
    end = time.monotonic() + (after or 600.0)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            end = float("inf")
        time.sleep(0.002)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def main() -> None:
    """Import everything that the first trial needed, and fork one process a line."""
    folder = Path(sys.argv[1])
    for module in ("labelwise.cli.commands", "labelwise.run", "labelwise.report.page"):
        importlib.import_module(module)
    for line in sys.stdin:
        trial = Trial(**json.loads(line))
        end = fork(trial, folder)
        for module in end.modules:
            if module.split(".")[0] not in ("__main__", "tests"):
                with suppress(Exception):
                    importlib.import_module(module)
        print(json.dumps(asdict(end)), flush=True)


if __name__ == "__main__":
    main()
