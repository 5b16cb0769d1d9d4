"""Labels as people write them, and what may go beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[Any]
Change = Callable[[Array], Any]


def _named(names: list[Any]) -> Change:
    """Return the change of class codes to names, round and round; -1 becomes None."""

    def rename(y: Array) -> Any:
        codes = [None if code == -1 else names[int(code) % len(names)] for code in y]
        out = np.empty(len(codes), dtype=object)
        out[:] = codes
        return out

    return rename


def _some(value: Any, kind: Any = object) -> Change:
    """Return the change of every third label to `value`."""

    def put(y: Array) -> Any:
        out = y.astype(kind)
        out[::3] = value
        return out

    return put


def _all(value: Any, kind: Any = None) -> Change:
    return lambda y: np.full(y.shape, value, dtype=kind)


def _categories(y: Array) -> Any:
    names = np.array(["a", "b", "c", "never"], dtype=object)
    return pd.Series(pd.Categorical(names[y.astype(int) % 3], categories=names))


def _two_dates(y: Array) -> Array:
    return np.array(["2020-01-01", "2021-06-01"], dtype="datetime64[D]")[y.astype(int) % 2]


ANY_Y: dict[str, Change] = {
    "as they are": lambda y: y,
    "none": lambda y: None,
    "one too few": lambda y: y[:-1],
    "one too many": lambda y: np.concatenate([y, y[:1]]),
    "list": lambda y: y.tolist(),
    "object": lambda y: y.astype(object),
    "every other one": lambda y: np.repeat(y, 2, 0)[::2],
    "a column": lambda y: y[:, None],
    "three dimensions": lambda y: np.asarray(y)[:, None, None],
    "some NaN": lambda y: _some(np.nan, float)(y),
    "some inf": lambda y: _some(np.inf, float)(y),
    "some None": _some(None),
    "some pandas NA": _some(pd.NA),
    "all NaN": _all(np.nan, float),
    "all None": _all(None, object),
    "all -1": _all(-1, int),
    "all zero": lambda y: np.zeros_like(y),
    "1e300": lambda y: _some(1e300, float)(y),
    "complex": lambda y: y.astype(complex),
    "words": _all("word", object),
    "bytes": _all(b"word"),
    "a number": lambda y: 3,
    "a word": lambda y: "labels",
    "a dict": lambda y: {"a": 1},
    "a set": lambda y: {1, 2},
    "ragged lists": lambda y: [[1] * (1 + i % 2) for i in range(len(y))],
    "dates": _two_dates,
}
CLASSES: dict[str, Change] = ANY_Y | {
    "texts": _named(["red", "green", "blue"]),
    "texts of fixed width": lambda y: np.array(["red", "green", "blue"])[y.astype(int) % 3],
    "numpy texts": lambda y: np.array(["a", "b", "c"], dtype=np.dtypes.StringDType())[y.astype(int) % 3],
    "new lines": _named(["a\nb", "a\r", "b\tc"]),
    "other scripts": _named(["да", "いいえ", "🤷", "e\u0301"]),
    "look alike": _named(["e\u0301", "\u00e9"]),
    "lone surrogates": _named(["a\ud800", "b\udfff"]),
    "an empty text": _named(["", "a"]),
    "spaces": _named([" a", "a "]),
    "markers as text": _named(["-1", "0", "1"]),
    "nan as text": _named(["nan", "NaN", "none"]),
    "mixed types": _named(["1", 1, 1.0]),
    "numbers and texts": _named([1, "a"]),
    "truths": _named([True, False]),
    "truths and numbers": _named([True, 0]),
    "bytes of each": _named([b"a", b"b"]),
    "tuples": _named([(1, 2), (3,)]),
    "lists": _named([[1], [2]]),
    "dicts": _named([{"a": 1}, {"b": 2}]),
    "negative": lambda y: y.astype(int) - 3,
    "-1 and 1": lambda y: np.where(np.arange(len(y)) % 2, 1, -1),
    "floats": lambda y: y.astype(float),
    "float16": lambda y: y.astype(np.float16),
    "halves": lambda y: y / 2,
    "bool": lambda y: y.astype(int) % 2 == 0,
    "uint8": lambda y: np.abs(y).astype(np.uint8),
    "int8": lambda y: y.astype(np.int8),
    "beyond 64 bits": _named([2**70, 5]),
    "the ends of 64 bits": lambda y: np.where(y % 2 == 0, np.iinfo(np.int64).min, np.iinfo(np.int64).max),
    "uint64": lambda y: np.where(y % 2 == 0, np.uint64(2**64 - 1), np.uint64(3)),
    "far apart": lambda y: y.astype(np.int64) * 10**15,
    "one a row": lambda y: np.arange(len(y)),
    "one a row but two": lambda y: np.where(np.arange(len(y)) < 2, 0, np.arange(len(y))),
    "one row of its own": lambda y: np.where(np.arange(len(y)) == 0, 1, 0),
    "one labelled": lambda y: np.where(np.arange(len(y)) == 0, 0, -1),
    "two labelled": lambda y: np.where(np.arange(len(y)) < 2, np.arange(len(y)), -1),
    "none labelled of the first half": lambda y: np.where(np.arange(len(y)) < len(y) // 2, -1, y),
    "a column of two": lambda y: np.c_[y, y],
    "unused categories": _categories,
    "pandas": pd.Series,
    "pandas nullable": lambda y: pd.Series(y.astype(object)).mask(np.arange(len(y)) % 4 == 0, pd.NA).astype("Int64"),
    "pandas texts": lambda y: pd.Series(np.array(["a", "b", "c"])[y.astype(int) % 3]).astype("string"),
    "another index": lambda y: pd.Series(y, index=np.arange(len(y))[::-1]),
    "polars": lambda y: pl.Series("y", y),
    "polars categories": lambda y: pl.Series("y", np.array(["a", "b", "c"])[y.astype(int) % 3]).cast(pl.Categorical),
    "Arrow": pa.array,
    "Arrow in pieces": lambda y: pa.chunked_array([pa.array(y[:2]), pa.array(y[2:])]),
    "frame": lambda y: pd.DataFrame({"label": y}),
    "sparse": lambda y: sparse.csr_matrix(y[:, None]),
}
REAL: dict[str, Change] = ANY_Y | {
    "integers": lambda y: np.nan_to_num(y).astype(int),
    "bool": lambda y: np.nan_to_num(y) > 0,
    "float16": lambda y: y.astype(np.float16),
    "float32": lambda y: y.astype(np.float32),
    "large": lambda y: y * 1e15,
    "huge": lambda y: y * 1e300,
    "float32 at its end": lambda y: y * 1e36,
    "tiny": lambda y: y * 1e-300,
    "two targets": lambda y: np.stack([y, y], 1),
    "one known": lambda y: np.where((np.arange(len(y)) == 0).reshape(-1, *[1] * (y.ndim - 1)), y, np.nan),
    "texts of numbers": lambda y: y.astype(str),
    "pandas": lambda y: pd.Series(list(y)),
    "polars": lambda y: pl.Series("y", y),
    "frame": lambda y: pd.DataFrame(y.reshape(len(y), -1)),
}
MULTILABEL: dict[str, Change] = ANY_Y | {
    "all one": np.ones_like,
    "a constant column": lambda y: np.where(np.arange(y.shape[1]) == 0, 1, y),
    "a column unknown": lambda y: np.where(np.arange(y.shape[1]) == 0, -1, y),
    "a row unknown": lambda y: np.where(np.arange(len(y))[:, None] == 0, -1, y),
    "one label": lambda y: y[:, :1],
    "no label": lambda y: y[:, :0],
    "first column": lambda y: y[:, 0],
    "bool": lambda y: y == 1,
    "floats": lambda y: np.where(y == -1, np.nan, y).astype(float),
    "fractions": lambda y: y * 0.5,
    "twos": lambda y: y * 2,
    "uint8": lambda y: np.abs(y).astype(np.uint8),
    "positives alone": lambda y: (y == 1).astype(int),
    "sparse": lambda y: sparse.csr_matrix(np.maximum(y, 0)),
    "sparse, columns": lambda y: sparse.csc_array(np.maximum(y, 0)),
    "pandas": lambda y: pd.DataFrame(y, columns=[f"l{i}" for i in range(y.shape[1])]),
    "pandas nullable": lambda y: pd.DataFrame(y).astype(object).mask(y == -1, pd.NA).astype("Int64"),
    "polars": lambda y: pl.DataFrame(y, schema=[f"l{i}" for i in range(y.shape[1])]),
    "Fortran order": np.asfortranarray,
    "lists of names": lambda y: [["a"], ["b", "c"]] * (len(y) // 2) + [[]] * (len(y) % 2),
}


def _flat(values: Array) -> Array:
    return values.ravel()


BESIDE: dict[str, Change] = {
    "as they are": lambda v: v,
    "none": lambda v: None,
    "list": lambda v: v.tolist(),
    "object": lambda v: v.astype(object),
    "floats": lambda v: v.astype(float),
    "truths": lambda v: v.astype(bool),
    "all zero": np.zeros_like,
    "all one": np.ones_like,
    "all -1": _all(-1, int),
    "all the same": _all(5, int),
    "each its own": lambda v: np.arange(v.size).reshape(v.shape),
    "negative": lambda v: -1 - v.astype(int),
    "some NaN": lambda v: _some(np.nan, float)(v),
    "some inf": lambda v: _some(np.inf, float)(v),
    "some None": _some(None),
    "halves": lambda v: v + 0.5,
    "huge": _all(1e300, float),
    "tiny": _all(1e-300, float),
    "huge whole": _all(2**62, np.int64),
    "one too few": lambda v: v[:-1],
    "empty": lambda v: v[:0],
    "flat": _flat,
    "a column": lambda v: v[:, None],
    "texts": _all("word", object),
    "a number": lambda v: 2,
    "a word": lambda v: "word",
    "pandas": lambda v: pd.Series(list(v), index=np.arange(len(v))[::-1]),
    "polars": lambda v: pl.Series(v.ravel()),
}
"""What may become of an argument with an entry a row: weights, votes, bags, domains, flags."""
