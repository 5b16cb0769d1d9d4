"""What the commands do: arguments to calls, and results to the terminal or JSON."""

from __future__ import annotations

import ast
import json as jsonlib
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelwise import catalogue, disk, lock
from labelwise.base import InputError
from labelwise.cli.progress import Progress
from labelwise.model import Model
from labelwise.persistence import load, save
from labelwise.report import write_report
from labelwise.report.terminal import summary
from labelwise.run import Job, prepare
from labelwise.run import run as run_job
from labelwise.rundir import RunDirectory
from labelwise.session import is_run, reopen


def run(
    *,
    json: bool,
    budget: str = "5m",
    out: str | None = None,
    source: str,
    answers: Sequence[str] = (),
    **arguments: Any,
) -> None:
    """Run the main job, or its audit only, or a session's next round, and show what came out."""
    target = source if is_run(source) else out or default_out(source)
    arguments["budget"] = seconds(budget)
    own = Job(source=source, out=target, **arguments)
    if own.resume and not (answers or is_run(source)) and RunDirectory(target).interrupted(own.command()):
        job = replace(own, overwrite=True)  # it was to replace the run that is there, which need not be told again
    elif is_run(target) and own.resume:
        job = reopen(target, answers, **arguments)
        job = replace(job, resume=RunDirectory(target).interrupted(job.command()))
    elif is_run(source):
        raise InputError(f"{source} is a complete run. Add --resume to start its next round with the new labels.")
    elif answers:
        raise InputError("--answers needs --resume and a complete run: its rows are those of that run's queries.")
    else:
        job = own
    with Progress(silent=json) as listener:
        directory = run_job(job, listener)
    info = jsonlib.loads((directory / "run.json").read_text(encoding="utf-8"))
    if json:
        print_json({"run": str(directory), "report": str(directory / "report.html"), **info})
        return
    board = directory / "leaderboard.parquet"
    lines: list[Any] = pd.read_parquet(board).to_dict("records") if board.exists() else []
    listener.show(summary(info, lines))
    print(f"\nReport: {(directory / 'report.html').absolute()}")


def demo(data: str, *, budget: str, out: str, seed: int, json: bool) -> None:
    """Run the main job on a bundled set, in the stead of an earlier demo."""
    from labelwise.data import bundled

    bundle = bundled.load(data)
    roles = {role: name for role, name in bundle.roles.items() if role != "split"}
    if not json:
        print(f"{bundle.name}: {bundle.description} ({bundle.licence}).\n")
    run(json=json, source=str(bundled.path(data)), budget=budget, out=out, seed=seed, overwrite=True, **roles)


def fit(*, json: bool, method: str, params: list[str], out: str, overwrite: bool, seed: int, **arguments: Any) -> None:
    """Train one method on all labelled rows and save it."""
    target = Path(out)
    disk.put_back(target)
    if target.exists() and not overwrite:
        raise InputError(f"--out: {target} exists already. Add --overwrite, or name another directory.")
    from labelwise.advice import from_class

    entry = catalogue.find(method)
    estimator = from_class(entry.cls, random_state=seed).build(settings_of(entry.cls, params))
    if hasattr(estimator, "check_fields"):
        estimator.check_fields()
    with lock.held(target, "labelwise fit"):
        with Progress(silent=json) as listener:
            data = prepare(Job(seed=seed, **arguments), listener)
            train = ~data.test
            listener.step("fit", 0.0, entry.name)
            estimator.fit(data.X[train], data.values[train])
            listener.step("fit", 1.0)
        classes = None if data.real else np.asarray(data.targets.classes).tolist()
        model = Model(
            encoder=data.encoder, estimator=estimator, classes=classes, method=entry.name, several=data.several
        )
        save(model, target, overwrite=overwrite)
    result = {"model": str(target), "method": entry.name, "rows": int(data.targets.labelled.sum())}
    if json:
        print_json(result)
    else:
        print(f"{entry.name} was trained on {result['rows']:,} labelled rows. Model: {target.absolute()}")


def predict(model: str, table: str, out: str, *, overwrite: bool, json: bool) -> None:
    """Write predictions of every row of a table."""
    from labelwise.data import read_table

    writer = _writer(Path(out), overwrite)
    fitted = load(model_path(model))
    if not isinstance(fitted, Model):
        raise InputError(f"{model} holds a {type(fitted).__name__}, not a model of `labelwise run` or `labelwise fit`.")
    predictions = fitted.predict_frame(read_table(table))
    writer(predictions)
    result = {"predictions": out, "rows": len(predictions), "method": fitted.method}
    if json:
        print_json(result)
    else:
        print(f"{len(predictions):,} rows predicted by {fitted.method}: {out}")


def query(
    run: str, n: int, out: str | None, *, strategy: str, tool: str | None, per_group: int | None, cost: str | None,
    spend: float | None, suggest: bool, gain: bool, compare: bool, overwrite: bool, json: bool,
) -> None:  # fmt: skip
    """Show or write the next rows to label of a run, for a person or for a labelling tool."""
    from labelwise.cli import asking

    if n < 1:
        raise InputError(f"--n must be at least 1. Got {n}.")
    if strategy == asking.RANKED and (per_group, cost, spend) != (None, None, None):
        raise InputError(f"--per-group, --cost and --spend need a --strategy: {', '.join(asking.strategies())}.")
    table = (
        asking.ranked(run, n) if strategy == asking.RANKED else asking.drawn(run, n, strategy, per_group, cost, spend)
    )
    said = asking.judged(run, n, gain=gain, compare=compare) if gain or compare else {}
    if out is not None:
        path = Path(out)
        _writable(path, asking.endings(tool), overwrite)
        asking.write(run, table, path, tool or "csv", suggest)
        told = "Fill in the column `label`" if tool in (None, "csv") else f"Import it in {asking.NAMES[tool]}"
        print(
            f"{len(table)} rows to label, best first: {out}. {told}, then: labelwise run {run} --resume --answers FILE"
        )
    elif tool not in (None, "csv"):
        raise InputError("--tool needs --out: the file to import there.")
    elif json:
        print_json({"run": run, "queries": table.to_dict("records"), **said})
        said = {}
    else:
        print_table(table[["rank", "row", "prediction", "confidence", "reason", "preview"]])
    for text in said.values():
        print(f"\n{text}")
    if strategy == asking.RANKED and len(table) < n:
        print(f"labelwise: the run ranked {len(table):,} rows; all of them are shown.", file=sys.stderr)


def methods(*, json: bool, run: str | None = None, **filters: Any) -> None:
    """List the catalogue, or what became of its methods in a run."""
    entries = catalogue.methods(**filters)
    if run is not None:
        from labelwise.cli.chosen import considered

        told = considered(run, [entry.import_path for entry in entries])
        print_json(told.to_dict("records")) if json else print_table(told)
        return
    if json:
        print_json([entry.as_dict() for entry in entries])
        return
    print_table(pd.DataFrame([
        {"method": e.name, "room": e.room, "kind": e.kind, "paper": e.paper if e.paper is not None else "",
         "handles": ", ".join(sorted(e.handles)), "claim": e.claim or "", "summary": e.summary}
        for e in entries
    ], columns=["method", "room", "kind", "paper", "handles", "claim", "summary"]))  # fmt: skip


def papers(*, json: bool) -> None:
    """List the papers."""
    rows = [paper.as_dict() for paper in catalogue.papers()]
    if json:
        print_json(rows)
    else:
        print_table(pd.DataFrame(rows))


def report(run: str) -> None:
    """Write a run's page again."""
    print(f"Report: {write_report(run).absolute()}")


def seconds(text: str) -> float:
    """Return a time such as ``90s``, ``5m``, ``1h30m`` or ``45`` in seconds; ``none`` is no limit.

    >>> seconds("1h30m"), seconds("none")
    (5400.0, inf)
    """
    if text.strip().lower() == "none":
        return math.inf
    parts = re.fullmatch(r"\s*(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?\s*", text)
    if parts is None or not any(parts.groups()):
        raise InputError(
            f"--budget must be a time such as 90s, 5m or 1h, more than 0, or none for no limit. Got {text!r}."
        )
    total = sum(float(value or 0) * unit for value, unit in zip(parts.groups(), (3600, 60, 1), strict=True))
    if total <= 0:
        raise InputError(f"--budget must be more than 0 seconds. Got {text!r}.")
    return total


def setting(text: str) -> tuple[str, Any]:
    """Return a setting ``name=value`` with the value as Python reads it, or as text.

    >>> setting("weight=3.0")
    ('weight', 3.0)
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--param must be name=value. Got {text!r}.")
    try:
        return name.strip(), ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name.strip(), value


def settings_of(method: type, texts: list[str]) -> dict[str, Any]:
    """Return the settings of ``--param``, all of them known to the method's constructor."""
    chosen = dict(map(setting, texts))
    known = list(signature(method).parameters)
    for name in chosen:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(f"--param: {method.__name__} has no setting {name!r}.{hint} It has {', '.join(known)}.")
    return chosen


def default_out(source: str) -> str:
    """Return ``runs/<table>`` for a table's path.

    >>> default_out("data/wine.parquet")
    'runs/wine'
    """
    return str(Path("runs") / (Path(source).name.split(".")[0] or "run"))


def model_path(model: str) -> Path:
    """Return the model directory, also when the run around it was named."""
    path = Path(model)
    inside = path / "model"
    return inside if inside.is_dir() and not (path / "model.json").exists() else path


def _writer(path: Path, overwrite: bool) -> Any:
    """Return a function that writes a frame by the file's ending, atomically; refuse early what cannot be written."""
    writers = {
        ".parquet": lambda frame, to: frame.to_parquet(to, index=False),
        ".csv": lambda frame, to: frame.to_csv(to, index=False),
        ".jsonl": lambda frame, to: frame.to_json(to, orient="records", lines=True),
    }
    _writable(path, tuple(writers), overwrite)

    def write(frame: pd.DataFrame) -> None:
        disk.write(path, lambda partial: writers[path.suffix](frame, partial))

    return write


def _writable(path: Path, endings: Sequence[str], overwrite: bool) -> None:
    if path.suffix not in endings:
        raise InputError(f"--out: {path} must end in one of {', '.join(endings)}.")
    if path.exists() and not overwrite:
        raise InputError(f"--out: {path} exists already. Add --overwrite, or name another file.")
    if not path.absolute().parent.is_dir():
        raise InputError(
            f"--out: there is no directory {path.absolute().parent}. Make it first, or name another place."
        )


def print_json(content: Any) -> None:
    """Print one JSON document."""
    print(jsonlib.dumps(content, indent=1, ensure_ascii=False, default=str))


def print_table(frame: pd.DataFrame) -> None:
    """Print a frame as a table: as wide as the terminal on a terminal, tab-separated elsewhere."""
    if not sys.stdout.isatty():
        print(frame.to_csv(sep="\t", index=False), end="")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*map(str, frame.columns), box=None, header_style="bold", pad_edge=False)
    for row in frame.itertuples(index=False):
        table.add_row(
            *(Text(f"{cell:.2f}" if isinstance(cell, float) else str(cell), overflow="ellipsis") for cell in row)
        )
    Console().print(table)
