"""Embeddings as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from labelwise.base import InputError
from labelwise.data.columns import as_numbers, finite_numbers, first_row, holds
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
        prefix = _family(self.columns_)
        self.n_numbered_ = 0 if prefix is None else len(_numbered(frame.columns, prefix))
        self.widths_ = {name: _width(frame[name]) for name in self.columns_}
        values = self._read(frame)
        known = ~np.isnan(values)
        totals = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
        self.means_ = (totals / np.maximum(known.sum(axis=0), 1)).astype(np.float32)

    def check_columns(self, frame: pd.DataFrame) -> None:
        """Refuse more, or fewer, numbered columns than at `fit`: another length is another embedding."""
        prefix = _family(self.columns_)
        found = len(_numbered(frame.columns, prefix)) if prefix is not None else 0
        missing = any(name not in frame.columns for name in self.columns_)
        if prefix is not None and len(self.columns_) > 1 and (found > self.n_numbered_ or (missing and found)):
            raise InputError(
                f"X has another number of features: {found} columns {prefix + '*'!r} found, "
                f"{self.n_numbered_} expected. Encode the rows in the way the training rows were encoded."
            )
        super().check_columns(frame)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Stack the columns; fill what is missing."""
        values = self._read(frame)
        return np.where(np.isnan(values), self.means_, values)

    def _read(self, frame: pd.DataFrame) -> np.ndarray:
        values = np.empty((len(frame), sum(width or 1 for width in self.widths_.values())), dtype=np.float32)
        start = 0
        for name, width in self.widths_.items():
            stop = start + (width or 1)
            values[:, start:stop] = _vectors(frame[name], width) if width else finite_numbers(frame[name])[:, None]
            start = stop
        return values

    def feature_names(self) -> list[str]:
        """Name the features: the column, or ``column~0`` and so on for a column of vectors."""
        blocks = [
            [f"{name}~{number}" for number in range(width)] if width else [name] for name, width in self.widths_.items()
        ]
        return [name for block in blocks for name in block]

    def describe(self) -> str:
        """Say how many numbers a row there are."""
        return f"embeddings of {len(self.means_)} dimensions as they are"


def _width(column: pd.Series[Any]) -> int:
    """Length of the vectors in a column; 0 for a column of numbers."""
    if holds(column) != "vector":
        return 0
    return len(column.dropna().iloc[0])


def _vectors(column: pd.Series[Any], width: int) -> np.ndarray:
    missing = column.isna().to_numpy()
    lengths = np.array([width if gap else np.size(value) for value, gap in zip(column, missing, strict=True)])
    if (lengths != width).any():
        row = first_row(lengths != width)
        raise InputError(
            f"X has another number of features: column {str(column.name)!r} holds {lengths[row]} in row {row}, "
            f"{width} were expected. Give every row a vector of {width} numbers."
        )
    unknown = np.full(width, np.nan, dtype=np.float32)
    values = np.stack([unknown if gap else value for value, gap in zip(column, missing, strict=True)])
    if np.isinf(values).any():
        row = first_row(np.isinf(values).any(axis=1))
        raise InputError(
            f"column {str(column.name)!r} is infinite in row {row}. Every value must be a finite number or missing."
        )
    return np.asarray(values, dtype=np.float32)


def _family(columns: Sequence[str]) -> str | None:
    """Return what names like ``e0``, ``e1``, ... start with, or None where they do not share it."""
    matches = [re.fullmatch(r"(.*?)\d+", name) for name in columns]
    prefixes = {match[1] if match else None for match in matches}
    return prefixes.pop() if len(prefixes) == 1 else None


def _numbered(columns: Iterable[Any], prefix: str) -> list[str]:
    return [str(name) for name in columns if re.fullmatch(re.escape(prefix) + r"\d+", str(name))]


def looks_like_embedding(frame: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether at least 16 columns of numbers, named by one prefix and a number, mostly spread alike."""
    if len(columns) < FEWEST or _family(columns) is None or any(holds(frame[name]) != "number" for name in columns):
        return False
    spread = np.nanstd(np.stack([as_numbers(frame[name].head(2000)) for name in columns]), axis=1)
    low, high = np.quantile(spread, [0.1, 0.9])
    return bool(0 < high < 5 * low)
