"""What a column holds: numbers, categories, free text, dates, images or vectors; and what makes it useless."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import pandas as pd

from labelwise.base import InputError

Holds = Literal["number", "category", "text", "date", "image", "vector", "other", "empty"]
"""What the values of a column are, whatever its dtype says."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
"""File name endings taken for images."""

SAMPLE = 1000
_NUMBERS = {"boolean", "integer", "floating", "decimal", "mixed-integer-float"}
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[/.]\d{1,2}[/.]\d{4}( .*)?")
_ID_NAME = re.compile(r"(?i:(.*[_\- ])?(id|ids|idx|index|uuid|guid|row_?number)|unnamed: \d+)|.*[a-z]I[dD]")


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
    if isinstance(first, dict) and set(first) == {"bytes", "path"}:  # how Hugging Face data sets store images
        return "image"
    if isinstance(first, np.ndarray | list | tuple):
        return "vector" if np.asarray(first).dtype.kind in "biuf" else "other"
    inferred = pd.api.types.infer_dtype(sample, skipna=True)
    if inferred in _NUMBERS:
        return "number"
    if inferred in {"date", "datetime", "datetime64"}:
        return "date"
    if not all(isinstance(value, str | int | float) for value in sample):
        return "other"
    return _holds_strings([str(value) for value in sample])


def _holds_strings(strings: list[str]) -> Holds:
    if all(map(is_image_name, strings)):
        return "image"
    if all(_DATE.fullmatch(value.strip()) for value in strings):
        return "date"
    return "text" if is_free_text(strings) else "category"


def is_image_name(value: object) -> bool:
    """Whether `value` is a string that ends like the name of an image file."""
    return isinstance(value, str) and value.lower().endswith(IMAGE_SUFFIXES)


def is_free_text(values: list[str]) -> bool:
    """Whether most values differ and they are sentences: four words or forty characters on average."""
    words = float(np.mean([len(value.split()) for value in values]))
    characters = float(np.mean([len(value) for value in values]))
    return len(set(values)) > 0.5 * len(values) and (words >= 4 or characters >= 40)


def is_constant(column: pd.Series[Any]) -> bool:
    """Whether the column has at most one value, missing ones apart, and says nothing by missing."""
    if holds(column) in {"vector", "image", "other"}:
        return False
    if column.head(SAMPLE).nunique() > 1:  # decides nearly every column without reading all of it
        return False
    distinct = column.nunique(dropna=True)
    return distinct == 0 or (distinct == 1 and not column.isna().any())


def is_identifier(column: pd.Series[Any]) -> bool:
    """Whether every row has its own value that only names it: distinct strings, or whole numbers in a row.

    Distinct whole numbers with gaps count as well if the column's name says so (``id``, ``user_id``, ``index``).
    """
    kind = holds(column)
    if len(column) < 20 or kind not in {"number", "category"} or column.isna().any():
        return False
    if not column.head(SAMPLE).is_unique or not column.is_unique:
        return False
    if kind == "category":
        return True
    numbers = as_numbers(column)
    named = _ID_NAME.fullmatch(str(column.name)) is not None
    whole = bool(np.all(numbers == np.floor(numbers)))
    return whole and (named or bool(numbers.max() - numbers.min() == len(numbers) - 1))


def as_numbers(column: pd.Series[Any]) -> np.ndarray:
    """Return a column of numbers as float64 ``(n,)``, NaN where missing; durations in seconds."""
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return np.asarray(column.dt.total_seconds(), dtype=float)
    return np.asarray(pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan))


def finite_numbers(column: pd.Series[Any]) -> np.ndarray:
    """Return a column of numbers as float64 ``(n,)``, NaN where missing.

    Raises
    ------
    InputError
        A cell that is no number, or infinite; the message names the row.
    """
    try:
        numbers = as_numbers(column)
    except (ValueError, TypeError):
        wrong = column.notna().to_numpy() & ~number_like(column)
        raise InputError(
            f"column {str(column.name)!r} must hold numbers, but {place(column, wrong)}. "
            "Correct that cell, empty it, or leave the column out."
        ) from None
    infinite = np.isinf(numbers)
    if infinite.any():
        more = f" and {infinite.sum() - 1} more" if infinite.sum() > 1 else ""
        raise InputError(
            f"column {str(column.name)!r} is infinite in row {first_row(infinite)}{more}. "
            "Every value must be a finite number or missing."
        )
    return numbers


def number_like(column: pd.Series[Any]) -> np.ndarray:
    """Mark values that are numbers or read as one, ``(n,)`` bool; missing values count as neither."""
    if not of_strings(column):
        return np.asarray(pd.to_numeric(column.astype(object), errors="coerce").notna())
    codes, values = distinct(column)
    numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").notna()
    return np.asarray(np.append(numbers, False)[codes])


def of_strings(column: pd.Series[Any]) -> bool:
    """Whether all values of a column, missing ones apart, are strings; False where there is none."""
    return bool(pd.api.types.infer_dtype(column, skipna=True) == "string")


def distinct(column: pd.Series[Any]) -> tuple[np.ndarray, list[Any]]:
    """Number the values of a column, ``(n,)``, -1 where missing, and list each value once.

    What is to be learned of every value is then looked up once a value and spread over the rows: ten times faster on a
    label column of a million rows. Append what holds for a missing value, which code -1 finds.
    """
    codes, values = pd.factorize(column, use_na_sentinel=True)
    return codes, list(values)


def first_row(mask: np.ndarray) -> int:
    """Row number of the first True."""
    return int(np.argmax(mask))


def place(column: pd.Series[Any], mask: np.ndarray) -> str:
    """Say which row is the first True of `mask`, and what the column holds there."""
    row = first_row(mask)
    return f"row {row} holds {shown(column.iloc[row])}"


def shown(value: object, most: int = 40) -> str:
    """Write a value for a message: quoted and cut to `most` characters.

    >>> shown("a long question about a card", most=12)
    "'a long q...'"
    """
    text = repr(value.item() if isinstance(value, np.generic) else value)
    if len(text) <= most:
        return text
    quote = text[0] if text[0] in "'\"" else ""
    return text[: most - 3] + "..." + quote
