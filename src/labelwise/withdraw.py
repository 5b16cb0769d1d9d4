"""Withdraw rows from a saved model: which rows, forget them, measure it, and write the new model with its certificate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

import labelwise
from labelwise import catalogue
from labelwise.base import InputError
from labelwise.data import read_table
from labelwise.job import Job, Understood, understand
from labelwise.learner import Learner
from labelwise.model import Model
from labelwise.persistence import load, save
from labelwise.report.certificate import write_certificate
from labelwise.session import is_run, job_of
from labelwise.unlearning import Certificate, certify, rows_named
from labelwise.unlearning.base import Unlearner

FEWEST_TEST = 5
CERTIFICATE = "certificate.json"
ENCODER = (
    "How columns and texts are read (scales, categories, word counts) was learned from all rows, the withdrawn ones among "
    "them. To rebuild that too, start a new run on the table without them."
)


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
        names = np.arange(len(data.frame)) if self.id is None else _column(data.frame, self.id, "--id")
        named = rows_named(_ids(self.rows, self.id), names, "row")
        if not (named & train).any():
            raise InputError(f"--rows: all {named.sum()} named rows are test rows, which the model was not trained on.")
        return named & train, named & ~train

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
        What a model that is no run was trained on: arguments of `labelwise.job.Job`, ``source`` among them.
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


@dataclass(frozen=True)
class Material:
    """The model and the rows it learned from, encoded, with rows it never saw."""

    model: Model
    X: Any
    y: NDArray[Any]
    X_test: Any
    y_test: NDArray[Any]


def withdraw(request: Request) -> tuple[Path, Certificate]:
    """Forget the rows, measure it, and write model, certificate.json and certificate.html.

    Raises
    ------
    InputError
        For rows that are unknown, everything forgotten, a model without its table, no test rows, an output in the way; the
        model withdrawn from is never changed.
    """
    out = _place(request)
    entry = catalogue.find(request.method)
    if entry.room != "unlearning" or "forget" not in entry.cls.card.needs:
        known = ", ".join(e.name for e in catalogue.methods(room="unlearning") if "forget" in e.cls.card.needs)
        raise InputError(f"--method: {entry.name} withdraws no rows. Take one of {known}.")
    material, mask = gathered(request)
    estimator = material.model.estimator
    if issubclass(entry.cls, Unlearner) and not isinstance(estimator, Learner):
        raise InputError(
            f"--method: {entry.name} changes a network, and the model is a {type(estimator).__name__}. Take Retrain or SISA."
        )
    method = entry.cls(estimator=estimator, **_seeded(entry.cls, request))
    after = method.fit(material.X, material.y, forget=mask)
    certificate = _certified(material, after, mask, request)
    handed = _handed_on(material.model, after, entry.name)
    _write(out, handed, certificate, request, entry.name)
    return out, certificate


def gathered(request: Request) -> tuple[Material, NDArray[np.bool_]]:
    """Read the model and the rows it was trained on; return which of these are to be forgotten."""
    path = Path(request.model)
    inside = path / "model" if (path / "model").is_dir() else path
    model = load(inside)
    if not isinstance(model, Model):
        raise InputError(f"{request.model} holds a {type(model).__name__}, not a model of `labelwise run` or `fit`.")
    if model.several:
        raise InputError(f"{request.model} gives several labels a row; rows cannot be withdrawn from such a model yet.")
    if is_run(path):
        job = job_of(path)
    elif request.table is not None:
        job = Job(**request.table)
    else:
        raise InputError(
            f"{request.model} is a model and not a run, so nothing tells what it was trained on: give --table, --label."
        )
    data = understand(job if request.test is None else replace(job, test=request.test))
    forget, beside = request.which.masks(data)
    return _encoded(model, data, beside), forget[~data.test]


def _encoded(model: Model, data: Understood, beside: NDArray[np.bool_]) -> Material:
    values, tested = np.asarray(data.values), np.asarray(data.test_values)
    if model.classes is not None:
        values, tested = (_codes(given, data, model) for given in (values, tested))
    X = model.encoder.transform(data.frame)
    usable = data.test & ~beside & (np.isfinite(tested) if model.classes is None else tested >= 0)
    if usable.sum() < FEWEST_TEST:
        raise InputError(
            f"a certificate needs at least {FEWEST_TEST} labelled rows that the model never saw, and there are "
            f"{int(usable.sum())}. Give a table of them with --test."
        )
    return Material(model, X[~data.test], values[~data.test], X[usable], tested[usable])


def _codes(codes: NDArray[Any], data: Understood, model: Model) -> NDArray[np.int64]:
    """Return codes in the order of the model's classes; a class it does not know is no label."""
    order = {str(name): code for code, name in enumerate(model.classes or [])}
    table = [order.get(str(name), -1) for name in np.asarray(data.targets.classes).tolist()]
    return np.asarray(np.array([*table, -1])[codes.astype(np.int64)])


def _seeded(method: type[Any], request: Request) -> dict[str, Any]:
    fields = method._get_param_names()
    return ({"random_state": request.seed} if "random_state" in fields else {}) | dict(request.settings)


def _certified(material: Material, after: Any, mask: NDArray[np.bool_], request: Request) -> Certificate:
    """Measure; a withdrawal by retraining is its own comparison."""
    exact = type(after).__name__ == "Retrain"
    certificate = certify(
        material.model.estimator, after.model_, material.X, material.y, mask, material.X_test, material.y_test,
        retrained=after.model_ if exact else None, retrain=request.compare and not exact, seconds=after.seconds_,
        random_state=request.seed,
    )  # fmt: skip
    more = [ENCODER, *_left_behind(Path(request.model))]
    return replace(certificate, not_checked=(*certificate.not_checked, *more))


def _left_behind(run: Path) -> list[str]:
    """Name what in the run's directory may still show the rows; it is not touched."""
    names = [name for name in ("predictions.parquet", "queries.csv", "flagged.csv", "findings.parquet", "answers.csv",
                               "review.sqlite", "report.html") if (run / name).exists()]  # fmt: skip
    return [f"{run.name} itself: its {', '.join(names)} and model/ still hold what they held."] if names else []


def _handed_on(model: Model, after: Any, how: str) -> Model:
    """Return the model with the learner that was handed on in the place of its estimator."""
    return Model(
        encoder=model.encoder, estimator=after.model_, classes=model.classes, method=f"{model.method}, {how}",
        several=model.several,
    )  # fmt: skip


def _place(request: Request) -> Path:
    """Return the output directory; refuse one that holds anything but an earlier withdrawal to be replaced."""
    out = Path(request.out)
    if out.exists() and not (request.overwrite and (out / CERTIFICATE).is_file()):
        hint = "It holds no earlier withdrawal: name" if request.overwrite else "Add --overwrite, or name"
        raise InputError(f"--out: {out} exists already. {hint} another directory.")
    if out.absolute() == Path(request.model).absolute():
        raise InputError(f"--out: {out} is the model to withdraw from, which is kept. Name another directory.")
    return out


def _write(out: Path, model: Model, certificate: Certificate, request: Request, method: str) -> None:
    """Write everything beside its place, then move it there in one step."""
    work = out.with_name(out.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        save(model, work / "model")
        info = {
            "labelwise": labelwise.__version__, "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": request.model, "withdrawn": request.which.told(), "method": method,
            "settings": {name: _shown(value) for name, value in request.settings.items()},
        } | certificate.as_dict()  # fmt: skip
        (work / CERTIFICATE).write_text(json.dumps(info, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
        write_certificate(info, work / "certificate.html")
        before = out.with_name(f".{out.name}.before")
        shutil.rmtree(before, ignore_errors=True)
        if out.exists():
            out.rename(before)
        work.rename(out)
        shutil.rmtree(before, ignore_errors=True)
    finally:
        with suppress(OSError):
            shutil.rmtree(work, ignore_errors=True)


def _shown(value: Any) -> Any:
    return type(value).__name__ if isinstance(value, BaseEstimator) else value
