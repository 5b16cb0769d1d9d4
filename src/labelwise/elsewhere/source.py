"""Held-out rows of the place a model comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.base import InputError, understood
from labelwise.data import read_table
from labelwise.model import Model
from labelwise.rundir import RUN, read_info

Doubles = NDArray[np.float64]
Codes = NDArray[np.int64]

FEWEST = 20
"""Fewest rows of either place."""


@dataclass
class Source:
    """Held-out rows of the old place: probabilities, classes, and what the model read, if it could be read again."""

    proba: Doubles
    codes: Codes
    X: NDArray[Any] | None
    note: str = ""


def out_of_fold(fitted: Model, run: Path) -> Source:
    """Return the rows that a run predicted out of fold."""
    file = run / "predictions.parquet"
    if not file.is_file():
        raise InputError(
            f"{run} is a model without the predictions of a run, so nothing is known of rows it was not trained on. Add "
            "--source TABLE and --label COLUMN: labelled rows of the old place that it has not seen."
        )
    table = pd.read_parquet(file)
    fresh = table["out_of_fold"].to_numpy(bool)
    proba = table[[f"proba_{name}" for name in fitted.classes or []]].to_numpy(np.float64)
    codes = _codes(table["given_label"], fitted, f"the labels of {run}")
    kept = fresh & (codes >= 0)
    _check_enough(kept, f"{run} has")
    X, note = _rows_of_run(fitted, run, len(table))
    return Source(proba[kept], codes[kept], None if X is None else X[kept], note)


def _rows_of_run(fitted: Model, run: Path, n_rows: int) -> tuple[NDArray[Any] | None, str]:
    """Return the run's encoded rows, or why they cannot be compared."""
    info = read_info(run)
    with understood(run, RUN):
        command = dict(info["command"])
    table = Path(str(command.get("source")))
    if not table.exists():
        return None, f"The run's table {table} is gone, so the rows themselves were not compared."
    X = fitted.encoder.transform(read_table(table))
    if len(X) < n_rows and command.get("test") is None and command.get("pool") is None:
        return None, f"The run's table {table} has changed, so the rows themselves were not compared."
    if len(X) > n_rows:
        return None, f"The run's table {table} has changed, so the rows themselves were not compared."
    return np.concatenate([X, np.zeros((n_rows - len(X), *X.shape[1:]), X.dtype)]), ""  # test rows are not out of fold


def labelled_table(fitted: Model, source: str, label: str | None) -> Source:
    """Return labelled rows of a table that the user names."""
    frame = read_table(source)
    if label is None or label not in frame:
        named = "--source needs --label" if label is None else f"--label: {source} has no column {label!r}"
        raise InputError(f"{named}: the column of the classes. It has {', '.join(map(str, frame.columns[:10]))}.")
    codes = _codes(frame[label], fitted, f"column {label} of {source}")
    kept = codes >= 0
    _check_enough(kept, f"{source} has")
    X = fitted.encoder.transform(frame)[kept]
    return Source(fitted.proba(X), codes[kept], X)


def _check_enough(kept: NDArray[np.bool_], who: str) -> None:
    if kept.sum() < FEWEST:
        raise InputError(
            f"{who} {int(kept.sum())} held-out rows with a label; at least {FEWEST} are needed to compare with."
        )


def _codes(labels: pd.Series, fitted: Model, what: str) -> Codes:
    """Return class codes of labels as a table spells them, -1 where there is none."""
    names = {str(name): code for code, name in enumerate(fitted.classes or [])}
    texts = labels.astype("string")
    codes = texts.map(names)
    if codes[texts.notna()].isna().any():  # whole numbers that a column with gaps made fractions
        numbers = pd.to_numeric(texts, errors="coerce")
        by_number = {float(name): code for name, code in names.items() if _is_number(name)}
        codes = codes.where(codes.notna(), numbers.map(by_number))
    strange = texts[texts.notna() & codes.isna() & (texts != "-1") & (texts != "")]
    if len(strange):
        raise InputError(
            f"{what} hold {strange.iloc[0]!r}, which the model does not know: it knows {list(names)[:10]}."
        )
    return np.asarray(codes.fillna(-1), dtype=np.int64)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
