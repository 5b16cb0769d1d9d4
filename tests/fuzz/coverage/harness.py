"""One input, one promise: it is read, or refused by `InputError`; nothing else happens, and it ends soon."""

from __future__ import annotations

import hashlib
import shutil
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.fuzz.coverage.guard import Escape, Guard
from tests.fuzz.coverage.mutate import Bytes

from labelwise.base import InputError

Target = Callable[[Bytes, Path], None]


class TooLong(AssertionError):
    """An input that took longer than it may."""


class Harness:
    """Plays inputs: the first byte chooses the target, which makes a file in an empty folder of the rest and reads it.

    With `found` set, an input that breaks the promise is written there, one for each place in the code, and play goes on;
    else what it raised is raised.
    """

    def __init__(self, targets: Sequence[Target], folder: Path, seconds: float) -> None:
        self.targets, self.folder, self.seconds = targets, folder, seconds
        self.found: Path | None = None
        self.group, self.known = "", set[str]()
        self.guard = Guard(folder)
        self._warm_up()

    def __call__(self, data: bytes) -> None:
        """Play one input."""
        source = Bytes(data)
        target = self.targets[source.below(len(self.targets))]
        try:
            self._timed(target, source)
        except (Exception, Escape) as error:
            if self.found is None:
                raise
            self._keep(data, error)

    def _timed(self, target: Target, source: Bytes) -> None:
        start = time.thread_time()
        self._watched(target, source, self._empty("now"))
        if time.thread_time() - start > self.seconds:
            raise TooLong(f"{target.__name__} took {time.thread_time() - start:.0f} s")

    def _watched(self, target: Target, source: Bytes, folder: Path) -> None:
        self.guard.on()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                target(source, folder)
        except InputError:
            pass
        finally:
            seen = self.guard.off()
        if seen:
            raise AssertionError(f"{target.__name__} did what no file may do: {seen}")

    def _keep(self, data: bytes, error: BaseException) -> None:
        """Write an input and its traceback, unless the same place in labelwise broke in the same way before."""
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/labelwise/" in frame.filename]
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else str(error)
        key = f"{type(error).__name__} {where}"
        if key in self.known or self.found is None:
            return
        self.known.add(key)
        name = self.found / f"{self.group}-finding-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        name.write_bytes(data)
        name.with_suffix(".txt").write_text(
            "".join(traceback.format_exception(error)), encoding="utf-8", errors="replace"
        )
        print(f"\nfinding {name.name}: {key}: {str(error)[:200]!r}", flush=True)

    def _empty(self, name: str) -> Path:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def _warm_up(self) -> None:
        """Import what is imported late, unwatched; what breaks here will break again when it counts."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number, target in enumerate(self.targets):
                for n in range(10):
                    source = Bytes(bytes((number * 5 + n * 11 + i * 3) % 256 for i in range(30)))
                    try:
                        target(source, self._empty("warm"))
                    except Exception:
                        continue
