"""Where measured claims are kept: ``src/labelwise/claims.json`` (shipped) and ``docs/claims/<room>.md`` (read)."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CLAIMS_FILE = ROOT / "src" / "labelwise" / "claims.json"
PAGES = ROOT / "docs" / "claims"
GRIDS: dict[str, tuple[str, ...]] = {
    "noisy": ("noise_grid",),
    "semi": ("semi.grid",),
    "active": ("active.grid",),
    "discover": ("discover.grid",),
    "multilabel": ("multilabel.grid",),
    "imbalanced": ("imbalanced.grid", "imbalanced.regression_grid"),
    "shift": ("shift.latent_grid", "shift.protocol_grid", "shift.streams_grid"),
    "unlearning": ("unlearning.grid",),
    "weak": ("weak.proportions_grid", "weak.votes_grid"),
}
"""Modules below `benchmarks.claims` whose ``section()`` makes a room's tables of all its methods, in this order."""
COLUMNS = (
    "method", "paper", "claim", "data", "baseline", "metric", "baseline score", "method score", "difference", "seeds",
    "verdict",
)  # fmt: skip


def read(path: Path = CLAIMS_FILE) -> list[dict[str, Any]]:
    """Return every stored row."""
    return list(json.loads(path.read_text(encoding="utf-8"))["claims"]) if path.exists() else []


def record(room: str, row: Mapping[str, Any], *, path: Path = CLAIMS_FILE, pages: Path = PAGES) -> None:
    """Store one measured row in place of its predecessor, and rewrite the room's page."""
    with _alone(path):
        kept = [old for old in read(path) if _key(old) != _key(row)]
        _store(room, [*kept, {"room": room, **row}], path, pages)


def forget(room: str, known: Sequence[str], *, path: Path = CLAIMS_FILE, pages: Path = PAGES) -> None:
    """Drop the rows of claims that `room` no longer makes."""
    with _alone(path):
        rows = [row for row in read(path) if row["room"] != room or _key(row) in set(known)]
        _store(room, rows, path, pages)


def reword(room: str, words: Mapping[str, Mapping[str, Any]], *, path: Path = CLAIMS_FILE, pages: Path = PAGES) -> None:
    """Renew what stored rows say of their claim (by key); what was measured stays."""
    with _alone(path):
        _store(room, [{**row, **words.get(_key(row), {})} for row in read(path)], path, pages)


def rewrite(room: str, *, path: Path = CLAIMS_FILE, pages: Path = PAGES) -> None:
    """Write a room's page again from what is stored."""
    with _alone(path):
        _store(room, read(path), path, pages)


def _key(row: Mapping[str, Any]) -> str:
    return f"{row['method']}: {row['name']}" if row["name"] else row["method"]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock on the folder, so that two rooms measured at the same time do not lose each other's rows."""
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _store(room: str, rows: list[dict[str, Any]], path: Path, pages: Path) -> None:
    rows = sorted(rows, key=lambda row: (row["room"], _key(row)))
    _write(path, json.dumps({"format": 1, "claims": rows}, indent=1, ensure_ascii=False) + "\n")
    pages.mkdir(parents=True, exist_ok=True)
    _write(pages / f"{room}.md", page(room, [row for row in rows if row["room"] == room]))


def _write(path: Path, text: str) -> None:
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(part, 0o644)
    os.replace(part, path)


def page(room: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown page of a room's claims."""
    title = room.replace("_", " ")
    lines = [
        f"# Claims: {title}",
        "",
        f"Written by `make claims ROOM={room}`; do not edit. A positive difference is always in the method's favour.",
        "The interval is a two-sided 95 % t interval of the paired difference over seeds; every seed redraws the data.",
        "*Shown*: its lower end is above 0 (or reaches the stated margin). *Opposite*: its upper end is below 0.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
        *(_row(row) for row in rows),
        "",
        *_table(room),
        "## Details and what was tried",
        "",
        *(line for row in rows for line in _details(row)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _table(room: str) -> list[str]:
    """Return the room's comparison of all its methods, where it has one."""
    if room not in GRIDS:
        return []
    lines: list[str] = [line for name in GRIDS[room] for line in import_module(f"benchmarks.claims.{name}").section()]
    return lines


def _row(row: Mapping[str, Any]) -> str:
    score = {name: f"{np.mean(values):.4g}" for name, values in row["scores"].items()}
    name = f"`{row['method'].removeprefix('labelwise.')}`" + (f" ({row['name']})" if row["name"] else "")
    margin = f" (margin {row['margin']:g})" if row["margin"] else ""
    gain = f"{row['difference']:+.4g} [{row['low']:+.4g}, {row['high']:+.4g}]{margin}"
    paper = "" if row["paper"] is None else str(row["paper"])
    cells = [name, paper, row["statement"], row["data"], row["baseline"], row["metric"], score["baseline"]]
    cells += [score["method"], gain, str(len(row["seeds"])), f"**{row['verdict']}**"]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _details(row: Mapping[str, Any]) -> list[str]:
    others = {name: values for name, values in row["scores"].items() if name not in ("baseline", "method")}
    told = "; ".join(f"{name} {np.mean(values):.4g}" for name, values in others.items())
    versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
    lines = [f"### {_key(row).removeprefix('labelwise.')}", ""]
    lines += [f"Also measured: {told}.", ""] if told else []
    lines += [row["tried"].strip(), ""] if row["tried"] else []
    return [*lines, f"{row['seconds']:g} s for {len(row['seeds'])} seeds; {versions}.", ""]
