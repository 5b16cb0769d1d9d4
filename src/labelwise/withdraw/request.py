"""What is asked of a withdrawal: from which model, which rows, how, and where to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.data import read_table
from labelwise.job import Understood
from labelwise.unlearning import rows_named


@dataclass(frozen=True)
class Which:
    """Which rows are to be forgotten: exactly one of the three.

    Parameters
    ----------
    rows
        File with the names of the rows: values of column `id`, or row numbers from 0 without one.
    id
        Column of the table that names a row.
    classes
        Names of classes whose rows all go.
    domains
        Names of sources whose rows all go, as the table's domain column has them.
    """

    rows: str | None = None
    id: str | None = None
    classes: Sequence[str] = ()
    domains: Sequence[str] = ()

    def __post_init__(self) -> None:
        given = [name for name, value in (("--rows", self.rows), ("--class", self.classes), ("--domain", self.domains))
                 if value]  # fmt: skip
        if len(given) != 1:
            found = f"Got {' and '.join(given)}" if given else "Got none of them"
            raise InputError(f"say what to forget by one of --rows, --class and --domain. {found}.")
        if self.id is not None and self.rows is None:
            raise InputError("--id names the column that the rows of --rows are named by: give --rows too.")

    def told(self) -> str:
        """Return in words what was asked for, without naming a single row."""
        if self.rows is not None:
            return f"rows of {Path(self.rows).name}" + (f" by {self.id}" if self.id else " by row number")
        return f"class {', '.join(self.classes)}" if self.classes else f"domain {', '.join(self.domains)}"

    def masks(self, data: Understood) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the training rows to forget, and the test rows that go with them, as masks over all rows of the table.

        Test rows that were named go too: they are not in the model, but are to be looked at no more. Those of a class or a
        domain stay, to measure what the model makes of it.
        """
        train = ~data.test
        if self.rows is None:
            found, beside = np.zeros(len(data.frame), bool), np.zeros(len(data.frame), bool)
            found[train] = self._kind(data, train)
            return found, beside
        named = self.among(data.frame)
        if not (named & train).any():
            raise InputError(f"--rows: all {named.sum()} named rows are test rows, which the model was not trained on.")
        return named & train, named & ~train

    def among(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Return the rows of a table that the file names."""
        names = np.arange(len(frame)) if self.id is None else _column(frame, self.id, "--id")
        return rows_named(
            _ids(str(self.rows), self.id), names, "row number (without --id)" if self.id is None else "row"
        )

    def _kind(self, data: Understood, train: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if self.classes:
            return rows_named(self.classes, self._classes(data)[train], "class")
        if data.roles.domain is None:
            raise InputError("--domain: the model's table has no domain column. Name the rows with --rows.")
        return rows_named(self.domains, data.frame[data.roles.domain].to_numpy(dtype=object)[train], "domain")

    def _classes(self, data: Understood) -> NDArray[Any]:
        if data.kind != "classes":
            raise InputError(f"--class: the model predicts {data.kind}, not one class a row. Name rows with --rows.")
        names = np.array([*map(str, np.asarray(data.targets.classes).tolist()), ""], dtype=object)
        return np.asarray(names[data.values])  # unlabelled rows, code -1, have no name


def _column(frame: pd.DataFrame, name: str, argument: str) -> NDArray[Any]:
    if name not in frame.columns:
        raise InputError(
            f"{argument}: the table has no column {name!r}. It has {', '.join(map(str, frame.columns[:20]))}."
        )
    return frame[name].to_numpy(dtype=object)


def _ids(path: str, name: str | None) -> NDArray[Any]:
    """Return the names in a file: of the column called `name` or ``row``, or of its only column."""
    table = read_table(path)
    for wanted in (name, "row"):
        if wanted is not None and wanted in table.columns:
            return table[wanted].to_numpy(dtype=object)
    if table.shape[1] == 1:
        return table.iloc[:, 0].to_numpy(dtype=object)
    raise InputError(
        f"--rows: {path} has the columns {', '.join(map(str, table.columns[:10]))}, and none is called "
        f"{name or 'row'!r}. Name the column of the table with --id, or keep that one column only."
    )


@dataclass(frozen=True)
class Request:
    """A withdrawal: from which model, which rows, how, and where to.

    Parameters
    ----------
    model
        Directory of a complete run, or of a model with `table`.
    which
        The rows.
    table
        What a model that is no run was trained on: arguments of `labelwise.job.Job`, ``source`` among them; for a language
        model ``source`` and ``text``.
    test
        Table of labelled rows the model never saw; a run may have its own.
    method, settings
        Method of `labelwise.unlearning` and its settings.
    compare
        Also retrain without the rows, to compare with; a withdrawal by retraining needs no other.
    out, overwrite
        Directory to make, and whether an earlier withdrawal there may be replaced.
    seed
        Of everything random.
    """

    model: str
    which: Which
    table: Mapping[str, Any] | None = None
    test: str | None = None
    method: str = "Retrain"
    settings: Mapping[str, Any] = field(default_factory=dict)
    compare: bool = True
    out: str = "forgotten"
    overwrite: bool = False
    seed: int = 0


def seeded(method: type[Any], request: Request) -> dict[str, Any]:
    """Return the settings of a method with the request's seed where it takes one."""
    fields = method._get_param_names()
    return ({"random_state": request.seed} if "random_state" in fields else {}) | dict(request.settings)
