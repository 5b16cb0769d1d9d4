"""What a run is asked and what it reads: the arguments, the rows, the part of every column, the supervision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import labelwise
from labelwise.base import UNLABELED, InputError
from labelwise.data import Roles, make_encoder, read_table, read_targets, resolve_roles
from labelwise.data.answers import fingerprint, with_answers
from labelwise.data.cache import encoded, fitted
from labelwise.data.labels import is_test
from labelwise.data.naming import nearest
from labelwise.model import label_lists
from labelwise.supervision import Kind, Targets, describe
from labelwise.weak import aggregate

TABLES = ("source", "test", "pool")
COLUMNS = ("label", "text", "image", "features", "votes", "domain", "group", "weight", "trusted", "task")


@dataclass(frozen=True)
class Job:
    """What to run: the arguments of ``labelwise run``, with their meaning there.

    Parameters
    ----------
    source, test
        Tables: a path or anything `labelwise.data.read_table` takes; `test` rows are scored once, at the end.
    label, text, image, features, votes, domain, group, weight, trusted, task
        Columns and task, as in `labelwise.data.resolve_roles`.
    budget
        Seconds for the race, > 0; infinity: no limit, and the result depends on nothing but the arguments.
    out, resume, overwrite
        The run directory, and what to do when there is one.
    seed
        Of everything random.
    metric
        Of the race; ``auto`` takes accuracy, or balanced accuracy where classes are lopsided, R2 for real targets.
    methods
        Names of methods that race; None lets the findings choose.
    text_model, image_size
        Of the encoder.
    audit_only
        Stop after the audit: no race, no model.
    pool
        Table of further unlabelled rows with the same columns; its labels, if any, are not used.
    label_cost
        Price of one label, >= 0, in any currency: the report then tells what more labels cost.
    answers, rounds, fingerprint
        Of a labelling session (`labelwise.session.reopen`): labels ``row, label`` that replace those of the table, what
        earlier rounds came to, and the digest the table must have.
    """

    source: Any
    label: Any = None
    text: str | None = None
    image: str | None = None
    features: Any = None
    votes: Any = None
    domain: str | None = None
    group: str | None = None
    weight: str | None = None
    trusted: str | None = None
    task: str | None = None
    test: Any = None
    budget: float = 300.0
    out: str | Path = "runs/run"
    resume: bool = False
    overwrite: bool = False
    seed: int = 0
    metric: str = "auto"
    methods: list[str] | None = None
    text_model: str | None = None
    image_size: int = 32
    audit_only: bool = False
    pool: Any = None
    label_cost: float | None = None
    answers: pd.DataFrame | None = None
    rounds: list[dict[str, Any]] = field(default_factory=list)
    fingerprint: str | None = None

    def command(self) -> dict[str, Any]:
        """Return the arguments as JSON can hold them, but for those about an older result.

        Tables in memory are told by their size, answers by their number.
        """
        plain = replace(
            self,
            answers=None,
            rounds=[],
            fingerprint=None,
            resume=False,
            overwrite=False,
            **{k: shown(getattr(self, k)) for k in TABLES},
        )
        told = {k: shown(v) for k, v in asdict(plain).items() if k not in ("rounds", "fingerprint")}
        budget = "none" if self.budget == float("inf") else self.budget  # JSON knows no infinity
        return told | {"answers": None if self.answers is None else len(self.answers), "budget": budget}


@dataclass
class Understood:
    """What a run read: the rows, the part of every column, the supervision, and which rows are for testing.

    `X` are the encoded rows of the table, and behind them those of the test table; `targets` has the labels of training
    rows only, `test_values` those of test rows (elsewhere they are missing); `given` is what the table says, for people.
    """

    frame: pd.DataFrame
    roles: Roles
    given: NDArray[Any]
    targets: Targets
    test: NDArray[np.bool_]
    test_values: NDArray[Any]
    notes: list[str] = field(default_factory=list)
    encoder: Any = None
    fingerprint: str = ""
    X: NDArray[Any] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    @property
    def kind(self) -> str:
        """What the targets are: ``classes``, ``real`` or ``multilabel``."""
        return str(self.targets.kind)

    @property
    def real(self) -> bool:
        """Whether the targets are numbers."""
        return self.targets.kind is Kind.REAL

    @property
    def several(self) -> bool:
        """Whether a row has several labels."""
        return self.targets.kind is Kind.MULTILABEL

    @property
    def values(self) -> NDArray[Any]:
        """Class codes (-1: unlabelled), real targets (NaN) or labels (n, L) (-1); test rows count as unlabelled."""
        return self.targets.array()


def understand(job: Job) -> Understood:
    """Read the table or tables, find the part of every column, and validate the labels; nothing is encoded yet."""
    frame = read_table(job.source)
    named = {name: getattr(job, name) for name in COLUMNS}
    if job.label is None and job.votes is None and list(frame.columns) == ["image", "label"]:
        named["label"] = "label"  # a folder of images, one folder a class
    roles = resolve_roles(frame, **named)
    told = []
    if job.pool is not None:
        more = _unlabelled(read_table(job.pool), frame, roles)
        frame = pd.concat([frame, more], ignore_index=True)
        told.append(f"{len(more):,} unlabelled rows were added from the pool.")
    test = np.zeros(len(frame), bool)
    if roles.split is not None:
        test = is_test(frame[roles.split])
    frame, marks = _round_of_session(job, frame, roles, test, told)
    if job.test is not None:
        more = read_table(job.test)
        _same_columns(more, [*roles.inputs(), *roles.labels], "--test")
        test = np.r_[test, np.ones(len(more), bool)]
        frame = pd.concat([frame, more], ignore_index=True)
    if test.all():
        raise InputError("every row is marked as a test row: there is nothing to train on. Check the split column.")
    frame = frame.reset_index(drop=True)
    whole, notes = _supervision(frame, roles, test)
    if whole.kind not in (Kind.CLASSES, Kind.REAL, Kind.MULTILABEL):
        raise InputError(f"label: `run` takes one class, one number or several labels a row. Found {describe(whole)}")
    data = _hide_test_labels(frame, replace(roles, notes=[*roles.notes, *told, *notes]), whole, test)
    _check_what_is_left(data)
    data.fingerprint = marks
    return data


def encode(job: Job, data: Understood) -> None:
    """Fit the encoder on training rows and encode all rows, through the cache."""
    encoder = make_encoder(
        data.frame, data.roles, text_model=job.text_model, image_size=job.image_size, random_state=job.seed
    )
    data.encoder = fitted(encoder, data.frame[~data.test])
    data.X = encoded(data.encoder, data.frame)


def _round_of_session(
    job: Job, frame: pd.DataFrame, roles: Roles, test: NDArray[np.bool_], told: list[str]
) -> tuple[pd.DataFrame, str]:
    """Return the table with the session's answers, and its digest without them; tell what was changed."""
    marks = fingerprint(frame, [*roles.inputs(), *roles.labels])
    if job.fingerprint is not None and job.fingerprint != marks:
        raise InputError(
            f"--resume: {shown(job.source)} is not the table of the run: rows, inputs or labels have changed, so the row "
            "numbers of the answers may mean other rows. Put the old table back, or start a new run."
        )
    if job.answers is None:
        return frame, marks
    rows = job.answers["row"].to_numpy()
    if test[rows[rows < len(test)]].any():
        row = rows[rows < len(test)][test[rows[rows < len(test)]]][0]
        raise InputError(f"--answers: row {row} is a test row; its label cannot be changed by a session.")
    frame, first, changed = with_answers(frame, roles.label, job.answers)
    told.append(f"{len(job.answers):,} answers: {first:,} first labels, {changed:,} labels changed.")
    return frame, marks


def _unlabelled(pool: pd.DataFrame, frame: pd.DataFrame, roles: Roles) -> pd.DataFrame:
    """Return the pool's rows with the columns that matter and no label."""
    beside = [name for name in (roles.group, roles.domain, roles.weight) if name]
    _same_columns(pool, [*roles.inputs(), *beside], "--pool")
    hidden = {*roles.labels, roles.split, roles.trusted}
    pool = pool[[name for name in frame.columns if name in pool.columns and name not in hidden]]
    return pool if roles.trusted is None else pool.assign(**{roles.trusted: False})


def _supervision(frame: pd.DataFrame, roles: Roles, test: NDArray[np.bool_]) -> tuple[Targets, list[str]]:
    """Return the labels, and those that votes say together where there is none; test rows never get such a label."""
    targets = read_targets(frame, roles)
    if targets.votes is None:
        return targets, []
    known = np.full(len(frame), UNLABELED) if targets.kind is Kind.VOTES else np.asarray(targets.codes)
    gaps = (known == UNLABELED) & ~test
    if targets.kind not in (Kind.CLASSES, Kind.VOTES) or not gaps.any():
        return targets, []
    votes = aggregate(targets.votes, np.where(test, UNLABELED, known))
    codes = np.where(gaps, votes.codes, known)
    note = f"{int((gaps & (codes >= 0)).sum()):,} labels were made of the votes by {votes.model}."
    given = known != UNLABELED
    trusted = given if given.any() and targets.trusted is None else targets.trusted
    return replace(targets, kind=Kind.CLASSES, codes=codes, trusted=trusted), [note]


def _hide_test_labels(frame: pd.DataFrame, roles: Roles, whole: Targets, test: NDArray[np.bool_]) -> Understood:
    """Keep test labels apart, so that nothing that chooses or trains can see them."""
    values = whole.array()
    missing: Any = np.nan if whole.kind is Kind.REAL else UNLABELED
    aside = test.reshape(-1, *[1] * (values.ndim - 1))
    hidden = _with_values(whole, np.where(aside, missing, values))
    if not hidden.labelled.any():
        raise InputError("all labels are missing outside the test rows: there is nothing to learn from.")
    given = frame[roles.label].to_numpy(dtype=object) if roles.label else _names(whole, values)
    return Understood(frame, roles, given, hidden, test, np.where(aside, values, missing), list(roles.notes))


def _check_what_is_left(data: Understood) -> None:
    """Refuse numbers that are all the same, and tell of labels that no row outside the test set has."""
    column = ", ".join(data.roles.labels)
    if data.real and len(found := np.unique(data.values[np.isfinite(data.values)])) == 1:
        raise InputError(
            f"label: every number of column {column!r} outside the test rows is {found[0]:g}: nothing to learn."
        )
    if data.several and (never := np.flatnonzero(data.targets.class_counts == 0)).size:
        names = ", ".join(repr(str(name)) for name in np.asarray(data.targets.classes)[never[:5]])
        more = f" and {len(never) - 5} more" if len(never) > 5 else ""
        data.notes.append(f"No row outside the test set has the label {names}{more}: nothing can be learned of it.")


def _with_values(targets: Targets, values: NDArray[Any]) -> Targets:
    """Return the targets with other labels, numbers or codes."""
    if targets.kind is Kind.REAL:
        return replace(targets, values=values)
    if targets.kind is Kind.CLASSES:
        return replace(targets, codes=values)
    return replace(targets, positive=values == 1, negative=values == 0)


def _names(targets: Targets, codes: NDArray[Any]) -> NDArray[Any]:
    """Return what a table would say: the name of the class, or the names of the labels that a row has."""
    names = np.full(len(codes), None, dtype=object)
    if codes.ndim > 1:
        known = (codes != UNLABELED).any(axis=1)
        names[known] = label_lists(codes[known] == 1, np.asarray(targets.classes).tolist())
        return names
    names[codes >= 0] = np.asarray(targets.classes, dtype=object)[codes[codes >= 0]]
    return names


def _same_columns(table: pd.DataFrame, needed: Sequence[str], argument: str) -> None:
    for name in needed:
        if name not in table.columns:
            near = nearest(name, [str(c) for c in table.columns])
            hint = f" Did you mean {near!r}?" if near else ""
            raise InputError(f"{argument}: column {name!r} of the training table is missing in that table.{hint}")


def opening(job: Job, data: Understood) -> dict[str, Any]:
    """Return the part of run.json that is known before anything starts."""
    targets, labelled = data.targets, data.targets.labelled
    counts = {} if data.real else dict(zip(map(str, targets.classes), class_counts(targets), strict=True))  # type: ignore[arg-type]
    task = {"classes": "classification", "real": "regression", "multilabel": "multi-label"}[data.kind]
    columns = [
        {"name": str(c), "role": data.roles.role_of(str(c)), "dtype": str(data.frame[c].dtype)}
        for c in data.frame.columns
    ]
    return opened(job, {
        "source": shown(job.source), "rows": len(data.frame), "labelled": int(labelled.sum()),
        "unlabelled": int((~labelled & ~data.test).sum()), "test_rows": int(data.test.sum()) or None,
        "columns": columns, "task": task,
        "supervision": describe(targets.take(np.flatnonzero(~data.test))),
        "classes": list(counts), "class_counts": counts, "notes": data.notes, "encoder": "", "n_features": 0,
        "fingerprint": data.fingerprint,
    })  # fmt: skip


def opened(job: Job, data: dict[str, Any]) -> dict[str, Any]:
    """Return the begun ``run.json`` around what is known of the data."""
    return {
        "labelwise": labelwise.__version__, "status": "running",
        "versions": {"Python": python_version(), **{name: version(name) for name in ("numpy", "scikit-learn", "torch")}},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": job.command(), "seed": job.seed, "budget_seconds": job.budget, "data": data,
        "audit": None, "advice": None, "scores": None, "model": None,
    }  # fmt: skip


def class_counts(targets: Targets) -> list[int]:
    """Return the number of labelled rows of every class, or of rows that have each label."""
    return [int(n) for n in targets.class_counts]


def shown(value: Any) -> Any:
    """Return a command's argument as JSON can hold it."""
    if value is None or isinstance(value, (str, int, float, bool, list, tuple)):
        return value
    return str(value) if isinstance(value, Path) else f"{type(value).__name__} in memory, {len(value)} rows"
