"""From whatever a user holds (lists, series, frames, Arrow) to numpy, without losing what is missing."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from labelwise.base import InputError
from labelwise.supervision.targets import AnyArray, BoolArray


def to_numpy(data: Any, name: str) -> tuple[AnyArray, list[str] | None]:
    """Return `data` as an array and its column names, if it has any; what is missing stays None or NaN.

    Integers with gaps stay integers (an object array with None), because floats would mean real targets.
    """
    if isinstance(data, np.ma.MaskedArray):
        gaps = np.ma.getmaskarray(data)
        filled = data.data.astype(object)
        filled[gaps] = None
        return (filled if gaps.any() else data.data), None
    if isinstance(data, np.ndarray):
        return np.asarray(data), None
    if type(data).__module__.split(".")[0] in ("pandas", "polars", "pyarrow", "modin", "cudf", "narwhals"):
        return _from_table(data, name)
    if hasattr(data, "__array__") and not hasattr(data, "__len__"):
        return np.asarray(data), None  # an array by protocol only, as scikit-learn's checks pass
    if isinstance(data, (str, bytes, dict, set)) or not hasattr(data, "__len__"):
        raise InputError(f"{name} must be an array, a list, a series or a frame. Got {type(data).__name__}.")
    return _from_list(data, name), None


def _from_list(data: Any, name: str) -> AnyArray:
    try:
        array = np.asarray(data)
        if array.ndim == 1 and array.dtype.kind in "iuf" and bool in set(map(type, data)):
            return np.array(data, dtype=object)  # numpy writes True among numbers as 1
        # numpy writes None and NaN among strings as the texts "None" and "nan"; objects keep them apart
        return array if array.dtype.kind in "biuf" else np.array(data, dtype=object)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{name} must be rectangular: every row needs the same number of entries ({error}). For a list of labels "
            "per row, pass a matrix of 1 (yes), 0 (no) and -1 (unknown)."
        ) from error


def _from_table(data: Any, name: str) -> tuple[AnyArray, list[str] | None]:
    if not getattr(getattr(data, "columns", None), "is_unique", True):
        twice = data.columns[data.columns.duplicated()][0]
        raise InputError(f"{name} has two columns named {twice!r}. Give every column its own name.")
    import narwhals as nw

    if hasattr(data, "to_pylist") and not hasattr(data, "chunks") and not hasattr(data, "column_names"):
        return _from_list(data.to_pylist(), name), None  # a pyarrow.Array, which narwhals does not read
    if "pandas" in sys.modules and isinstance(data, sys.modules["pandas"].Index):
        data = data.to_series()
    try:
        table = nw.from_native(data, eager_only=True, allow_series=True)
    except TypeError as error:
        raise InputError(f"{name} must be an array, a series or a frame. Got {type(data).__name__}.") from error
    if isinstance(table, nw.Series):
        return _from_series(table), None
    columns = [_from_series(column) for column in table.iter_columns()]
    if not columns:
        raise InputError(f"{name} is a table without columns.")
    same = len({column.dtype.kind for column in columns}) == 1
    kinds = {column.dtype.kind for column in columns}
    stacked = columns if same or kinds <= set("iu") else [column.astype(object) for column in columns]
    return np.stack(stacked, axis=1), [str(column) for column in table.columns]


def _from_series(series: Any) -> AnyArray:
    whole = series.null_count() == 0
    if series.dtype.is_float() or (series.dtype.is_numeric() and whole):
        return np.asarray(series.to_numpy())
    if str(series.dtype) == "Boolean" and whole:
        return np.asarray(series.to_numpy(), dtype=bool)
    column = np.empty(len(series), dtype=object)
    column[:] = series.to_list()
    return column


def is_missing(array: AnyArray) -> BoolArray:
    """Tell where an array holds None, NaN or pandas' NA."""
    if array.dtype.kind == "f":
        return np.asarray(np.isnan(array))
    if array.dtype.kind != "O":
        return np.zeros(array.shape, dtype=bool)
    if "pandas" in sys.modules:  # its NA refuses `!=`, and can only occur when pandas is there
        return np.asarray(sys.modules["pandas"].isna(array), dtype=bool)
    absent = np.frompyfunc(lambda value: value is None or value != value, 1, 1)
    return np.asarray(absent(array), dtype=bool)


def place(flat: int, shape: tuple[int, ...]) -> str:
    """Name a cell for a message: its row, and its column in a matrix."""
    if not shape:
        return "the only value"
    where = np.unravel_index(flat, shape)
    return f"row {where[0]}" if len(where) == 1 else f"row {where[0]}, column {where[1]}"


def first(mask: BoolArray) -> str:
    """Name the first cell at which a mask is true."""
    return place(int(np.argmax(mask)), mask.shape)


def numbers(array: AnyArray, name: str) -> AnyArray:
    """Return an array of numbers (floats where cells are missing), or say which cell is not a number."""
    if array.dtype.kind in "biuf":
        return array
    missing = is_missing(array)
    is_number = np.frompyfunc(lambda v: isinstance(v, (int, float, np.integer, np.floating, np.bool_)), 1, 1)
    bad = ~missing & ~np.asarray(is_number(array), dtype=bool)
    if bad.any():
        value = array[np.unravel_index(int(np.argmax(bad)), bad.shape)]
        told = "Complex data not supported: " if isinstance(value, (complex, np.complexfloating)) else ""
        raise InputError(f"{told}{name} must be numbers. {first(bad).capitalize()} holds {_plain(value)!r}.")
    try:
        return np.where(missing, np.nan, array).astype(np.float64)
    except OverflowError:
        raise InputError(
            f"{name} holds a whole number beyond the range of floats. Give it as text, or scale it."
        ) from None


def whole_numbers(array: AnyArray, name: str, missing: int | None = None) -> AnyArray:
    """Return integers, with `missing` in place of None and NaN, or say which cell is no whole number."""
    array = numbers(array, name)
    if array.dtype.kind != "f":
        return array.astype(np.int8) if array.dtype == bool else array
    gaps = np.isnan(array)
    bad = (gaps if missing is None else np.zeros_like(gaps)) | (~gaps & (array != np.floor(array)))
    bad |= np.abs(array.astype(np.float64)) >= 2.0**63
    if bad.any():
        value = array[np.unravel_index(int(np.argmax(bad)), bad.shape)]
        raise InputError(f"{name} must be whole numbers. {first(bad).capitalize()} holds {_plain(value)}.")
    return np.where(gaps, missing if missing is not None else 0, array).astype(np.int64)


def boolean_mask(mask: Any, n_rows: int, name: str) -> BoolArray:
    """Return a mask ``(n,)`` as given, or say what it is instead."""
    found = np.asarray(mask)
    if found.dtype != bool or found.shape != (n_rows,):
        raise InputError(
            f"{name} must be a boolean mask of shape ({n_rows},), one flag for each of the {n_rows} rows. "
            f"Got {found.dtype} of shape {found.shape}."
        )
    return found


def _plain(value: Any) -> Any:
    """Return a Python value for a numpy scalar, so that messages show 3 and not np.int64(3)."""
    return value.item() if isinstance(value, np.generic) else value
