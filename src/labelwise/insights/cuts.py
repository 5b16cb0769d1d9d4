"""Which slices a table offers: values of its columns, quantiles of its numbers, missing values, classes, lengths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.insights.slices import Slice
from labelwise.job import Understood

FEW = 30
"""Most values of a column that is cut by its values; numbers with more are cut at quantiles, others not at all."""
BINS = 5
MOST_COLUMNS = 40
"""Of a table with more columns of numbers none is cut: they are an embedding, whose columns mean nothing alone."""
NO_SLICE = frozenset({"label", "text", "image", "id", "split", "weight", "trusted", "vote"})


def cuts(data: Understood, rows: NDArray[np.int64]) -> Iterator[Slice]:
    """Yield the slices of the rows numbered in `rows`; each has a mask of their length."""
    frame = data.frame.iloc[rows]
    if data.several:
        labels = np.where(data.test[rows, None], data.test_values[rows], data.values[rows])
        for code, name in enumerate(np.asarray(data.targets.classes)):
            yield Slice("label", str(name), labels[:, code] == 1)
    elif not data.real:
        given = np.where(data.test[rows], data.test_values[rows], data.values[rows]).astype(np.int64)
        for code in np.unique(given[given >= 0]):
            yield Slice("class", str(np.asarray(data.targets.classes)[code]), given == code)
    if data.roles.text:
        words = np.array([len(str(text).split()) for text in frame[data.roles.text]], dtype=np.float64)
        yield from _bins("text length", words, " words")
    if data.X.ndim == 4:
        yield from _bins("brightness", _brightness(data.X[rows]), "%")
    yield from _columns(data, frame)


def _brightness(X: NDArray[Any]) -> NDArray[np.float64]:
    whole = 255 if X.dtype == np.uint8 else 1
    return np.asarray((100 * X.reshape(len(X), -1).mean(axis=1) / whole).round(), dtype=np.float64)


def _columns(data: Understood, frame: pd.DataFrame) -> Iterator[Slice]:
    names = [str(name) for name in frame.columns if data.roles.role_of(str(name)) not in NO_SLICE]
    numbers = [name for name in names if pd.api.types.is_numeric_dtype(frame[name])]
    for name in names:
        column = frame[name]
        missing = column.isna().to_numpy()
        if missing.any():
            yield Slice(name, "missing", missing)
        if name not in numbers or pd.api.types.is_bool_dtype(column):
            yield from _values(name, column)
        elif len(numbers) <= MOST_COLUMNS:
            yield from _numbers(name, column)


def _values(name: str, column: pd.Series) -> Iterator[Slice]:
    try:
        counts = column.value_counts()
    except TypeError:  # lists, arrays: no values that rows have in common
        return
    if not 2 <= len(counts) <= FEW:
        return
    for value in counts.index:
        yield Slice(name, str(value), (column == value).fillna(False).to_numpy(dtype=bool))


def _numbers(name: str, column: pd.Series) -> Iterator[Slice]:
    if column.nunique() <= BINS:
        yield from _values(name, column)
    else:
        yield from _bins(name, column.to_numpy(dtype=np.float64, na_value=np.nan), "")


def _bins(name: str, values: NDArray[np.float64], unit: str) -> Iterator[Slice]:
    """Yield the slices between quantiles; equal quantiles are one edge."""
    finite = np.isfinite(values)
    if not finite.any():
        return
    edges = np.unique(np.quantile(values[finite], np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
    for number in range(len(edges) - 1):
        inside = finite & (place == number)
        if inside.any():
            low, high = values[inside].min(), values[inside].max()
            yield Slice(name, (f"{low:.4g} to {high:.4g}" if low < high else f"{low:.4g}") + unit, inside)
