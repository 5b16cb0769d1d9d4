"""One process at a time at a place on disk: a lock of the operating system, which ends with the process however that ends.

The lock is a file ``.<name>.lock`` beside the place, locked and not merely there: what a killed process left behind holds
nobody up. Its content says who holds it. Where the file system has no locks (some network file systems, mounted so) the
content itself is believed: it holds as long as its process lives on this machine, and always where it names another one.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from labelwise.errors import InputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_BUSY = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_FAR = 2**30
"""Where Windows, which locks bytes against being read, locks one: beyond what the file says."""
_ours: set[tuple[Path, int]] = set()
"""Locks this process holds, by the thread: who holds one may take it again."""


class InUse(InputError):
    """Another process is at work there."""


@contextmanager
def held(path: str | Path, doing: str) -> Iterator[None]:
    """Hold a place on disk while the block runs.

    Parameters
    ----------
    path
        File or directory that is going to be written; need not exist. Missing parents are made, and removed again where
        nothing was put there.
    doing
        What the process does with it, for the message that others get.

    Raises
    ------
    InUse
        If another process, or another thread, holds it: who, and since when.
    OSError
        If the folder around it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, held(f"{folder}/run", "an example"):
    ...     with held(f"{folder}/run", "the same thread again"):
    ...         print([path.name for path in Path(folder).iterdir()])
    ['.run.lock']
    """
    place = Path(os.path.realpath(Path(path).parent)) / Path(path).name
    key = place, threading.get_ident()
    if key in _ours:
        yield
        return
    file = lock_file(place)
    made = [parent for parent in file.parents if not parent.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    number = -1
    try:
        number = _locked(file, place)
        _note(number, doing)
        _ours.add(key)
        yield
    finally:
        _ours.discard(key)
        if number >= 0:
            _let_go(file, number)
        with suppress(OSError):
            for parent in made:
                parent.rmdir()


def lock_file(path: Path) -> Path:
    """Return the file that is locked while a process holds `path`."""
    return path.with_name(f".{path.name}.lock")


def described() -> dict[str, Any]:
    """Return who we are, for a note to others: process, host, and the time."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def who(note: dict[str, Any]) -> str:
    """Say in words whom a note describes.

    >>> who({"pid": 7, "host": "ada", "since": "2026-01-01T10:00:00+00:00", "doing": "a run"})
    'a run (process 7 on ada, since 2026-01-01T10:00:00+00:00)'
    >>> who({})
    'another process'
    """
    if not note.keys() >= {"doing", "pid"}:
        return "another process"
    more = "".join(f"{word}{note[name]}" for name, word in (("host", " on "), ("since", ", since ")) if name in note)
    return f"{note['doing']} (process {note['pid']}{more})"


def _locked(file: Path, place: Path) -> int:
    """Open and lock the file; again where its last holder has just removed it."""
    while True:
        number = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            locked = _try(number)
            if locked is False or (locked is None and _believed(_read(number))):
                raise _in_use(place, _read(number), sure=locked is False)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(number), os.stat(file)):
                    return number
        except BaseException:
            os.close(number)
            raise
        os.close(number)


def _try(number: int) -> bool | None:
    """Lock an open file; say whether that worked, or None where the file system has no locks."""
    try:
        if sys.platform == "win32":
            os.lseek(number, _FAR, os.SEEK_SET)
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _believed(note: dict[str, Any]) -> bool:
    """Whether a note alone keeps others away: its process lives, or is on another machine and cannot be asked."""
    if note.get("host") != socket.gethostname() or sys.platform == "win32":
        return bool(note)
    try:
        os.kill(int(note["pid"]), 0)
    except (ProcessLookupError, KeyError, TypeError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return int(note["pid"]) != os.getpid()


def _note(number: int, doing: str) -> None:
    """Write who holds the lock; a full disk costs others the name only."""
    with suppress(OSError):
        os.ftruncate(number, 0)
        os.lseek(number, 0, os.SEEK_SET)
        os.write(number, json.dumps({**described(), "doing": doing}).encode())


def _read(number: int) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        os.lseek(number, 0, os.SEEK_SET)
        note = json.loads(os.read(number, 4096))
        return note if isinstance(note, dict) else {}
    return {}


def _in_use(place: Path, note: dict[str, Any], *, sure: bool) -> InUse:
    doubt = "" if sure else f" If that process is gone, delete {lock_file(place)}: this file system has no locks."
    return InUse(f"{place} is in use by {who(note)}. Wait until it has ended, or name another place.{doubt}")


def _let_go(file: Path, number: int) -> None:
    """Remove the file while it is still ours, then unlock it."""
    with suppress(OSError):
        file.unlink()
    os.close(number)
