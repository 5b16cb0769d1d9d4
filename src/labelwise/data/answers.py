"""Answers put in the place of a table's labels, and the digest by which a table is known to be the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
from pandas.api import types

from labelwise.base import UNLABELED, InputError


def with_answers(frame: pd.DataFrame, label: str | None, answers: pd.DataFrame) -> tuple[pd.DataFrame, int, int]:
    """Return the table with the answers in its label column, how many rows got their first label, and how many another.

    Raises
    ------
    InputError
        If there is no label column, a row number is not in the table, or an answer does not fit the column's type.
    """
    if label is None:
        raise InputError("--answers: the run has no label column to put them in. Name one with --label.")
    outside = answers[(answers["row"] < 0) | (answers["row"] >= len(frame))]
    if len(outside):
        raise InputError(f"--answers: row {outside['row'].iloc[0]} is not in the table, which has {len(frame)} rows.")
    column = frame[label]
    values = column.astype(object).to_numpy(copy=True)
    values[pd.isna(values)] = None
    rows = answers["row"].to_numpy()
    new = [_converted(text, column, int(row)) for row, text in zip(rows, answers["label"], strict=True)]
    empty = pd.isna(values[rows]) | (values[rows] == "")
    if types.is_integer_dtype(column):
        empty |= values[rows] == UNLABELED
    changed = sum(old != now for old, now, gap in zip(values[rows], new, empty, strict=True) if not gap)
    values[rows] = new
    filled = pd.Series(values, index=frame.index)
    number = types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
    return frame.assign(**{label: pd.to_numeric(filled) if number else filled}), int(empty.sum()), changed


def _converted(text: str, column: pd.Series, row: int) -> Any:
    """Return an answer as a value of the label column's kind."""
    if types.is_bool_dtype(column):
        known = {"true": True, "false": False}
        if text.strip().lower() not in known:
            raise InputError(f"--answers: row {row} has the label {text!r}, but labels are true or false.")
        return known[text.strip().lower()]
    if not types.is_numeric_dtype(column):
        return text
    try:
        value = float(text)
    except ValueError:
        raise InputError(
            f"--answers: row {row} has the label {text!r}, but the label column holds numbers. Give a number."
        ) from None
    return int(value) if value.is_integer() else value


def fingerprint(frame: pd.DataFrame, columns: Sequence[str]) -> str:
    """Return a digest of the columns read, so that row numbers of answers are known to mean the same rows."""
    digest = hashlib.sha256(repr((list(columns), len(frame))).encode())
    for name in columns:
        column = frame[name]
        kind = column.map(repr) if column.dtype == object else column
        digest.update(pd.util.hash_pandas_object(kind, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:32]
