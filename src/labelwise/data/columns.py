"""What a column holds: numbers, categories, free text, dates, images or vectors; and what makes it useless."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import pandas as pd

from labelwise.data.read import is_image_name

Holds = Literal["number", "category", "text", "date", "image", "vector", "empty"]
"""What the values of a column are, whatever its dtype says."""

SAMPLE = 1000
_NUMBERS = {"boolean", "integer", "floating", "decimal", "mixed-integer-float"}
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[/.]\d{1,2}[/.]\d{4}( .*)?")
_ID_NAME = re.compile(r"(?i)(.*[_\- ])?(id|ids|idx|index|uuid|guid|rownumber|row_number)|unnamed: \d+|.*[a-z]I[dD]")


def holds(column: pd.Series[Any]) -> Holds:
    """Say what a column holds, from its dtype and at most its first 1000 values.

    >>> holds(pd.Series([1, None, 3]))
    'number'
    >>> holds(pd.Series(["red", "white", "red"]))
    'category'
    >>> holds(pd.Series(["my card has not arrived yet", "how do I top up by transfer?"]))
    'text'
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "category"
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_timedelta64_dtype(column.dtype):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "date"
    sample = column.dropna().head(SAMPLE)
    return "empty" if sample.empty else _holds_objects(sample)


def _holds_objects(sample: pd.Series[Any]) -> Holds:
    first = sample.iloc[0]
    if isinstance(first, bytes | bytearray) or (isinstance(first, np.ndarray) and first.ndim > 1):
        return "image"
    if isinstance(first, np.ndarray | list | tuple):
        return "vector"
    inferred = pd.api.types.infer_dtype(sample, skipna=True)
    if inferred in _NUMBERS:
        return "number"
    if inferred in {"date", "datetime", "datetime64"}:
        return "date"
    strings = [str(value) for value in sample]
    if all(map(is_image_name, strings)):
        return "image"
    if all(_DATE.fullmatch(value.strip()) for value in strings):
        return "date"
    return "text" if is_free_text(strings) else "category"


def is_free_text(values: list[str]) -> bool:
    """Whether most values differ and they are sentences: four words or forty characters on average."""
    words = float(np.mean([len(value.split()) for value in values]))
    characters = float(np.mean([len(value) for value in values]))
    return len(set(values)) > 0.5 * len(values) and (words >= 4 or characters >= 40)


def is_constant(column: pd.Series[Any]) -> bool:
    """Whether the column has at most one value, missing ones apart, and says nothing by missing."""
    if holds(column) in {"vector", "image"}:
        return False
    distinct = column.nunique(dropna=True)
    return distinct == 0 or (distinct == 1 and not column.isna().any())


def is_identifier(column: pd.Series[Any]) -> bool:
    """Whether every row has its own value that names the row: distinct codes, or consecutive whole numbers."""
    if len(column) < 20 or holds(column) not in {"number", "category"} or column.isna().any():
        return False
    named = _ID_NAME.fullmatch(str(column.name)) is not None
    if column.nunique() != len(column):
        return False
    if holds(column) == "category":
        return True
    numbers = column.to_numpy(dtype=float)
    whole = bool(np.all(numbers == np.floor(numbers)))
    return whole and (named or numbers.max() - numbers.min() == len(numbers) - 1)


def as_numbers(column: pd.Series[Any]) -> np.ndarray:
    """Return a column of numbers as float64 ``(n,)``, NaN where missing; durations in seconds."""
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return column.dt.total_seconds().to_numpy(dtype=float)
    return pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan)


def number_like(column: pd.Series[Any]) -> np.ndarray:
    """Mark values that are numbers or read as one, ``(n,)`` bool; missing values count as neither."""
    return pd.to_numeric(column.astype(object), errors="coerce").notna().to_numpy()


def first_row(mask: np.ndarray) -> int | None:
    """Row number of the first True, or None."""
    return int(np.argmax(mask)) if mask.any() else None


def shown(value: object, most: int = 40) -> str:
    """Write a value for a message: quoted and cut to `most` characters."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= most else text[: most - 3] + "..." + text[0] * (text[0] in "'\"")
