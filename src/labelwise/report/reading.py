"""Reads a run directory: ``run.json``, and whatever tables lie beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from labelwise.base import InputError

PREDICTION_COLUMNS = ("row", "given_label", "prediction", "confidence", "split")
"""What the report reads of the predictions; their one column a class may be thousands."""


@dataclass(frozen=True)
class Run:
    """A run as the report needs it: ``run.json``, and one frame a table; a table not written is an empty frame."""

    path: Path
    info: dict[str, Any]
    leaderboard: pd.DataFrame
    predictions: pd.DataFrame
    flagged: pd.DataFrame
    queries: pd.DataFrame
    map: pd.DataFrame
    examples: pd.DataFrame


def read_run(run_dir: str | Path) -> Run:
    """Read a run directory.

    Raises
    ------
    InputError
        The directory or its ``run.json`` is missing, or a file in it cannot be read.
    """
    path = Path(run_dir)
    return Run(
        path=path,
        info=_info(path),
        leaderboard=_table(path / "leaderboard.parquet", pd.read_parquet),
        predictions=_table(path / "predictions.parquet", _predictions),
        flagged=_table(path / "flagged.csv", _text),
        queries=_table(path / "queries.csv", _text),
        map=_table(path / "map.parquet", pd.read_parquet),
        examples=_table(path / "examples.parquet", pd.read_parquet),
    )


def _info(path: Path) -> dict[str, Any]:
    file = path / "run.json"
    if not path.is_dir():
        raise InputError(f"run_dir: there is no directory {path}. Give the directory that `labelwise run` wrote.")
    if not file.is_file():
        raise InputError(f"run_dir: {path} has no run.json. Give the directory that `labelwise run` wrote.")
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(
            f"run_dir: {file} cannot be read as JSON ({error}). Run again into a new directory."
        ) from error
    if not isinstance(info, dict):
        raise InputError(
            f"run_dir: {file} must hold a JSON object, found {type(info).__name__}. Run again into a new directory."
        )
    return info


def _table(file: Path, read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
    if not file.is_file() or file.stat().st_size == 0:
        return pd.DataFrame()
    try:
        return read(file)
    except (ValueError, OSError, pd.errors.ParserError) as error:  # Arrow's errors are ValueError or OSError
        raise InputError(
            f"run_dir: {file} cannot be read ({error}). Run again, or delete the file to do without it."
        ) from error


def _predictions(file: Path) -> pd.DataFrame:
    present = pq.read_schema(file).names
    return pd.read_parquet(file, columns=[name for name in PREDICTION_COLUMNS if name in present])


def _text(file: Path) -> pd.DataFrame:
    """Every cell as text: a label "007" or "NA" stays what it is."""
    return pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8", encoding_errors="replace")


def rows_of(frame: pd.DataFrame, columns: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """First rows of a frame as dictionaries that hold every one of `columns`; an absent column or value is None."""
    head = frame.head(limit).reindex(columns=[*columns]).astype(object)
    records = head.where(head.notna(), None).to_dict("records")
    return [{str(name): value for name, value in record.items()} for record in records]
