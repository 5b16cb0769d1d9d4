"""Rows in every container, number type and state of decay in which users hold them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[Any]

# -- values


def _put(value: float) -> Callable[[Array, np.random.Generator], Array]:
    def put(X: Array, rng: np.random.Generator) -> Array:
        if X.size:
            X.flat[rng.integers(X.size)] = value
        return X

    return put


def _column(value: float) -> Callable[[Array, np.random.Generator], Array]:
    def fill(X: Array, rng: np.random.Generator) -> Array:
        if X.size:
            X[:, rng.integers(X.shape[1])] = value
        return X

    return fill


def _times(factor: float) -> Callable[[Array, np.random.Generator], Array]:
    return lambda X, rng: X * factor


VALUES: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "as they are": lambda X, rng: X,
    "one NaN": _put(np.nan),
    "one inf": _put(np.inf),
    "one -inf": _put(-np.inf),
    "one 1e300": _put(1e300),
    "one -1e30": _put(-1e30),
    "one 1e18": _put(1e18),
    "a column of NaN": _column(np.nan),
    "a constant column": _column(7.0),
    "a column of 1e-300": _column(1e-300),
    "all zero": lambda X, rng: np.zeros_like(X),
    "one row repeated": lambda X, rng: np.repeat(X[:1], len(X), 0) if len(X) else X,
    "huge": _times(1e300),
    "large": _times(1e15),
    "float32 at its end": _times(1e37),
    "tiny": _times(1e-300),
    "denormal": _times(5e-324),
    "far from zero": lambda X, rng: X + 1e12,
}

# -- containers of matrices


def _strided(X: Array) -> Array:
    wide = np.zeros((2 * X.shape[0], *(2 * size for size in X.shape[1:])), X.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in X.shape)]
    view[...] = X
    return view


def _read_only(X: Array) -> Array:
    X = X.copy()
    X.setflags(write=False)
    return X


def _mapped(X: Array) -> Array:
    if X.size == 0:
        return X
    with tempfile.NamedTemporaryFile() as file:  # the mapping keeps the file when its name is gone
        held = np.memmap(file, dtype=X.dtype, mode="w+", shape=X.shape)
    held[...] = X
    held.flags.writeable = False
    return held


def _cast(dtype: Any) -> Callable[[Array], Array]:
    def cast(X: Array) -> Array:
        with np.errstate(all="ignore"):
            return X.astype(dtype)

    return cast


def _with_none(X: Array) -> Array:
    out = X.astype(object)
    if out.size:
        out.flat[-1] = None
    return out


def _names(X: Array) -> list[str]:
    return [f"f{i}" for i in range(X.shape[1])]


def _nullable(X: Array) -> pd.DataFrame:
    frame = pd.DataFrame(X, columns=_names(X)).astype("Float64")
    if X.size:
        frame.iloc[0, 0] = pd.NA
    return frame


def _mixed_frame(X: Array) -> pd.DataFrame:
    return pd.DataFrame(X, columns=_names(X)).assign(word=["a"] * len(X))


ANY: dict[str, Callable[[Array], Any]] = {
    "array": lambda X: X,
    "float32": _cast(np.float32),
    "float16": _cast(np.float16),
    "int64": _cast(np.int64),
    "uint8": _cast(np.uint8),
    "bool": _cast(bool),
    "object": _cast(object),
    "object with None": _with_none,
    "complex": _cast(complex),
    "text of numbers": _cast(str),
    "big-endian": _cast(">f8"),
    "long double": _cast(np.longdouble),
    "Fortran order": np.asfortranarray,
    "read-only": _read_only,
    "strided": _strided,
    "memory map": _mapped,
    "nested lists": lambda X: X.tolist(),
    "masked array": lambda X: np.ma.masked_array(X, mask=np.zeros(X.shape, bool)),
    "one dimension": lambda X: X.ravel(),
    "one dimension more": lambda X: X[..., None],
    "a number": lambda X: 3.5,
    "None": lambda X: None,
    "a word": lambda X: "rows",
    "a dict": lambda X: {"a": 1},
    "dates": lambda X: np.full(X.shape, np.datetime64("2020-01-01")),
    "bytes": lambda X: np.full(X.shape, b"a"),
}
MATRICES: dict[str, Callable[[Array], Any]] = ANY | {
    "CSR": sparse.csr_matrix,
    "CSC array": sparse.csc_array,
    "COO": sparse.coo_matrix,
    "np.matrix": np.asmatrix,
    "pandas": lambda X: pd.DataFrame(X, columns=_names(X), index=np.arange(len(X))[::-1] * 3),
    "pandas nullable": _nullable,
    "pandas with words": _mixed_frame,
    "pandas, numbers as names": pd.DataFrame,
    "pandas, one name twice": lambda X: pd.DataFrame(X, columns=["same"] * X.shape[1]),
    "polars": lambda X: pl.DataFrame({name: X[:, i] for i, name in enumerate(_names(X))}),
    "polars lazy": lambda X: pl.DataFrame({name: X[:, i] for i, name in enumerate(_names(X))}).lazy(),
    "Arrow": lambda X: pa.table({name: X[:, i] for i, name in enumerate(_names(X))}),
    "ragged lists": lambda X: [row[: 1 + i % 2] for i, row in enumerate(X.tolist())],
}

# -- texts


def _one(value: Any) -> Callable[[list[str]], Any]:
    return lambda texts: [*texts[:-1], value]


TEXTS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "array of texts": lambda texts: np.array(texts, dtype=str),
    "object array": lambda texts: np.array(texts, dtype=object),
    "Series": lambda texts: pd.Series(texts, dtype=object),
    "polars Series": lambda texts: pl.Series(texts, dtype=pl.String),
    "Arrow column": lambda texts: pa.chunked_array([pa.array(texts, pa.string())]),
    "one None": _one(None),
    "one number": _one(3.0),
    "one NaN": _one(np.nan),
    "one bytes": _one(b"bytes"),
    "all empty": lambda texts: [""] * len(texts),
    "spaces": lambda texts: [" \n\t"] * len(texts),
    "marks only": lambda texts: ["?!\0\x1b[31m"] * len(texts),
    "other scripts": lambda texts: ["\u202eдом 家 🏠 e\u0301" * 3] * len(texts),
    "lone surrogate": lambda texts: ["a\ud800b"] * len(texts),
    "very long": lambda texts: ["word " * 3000] * len(texts),
    "one string": lambda texts: "all in one",
    "numbers": lambda texts: [1.0] * len(texts),
    "frame": lambda texts: pd.DataFrame({"text": texts}),
    "None": lambda texts: None,
}
