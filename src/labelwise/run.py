"""The main job, read from top to bottom: read, understand, encode, audit, race, fit, write."""

from __future__ import annotations

import time
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
from labelwise import scores
from labelwise.advice import RaceResult, baseline_for, next_rows, race, shortlist
from labelwise.advice.score import choose
from labelwise.audit import AuditReport, audit
from labelwise.base import UNLABELED, InputError
from labelwise.data import Roles, make_encoder, read_table, read_targets, resolve_roles
from labelwise.data.cache import encoded, fitted
from labelwise.data.naming import nearest
from labelwise.model import Model, proba_frame
from labelwise.persistence import save
from labelwise.rundir import RunDirectory
from labelwise.supervision import Kind, Targets, describe
from labelwise.weak import aggregate

TEST_MARKS = frozenset({"test", "testing"})
COLUMNS = ("label", "text", "image", "features", "votes", "domain", "group", "weight", "trusted", "task")
MAX_QUERIES = 1000
PREVIEW = 200


class Listener:
    """Hears what a run does; the command line shows it, the default stays silent."""

    def understood(self, info: dict[str, Any]) -> None:
        """Hear what the run read, before anything starts."""

    def step(self, stage: str, share: float, text: str = "") -> None:
        """Hear that `share` of `stage` (0 to 1) is done."""


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
        Seconds for the race, > 0.
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

    def command(self) -> dict[str, Any]:
        """Return the arguments as JSON can hold them; tables in memory by their size."""
        return {
            k: _shown(v) for k, v in asdict(replace(self, source=_shown(self.source), test=_shown(self.test))).items()
        }


@dataclass
class Understood:
    """What a run read: the rows, the part of every column, the supervision, and which rows are for testing.

    `X` are the encoded rows of the table, and behind them those of the test table; `targets` has the labels of training
    rows only, `test_codes` those of test rows (-1 elsewhere).
    """

    frame: pd.DataFrame
    roles: Roles
    given: NDArray[Any]
    targets: Targets
    test: NDArray[np.bool_]
    test_values: NDArray[Any]
    notes: list[str] = field(default_factory=list)
    encoder: Any = None
    X: NDArray[Any] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    @property
    def real(self) -> bool:
        """Whether the targets are numbers, not classes."""
        return self.targets.kind is Kind.REAL

    @property
    def values(self) -> NDArray[Any]:
        """Class codes (-1: unlabelled) or real targets (NaN: unlabelled) of every row; test rows count as unlabelled."""
        return np.asarray(self.targets.values if self.real else self.targets.codes)


def run(job: Job, listener: Listener | None = None) -> Path:
    """Run a job and return the run directory.

    Raises
    ------
    InputError
        For anything wrong with the input, before anything is written.
    KeyboardInterrupt
        Passed on; the run can then be resumed.
    """
    tell, clock = listener or Listener(), _Clock()
    if not job.budget > 0:
        raise InputError(f"--budget must be more than 0 seconds. Got {job.budget:g}.")
    directory = RunDirectory(job.out)
    directory.check(resume=job.resume, overwrite=job.overwrite)
    data = understand(job)
    _check_choices(job, data)
    info = _opening(job, data)
    tell.understood(info)
    clock.lap("read")
    directory.begin(job.command(), resume=job.resume)
    _encode(job, data, tell)
    info["data"]["encoder"], info["data"]["n_features"] = data.encoder.describe(), int(np.prod(data.X.shape[1:]))
    clock.lap("encode")
    report = _audit(job, data, tell)
    info["audit"] = _audit_info(report, data)
    directory.parquet("findings.parquet", report.to_frame())
    clock.lap("audit")
    if not job.audit_only:
        result = _race(job, data, report, directory.work / "race", info, tell)
        directory.parquet("leaderboard.parquet", result.leaderboard)
        clock.lap("race")
        model = _fit(data, result, tell)
        _write_predictions(job, data, report, result, model, directory, info)
        save(model, directory.work / "model", overwrite=True)
        info["model"] = {"path": "model", "method": result.chosen.name}
        clock.lap("fit")
    _write_flagged(data, report, directory)
    info |= {"status": "complete", "three_things": three_things(info), "seconds": clock.seconds}
    return _finish(directory, info, clock)


def understand(job: Job) -> Understood:
    """Read the table or tables, find the part of every column, and validate the labels; nothing is encoded yet."""
    frame = read_table(job.source)
    named = {name: getattr(job, name) for name in COLUMNS}
    if job.label is None and job.votes is None and list(frame.columns) == ["image", "label"]:
        named["label"] = "label"  # a folder of images, one folder a class
    roles = resolve_roles(frame, **named)
    test = np.zeros(len(frame), bool)
    if roles.split is not None:
        test = frame[roles.split].astype(str).str.strip().str.lower().isin(TEST_MARKS).to_numpy()
    if job.test is not None:
        more = read_table(job.test)
        _same_columns(more, roles)
        test = np.r_[test, np.ones(len(more), bool)]
        frame = pd.concat([frame, more], ignore_index=True)
    if test.all():
        raise InputError("every row is marked as a test row: there is nothing to train on. Check the split column.")
    frame = frame.reset_index(drop=True)
    if len(roles.labels) > 1:
        raise InputError(
            f"label: {len(roles.labels)} label columns were named. `run` takes one class or one number per row; train "
            "several labels with labelwise.learner.MultiLabelClassifier."
        )
    whole, notes = _supervision(frame, roles, test)
    if whole.kind not in (Kind.CLASSES, Kind.REAL):
        raise InputError(f"label: `run` takes one class or one number per row. Found {describe(whole)}")
    return _hide_test_labels(frame, replace(roles, notes=[*roles.notes, *notes]), whole, test)


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
    values = np.asarray(whole.values if whole.kind is Kind.REAL else whole.codes)
    missing: Any = np.nan if whole.kind is Kind.REAL else UNLABELED
    train = np.where(test.reshape(-1, *[1] * (values.ndim - 1)), missing, values)
    hidden = replace(whole, values=train) if whole.kind is Kind.REAL else replace(whole, codes=train)
    if not hidden.labelled.any():
        raise InputError("all labels are missing outside the test rows: there is nothing to learn from.")
    given = frame[roles.label].to_numpy(dtype=object) if roles.label else _names(whole, values)
    return Understood(frame, roles, given, hidden, test, np.where(test, values, missing), list(roles.notes))


def _names(targets: Targets, codes: NDArray[Any]) -> NDArray[Any]:
    names = np.full(len(codes), None, dtype=object)
    names[codes >= 0] = np.asarray(targets.classes, dtype=object)[codes[codes >= 0]]
    return names


def _same_columns(test: pd.DataFrame, roles: Roles) -> None:
    for name in [*roles.inputs(), *roles.labels]:
        if name not in test.columns:
            near = nearest(name, [str(c) for c in test.columns])
            hint = f" Did you mean {near!r}?" if near else ""
            raise InputError(f"--test: column {name!r} of the training table is missing in the test table.{hint}")


def _opening(job: Job, data: Understood) -> dict[str, Any]:
    """Return the part of run.json that is known before anything starts."""
    targets, labelled = data.targets, data.targets.labelled
    counts = {} if data.real else dict(zip(map(str, targets.classes), _counts(targets), strict=True))  # type: ignore[arg-type]
    columns = [
        {"name": str(c), "role": data.roles.role_of(str(c)), "dtype": str(data.frame[c].dtype)}
        for c in data.frame.columns
    ]
    return {
        "labelwise": labelwise.__version__, "status": "running",
        "versions": {"Python": python_version(), **{name: version(name) for name in ("numpy", "scikit-learn", "torch")}},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": job.command(), "seed": job.seed, "budget_seconds": job.budget,
        "data": {
            "source": _shown(job.source), "rows": len(data.frame), "labelled": int(labelled.sum()),
            "unlabelled": int((~labelled & ~data.test).sum()), "test_rows": int(data.test.sum()) or None,
            "columns": columns, "task": "regression" if data.real else "classification",
            "supervision": describe(targets.take(np.flatnonzero(~data.test))),
            "classes": list(counts), "class_counts": counts, "notes": data.notes, "encoder": "", "n_features": 0,
        },
        "audit": None, "advice": None, "scores": None, "model": None,
    }  # fmt: skip


def _check_choices(job: Job, data: Understood) -> None:
    """Refuse a method or metric that the race would refuse, before anything is written."""
    if job.methods is not None:
        shortlist([], real=data.real, names=job.methods)
    choose(job.metric, None if data.real else _counts(data.targets), data.real)


def prepare(job: Job, listener: Listener | None = None) -> Understood:
    """Read, understand and encode a job's rows, for training one method without a race."""
    tell = listener or Listener()
    data = understand(job)
    tell.understood(_opening(job, data))
    _encode(job, data, tell)
    return data


def _counts(targets: Targets) -> list[int]:
    codes = np.asarray(targets.codes)
    return [int(n) for n in np.bincount(codes[codes >= 0], minlength=targets.n_classes)]


def _encode(job: Job, data: Understood, tell: Listener) -> None:
    """Fit the encoder on training rows and encode all rows, through the cache."""
    tell.step("encode", 0.0, "reading the inputs")
    encoder = make_encoder(
        data.frame, data.roles, text_model=job.text_model, image_size=job.image_size, random_state=job.seed
    )
    data.encoder = fitted(encoder, data.frame[~data.test])
    data.X = encoded(data.encoder, data.frame)
    tell.step("encode", 1.0)


def _audit(job: Job, data: Understood, tell: Listener) -> AuditReport:
    """Audit the training rows; of test rows only their inputs are compared with those."""
    splits = np.where(data.test, "test", "train") if data.test.any() else None
    texts = data.frame[data.roles.text].to_numpy(dtype=object) if data.roles.text else None
    budget = max(20.0, job.budget)
    report = audit(
        data.X, data.targets, splits=splits, domains=_domains(data), texts=texts, random_state=job.seed,
        time_budget=budget, progress=lambda text, share: tell.step("audit", share, text),
    )  # fmt: skip
    tell.step("audit", 1.0)
    return report


def _domains(data: Understood) -> NDArray[Any] | None:
    return None if data.roles.domain is None else data.frame[data.roles.domain].to_numpy(dtype=object)


def _audit_info(report: AuditReport, data: Understood) -> dict[str, Any]:
    content = report.to_dict()
    for finding, found in zip(content["findings"], report, strict=True):
        chosen = shortlist([found], real=data.real)
        finding["methods"] = [candidate.name for candidate in chosen]
    return content


def _race(
    job: Job, data: Understood, report: AuditReport, checkpoint: Path, info: dict[str, Any], tell: Listener
) -> RaceResult:
    """Race the methods that the findings ask for against the tuned baseline, on training rows only."""
    train = np.flatnonzero(~data.test)
    candidates = shortlist(list(report), real=data.real, names=job.methods, random_state=job.seed)
    image = data.X.ndim == 4
    baseline = baseline_for(
        int(np.prod(data.X.shape[1:])),
        max(2, data.targets.n_classes),
        real=data.real,
        image=image,
        random_state=job.seed,
    )
    groups = None if data.roles.group is None else data.frame[data.roles.group].to_numpy(dtype=object)[train]
    trusted = None if data.targets.trusted is None else data.targets.trusted[train]
    result = race(
        data.X[train], data.targets.take(train), candidates, baseline, budget_seconds=job.budget, metric=job.metric,
        groups=groups, trusted=trusted, random_state=job.seed, checkpoint=checkpoint,
        progress=lambda text, share: tell.step("race", share, text),
    )  # fmt: skip
    tell.step("race", 1.0)
    info["advice"] = {
        "metric": result.metric, "level": result.level, "baseline": result.baseline.name, "chosen": result.chosen.name,
        "verdict": result.verdict, "reason": result.reason, "folds": result.folds, "repeats": result.repeats,
        "shortlist": [{"method": c.name, "why": c.note} for c in candidates], "seconds": result.seconds,
    }  # fmt: skip
    return result


def _fit(data: Understood, result: RaceResult, tell: Listener) -> Model:
    """Fit the chosen method on all training rows, the unlabelled ones with it."""
    tell.step("fit", 0.0, result.chosen.name)
    train = np.flatnonzero(~data.test)
    estimator = result.build()
    estimator.fit(data.X[train], data.values[train])
    tell.step("fit", 1.0)
    classes = None if data.real else np.asarray(data.targets.classes).tolist()
    return Model(encoder=data.encoder, estimator=estimator, classes=classes, method=result.chosen.name)


def _write_predictions(
    job: Job, data: Understood, report: AuditReport, result: RaceResult, model: Model, directory: RunDirectory,
    info: dict[str, Any],
) -> None:  # fmt: skip
    """Write a prediction for every row (out of fold for training rows), the scores, and the next rows to label."""
    train = np.flatnonzero(~data.test)
    fresh = np.zeros(len(data.X), bool)
    fresh[train] = ~np.isnan(result.oof).any(axis=1)
    held_out = result.oof[fresh[train]].astype(np.float64)
    if data.real:
        prediction = np.asarray(model.estimator.predict(data.X), dtype=np.float64).reshape(len(data.X), -1)
        prediction[fresh] = held_out
        table = pd.DataFrame({"prediction": prediction[:, 0]})
        info["scores"] = _regression_scores(data, prediction[:, 0], fresh, job.seed)
    else:
        proba = model.proba(data.X)
        proba[fresh] = held_out
        table = proba_frame(proba, list(model.classes or []))
        info["scores"] = _class_scores(data, proba, fresh, list(map(str, model.classes or [])), job.seed)
        directory.csv("queries.csv", _queries(job, data, report, proba, table))
    table["out_of_fold"] = fresh
    table.insert(0, "row", np.arange(len(table)))
    table.insert(1, "given_label", pd.Series(data.given).astype("string"))
    table["split"] = np.where(data.test, "test", "train")
    table["flagged"] = np.isin(table["row"], report.flagged()["row"])
    directory.parquet("predictions.parquet", table)


def _class_scores(
    data: Understood, proba: NDArray[np.float64], fresh: NDArray[np.bool_], classes: list[str], seed: int
) -> dict[str, Any]:
    """Score the rows predicted out of fold, and the test rows; plots show the test rows where there are any."""
    test = data.test_values >= 0
    validation = np.asarray(data.targets.codes)[fresh], proba[fresh]
    shown = (data.test_values[test], proba[test]) if test.any() else validation
    return {
        "validation": scores.classification_scores(*validation, seed=seed),
        "test": scores.classification_scores(*shown, seed=seed) if test.any() else None,
        "reliability": scores.reliability(*shown),
        "per_class": scores.per_class(*shown, classes),
    }


def _regression_scores(
    data: Understood, prediction: NDArray[np.float64], fresh: NDArray[np.bool_], seed: int
) -> dict[str, Any]:
    given, hidden = (np.asarray(v).reshape(len(prediction), -1)[:, 0] for v in (data.targets.values, data.test_values))
    test = np.isfinite(hidden)
    return {
        "validation": scores.regression_scores(given[fresh], prediction[fresh], seed=seed),
        "test": scores.regression_scores(hidden[test], prediction[test], seed=seed) if test.any() else None,
        "reliability": [],
        "per_class": [],
    }


def _queries(
    job: Job, data: Understood, report: AuditReport, proba: NDArray[np.float64], table: pd.DataFrame
) -> pd.DataFrame:
    """Return the next rows to label, best first, with an empty column to fill in."""
    train = np.flatnonzero(~data.test)
    flagged = report.flagged()
    picked = next_rows(
        proba[train], data.X[train], data.targets.take(train), n=min(MAX_QUERIES, len(train)),
        flagged=np.searchsorted(train, np.intersect1d(train, flagged["row"].to_numpy(dtype=np.int64))),
        random_state=job.seed,
    )  # fmt: skip
    rows = train[picked["row"].to_numpy(dtype=np.int64)]
    picked = picked.assign(
        row=rows, prediction=table["prediction"].to_numpy()[rows], confidence=table["confidence"].to_numpy()[rows],
        given_label=data.given[rows], preview=[_preview(data, row) for row in rows], label="",
    )  # fmt: skip
    return picked[["rank", "row", "score", "reason", "prediction", "confidence", "given_label", "preview", "label"]]


def _write_flagged(data: Understood, report: AuditReport, directory: RunDirectory) -> None:
    """Write every flagged row with its reason, the suggested label and how likely the flag is right at its rank."""
    table = report.flagged()
    curve = report.precision_curve
    table["expected_precision"] = np.nan
    if curve is not None and len(curve):
        errors = np.flatnonzero((table["kind"] == "label errors").to_numpy())
        table.loc[table.index[errors], "expected_precision"] = np.interp(
            np.arange(1, len(errors) + 1), curve["flagged"], curve["precision"]
        )
    table["preview"] = [_preview(data, int(row)) for row in table["row"]]
    columns = ["row", "kind", "given_label", "suggested_label", "confidence", "expected_precision", "reason", "preview"]
    directory.csv("flagged.csv", table[columns])


def _preview(data: Understood, row: int) -> str:
    """Return the row's text or image name, or its first features, short enough for a table."""
    roles = data.roles
    if roles.text or roles.image:
        value = data.frame[roles.text or roles.image].iloc[row]
        return "image" if isinstance(value, bytes) else str(value)[:PREVIEW]
    values = [(name, data.frame[name].iloc[row]) for name in roles.features[:4]]
    return ", ".join(f"{n}={v:.4g}" if isinstance(v, (float, np.floating)) else f"{n}={v}" for n, v in values)[:PREVIEW]


def three_things(info: dict[str, Any]) -> list[str]:
    """Return the three sentences to know: the worst finding, the verdict, and what to do next."""
    found = info["audit"]["findings"]
    worst = f"{found[0]['title']}." if found else "The audit found nothing wrong with the labels."
    advice = info["advice"]
    verdict = advice["reason"] if advice else "Nothing was trained: this run was an audit only."
    todo = (
        found[0]["next_step"]
        if found
        else "Label more rows where the model is unsure: queries.csv lists them, best first."
    )
    return [worst, verdict, todo]


def _finish(directory: RunDirectory, info: dict[str, Any], clock: _Clock) -> Path:
    """Write run.json and the report, and put the run in its place."""
    from labelwise.report import write_report

    directory.json("run.json", info)
    write_report(directory.work)
    clock.lap("report")
    info["seconds"] = {**clock.seconds, "total": clock.total}
    directory.json("run.json", info)
    return directory.finish()


class _Clock:
    """Seconds spent in each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.started = self.last = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[stage], self.last = round(now - self.last, 3), now

    @property
    def total(self) -> float:
        return round(time.monotonic() - self.started, 3)


def _shown(value: Any) -> Any:
    """Return a command's argument as JSON can hold it."""
    if value is None or isinstance(value, (str, int, float, bool, list, tuple)):
        return value
    return str(value) if isinstance(value, Path) else f"{type(value).__name__} in memory, {len(value)} rows"
