"""Embeddings as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from labelwise.base import InputError
from labelwise.data.columns import as_numbers, first_row, holds, shown
from labelwise.data.encoder import Encoder

FEWEST = 16
"""Numbered columns are taken for the dimensions of an embedding from this many on."""


class ArrayEncoder(Encoder):
    """Pass columns of numbers, or columns of vectors, through as float32 features.

    Nothing is scaled: distances between embeddings mean something as they are. A missing number becomes the mean of
    its column at `fit`.

    Parameters
    ----------
    columns
        Columns to read, each a number or a vector a row. Default: all.

    Examples
    --------
    >>> frame = pd.DataFrame({"e0": [0.0, 1.0], "e1": [1.0, 0.0]})
    >>> ArrayEncoder().fit(frame).transform(frame)
    array([[0., 1.],
           [1., 0.]], dtype=float32)
    """

    columns: list[str] | None = None

    def columns_read(self, frame: pd.DataFrame) -> list[str]:
        """Return `columns`, or all columns of the frame."""
        return list(frame.columns) if self.columns is None else list(self.columns)

    def learn(self, frame: pd.DataFrame) -> None:
        """Learn the width of each column, and its mean."""
        self.widths_ = {name: _width(frame[name]) for name in self.columns_}
        values = self._read(frame)
        known = ~np.isnan(values)
        totals = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
        self.means_ = (totals / np.maximum(known.sum(axis=0), 1)).astype(np.float32)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Stack the columns; fill what is missing."""
        values = self._read(frame)
        return np.where(np.isnan(values), self.means_, values)

    def _read(self, frame: pd.DataFrame) -> np.ndarray:
        values = np.empty((len(frame), sum(width or 1 for width in self.widths_.values())), dtype=np.float32)
        start = 0
        for name, width in self.widths_.items():
            stop = start + (width or 1)
            values[:, start:stop] = _vectors(frame[name], width) if width else _numbers(frame[name])[:, None]
            start = stop
        return values

    def feature_names(self) -> list[str]:
        """Name the features: the column, or ``column~0`` and so on for a column of vectors."""
        return [feature for name, width in self.widths_.items()
                for feature in ([f"{name}~{number}" for number in range(width)] if width else [name])]  # fmt: skip

    def describe(self) -> str:
        """Say how many numbers a row there are."""
        return f"embeddings of {len(self.means_)} dimensions as they are"


def _width(column: pd.Series[Any]) -> int:
    """Length of the vectors in a column; 0 for a column of numbers."""
    if holds(column) != "vector":
        return 0
    return len(column.dropna().iloc[0])


def _numbers(column: pd.Series[Any]) -> np.ndarray:
    try:
        numbers = as_numbers(column)
    except (ValueError, TypeError):
        wrong = column.notna().to_numpy() & pd.to_numeric(column.astype(object), errors="coerce").isna().to_numpy()
        row = first_row(wrong) or 0
        raise InputError(f"Column {str(column.name)!r} must hold numbers, but row {row} holds {shown(column.iloc[row])}. "
                         "Correct that cell or empty it.") from None  # fmt: skip
    if np.isinf(numbers).any():
        raise InputError(f"Column {str(column.name)!r} is infinite in row {first_row(np.isinf(numbers))}. "
                         "Every value must be a finite number or missing.")  # fmt: skip
    return numbers


def _vectors(column: pd.Series[Any], width: int) -> np.ndarray:
    missing = column.isna().to_numpy()
    lengths = np.array([width if gap else np.size(value) for value, gap in zip(column, missing, strict=True)])
    if (lengths != width).any():
        row = first_row(lengths != width) or 0
        raise InputError(f"Column {str(column.name)!r}: row {row} has another number of features: {lengths[row]} found, "
                         f"{width} expected. Every row needs a vector of {width} numbers.")  # fmt: skip
    gap_row = np.full(width, np.nan, dtype=np.float32)
    rows = [gap_row if gap else value for value, gap in zip(column, missing, strict=True)]
    return np.asarray(rows, dtype=np.float32).reshape(len(column), width)


def looks_like_embedding(frame: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether at least 16 columns of numbers, named by one prefix and a number, mostly spread alike."""
    names = [re.fullmatch(r"(.*?)\d+", name) for name in columns]
    if len(columns) < FEWEST or None in names or len({match[1] for match in names if match}) != 1:
        return False
    if any(holds(frame[name]) != "number" for name in columns):
        return False
    spread = np.array([np.nanstd(as_numbers(frame[name].head(2000))) for name in columns])
    low, high = np.quantile(spread, [0.1, 0.9])
    return bool(0 < high < 5 * low)
