"""The audit of a Parquet table that may be larger than memory: encode, audit and write, block by block."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelwise.audit import AuditReport, audit
from labelwise.base import InputError
from labelwise.data.parquet import ParquetTable, take
from labelwise.data.stream import Direct, Stream, Streamed, read_stream, understand_stream
from labelwise.job import Job, opened
from labelwise.outcome import FLAGGED, PREVIEW, audit_info, flagged, three_things
from labelwise.parts.blocks import engine as engine_of
from labelwise.parts.work import Work
from labelwise.report import write_report
from labelwise.run import Listener
from labelwise.rundir import RunDirectory
from labelwise.session import this_round
from labelwise.supervision import describe

BYTES_A_ROW = 600
"""What a streamed audit writes a row beside features: neighbours, probabilities, hashes, lists of candidates."""
MOST_PREVIEWS = 20_000
"""Flagged rows, the first of the list, that are shown with a few of their values."""


def audit_parquet(job: Job, table: ParquetTable, engine: str, listener: Listener) -> tuple[dict[str, Any], Path]:
    """Audit a Parquet table block by block into a run directory; return its ``run.json`` and its place.

    Raises
    ------
    InputError
        For anything wrong with the table, and too little room on the disk.
    """
    directory, seconds = RunDirectory(job.out), dict[str, float]()
    with directory.taken("labelwise audit", resume=job.resume, overwrite=job.overwrite):
        clock = time.monotonic()
        named = {name: getattr(job, name) for name in ("label", "text", "features", "domain", "trusted", "task")}
        stream = understand_stream(table, seed=job.seed, text_model=job.text_model, **named)
        _check_room(directory, stream)
        directory.begin({**job.command(), "table": table.mark}, resume=job.resume)
        work = Work(engine_of(engine), directory.work / "work" / "table", f"{table.mark} {stream.features.names()[:3]}")  # type: ignore[arg-type]
        work.tell = _tell(listener, "encode")
        listener.step("encode", 0.0, "reading the table")
        data = read_stream(stream, work, job.task)
        listener.step("encode", 1.0)
        info = _opening(job, stream, data)
        listener.understood(info)
        seconds["encode"] = time.monotonic() - clock
        report = _audited(job, stream, data, engine, directory.work / "work" / "audit", listener)
        seconds["audit"] = time.monotonic() - clock - seconds["encode"]
        spent = {name: round(value, 3) for name, value in report.seconds.items()}
        info["audit"] = audit_info(report, str(data.targets.kind)) | {"seconds": spent}
        directory.parquet("findings.parquet", report.to_frame())
        directory.csv("flagged.csv", _flagged(report, stream, data))
        info["rounds"] = [this_round(info, job)]
        info |= {"status": "complete", "three_things": three_things(info)}
        info["seconds"] = {stage: round(value, 3) for stage, value in seconds.items()}
        return info, _finish(directory, info)


def _check_room(directory: RunDirectory, stream: Stream) -> None:
    """Refuse, before anything is written, a disk without room for features, neighbours and probabilities."""
    features = stream.features.width * np.dtype(stream.features.dtype).itemsize
    needed = stream.table.n_rows * (3 * features + BYTES_A_ROW)
    parent = next(path for path in directory.out.absolute().parents if path.exists())
    there = sum(file.stat().st_size for file in directory.work.rglob("*") if file.is_file())
    free = shutil.disk_usage(parent).free + there
    if free < needed:
        raise InputError(
            f"--out: the audit needs about {needed / 2**30:.1f} GiB in {parent}, where {free / 2**30:.1f} GiB are free. "
            "Free some space, or name a directory on another disk."
        )


def _tell(listener: Listener, stage: str) -> Callable[[str], None]:
    return lambda text: listener.step(stage, 0.5, text)


def _audited(
    job: Job, stream: Stream, data: Streamed, engine: str, scratch: Path, listener: Listener
) -> AuditReport:  # fmt: skip
    report = audit(
        data.X, data.targets, splits=data.splits, domains=data.domains, wording=data.wording,
        feature_names=stream.features.names(), random_state=job.seed, scratch=scratch, engine=engine,  # type: ignore[arg-type]
        progress=lambda text, share: listener.step("audit", share, text),
    )  # fmt: skip
    listener.step("audit", 1.0)
    return report


def _opening(job: Job, stream: Stream, data: Streamed) -> dict[str, Any]:
    """Return the part of ``run.json`` that is known before the audit starts, as `labelwise.job.opening` has it."""
    targets, labelled = data.targets, data.targets.labelled
    names = map(str, np.asarray(targets.classes))
    counts = dict(zip(names, targets.class_counts.tolist(), strict=True)) if targets.n_classes else {}
    columns = [
        {"name": name, "role": stream.roles.role_of(name), "dtype": str(kind)}
        for name, kind in stream.table.types.items()
    ]
    note = f"The table was read by blocks, {stream.table.n_rows:,} rows from {len(stream.table.groups):,} row groups."
    return opened(job, {
        "source": job.source, "rows": stream.table.n_rows, "labelled": int(labelled.sum()),
        "unlabelled": int((~labelled & ~data.test).sum()), "test_rows": int(data.test.sum()) or None,
        "columns": columns, "task": "classification" if targets.n_classes else "regression",
        "supervision": describe(targets), "classes": list(counts), "class_counts": counts,
        "notes": [*data.notes, note], "encoder": stream.features.describe(), "n_features": stream.features.width,
        "fingerprint": stream.table.mark,
    })  # fmt: skip


def _flagged(report: AuditReport, stream: Stream, data: Streamed) -> pd.DataFrame:
    """Return every flagged row with its reason; the first ones with a preview of what they hold."""
    table = flagged(report)
    table["preview"] = ""
    first = table.groupby("kind", sort=False).cumcount().to_numpy() < MOST_PREVIEWS
    rows = table["row"].to_numpy(dtype=np.int64)[first]
    if len(rows):
        table.loc[first, "preview"] = _previews(stream, data, rows)
    return table[FLAGGED]


def _previews(stream: Stream, data: Streamed, rows: np.ndarray[Any, np.dtype[np.int64]]) -> list[str]:
    """Return a text, or the first features, of some rows."""
    different, place = np.unique(rows, return_inverse=True)
    if isinstance(stream.features, Direct):
        names, cells = stream.features.names()[:4], np.asarray(data.X[different, :4], dtype=np.float64)
        said = [", ".join(f"{n}={x:.4g}" for n, x in zip(names, line, strict=False)) for line in cells.tolist()]
    else:
        frame = take(stream.table, stream.roles.inputs()[:4], different)
        text = stream.roles.text
        said = (
            [str(value) for value in frame[text]] if text else
            [", ".join(f"{n}={x}" for n, x in zip(frame.columns, line, strict=True)) for line in frame.to_numpy().tolist()]
        )  # fmt: skip
    return [said[number][:PREVIEW] for number in place.tolist()]


def _finish(directory: RunDirectory, info: dict[str, Any]) -> Path:
    """Write ``run.json`` and the report, and put the run in its place, without what blocks left."""
    directory.json("run.json", info)
    write_report(directory.work)
    return directory.finish()
