"""The rows to look at: flagged labels and queries of a run, one card a row, the most worth looking at first.

All cards are held as columns, so that a hundred thousand of them are opened in a second or two and filtered in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.base import understood
from labelwise.rundir import RUN, read_info

LABEL_ERRORS, QUERY = "label errors", "query"
ABOUT_LABELS = frozenset({LABEL_ERRORS, "conflicting labels", "annotators"})
"""Findings whose rows are cards; rows of others are where a label is suggested."""
EVEN = 0.5
"""Chance that a label is wrong where nothing better is known: copies of which one must be."""
COLUMNS = ["row", "kind", "given", "suggested", "confidence", "expected_precision", "reason", "preview"]
Objects = NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Cards:
    """The cards of a run, in the order in which to look at them.

    Parameters
    ----------
    table
        One line a card: ``row``, ``kind``, ``given`` and ``suggested`` (label or None), ``confidence`` and
        ``expected_precision`` (0 to 1 or NaN), ``reason``, ``preview``, and ``value``: the chance that what is believed
        about the row now is wrong, by which the cards are ordered.
    classes
        Names of the classes; empty for real targets.
    """

    table: pd.DataFrame
    classes: list[str]

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, row: object) -> bool:
        return isinstance(row, int) and self.position(row) is not None

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Row numbers in the order of the cards."""
        return self.table["row"].to_numpy(dtype=np.int64)

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self.rows, kind="stable")
        return self.rows[order], order

    def position(self, row: int) -> int | None:
        """Return the place of a row among the cards, None where it is no card."""
        place = int(self.positions(np.array([row]))[0])
        return None if place < 0 else place

    def positions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of rows among the cards, -1 for those that are no card."""
        known, order = self._sorted
        if len(known) == 0:
            return np.full(len(rows), -1, np.int64)
        place = np.minimum(np.searchsorted(known, rows), len(known) - 1)
        return np.where(known[place] == rows, order[place], -1)

    @cached_property
    def kinds(self) -> dict[str, int]:
        """Number of cards of every kind, most first."""
        return {str(kind): int(count) for kind, count in self.table["kind"].value_counts().items()}

    @cached_property
    def columns(self) -> dict[str, Objects]:
        """The columns as arrays of plain objects, NaN as None."""
        return {name: _plain(self.table[name]) for name in COLUMNS}

    @cached_property
    def flag_weight(self) -> NDArray[np.float64]:
        """How likely every card's flag is right: expected precision of label errors, 0 of others."""
        precision = self.table["expected_precision"].fillna(self.table["confidence"]).fillna(0.0)
        return np.where(self.table["kind"] == LABEL_ERRORS, precision, 0.0)

    def matching(self, words: str) -> NDArray[np.bool_]:
        """Return which cards hold every word in their preview, labels or row number; capitals do not matter."""
        import pyarrow.compute as pc

        found = np.ones(len(self), bool)
        for word in words.lower().split():
            found &= pc.match_substring(self._searched, word).to_numpy(zero_copy_only=False)
        return found

    @cached_property
    def _searched(self) -> Any:
        import pyarrow as pa

        parts = self.table[["preview", "given", "suggested"]].fillna("")
        text = self.table["row"].astype(str).str.cat(parts, sep="\n").str.lower()
        return pa.array(text, type=pa.large_string())


def read_cards(run: str | Path, info: dict[str, Any] | None = None) -> Cards:
    """Return the cards of a run; those of test rows are left out, because a session leaves test labels as they are."""
    with understood(run, RUN):
        return _cards(Path(run), info or read_info(run))


def _cards(run: Path, info: dict[str, Any]) -> Cards:
    classes = [str(name) for name in info["data"].get("classes") or []]
    flagged, queries = _flagged(run / "flagged.csv"), _queries(run / "queries.csv")
    first = flagged["kind"] == LABEL_ERRORS
    table = pd.concat([flagged[first], queries, flagged[~first]], ignore_index=True).drop_duplicates("row")
    table = table[~table["row"].isin(test_rows(run, info))].reset_index(drop=True)
    for name in ("given", "suggested"):
        table[name] = spelled(table[name], classes)
    table["value"] = _value(table)
    order = np.argsort(-table["value"].to_numpy(), kind="stable")
    return Cards(table.iloc[order].reset_index(drop=True), classes)


def spelled(labels: pd.Series, classes: list[str]) -> pd.Series:
    """Return labels as the classes are spelled: of whole numbers a table with gaps makes ``3.0``, the class is ``3``."""
    known = set(classes)
    wanted = {
        label: label.removesuffix(".0")
        for label in labels.dropna().unique()
        if label not in known and label.endswith(".0") and label.removesuffix(".0") in known
    }
    return labels.replace(wanted) if wanted else labels


def _flagged(file: Path) -> pd.DataFrame:
    table = _read(file, {"given_label": "given", "suggested_label": "suggested"})
    about = table["kind"].isin(ABOUT_LABELS) | table["suggested"].notna()
    return table[about]


def _queries(file: Path) -> pd.DataFrame:
    table = _read(file, {"given_label": "given", "prediction": "suggested"})
    return table.assign(kind=QUERY)


def _read(file: Path, names: dict[str, str]) -> pd.DataFrame:
    """Read a table of a run as text, empty cells as None; without the file there are no rows."""
    if not file.is_file():
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS}).astype(
            {"row": np.int64, "confidence": np.float64, "expected_precision": np.float64}
        )
    texts = ["kind", "reason", "preview", *names]
    table = pd.read_csv(
        file,
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,
        na_values={"confidence": "", "expected_precision": ""},
    )
    table = table.rename(columns=names).reindex(columns=COLUMNS)
    for name in ("given", "suggested"):
        table[name] = table[name].astype(object).where(table[name] != "", None)
    return table.astype({"row": np.int64, "confidence": np.float64, "expected_precision": np.float64})


def test_rows(run: Path, info: dict[str, Any]) -> NDArray[np.int64]:
    """Return the rows of a run that are for testing."""
    file = run / "predictions.parquet"
    if not info["data"].get("test_rows") or not file.is_file():
        return np.empty(0, np.int64)
    split = pd.read_parquet(file, columns=["row", "split"])
    return split.loc[split["split"] == "test", "row"].to_numpy(dtype=np.int64)


def _value(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the chance that what is believed about a row now is wrong: its label, or without one the model's guess."""
    sure = table["confidence"].to_numpy()
    precision = table["expected_precision"].to_numpy()
    flags = (table["kind"] == LABEL_ERRORS).to_numpy()
    usual = precision[flags & ~np.isnan(precision)]
    contradicted = (
        table["given"].notna() & table["suggested"].notna() & (table["given"] != table["suggested"])
    ).to_numpy()
    doubt = np.where(contradicted, sure * (usual[-1] if len(usual) else 1.0), 1 - sure)
    value = np.where(flags, sure * np.where(np.isnan(precision), 1.0, precision), doubt)
    return np.where(np.isnan(value), EVEN, value)


def _plain(column: pd.Series) -> Objects:
    values: Objects = column.to_numpy(dtype=object, copy=True)
    values[pd.isna(values)] = None
    return values
