"""A file of JSON lines that is only ever added to: a kill or a full disk costs at most the line being written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labelwise import disk
from labelwise.annotators.base import Answer

try:
    import fcntl
except ImportError:  # Windows: programs that share a file are then not kept apart, threads are
    fcntl = None  # type: ignore[assignment]


class Journal:
    """Records kept on disk, safe to write from several threads and programs.

    Parameters
    ----------
    path
        The file; it and its folder are made when the first record is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._lock = threading.Lock()

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield what the file holds; lines that were not written whole are left out."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                record = _record(line)
                if record is not None:
                    yield record

    def append(self, record: dict[str, Any]) -> None:
        """Add a record and wait until it is on the disk."""
        line = json.dumps(record, default=_plain).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, self.path.open("ab+", buffering=0) as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                line = line if file.read(1) == b"\n" else b"\n" + line  # after a line that was cut off
            with disk.telling(self.path.parent):
                written = file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, "only a part could be written", str(self.path))
            os.fsync(file.fileno())
            if not size:  # the file is new: its name must last too
                disk.sync_folder(self.path.parent)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if line.endswith(b"\n") and isinstance(record, dict) else None


class Kept:
    """Answers by what was asked, in a `Journal`; without a file they are kept in memory while the object lives."""

    def __init__(self, path: str | Path | None) -> None:
        self.journal = None if path is None else Journal(path)
        self.answers: dict[str, Answer] = {}
        for record in () if self.journal is None else self.journal.records():
            if isinstance(record.get("key"), str):
                said = (record.get("label"), record.get("confidence", 1.0), record.get("cost", 0.0))
                self.answers[record["key"]] = Answer(*said, str(record.get("text", "")))

    def add(self, key: str, answer: Answer) -> None:
        """Keep an answer, on disk first."""
        if self.journal is not None:
            self.journal.append({"key": key, **answer._asdict()})
        self.answers[key] = answer


def key_of(*asked: Any) -> str:
    """Return a short name of what was asked, the same in every run."""
    text = json.dumps(asked, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else repr(value)
