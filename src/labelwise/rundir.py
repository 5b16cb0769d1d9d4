"""A run on disk: made beside its final place, complete or absent, resumable when interrupted.

A run works in ``<out>.partial`` and moves to ``<out>`` in its last step, so that a directory with the run's name is always a
complete run: Ctrl-C, a kill or a full disk leave either the old run or a partial one to resume. A kill within the last step
itself, while the old run stands aside as ``.<out>.before``, is mended by `recover` when the run is next opened.

What people decided on a run's review page goes with it from round to round, and is never deleted with an old run.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelwise import disk, lock
from labelwise.base import InputError, understood
from labelwise.review.store import FILE, Store, has_decisions

if TYPE_CHECKING:
    import pandas as pd

RUN = "a directory that `labelwise run` wrote, as it wrote it"
"""What is accepted where a run is read, for messages."""
STATE = "command.json"
SCRATCH = ("race", "work")
"""Folders of a run that is under way, to go on from; a complete run has none."""
OTHER = "review-of-{}.sqlite"
"""Decisions about another table, by its digest: they mean nothing to the run that replaced theirs, but may be wanted."""


class RunDirectory:
    """Where a run is written.

    Parameters
    ----------
    out
        The run's final directory; its parent is made if needed.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self.work = self.out.with_name(self.out.name + ".partial")
        self.before = self.out.with_name(f".{self.out.name}.before")
        self._decisions: Store | None = None
        self._placed = False

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse, before anything is done, a place that holds a run already or cannot be written.

        Raises
        ------
        InputError
            Naming the directory, what it holds and which flag to add.
        """
        self.mend()
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"--out: {self.out} is a file. Name a directory.")
        if self.out.exists() and any(self.out.iterdir()) and not overwrite:
            hint = "It is complete, so there is nothing to resume" if resume else "Nothing was changed"
            raise InputError(f"--out: {self.out} exists already. {hint}; add --overwrite, or name another directory.")
        if self.work.exists() and not (resume or overwrite):
            raise InputError(
                f"--out: {self.work} holds an interrupted run. Add --resume to go on with it, or --overwrite to start again."
            )
        if resume and not self.work.exists():
            raise InputError(f"--resume: there is no interrupted run {self.work}. Leave --resume out to start one.")

    @contextmanager
    def held(self, doing: str) -> Iterator[None]:
        """Keep other processes away from this place, and name it in errors of the disk.

        Raises
        ------
        InUse
            If another process is at work there: who, and since when.
        InputError
            If nothing can be written there.
        """
        parent = next(p for p in self.out.absolute().parents if p.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise InputError(f"--out: {parent} cannot be written. Name a directory where you may create files.")
        with disk.telling(parent), lock.held(self.out, doing):
            yield

    @contextmanager
    def taken(self, doing: str, *, resume: bool, overwrite: bool) -> Iterator[None]:
        """Do all that keeps a place for a run: it is `held`, `check` passes, the old run's decisions are `claimed`."""
        with self.held(doing):
            self.check(resume=resume, overwrite=overwrite)
            with self.claimed():
                yield

    @property
    def torn(self) -> bool:
        """Whether a kill came while the run was put in its place."""
        return self.before.exists() or self._complete

    @property
    def _complete(self) -> bool:
        return (self.work / "run.json").is_file() and not (self.work / STATE).exists()

    def mend(self) -> None:
        """Do what is left of putting the run in its place, or bring the old one back; only while it is `held`."""
        if self._complete:
            self._put_in_place()
        elif self.before.exists() and not self.out.exists():
            self.before.rename(self.out)
        elif self.before.exists():
            disk.discard(self.before)

    def begin(self, command: dict[str, Any], *, resume: bool) -> None:
        """Make the working directory; a resumed run must be the same command, its budget aside.

        Raises
        ------
        InputError
            When the command differs from the one interrupted.
        """
        if resume and self._state():
            self._same_command(command)
            return
        begun = self.out.with_name(f".{self.out.name}.begun")
        shutil.rmtree(begun, ignore_errors=True)
        try:
            begun.mkdir(parents=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise InputError(
                f"--out: {self.work} cannot be made ({error.strerror}). Name another directory."
            ) from error
        disk.write(begun / STATE, _text(command))
        disk.discard(self.work)
        begun.rename(self.work)  # it has its name only with its first file: without that it would pass for complete
        disk.sync_folder(self.work.parent)

    def interrupted(self, command: dict[str, Any]) -> bool:
        """Say whether there is an interrupted run of the same command, and with as many answers, to go on with."""
        return self.work.exists() and not self._changed(command)[2]

    def _changed(self, command: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
        old = self._state()
        new = json.loads(json.dumps(command, default=str))
        return old, new, sorted(k for k in {*old, *new} - {"budget", "resume", "overwrite"} if old.get(k) != new.get(k))

    def _state(self) -> dict[str, Any]:
        """Return the interrupted command; empty where the run had not even begun, or its first file was lost with power."""
        try:
            return dict(json.loads((self.work / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _same_command(self, command: dict[str, Any]) -> None:
        old, new, changed = self._changed(command)
        if changed:
            name = changed[0]
            raise InputError(
                f"--resume: the interrupted run had {name}={old.get(name)!r}, now it is {new.get(name)!r}. "
                "Give the same arguments (the budget may differ), or --overwrite to start again."
            )

    def json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file atomically; numbers that JSON does not know become null."""
        disk.write(self.work / name, _text(content))

    def parquet(self, name: str, frame: pd.DataFrame) -> None:
        """Write a Parquet file atomically."""
        disk.write(self.work / name, lambda path: frame.to_parquet(path, index=False))

    def csv(self, name: str, frame: pd.DataFrame) -> None:
        """Write a CSV file atomically."""
        disk.write(self.work / name, lambda path: frame.to_csv(path, index=False))

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the decisions of the run that is to be replaced, so that nobody decides on cards that are about to go.

        Raises
        ------
        InUse
            While the run's review page is open.
        """
        if not (self.out / "run.json").is_file():
            yield
            return
        fresh = not has_decisions(self.out)
        with Store(self.out, holder="a new round of labelwise run") as self._decisions:
            try:
                yield
            finally:
                unused = fresh and not self._placed and self._decisions.empty
                self._decisions.close()
                if unused:  # made only to be held
                    (self.out / FILE).unlink(missing_ok=True)

    def finish(self) -> Path:
        """Move the complete run to its final place, in the stead of an older one, and return it."""
        disk.settle(self.work, but=SCRATCH)
        (self.work / STATE).unlink(missing_ok=True)  # from here on the new run counts
        self._put_in_place()
        return self.out

    def _put_in_place(self) -> None:
        """Replace the old run, whose decisions are in both places until the new one stands."""
        for name in SCRATCH:
            disk.discard(self.work / name)
        if self.out.exists():
            self._carry_decisions()
            disk.settle(self.work)
        disk.swap(self.work, self.out)
        self._placed = True

    def _carry_decisions(self) -> None:
        """Copy the decisions about the same table; those about others keep a name of their own until theirs comes back."""
        info = json.loads((self.work / "run.json").read_text(encoding="utf-8"))
        table = info["data"].get("fingerprint")
        for aside in self.out.glob(OTHER.format("*")):
            shutil.copy2(aside, self.work / (FILE if aside.name == OTHER.format(table) else aside.name))
        if has_decisions(self.out):
            store = self._decisions or Store(self.out, holder="a new round of labelwise run")
            if not store.empty:
                same = store.fingerprint in (None, table)
                store.copy_to(self.work / (FILE if same else OTHER.format(store.fingerprint)))
            store.settle()
            if self._decisions is None:
                store.close()


def recover(out: str | Path) -> None:
    """Complete the replacement of a run by its next round if it was killed midway; otherwise do nothing.

    Nothing is decided here that was not decided before the kill: a complete new run goes to its place, and without one the
    old run comes back. Where another process is at work there, or nothing may be written, it is left as it is.
    """
    if not Path(out).name:  # "." and "/" are no run's name
        return
    directory = RunDirectory(out)
    if not directory.torn:
        return
    try:
        with directory.held("a command that completes it"):
            directory.mend()
    except lock.InUse:
        disk.wait_for(directory.out)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise


def _text(content: dict[str, Any]) -> str:
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def read_info(run: str | Path) -> dict[str, Any]:
    """Return a complete run's run.json; a replacement that was killed midway is completed first.

    Raises
    ------
    InputError
        Where there is none, or it is not of the form that a run has.
    """
    recover(run)
    file = Path(run) / "run.json"
    if not file.is_file():
        raise InputError(
            f"{run} is no complete run: it has no run.json. Give the directory that `labelwise run` wrote."
        )
    with understood(file, RUN):
        info: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        info["data"].get("classes")
    return info
