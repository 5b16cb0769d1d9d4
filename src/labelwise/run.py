"""The main job, read from top to bottom: read, understand, encode, audit, race, fit, write."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.advice import RaceResult, baseline_for, considered, race, shortlist
from labelwise.advice.noise import noise_to_correct
from labelwise.advice.pool import SHORTEST
from labelwise.advice.score import choose
from labelwise.advice.workers import warm_up
from labelwise.audit import AuditReport, audit
from labelwise.base import InputError
from labelwise.insights import insights
from labelwise.job import Job, Understood, class_counts, encode, opening, understand
from labelwise.model import Model
from labelwise.outcome import audit_info, three_things, write_flagged, write_predictions
from labelwise.persistence import save
from labelwise.rundir import RunDirectory
from labelwise.session import ANSWERS, settled, this_round, trusting

__all__ = ["Job", "Listener", "Understood", "prepare", "run"]


GAINS_SHARE = 0.15
"""Part of the race's budget that the audit may take beside it to learn what mending the findings promises."""


class Listener:
    """Hears what a run does; the command line shows it, the default stays silent."""

    def understood(self, info: dict[str, Any]) -> None:
        """Hear what the run read, before anything starts."""

    def step(self, stage: str, share: float, text: str = "") -> None:
        """Hear that `share` of `stage` (0 to 1) is done."""


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
    doing = "labelwise audit" if job.audit_only else "labelwise run"
    with directory.taken(doing, resume=job.resume, overwrite=job.overwrite):
        return _steps(job, directory, tell, clock)


def _steps(job: Job, directory: RunDirectory, tell: Listener, clock: _Clock) -> Path:
    """Read, audit, race, fit and write, in a directory that is ours."""
    data = understand(job)
    _check_choices(job, data)
    info = opening(job, data)
    tell.understood(info)
    clock.lap("read")
    directory.begin(job.command(), resume=job.resume)
    if not job.audit_only and SHORTEST <= job.budget < float("inf"):
        warm_up()  # the race's processes start while the rows are encoded and audited
    if job.answers is not None:
        directory.csv(ANSWERS, job.answers)
    _encode(job, data, tell)
    info["data"]["encoder"], info["data"]["n_features"] = data.encoder.describe(), int(np.prod(data.X.shape[1:]))
    clock.lap("encode")
    report = _audit(job, data, tell)
    info["audit"] = audit_info(report, data.kind, image=data.X.ndim == 4)
    directory.parquet("findings.parquet", report.to_frame())
    clock.lap("audit")
    result = held = None
    if not job.audit_only:
        result = _race(job, data, report, directory.work / "race", info, tell)
        directory.parquet("leaderboard.parquet", result.leaderboard)
        clock.lap("race")
        model = _fit(data, result, tell)
        held = write_predictions(job, data, report, result, model, directory, info)
        save(model, directory.work / "model", overwrite=True)
        info["model"] = {"path": "model", "method": result.chosen.name}
        clock.lap("fit")
    write_flagged(data, report, directory)
    tell.step("look", 0.0, "slices, learning curve, map")
    insights(job, data, report, result, held, directory, info)
    tell.step("look", 1.0)
    clock.lap("look")
    info["rounds"] = [*job.rounds, this_round(info, job)]
    info |= {"status": "complete", "three_things": three_things(info), "seconds": clock.seconds}
    return _finish(directory, info, clock)


def _check_choices(job: Job, data: Understood) -> None:
    """Refuse a method or metric that the race would refuse, before anything is written."""
    if job.methods is not None:
        shortlist([], kind=data.kind, image=data.roles.image is not None, names=job.methods)
    choose(job.metric, class_counts(data.targets) if data.kind == "classes" else None, data.kind)
    if job.label_cost is not None and not 0 <= job.label_cost < float("inf"):
        raise InputError(f"--label-cost must be the price of one label, 0 or more. Got {job.label_cost:g}.")


def prepare(job: Job, listener: Listener | None = None) -> Understood:
    """Read, understand and encode a job's rows, for training one method without a race."""
    tell = listener or Listener()
    data = understand(job)
    tell.understood(opening(job, data))
    _encode(job, data, tell)
    return data


def _encode(job: Job, data: Understood, tell: Listener) -> None:
    """Fit the encoder on training rows and encode all rows, through the cache."""
    tell.step("encode", 0.0, "reading the inputs")
    encode(job, data)
    tell.step("encode", 1.0)


def _audit(job: Job, data: Understood, tell: Listener) -> AuditReport:
    """Audit the training rows; of test rows only their inputs are compared with those."""
    splits = np.where(data.test, "test", "train") if data.test.any() else None
    texts = data.frame[data.roles.text].to_numpy(dtype=object) if data.roles.text else None
    budget, targets = max(20.0, job.budget), trusting(data.targets, job.answers)
    gains = job.budget if job.budget == float("inf") else min(20.0, GAINS_SHARE * job.budget)
    report = audit(
        data.X, targets, splits=splits, domains=_domains(data), texts=texts, random_state=job.seed,
        time_budget=budget, gains=gains,
        progress=lambda text, share: tell.step("audit", share, text),
    )  # fmt: skip
    tell.step("audit", 1.0)
    return settled(report, job.answers)


def _domains(data: Understood) -> NDArray[Any] | None:
    return None if data.roles.domain is None else data.frame[data.roles.domain].to_numpy(dtype=object)


def _race(
    job: Job, data: Understood, report: AuditReport, checkpoint: Path, info: dict[str, Any], tell: Listener
) -> RaceResult:
    """Race the methods that the findings ask for against the tuned baseline, on training rows only."""
    train = np.flatnonzero(~data.test)
    image = data.X.ndim == 4
    asked: dict[str, Any] = {"kind": data.kind, "image": image, "names": job.methods, "metric": job.metric}
    candidates = shortlist(report, random_state=job.seed, **asked)
    baseline = baseline_for(
        int(np.prod(data.X.shape[1:])),
        max(2, data.targets.n_classes),
        kind=data.kind,
        image=image,
        random_state=job.seed,
    )
    groups = None if data.roles.group is None else data.frame[data.roles.group].to_numpy(dtype=object)[train]
    trusted = None if data.targets.trusted is None else data.targets.trusted[train]
    result = race(
        data.X[train], data.targets.take(train), candidates, baseline, budget_seconds=job.budget, metric=job.metric,
        groups=groups, trusted=trusted, noise_matrix=noise_to_correct(report), random_state=job.seed, checkpoint=checkpoint,
        final_fit=True, progress=lambda text, share: tell.step("race", share, text),
    )  # fmt: skip
    tell.step("race", 1.0)
    info["advice"] = {
        "metric": result.metric, "level": result.level, "baseline": result.baseline.name, "chosen": result.chosen.name,
        "verdict": result.verdict, "reason": result.reason, "folds": result.folds, "repeats": result.repeats,
        "shortlist": [{"method": c.name, "why": c.note} for c in candidates], "seconds": result.seconds,
        "notes": result.notes,
        "considered": [one.to_dict() for one in considered(report, **asked)],
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
    return Model(
        encoder=data.encoder, estimator=estimator, classes=classes, method=result.chosen.name, several=data.several
    )  # fmt: skip


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
