"""From the containers users hold rows in (Arrow, polars, Hugging Face data sets, torch) to ones that every method reads.

numpy arrays, scipy matrices, lists and pandas frames pass as they are; polars and Arrow tables do too, since scikit-learn
reads them. Nothing of the other libraries is imported here: what is not loaded cannot have made the object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from types import FunctionType
from typing import Any

ACCEPTED = "an array, a data frame (pandas, polars, Arrow), a Hugging Face Dataset, or a list of texts"
LARGEST = 1e100
"""The largest number in size that methods compute with in double precision."""
ARGUMENTS = ("X", "pool")
"""Arguments of a method that hold rows."""


def plain_rows(X: Any, name: str = "X") -> Any:
    """Return `X` as a numpy array, a data frame or a list of texts.

    Parameters
    ----------
    X
        Anything. A column of texts (polars, Arrow, a Hugging Face column or a data set of one such column) becomes a list;
        a Hugging Face ``Dataset`` of numbers a pandas frame, of one column of vectors or images an array; a tensor an
        array.
    name
        How messages call it.

    Raises
    ------
    TypeError
        For what holds no rows: numbers, single texts, dicts, sets; containers that stream or are lazy, or that hold
        several splits. The message says what to do.
    """
    read = _READERS.get(type(X).__module__.partition(".")[0])
    return X if read is None else read(X, name)


def checked_rows(owner: Any, X: Any, y: Any = "no_validation", *, reset: bool = True, **asked: Any) -> Any:
    """Return what scikit-learn's ``validate_data`` does, and refuse numbers whose squares a float64 cannot hold.

    Raises
    ------
    ValueError
        As ``validate_data``, and for entries beyond `LARGEST` in size.
    """
    from sklearn.utils.validation import validate_data

    checked = validate_data(owner, X, y, reset=reset, **asked)
    rows = checked[0] if isinstance(checked, tuple) else checked
    held = rows.data if hasattr(rows, "tocsr") else rows
    if held.dtype == "float64" and held.size and max(-held.min(), held.max()) > LARGEST:  # NaN compares as small
        raise ValueError(
            f"Input X contains {held.flat[abs(held).argmax()]:.3g}, a value too large to compute with. "
            f"Accepted: up to {LARGEST:g} in size. Scale the columns, or leave out the rows that hold such values."
        )
    return checked


def reads_rows(method: FunctionType) -> Callable[..., Any]:
    """Return `method` with its arguments `X` and `pool` passed through `plain_rows`."""

    @wraps(method)
    def reading(self: Any, *args: Any, **named: Any) -> Any:
        if args:
            args = (plain_rows(args[0]), *args[1:])
        for name in ARGUMENTS:
            if named.get(name) is not None:
                named[name] = plain_rows(named[name], name)
        return method(self, *args, **named)

    return reading


def takes_rows(value: Any) -> bool:
    """Whether a class attribute is a public method whose first argument is `X`."""
    if not isinstance(value, FunctionType) or value.__name__.startswith("_") or hasattr(value, "__wrapped__"):
        return False
    code = value.__code__
    return code.co_argcount > 1 and code.co_varnames[1] == "X"


def _from_python(X: Any, name: str) -> Any:
    if hasattr(X, "__next__"):
        raise TypeError(f"{name} is a {type(X).__name__}, which can be read only once. Give a list: list({name}).")
    if X is None or isinstance(X, int | float | complex | str | bytes | dict | set | frozenset):
        raise TypeError(f"{name} is {'None' if X is None else f'a {type(X).__name__}'}. Accepted: {ACCEPTED}.")
    return X


def _from_numpy(X: Any, name: str) -> Any:
    if getattr(X, "ndim", 1) == 0:
        raise TypeError(f"{name} is a single value, {X!r}. Accepted: {ACCEPTED}.")
    return X


def _from_pandas(X: Any, name: str) -> Any:
    columns = getattr(X, "columns", None)
    if columns is not None and not len(columns):
        raise ValueError(
            f"{name}: found 0 feature(s) (shape={X.shape}) while a minimum of 1 is required. Give columns."
        )
    if columns is not None and not columns.is_unique:
        twice = columns[columns.duplicated()][0]
        raise TypeError(f"{name} has two columns named {twice!r}. Give every column its own name.")
    return X


def _from_torch(X: Any, name: str) -> Any:
    return X.detach().cpu().numpy() if hasattr(X, "detach") else X


def _from_polars(X: Any, name: str) -> Any:
    if type(X).__name__ == "LazyFrame":
        raise TypeError(f"{name} is a polars LazyFrame, which holds no rows yet. Call .collect() first.")
    if type(X).__name__ != "Series":
        return X
    return _texts(X.to_list(), name) if str(X.dtype) in ("String", "Categorical") else X.to_numpy()


def _from_arrow(X: Any, name: str) -> Any:
    if hasattr(X, "column_names"):
        return X
    if not hasattr(X, "to_pylist"):
        raise TypeError(f"{name} is a pyarrow {type(X).__name__}. Accepted: {ACCEPTED}.")
    values = X.to_pylist()
    return (
        _texts(values, name) if values and any(isinstance(value, str) for value in values) else _stacked(values, name)
    )


def _from_datasets(X: Any, name: str) -> Any:
    if isinstance(X, Mapping):
        raise TypeError(f"{name} holds the splits {list(X)} of a data set. Give one of them, such as {name}['train'].")
    if not hasattr(X, "__len__"):
        raise TypeError(f"{name} is a data set that streams ({type(X).__name__}). Load its rows: list(data.take(n)).")
    if not hasattr(X, "column_names"):  # one column
        return _column(list(X), name)
    names = list(X.column_names)
    if len(names) == 1:
        return _column(X.with_format(None)[:][names[0]], name)
    frame = X.with_format("pandas")[:]
    nested = [column for column in names if frame[column].dtype.kind == "O" and _is_nested(frame[column])]
    if nested:
        raise TypeError(
            f"{name} has the column {nested[0]!r} of vectors, pictures or lists among {len(names)} columns. Select one "
            f"such column alone, as {name}.select_columns([{nested[0]!r}]), or columns of numbers only."
        )
    return frame


def _column(values: list[Any], name: str) -> Any:
    """Return one column: texts as a list, numbers, vectors and pictures as an array with a row each."""
    if any(isinstance(value, str) for value in values):
        return _texts(values, name)
    return _stacked(values, name)


def _stacked(values: list[Any], name: str) -> Any:
    import numpy as np

    try:
        array = np.stack([np.asarray(value) for value in values])
    except (ValueError, TypeError) as error:
        raise TypeError(
            f"{name} has rows of different shapes or without a value ({error}). Every row needs as many numbers, and "
            "pictures the same size."
        ) from error
    return array[:, None] if array.ndim == 1 else array


def _texts(values: list[Any], name: str) -> list[str]:
    wrong = next((row for row, value in enumerate(values) if not isinstance(value, str)), None)
    if wrong is not None:
        raise TypeError(f"{name} holds texts, but row {wrong} is {values[wrong]!r}. Give every row a text; '' is one.")
    return values


def _is_nested(column: Any) -> bool:
    return any(hasattr(value, "__len__") and not isinstance(value, (str, bytes)) for value in column.head(100))


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "builtins": _from_python, "numpy": _from_numpy, "pandas": _from_pandas,
    "torch": _from_torch, "polars": _from_polars, "pyarrow": _from_arrow, "datasets": _from_datasets,
}  # fmt: skip
