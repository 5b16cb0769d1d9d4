"""Files and directories that are there whole or not at all, whatever ends the process, and stay when the power goes.

A file is written beside its place, brought to the disk and renamed; a directory likewise. A kill between the two renames
that replace a directory leaves the old one aside under a name of its own, from where `put_back` returns it.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from labelwise import lock

TROUBLE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your share of the disk is used up",
    errno.EFBIG: "a file may not grow so large there",
    errno.EROFS: "it can only be read",
    errno.EIO: "the disk does not answer as it should",
}
"""Errors of a disk that no other argument of a command mends."""
PATIENCE = 2.0
"""Seconds to wait for another process that is between its two renames."""


def write(path: Path, fill: Callable[[Path], Any] | bytes | str) -> None:
    """Write a file so that, whatever happens, its name holds the old content or the whole new one, on the disk.

    Parameters
    ----------
    path
        The file; its folder is there already.
    fill
        The content, text as UTF-8; or a function that writes it to the path it is given.

    Raises
    ------
    OSError
        Where the disk refuses; its ``filename`` says where.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder) / "a.txt", "content")
    ...     (Path(folder) / "a.txt").read_text(), len(list(Path(folder).iterdir()))
    ('content', 1)
    """
    draft = path.with_name(f".part-{path.name}")  # the ending stays: writers go by it
    with telling(path.parent):
        try:
            draft.unlink(missing_ok=True)  # a kill left it, or somebody put a link there that would be written through
            if callable(fill):
                fill(draft)
            else:
                draft.write_bytes(fill.encode() if isinstance(fill, str) else fill)
            _sync(draft)
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


@contextmanager
def telling(place: Path) -> Iterator[None]:
    """Let errors of a disk that do not say where they happened name `place`."""
    try:
        yield
    except OSError as error:
        if error.errno not in TROUBLE or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(place)) from error


def trouble(error: BaseException) -> str | None:
    """Say in one sentence what a disk refused, or return None where the error, and what led to it, is none of that kind."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, OSError) and one.errno in TROUBLE:
            where = Path(str(one.filename)) if one.filename is not None else None
            place = "the disk" if where is None else (where if where.is_dir() else where.parent).absolute()
            return f"{place} cannot be written: {TROUBLE[one.errno]}"
        one = one.__cause__ or one.__context__
    return None


@contextmanager
def placed(out: Path) -> Iterator[Path]:
    """Give a directory to write into; when the block ends well it stands at `out`, in the stead of what was there.

    Raises
    ------
    InUse
        While another process does the same.
    OSError
        Where the disk refuses; `out` is as it was then.
    """
    work = out.with_name(f".{out.name}.draft")
    with lock.held(out, "a command that writes it"), telling(out.parent):
        put_back(out)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            yield work
            settle(work)
            swap(work, out)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def swap(work: Path, out: Path) -> None:
    """Put the directory `work` in the place of `out`; the old one comes back if that fails."""
    aside = _aside(out)
    discard(aside)
    there = out.exists()
    if there:
        out.rename(aside)
    try:
        work.rename(out)
    except OSError:
        if there:
            aside.rename(out)
        raise
    sync_folder(out.parent)
    with suppress(OSError):  # the new one stands; what is left of the old one goes the next time
        discard(aside)


def put_back(out: Path) -> None:
    """Return to `out` what stands aside because a kill came between the two renames of `swap`; else do nothing."""
    if not out.name or not (aside := _aside(out)).exists():  # "." and "/" have no names beside them
        return
    with suppress(lock.InUse, OSError):
        with lock.held(out, "a command that puts it back"):
            if out.exists():
                discard(aside)
            else:
                aside.rename(out)
        return
    wait_for(out)


def wait_for(out: Path) -> None:
    """Wait a moment for a place that another process is about to fill: it is between its two renames perhaps."""
    end = time.monotonic() + PATIENCE
    while not out.exists() and time.monotonic() < end:
        time.sleep(0.02)


def discard(directory: Path) -> None:
    """Delete a directory; under its own name it is there whole or not at all."""
    trash = directory.with_name(f"{directory.name}.trash")
    shutil.rmtree(trash, ignore_errors=True)
    if directory.exists():
        directory.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def settle(directory: Path, *, but: Collection[str] = ()) -> None:
    """Bring everything in a directory to the disk, but for folders of some names."""
    for folder, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if name not in but)
        for name in sorted(files):
            _sync(Path(folder, name))
        sync_folder(Path(folder))


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; where the system has no such call, do nothing."""
    if os.name != "posix":
        return
    with suppress(OSError):  # some network file systems refuse it, and bring names to the disk by themselves
        _sync(folder)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _aside(out: Path) -> Path:
    return out.with_name(f".{out.name}.before")
