"""A run on disk: made beside its final place, complete or absent, resumable when interrupted.

A run works in ``<out>.partial`` and moves to ``<out>`` in its last step, so that a directory with the run's name is always a
complete run: Ctrl-C, a kill or a full disk leave either the old run or a partial one to resume. A kill within the last step
itself, while the old run stands aside as ``.<out>.before``, is mended by `recover` when the run is next opened.

What people decided on a run's review page goes with it from round to round, and is never deleted with an old run.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelwise.base import InputError
from labelwise.review.store import FILE, Store, has_decisions

if TYPE_CHECKING:
    import pandas as pd

STATE = "command.json"
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
        recover(self.out)
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
        parent = next(p for p in self.out.absolute().parents if p.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise InputError(f"--out: {parent} cannot be written. Name a directory where you may create files.")

    def begin(self, command: dict[str, Any], *, resume: bool) -> None:
        """Make the working directory; a resumed run must be the same command, its budget aside.

        Raises
        ------
        InputError
            When the command differs from the one interrupted.
        """
        if resume:
            self._same_command(command)
            return
        if self.work.exists():
            shutil.rmtree(self.work)
        try:
            self.work.mkdir(parents=True)
        except OSError as error:
            raise InputError(
                f"--out: {self.work} cannot be made ({error.strerror}). Name another directory."
            ) from error
        self.json(STATE, command)

    def interrupted(self, command: dict[str, Any]) -> bool:
        """Say whether there is an interrupted run of the same command, and with as many answers, to go on with."""
        return self.work.exists() and not self._changed(command)[2]

    def _changed(self, command: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
        file = self.work / STATE
        old = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        new = json.loads(json.dumps(command, default=str))
        return old, new, sorted(k for k in {*old, *new} - {"budget", "resume", "overwrite"} if old.get(k) != new.get(k))

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
        text = json.dumps(_finite(content), indent=1, ensure_ascii=False, default=str, allow_nan=False)
        self._replace(name, lambda path: path.write_text(text, encoding="utf-8"))

    def parquet(self, name: str, frame: pd.DataFrame) -> None:
        """Write a Parquet file atomically."""
        self._replace(name, lambda path: frame.to_parquet(path, index=False))

    def csv(self, name: str, frame: pd.DataFrame) -> None:
        """Write a CSV file atomically."""
        self._replace(name, lambda path: frame.to_csv(path, index=False))

    def _replace(self, name: str, write: Any) -> None:
        partial = self.work / f".{name}"
        write(partial)
        partial.replace(self.work / name)

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
        shutil.rmtree(self.work / "race", ignore_errors=True)
        (self.work / STATE).unlink(missing_ok=True)
        self._put_in_place()
        return self.out

    def _put_in_place(self) -> None:
        """Replace the old run, whose decisions are in both places until the new one stands."""
        if self.out.exists():
            self._carry_decisions()
            _discard(self.before)
            self.out.rename(self.before)
        self.work.rename(self.out)
        self._placed = True
        _discard(self.before)

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


@contextmanager
def placed(out: Path) -> Iterator[Path]:
    """Give a directory to write into; when the block ends well it stands at `out`, in the stead of what was there."""
    work, aside = out.with_name(out.name + ".partial"), out.with_name(f".{out.name}.before")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
        shutil.rmtree(aside, ignore_errors=True)
        if out.exists():
            out.rename(aside)
        work.rename(out)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def put_back(out: Path) -> None:
    """Return to `out` what stands aside because `placed` was killed between its two moves."""
    aside = out.with_name(f".{out.name}.before")
    if aside.exists() and not out.exists():
        aside.rename(out)


def recover(out: str | Path) -> None:
    """Complete the replacement of a run by its next round if it was killed midway; otherwise do nothing.

    Nothing is decided here that was not decided before the kill: a complete new run goes to its place, and without one the
    old run comes back.
    """
    if not Path(out).name:  # "." and "/" are no run's name
        return
    directory = RunDirectory(out)
    work = directory.work
    if (work / "run.json").is_file() and not (work / STATE).exists():
        directory._put_in_place()
    elif directory.before.exists() and not directory.out.exists():
        directory.before.rename(directory.out)
    elif directory.before.exists():
        _discard(directory.before)


def _discard(directory: Path) -> None:
    """Delete a directory; under its own name it is there whole or not at all."""
    trash = directory.with_name(f"{directory.name}.trash")
    shutil.rmtree(trash, ignore_errors=True)
    if directory.exists():
        directory.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


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
