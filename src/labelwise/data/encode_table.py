"""Tables: numbers standardised, few-valued columns one-hot, many-valued strings and dates through small encoders."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import numpy as np
import pandas as pd

from labelwise.base import Count, InputError
from labelwise.data.columns import finite_numbers, holds
from labelwise.data.encoder import Encoder
from labelwise.data.tfidf import TfidfSVD

MISSING = "(missing)"
"""The category of a missing value."""


class TableEncoder(Encoder):
    """Turn the columns of a table into standardised float32 features.

    Numbers: missing ones become the median, then mean 0 and standard deviation 1. Strings and categories of at most
    ``max_categories`` values: one column a value, zeros for a value never seen. Strings of more values: TF-IDF of 2 to 4
    characters, every value counted once, reduced to ``n_components``. Dates: year, month, day, hour, weekday and seconds
    since 1970 through `skrub.DatetimeEncoder`, standardised. Only what a column needs is kept: a whole
    `skrub.TableVectorizer` takes megabytes and some 25 private types to store without executable content.

    Parameters
    ----------
    columns
        Columns to read. Default: all.
    max_categories
        Columns with more values than this are reduced.
    n_components
        Features of a reduced column.
    random_state
        Seed of the reduction.

    Examples
    --------
    >>> frame = pd.DataFrame({"size": [1.0, None, 3.0], "colour": ["red", "white", "red"]})
    >>> encoder = TableEncoder().fit(frame)
    >>> encoder.feature_names()
    ['size', 'colour=red', 'colour=white']
    >>> encoder.transform(pd.DataFrame({"size": [2.0], "colour": ["rose"]}))
    array([[0., 0., 0.]], dtype=float32)
    """

    columns: list[str] | None = None
    max_categories: Annotated[int, Count] = 30
    n_components: Annotated[int, Count] = 30
    random_state: int | None = 0

    def columns_read(self, frame: pd.DataFrame) -> list[str]:
        """Return `columns`, or all columns of the frame."""
        return list(frame.columns) if self.columns is None else list(self.columns)

    def learn(self, frame: pd.DataFrame) -> None:
        """Decide on each column's treatment; learn medians, spreads, categories and reductions."""
        self.numbers_: list[str] = []
        self.categories_: dict[str, list[str]] = {}
        self.strings_: dict[str, TfidfSVD] = {}
        self.dates_: dict[str, Any] = {}
        self.formats_: dict[str, str] = {}
        for name in self.columns_:
            self._learn_column(name, frame[name])
        self.medians_, self.means_, self.scales_ = _spread(self._read_numbers(frame))

    def _learn_column(self, name: str, column: pd.Series[Any]) -> None:
        kind = holds(column)
        if kind in {"image", "vector", "other"}:
            raise InputError(
                f"column {name!r} holds {kind} values, not numbers, strings or dates. Encode images with ImageEncoder "
                "and vectors with ArrayEncoder, or leave the column out."
            )
        if kind in {"number", "empty"}:
            self.numbers_.append(name)
        elif kind == "date" and self._learn_dates(name, column):
            pass
        else:
            self._learn_strings(name, column)

    def _learn_strings(self, name: str, column: pd.Series[Any]) -> None:
        values = sorted(set(_distinct(column)[1]))
        if len(values) <= self.max_categories:
            self.categories_[name] = values
            return
        reducer = TfidfSVD(n_components=self.n_components, analyzers=("char",), random_state=self.random_state)
        self.strings_[name] = reducer.fit(values)

    def _learn_dates(self, name: str, column: pd.Series[Any]) -> bool:
        """Learn a column of dates; return False where its strings share no format after all."""
        from skrub import DatetimeEncoder, ToDatetime
        from skrub.core import RejectColumn

        if not pd.api.types.is_datetime64_any_dtype(column.dtype):
            try:
                self.formats_[name] = ToDatetime().fit(column.dropna().astype(str).str.strip()).format_
            except RejectColumn:
                return False
        self.dates_[name] = DatetimeEncoder(add_weekday=True).fit(self._read_dates(name, column))
        return True

    def _read_dates(self, name: str, column: pd.Series[Any]) -> pd.Series[Any]:
        if name in self.formats_:
            strings = column.astype(object).map(str, na_action="ignore").str.strip()
            return pd.to_datetime(strings, format=self.formats_[name], errors="coerce")
        dates = pd.to_datetime(column, utc=True).dt.tz_localize(None)
        return dates.rename(name)

    def _read_numbers(self, frame: pd.DataFrame) -> np.ndarray:
        """Lay numbers and the numbers of dates side by side, ``(n, d)`` with NaN where missing."""
        blocks = [finite_numbers(frame[name])[:, None] for name in self.numbers_]
        blocks += [coder.transform(self._read_dates(name, frame[name])).to_numpy(dtype=float)
                   for name, coder in self.dates_.items()]  # fmt: skip
        return np.hstack(blocks) if blocks else np.zeros((len(frame), 0))

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Lay standardised numbers, category indicators and reduced strings side by side."""
        numbers = self._read_numbers(frame)
        numbers = np.where(np.isnan(numbers), self.medians_, numbers)
        blocks = [((numbers - self.means_) / self.scales_).astype(np.float32)]
        blocks += [_one_hot(frame[name], values) for name, values in self.categories_.items()]
        for name, reducer in self.strings_.items():
            codes, values = _distinct(frame[name])
            blocks.append(reducer.transform(values)[codes])
        return np.hstack(blocks)

    def feature_names(self) -> list[str]:
        """Name the features: ``size``, ``day_year``, ``colour=red``, ``name~0``."""
        dates = [str(feature) for coder in self.dates_.values() for feature in coder.get_feature_names_out()]
        values = [f"{name}={value}" for name, known in self.categories_.items() for value in known]
        strings = [f"{name}~{number}" for name, reducer in self.strings_.items()
                   for number in range(len(reducer.components_))]  # fmt: skip
        return [*self.numbers_, *dates, *values, *strings]

    def describe(self) -> str:
        """Say how many columns of each sort become how many features."""
        sorts = {"numeric, standardised": self.numbers_, "categorical, one-hot": self.categories_,
                 "of strings, reduced by TF-IDF and SVD": self.strings_, "of dates": self.dates_}  # fmt: skip
        parts = [f"{len(names)} {sort}" for sort, names in sorts.items() if names]
        return f"{len(self.columns_)} columns ({'; '.join(parts)}) to {len(self.feature_names())} features"


def _spread(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median, and mean and standard deviation after filling with it, a column; 0, 0 and 1 where nothing is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without any value
        medians = np.nan_to_num(np.nanmedian(numbers, axis=0)) if numbers.size else np.zeros(numbers.shape[1])
    filled = np.where(np.isnan(numbers), medians, numbers)
    scales = filled.std(axis=0)
    return medians, filled.mean(axis=0), np.where(scales > 1e-12 * (1 + np.abs(medians)), scales, 1.0)


def _distinct(column: pd.Series[Any]) -> tuple[np.ndarray, list[str]]:
    """Number the values of a column, ``(n,)``, and write each one once as a stripped string; 3 and 3.0 alike."""
    codes, values = pd.factorize(column, use_na_sentinel=True)
    strings = [f"{value:g}" if isinstance(value, float) else str(value).strip() for value in values]
    if (codes < 0).any():
        strings.append(MISSING)  # which code -1 finds as well
    return codes, strings


def _one_hot(column: pd.Series[Any], known: list[str]) -> np.ndarray:
    codes, values = _distinct(column)
    places = pd.Index(known, dtype=object).get_indexer(pd.Index(values, dtype=object))[codes]
    rows = np.flatnonzero(places >= 0)
    block = np.zeros((len(column), len(known)), dtype=np.float32)
    block[rows, places[rows]] = 1
    return block
