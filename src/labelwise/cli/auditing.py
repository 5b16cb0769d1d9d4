"""``labelwise audit``: of a table in memory as a run without a race, of one larger than memory streamed from Parquet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from labelwise.base import InputError
from labelwise.cli import commands
from labelwise.cli.progress import Progress
from labelwise.data.parquet import is_parquet, open_parquet
from labelwise.job import Job
from labelwise.report.terminal import summary
from labelwise.streaming import audit_parquet

SHARE_OF_MEMORY = 0.25
"""Part of the free memory that a table may take before it is streamed: audits make a few arrays of its size."""
ONLY_IN_MEMORY = ("votes", "image", "test", "group")
"""Arguments that a streamed audit does not take."""


def run_audit(*, json: bool, stream: str, engine: str, source: str, out: str | None, **arguments: Any) -> None:
    """Audit a table, streamed where it is larger than a share of the memory, and show what came out."""
    if stream not in ("auto", "yes", "no"):
        raise InputError(f"--stream must be auto, yes or no. Got {stream!r}.")
    if engine not in ("local", "ray"):
        raise InputError(f"--engine must be local or ray. Got {engine!r}.")
    table = open_parquet(source) if stream != "no" and is_parquet(source) else None
    if table is None and stream == "yes":
        raise InputError(f"--stream yes: {source} is no Parquet file or folder of them. Write it as Parquet first.")
    if table is None or (stream == "auto" and table.n_bytes < SHARE_OF_MEMORY * free_memory()):
        if engine != "local":
            raise InputError(f"--engine {engine} works on streamed Parquet tables. Add --stream yes.")
        commands.run(json=json, source=source, out=out, audit_only=True, **arguments)
        return
    job = Job(source=source, out=out or commands.default_out(source), audit_only=True, **arguments)
    for name in ONLY_IN_MEMORY:
        if getattr(job, name) is not None:
            raise InputError(f"--{name}: a streamed audit does not take it. Leave it out, or add --stream no.")
    with Progress(silent=json) as listener:
        info, directory = audit_parquet(job, table, engine, listener)
    if json:
        commands.print_json({"run": str(directory), "report": str(directory / "report.html"), **info})
        return
    listener.show(summary(info, []))
    print(f"\nReport: {(directory / 'report.html').absolute()}")


def free_memory() -> int:
    """Return the bytes of memory that are free or can be freed."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
