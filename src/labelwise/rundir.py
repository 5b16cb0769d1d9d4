"""A run on disk: made beside its final place, complete or absent, resumable when interrupted.

A run works in ``<out>.partial`` and moves to ``<out>`` in its last step, so that a directory with the run's name is always a
complete run: Ctrl-C, a kill or a full disk leave either the old run or a partial one to resume.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelwise.base import InputError

if TYPE_CHECKING:
    import pandas as pd

STATE = "command.json"


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

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse, before anything is done, a place that holds a run already or cannot be written.

        Raises
        ------
        InputError
            Naming the directory, what it holds and which flag to add.
        """
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

    def _same_command(self, command: dict[str, Any]) -> None:
        file = self.work / STATE
        old = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        new = json.loads(json.dumps(command, default=str))
        changed = sorted(k for k in {*old, *new} - {"budget", "resume", "overwrite"} if old.get(k) != new.get(k))
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

    def finish(self) -> Path:
        """Move the complete run to its final place, in the stead of an older one, and return it."""
        (self.work / STATE).unlink(missing_ok=True)
        shutil.rmtree(self.work / "race", ignore_errors=True)
        if self.out.exists():
            old = self.out.with_name(self.out.name + ".old")
            shutil.rmtree(old, ignore_errors=True)
            self.out.rename(old)
            self.work.rename(self.out)
            shutil.rmtree(old)
        else:
            self.work.rename(self.out)
        return self.out


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
