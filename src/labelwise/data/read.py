"""Read a table from wherever it lies: a file, a folder of images, or a frame in memory."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelwise.base import InputError
from labelwise.data.columns import IMAGE_SUFFIXES, is_image_name
from labelwise.data.naming import listed, nearest, unknown

_Reader = Callable[[Path, Sequence[str] | None], pd.DataFrame]


def read_table(source: Any, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table into pandas, with row numbers 0, 1, ... as its index.

    Parameters
    ----------
    source
        A path to CSV, TSV, Parquet, Arrow/Feather, JSON lines (each also ``.gz`` where it is text) or ``.npz``; a
        folder with one sub-folder of images a class (columns ``image`` and ``label``); or a pandas, polars or Arrow
        table, a numpy array or a dict of columns. In an ``.npz`` the 2-D array ``X`` (or the first 2-D array) becomes
        columns ``X_0``, ``X_1``, ...; arrays of one value a row become columns under their own name. Image paths in a
        table are relative to the table's folder.
    columns
        Read only these columns. Default: all.

    Returns
    -------
    pandas.DataFrame
        At least one row and one column, column names unique strings.

    Raises
    ------
    InputError
        Missing, unreadable or empty source, unknown file type, duplicated or unknown column names.

    Examples
    --------
    >>> read_table({"x": [1.0, 2.0], "y": ["a", "b"]}).shape
    (2, 2)
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        frame, what = _read_path(path, columns), str(path)
    else:
        frame, what = _from_memory(source), f"the {type(source).__name__} given"
    return _checked(frame, what, columns)


def _checked(frame: pd.DataFrame, what: str, columns: Sequence[str] | None) -> pd.DataFrame:
    names = [str(name) for name in frame.columns]
    _refuse_repeated(names, what)
    if len(names) == 0 or len(frame) == 0:
        raise InputError(
            f"{what}: the table is empty ({len(frame)} rows, {len(names)} columns). "
            "At least one row under the column names is needed."
        )
    for name in columns or ():
        if name not in names:
            raise unknown(what, name, names)
    complex_ = [name for name, kind in zip(names, frame.dtypes, strict=True) if kind.kind == "c"]
    if complex_:
        raise InputError(
            f"{what}: column {complex_[0]!r} holds complex numbers. Give real and imaginary parts a column each."
        )
    frame = frame.set_axis(names, axis=1).reset_index(drop=True)
    return frame if columns is None else frame[list(columns)]


def _refuse_repeated(names: Sequence[str], what: str) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(f"{what}: duplicated column names {listed(twice)}. Give every column its own name.")


def _read_path(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    if path.is_dir():
        return _folder_of_images(path)
    if not path.exists():
        raise InputError(_missing(path))
    reader = _READERS.get(_suffix(path))
    if reader is None:
        raise InputError(
            f"{path}: unknown file type {_suffix(path)!r}. Accepted: {', '.join(_READERS)}, "
            "or a folder with one sub-folder of images a class."
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes). A table with column names and rows is needed.")
    try:
        frame = reader(path, columns)
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{path}: the file cannot be read (permission denied). Check its permissions.") from error
    except Exception as error:  # every library has its own exceptions for a damaged file
        raise InputError(
            f"{path}: cannot be read as {_suffix(path)} ({reason(error)}). "
            "The file may be damaged or of another type than its name says."
        ) from error
    return _absolute_images(frame, path.parent)


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"{path}: no such file, and no folder {path.parent} either."
    guess = nearest(path.name, [item.name for item in path.parent.iterdir()])
    return f"{path}: no such file." + (f" Did you mean {path.parent / guess}?" if guess else "")


def _csv(separator: str) -> _Reader:
    def read(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
        header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            try:
                frame = pd.read_csv(path, sep=separator, low_memory=False, index_col=False)
            except pd.errors.ParserWarning:  # surplus cells, which would be dropped
                raise InputError(
                    f"{path}: the rows have more cells than the {header.shape[1]} column names in the first line. "
                    "Name every column, or quote cells that hold the separator."
                ) from None
        written = [str(name).strip() for name in header.iloc[0]]  # pandas renames repeated names
        return frame.set_axis([name or str(own) for name, own in zip(written, frame.columns, strict=True)], axis=1)

    return read


def _parquet(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    import pyarrow.parquet as pq

    names = pq.read_schema(path).names
    _refuse_repeated(names, str(path))
    for name in columns or ():
        if name not in names:
            raise unknown(str(path), name, names)
    return _arrow_to_pandas(pq.read_table(path, columns=None if columns is None else list(columns)))


def _feather(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as mapped:
            table = pa.ipc.open_file(mapped).read_all()
    except pa.ArrowInvalid:  # the streaming form of the same format
        with pa.memory_map(str(path)) as mapped:
            table = pa.ipc.open_stream(mapped).read_all()
    table.validate(full=True)  # Arrow trusts the offsets in a file, and would read outside of it
    return _arrow_to_pandas(table)


def _arrow_to_pandas(table: Any) -> pd.DataFrame:
    names = [str(name) for name in table.column_names]
    plain = table.rename_columns([str(number) for number in range(len(names))])  # names may repeat: checked later
    frame: pd.DataFrame = plain.replace_schema_metadata(None).to_pandas().set_axis(names, axis=1)
    return frame.loc[:, [not name.startswith("__index_level_") for name in names]]


def _json_lines(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    return pd.read_json(path, lines=True, dtype=False, convert_dates=False)


def _npz(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    with np.load(path, allow_pickle=False) as arrays:
        return columns_of_arrays({name: arrays[name] for name in arrays.files}, str(path))


def columns_of_arrays(arrays: Mapping[str, np.ndarray], what: str) -> pd.DataFrame:
    """Lay arrays side by side as columns: 2-D ones as ``name_0 ..``, 1-D ones of the same length under their name."""
    rows = _length(arrays, what)
    blocks = [_block(name, array) for name, array in arrays.items() if array.ndim > 0 and len(array) == rows]
    return pd.concat(blocks, axis=1)


def _block(name: str, array: np.ndarray) -> pd.DataFrame:
    if array.ndim == 1:
        return pd.DataFrame({name: array})
    if array.ndim == 2:
        return pd.DataFrame(array, columns=[f"{name}_{number}" for number in range(array.shape[1])])
    return pd.DataFrame({name: pd.Series(list(array), dtype=object)})  # pictures or series: one array a row


def _length(arrays: Mapping[str, np.ndarray], what: str) -> int:
    """Rows of the table: those of ``X``, else of the first array of two dimensions or more, else of the first array."""
    usable = {name: array for name, array in arrays.items() if array.ndim > 0}
    if not usable:
        raise InputError(f"{what}: no array with rows in it. Give a 2-D array X and 1-D arrays of the same length.")
    wide = [name for name, array in usable.items() if array.ndim >= 2]
    return len(usable["X" if "X" in usable else (wide or list(usable))[0]])


def _folder_of_images(folder: Path) -> pd.DataFrame:
    """One sub-folder a class: columns ``image`` (path) and ``label`` (sub-folder's name), in sorted order."""
    classes = sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
    rows = [(str(path), item.name) for item in classes for path in sorted(item.rglob("*")) if is_image_name(path.name)]
    if not rows:
        raise InputError(
            f"{folder}: no images in its sub-folders. Accepted: one sub-folder a class holding "
            f"{', '.join(IMAGE_SUFFIXES)} files."
        )
    return pd.DataFrame(rows, columns=["image", "label"])


def _absolute_images(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Read image paths of a table as relative to the table's own folder."""
    for number in range(frame.shape[1]):  # by position: names may still be repeated here
        column = frame.iloc[:, number]
        first = column.dropna().head(1) if column.dtype.kind not in "biufcM" else column.head(0)
        if len(first) and is_image_name(first.iloc[0]):
            paths = [str(folder / value) if isinstance(value, str) else value for value in column]
            frame.isetitem(number, paths)
    return frame


_READERS: dict[str, _Reader] = {
    ".csv": _csv(","), ".csv.gz": _csv(","), ".tsv": _csv("\t"), ".tsv.gz": _csv("\t"), ".parquet": _parquet,
    ".feather": _feather, ".arrow": _feather, ".jsonl": _json_lines, ".jsonl.gz": _json_lines, ".npz": _npz,
}  # fmt: skip


def _from_memory(source: Any) -> pd.DataFrame:
    import narwhals as nw

    if isinstance(source, pd.DataFrame):
        return source.copy(deep=False)
    if isinstance(source, np.ndarray):
        return _from_numpy(source)
    if isinstance(source, Mapping):
        return _from_mapping(source)
    table = nw.from_native(source, pass_through=True)
    if isinstance(table, nw.LazyFrame):
        raise InputError("the lazy frame given has no rows yet. Call .collect() on it first.")
    if not isinstance(table, nw.DataFrame):
        raise TypeError(
            f"A table cannot be read from {type(source).__name__}. Accepted: a path, a pandas, polars or "
            "Arrow table, a 2-D numpy array, or a dict of columns."
        )
    return _arrow_to_pandas(table.to_arrow())


def _from_numpy(array: np.ndarray) -> pd.DataFrame:
    if array.dtype.names:
        return columns_of_arrays({name: array[name] for name in array.dtype.names}, "the structured array given")
    if array.ndim != 2:
        raise InputError(f"the array given has shape {array.shape}. A table needs a 2-D array (rows, columns).")
    return columns_of_arrays({"X": array}, "the array given")


def _from_mapping(columns: Mapping[Any, Any]) -> pd.DataFrame:
    lengths = {str(name): len(values) if hasattr(values, "__len__") else None for name, values in columns.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        raise InputError(f"the dict given has columns of lengths {lengths}. Every column needs one value a row.")
    blocks = [
        _block(str(name), values) if isinstance(values, np.ndarray) else pd.DataFrame({str(name): list(values)})
        for name, values in columns.items()
    ]
    return pd.concat(blocks, axis=1) if blocks else pd.DataFrame()


def reason(error: Exception) -> str:
    """Return the first line of an error's message, or its name if it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
