"""A Parquet table larger than memory: features to a file block by block, labels and names to a few bytes a row.

`understand_stream` reads a sample and decides what every column is; `read_stream` goes once through the table. Embeddings
(numbered columns of numbers, or columns of vectors) are copied as they are, half precision as half precision; other
inputs go through the encoder that a table in memory would get, fitted on the sample, batch by batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from labelwise.base import UNLABELED, InputError
from labelwise.data.columns import holds
from labelwise.data.encode import make_encoder
from labelwise.data.encode_array import looks_like_embedding
from labelwise.data.encoder import Encoder
from labelwise.data.labels import KINDS, clean_labels, flags, is_test
from labelwise.data.parquet import Group, ParquetTable, batches, frame_of, sample
from labelwise.data.roles import Roles, resolve_roles
from labelwise.parts.blocks import Block
from labelwise.parts.row_hashes import first_equal, text_hashes
from labelwise.parts.work import Store, Work
from labelwise.supervision import Kind, Targets, infer
from labelwise.supervision.classes import encode_classes

SAMPLE = 20_000
"""Rows, drawn at random, that say what the columns hold and that encoders are fitted on."""


@dataclass(frozen=True)
class Direct:
    """Columns of numbers, or of vectors (with their widths), copied as they are."""

    widths: dict[str, int]
    dtype: str

    @property
    def width(self) -> int:
        """Number of features."""
        return sum(width or 1 for width in self.widths.values())

    def __call__(self, batch: pa.RecordBatch, start: int) -> NDArray[Any]:
        """Return the features of a batch; missing ones are NaN."""
        if list(self.widths.values()) == [self.width]:  # one column of vectors
            return _vectors(batch.column(next(iter(self.widths))), *next(iter(self.widths.items())), start)
        out, place = np.empty((batch.num_rows, self.width), self.dtype), 0
        for name, width in self.widths.items():
            column = batch.column(name)
            block = _vectors(column, name, width, start) if width else _numbers(column)[:, None]
            out[:, place : place + (width or 1)] = block
            place += width or 1
        return out

    def names(self) -> list[str]:
        """Name the features."""
        blocks = [[f"{name}~{i}" for i in range(width)] if width else [name] for name, width in self.widths.items()]
        return [name for block in blocks for name in block]

    def describe(self) -> str:
        """Say how many numbers a row there are."""
        return f"embeddings of {self.width} dimensions as they are, {np.dtype(self.dtype)}"


@dataclass(frozen=True)
class Encoded:
    """Columns that go through an encoder."""

    encoder: Encoder
    columns: list[str]
    width: int
    dtype: str = "<f4"

    def __call__(self, batch: pa.RecordBatch, start: int) -> NDArray[Any]:
        """Return the features of a batch."""
        return self.encoder.transform(frame_of(batch.select(self.columns)))

    def names(self) -> list[str]:
        """Name the features."""
        return self.encoder.feature_names()

    def describe(self) -> str:
        """Say what the columns become."""
        return self.encoder.describe()


def _numbers(column: pa.Array) -> NDArray[Any]:
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _vectors(column: pa.Array, name: str, width: int, start: int) -> NDArray[Any]:
    """Return a column of lists as (n, width); a missing list is NaN."""
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    bad = ~missing & (lengths != width)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"column {name!r} holds {int(lengths[row])} numbers in row {start + row}, {width} were expected. Give every row "
            f"a vector of {width} numbers."
        )
    known = _numbers(column.flatten()).reshape(-1, width)  # flatten leaves missing lists out
    if not missing.any():
        return known
    out = np.full((len(column), width), np.nan, np.float32)
    out[~missing] = known
    return out


@dataclass
class Stream:
    """What is known of a table before it is read: the part of every column, and how features are made."""

    table: ParquetTable
    roles: Roles
    features: Direct | Encoded
    notes: list[str] = field(default_factory=list)

    def columns(self) -> list[str]:
        """Columns that are read."""
        roles = self.roles
        single = [name for name in (roles.label, roles.domain, roles.split, roles.trusted) if name]
        return list(dict.fromkeys([*roles.inputs(), *single]))


@dataclass
class Streamed:
    """A table that was read: features in a file (n, d), and what is kept of every row."""

    X: NDArray[Any]
    targets: Targets
    splits: pd.Categorical[Any] | None
    domains: pd.Categorical[Any] | None
    test: NDArray[np.bool_]
    wording: NDArray[np.int64] | None
    notes: list[str]


def understand_stream(table: ParquetTable, *, seed: int = 0, text_model: str | None = None, **named: Any) -> Stream:
    """Decide from a sample of the rows what every column is for, and how features are made of them.

    Parameters
    ----------
    table
        From `labelwise.data.parquet.open_parquet`.
    seed
        Of the sample.
    text_model, named
        As in `labelwise.data.make_encoder` and `labelwise.data.resolve_roles`.

    Raises
    ------
    InputError
        What `resolve_roles` refuses, pictures, and several labels or votes a row.
    """
    frame = sample(table, list(table.types), SAMPLE, seed)
    roles = resolve_roles(frame, **named)
    refused = {
        "votes": bool(roles.votes),
        "image": roles.image is not None,
        "several labels a row": roles.label is None,
    }
    for what, there in refused.items():
        if there:
            raise InputError(f"--stream: a table with {what} is not streamed. Leave them out, or add --stream no.")
    kinds = {holds(frame[name]) for name in roles.features}
    notes = list(roles.notes)
    if roles.text is None and (kinds == {"vector"} or looks_like_embedding(frame, roles.features)):
        widths = {name: _width(frame[name]) for name in roles.features}
        half = all(_is_half(table.types[name]) for name in roles.features)
        return Stream(table, roles, Direct(widths, "<f2" if half else "<f4"), notes)
    encoder = make_encoder(frame, roles, text_model=text_model, random_state=seed).fit(frame)
    if table.n_rows > len(frame):
        notes.append(f"The encoder was fitted on {len(frame):,} rows drawn at random, and read all {table.n_rows:,}.")
    width = encoder.transform(frame.head(2)).shape[1]
    return Stream(table, roles, Encoded(encoder, roles.inputs(), width), notes)


def _width(column: pd.Series[Any]) -> int:
    return len(column.dropna().iloc[0]) if holds(column) == "vector" else 0


def _is_half(kind: pa.DataType) -> bool:
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(pa.types.is_float16(kind.value_type if nested else kind))


def read_stream(stream: Stream, work: Work, task: str | None = None) -> Streamed:
    """Go once through the table; features and finished row groups lie in the scratch folder of `work`.

    Raises
    ------
    InputError
        Damaged row groups, vectors of another length, labels that `labelwise.data.read_targets` would refuse too.
    """
    table, roles = stream.table, stream.roles
    out = work.array("table", (table.n_rows, stream.features.width), stream.features.dtype)
    many = len(table.groups) >= 2
    read = partial(_read_group, stream, out, not many)
    kept = list(work.map("table", read, table.groups))
    names = {role: getattr(roles, role) for role in ("label", "domain", "split", "trusted")}
    found = {role: _joined(kept, role) for role, name in names.items() if name}
    targets, notes = _targets(found["label"], str(roles.label), task)
    test = np.zeros(table.n_rows, dtype=bool)
    splits = None
    if "split" in found:
        test = is_test(found["split"])
        splits = pd.Categorical.from_codes(test.astype(np.int8), pd.Index(["train", "test"])) if test.any() else None
    trusted = flags(found["trusted"].rename(str(roles.trusted))) if "trusted" in found else None
    wording = None
    if roles.text is not None:
        wording = first_equal(np.concatenate([block["wording"] for block in kept]))
    domains = found.get("domain")
    return Streamed(
        out.open(), _hidden(targets, test, trusted), splits, None if domains is None else pd.Categorical(domains), test,
        wording, [*stream.notes, *notes],
    )  # fmt: skip


def _read_group(stream: Stream, out: Store, threads: bool, group: Group) -> Block:
    """Write the features of a row group; return its labels and names as codes, and hashes of its texts."""
    target, roles = out.open("r+"), stream.roles
    roles_read = {role: getattr(roles, role) for role in ("label", "domain", "split", "trusted")}
    cells: dict[str, list[pa.Array]] = {role: [] for role, name in roles_read.items() if name}
    wording = []
    for start, batch in batches(group, stream.columns(), threads):
        target[start : start + batch.num_rows] = stream.features(batch, start)
        for role, column in cells.items():
            column.append(batch.column(roles_read[role]))
        if roles.text is not None:
            wording.append(text_hashes(batch.column(roles.text).to_pylist(), start))
    out.sync()  # before the row group is noted as done
    block = {} if roles.text is None else {"wording": np.concatenate(wording)}
    for role, column in cells.items():
        block |= {f"{role}.{name}": values for name, values in _small(pa.chunked_array(column)).items()}
    return block


def _small(column: pa.ChunkedArray) -> Block:
    """Return numbers with a mark where they are missing, other values as codes (-1: missing) and the values."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        missing = column.is_null().to_numpy()
        values = column.fill_null(pa.scalar(0, kind) if not pa.types.is_boolean(kind) else False).to_numpy()
        return {"numbers": values, "missing": missing}
    series = column.to_pandas()
    codes, values = pd.factorize(series.astype(object))
    return {"codes": codes.astype(np.int32), "values": np.array([str(value) for value in values], dtype=str)}


def _joined(kept: list[Block], role: str) -> pd.Series[Any]:
    """Join a column of all row groups: text as categories, numbers as numbers."""
    if f"{role}.numbers" in kept[0]:
        numbers = pd.Series(np.concatenate([block[f"{role}.numbers"] for block in kept]))
        missing = np.concatenate([block[f"{role}.missing"] for block in kept])
        return numbers.astype("Int64").mask(missing) if numbers.dtype.kind in "iu" and missing.any() else (
            numbers.mask(missing) if missing.any() else numbers
        )  # fmt: skip
    different = list(dict.fromkeys(value for block in kept for value in block[f"{role}.values"].tolist()))
    place = {value: number for number, value in enumerate(different)}
    codes = [
        np.array([*(place[value] for value in block[f"{role}.values"].tolist()), -1], np.int32)[block[f"{role}.codes"]]
        for block in kept
    ]  # the last entry, -1, is what -1 picks
    return pd.Series(pd.Categorical.from_codes(np.concatenate(codes), pd.Index(different, dtype=object)))


def _targets(column: pd.Series[Any], name: str, task: str | None) -> tuple[Targets, list[str]]:
    """Return the labels as `labelwise.data.read_targets` reads them; of text, each different one is looked at once."""
    column.name = name
    try:
        if not isinstance(column.dtype, pd.CategoricalDtype):
            values, notes = clean_labels(column, task=task)
            return infer(values, kind=KINDS.get(task or "")), notes
        cleaned, notes = clean_labels(pd.Series(list(column.cat.categories), dtype=object, name=name), task=task)
        if task == "regression":
            raise InputError(f"label: column {name!r} holds text, and --task regression needs numbers.")
        classes, codes = encode_classes(cleaned)
    except InputError as error:
        message = str(error)
        raise InputError(message if repr(name) in message else f"label column {name!r}: {message}") from error
    codes = np.append(codes, UNLABELED)[column.cat.codes.to_numpy()]
    return Targets(kind=Kind.CLASSES, n_rows=len(column), classes=classes, codes=codes), notes


def _hidden(targets: Targets, test: NDArray[np.bool_], trusted: NDArray[np.bool_] | None) -> Targets:
    """Return the targets without the labels of test rows, which nothing may look at."""
    about: dict[str, Any] = {name: getattr(targets, name) for name in ("kind", "n_rows", "classes", "codes", "values")}
    if test.any():
        if targets.kind is Kind.CLASSES:
            about["codes"] = np.where(test, UNLABELED, about["codes"])
        elif targets.kind is Kind.REAL:
            about["values"] = np.where(test, np.nan, about["values"])
    hidden = Targets(**about, trusted=trusted)
    if not hidden.labelled.any():
        raise InputError("all labels are missing outside the test rows: there is nothing to learn from.")
    return hidden


__all__ = ["Direct", "Encoded", "Stream", "Streamed", "read_stream", "understand_stream"]
