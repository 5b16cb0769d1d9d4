"""Rows in memory, whatever they are kept in, as the float array that methods and audits read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data

from labelwise.base import Fields, InputError
from labelwise.data.encode import make_encoder
from labelwise.data.inputs import choose_inputs
from labelwise.data.read import read_table
from labelwise.data.roles import Roles

MOST_CELLS = 100_000_000
"""A sparse matrix with more cells than this is not made dense."""
TEXT = "text"


class RowReader(Fields):
    """Turns arrays, sparse matrices, dataframes (pandas, polars, Arrow) and lists of texts into arrays of numbers.

    A dataframe with anything but complete numbers goes through the encoders of `labelwise.data`: missing values are filled
    in, categories, dates and texts become numbers. Pictures ``(n, h, w, c)`` stay, series ``(n, channels, time)`` are laid
    flat.

    Parameters
    ----------
    random_state
        Seed of the encoders.

    Examples
    --------
    >>> reader = RowReader()
    >>> reader.fit_rows(pd.DataFrame({"size": [1.0, None, 3.0], "colour": ["red", "white", "red"]})).shape
    (3, 3)
    """

    random_state: int | None = 0

    def fit_rows(self, X: Any, owner: Any = None) -> np.ndarray:
        """Learn how to read `X` and return its rows; ``n_features_in_`` and names are kept on `owner`."""
        self.shape_: tuple[int, ...] | None = None
        self.encoder_ = None
        if has_pictures(X):
            return self._picture(X, reset=True)
        frame = _frame_of(X)
        if frame is None:
            return _numbers(owner or self, X, reset=True)
        inputs = Roles(text=TEXT) if list(frame.columns) == [TEXT] and _texts(X) else _roles(frame)
        self.encoder_ = make_encoder(frame, inputs, random_state=self.random_state).fit(frame)
        return np.asarray(self.encoder_.transform(frame))

    def read_rows(self, X: Any, owner: Any = None) -> np.ndarray:
        """Return new rows, read as those of `fit_rows` were.

        Raises
        ------
        InputError
            When they are of another form, or a column is missing.
        """
        if self.shape_ is not None:
            return self._picture(X, reset=False)
        if self.encoder_ is None:
            return _numbers(owner or self, X, reset=False)
        frame = _frame_of(X, numbers_too=True)
        if frame is None:
            raise InputError(f"X must hold what the model was fitted on: {self.encoder_.describe()} Got {_kind(X)}.")
        return np.asarray(self.encoder_.transform(frame))

    def describe(self) -> str:
        """Say in a sentence what the rows become."""
        return "Numbers as they are." if self.encoder_ is None else str(self.encoder_.describe())

    def _picture(self, X: Any, reset: bool) -> np.ndarray:
        rows = np.asarray(X)
        if reset:
            self.shape_ = rows.shape[1:]
        if rows.shape[1:] != self.shape_:
            raise InputError(f"X must hold rows of shape {self.shape_}, as in fit. Got {rows.shape[1:]}.")
        if not np.isfinite(rows).all():
            raise InputError("Input X contains NaN or infinity. Impute or drop such rows.")
        return rows.reshape(len(rows), -1).astype(np.float32) if rows.ndim == 3 else rows


def has_pictures(X: Any) -> bool:
    """Whether `X` is an array of pictures or of series."""
    return isinstance(X, np.ndarray) and X.ndim in (3, 4) and X.dtype.kind in "uifb"


def _kind(X: Any) -> str:
    return f"an array of shape {X.shape}" if hasattr(X, "shape") else f"a {type(X).__name__}"


def _texts(X: Any) -> bool:
    """Whether `X` is a column of texts: a list, a 1-D array or a series."""
    if isinstance(X, (list, tuple)):
        return bool(X) and isinstance(X[0], str)
    return getattr(X, "ndim", None) == 1 and len(X) > 0 and isinstance(next(iter(X)), str)


def _frame_of(X: Any, numbers_too: bool = False) -> pd.DataFrame | None:
    """Return `X` as a frame if it needs an encoder; None where it holds complete numbers, or is no table."""
    if _texts(X):
        wrong = next((row for row, text in enumerate(X) if not isinstance(text, str)), None)
        if wrong is not None:
            raise InputError(f"X holds texts, but row {wrong} is not one. Give every row a text; '' is one.")
        return pd.DataFrame({TEXT: list(X)})
    if not (hasattr(X, "columns") or hasattr(X, "column_names")):
        return None
    frame = X if isinstance(X, pd.DataFrame) else read_table(X)
    complete = all(map(pd.api.types.is_numeric_dtype, frame.dtypes)) and not frame.isna().any(axis=None)
    return None if complete and not numbers_too else read_table(frame)


def _roles(frame: pd.DataFrame) -> Roles:
    inputs = choose_inputs(frame, [])
    return Roles(text=inputs.text, image=inputs.image, features=inputs.features, notes=inputs.notes)


def _numbers(owner: Any, X: Any, reset: bool) -> np.ndarray:
    rows: Any = validate_data(owner, X, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32])
    if not hasattr(rows, "tocsr"):
        return np.asarray(rows)
    if np.prod(rows.shape, dtype=np.float64) > MOST_CELLS:
        raise InputError(
            f"X is sparse and has {rows.shape[0]:,} x {rows.shape[1]:,} cells, too many to audit. Reduce its columns, "
            "with sklearn.decomposition.TruncatedSVD for example."
        )
    return np.asarray(rows.toarray())
