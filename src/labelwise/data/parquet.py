"""Parquet files and folders of them, read batch by batch: what they hold, whether their parts agree, and their damage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.data.naming import listed
from labelwise.data.read import reason
from labelwise.parts.work import ROWS

SAMPLED = 32
"""Row groups that a sample of the rows is drawn from, where there are more: each has to be read."""


class Group(NamedTuple):
    """A row group: its file, its number there, the number of its first row in the table, and its rows."""

    path: str
    number: int
    start: int
    rows: int

    def __str__(self) -> str:
        return f"row group {self.number} (rows {self.start:,} to {self.start + self.rows - 1:,} of the table)"


@dataclass(frozen=True)
class ParquetTable:
    """A table in one Parquet file, or in all those of a folder in the order of their names.

    Attributes
    ----------
    source
        The path given.
    types
        Arrow type of every column, by name.
    groups
        Row groups in the order of the rows.
    n_rows
        Number of rows.
    n_bytes
        Bytes that the table takes when it is read.
    mark
        Digest of names, sizes and times of the files: another one is another table.
    """

    source: str
    types: dict[str, pa.DataType]
    groups: list[Group]
    n_rows: int
    n_bytes: int
    mark: str


def is_parquet(source: Any) -> bool:
    """Whether `source` is the path of a Parquet file, or of a folder of them."""
    path = Path(str(source)).expanduser()
    return path.suffix.lower() == ".parquet" or bool(path.is_dir() and _files(path))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.glob("*.parquet") if not file.name.startswith((".", "_")))


def open_parquet(source: Any) -> ParquetTable:
    """Read what the files say of themselves, and check that they are whole and agree; no row is read.

    Raises
    ------
    InputError
        A missing, damaged or empty file; a column that is of another type, or missing, in a later file.
    """
    path, types = Path(str(source)).expanduser(), dict[str, pa.DataType]()
    groups: list[Group] = []
    n_rows = n_bytes = 0
    digest, first = hashlib.blake2b(digest_size=16), None
    for file in _files(path):
        about = file.stat() if file.exists() else None
        whole = _metadata(file)
        schema = {field.name: field.type for field in whole.schema.to_arrow_schema()}
        if first is None:
            first, types = file, schema
        else:
            _same_types(first, types, file, schema)
        for number in range(whole.num_row_groups):
            group = whole.row_group(number)
            groups.append(Group(str(file), number, n_rows, group.num_rows))
            n_rows, n_bytes = n_rows + group.num_rows, n_bytes + group.total_byte_size
        digest.update(repr((file.name, about and (about.st_size, about.st_mtime_ns))).encode())
    if not n_rows:
        raise InputError(
            f"{path}: the table is empty ({n_rows} rows, {len(types)} columns). At least one row is needed."
        )
    types = {name: kind for name, kind in types.items() if not name.startswith("__index_level_")}
    return ParquetTable(str(path), types, groups, n_rows, n_bytes, digest.hexdigest())


def _metadata(file: Path) -> pq.FileMetaData:
    """Return what a file says at its end, and check that what it speaks of is inside the file."""
    if not file.exists():
        raise InputError(f"{file}: no such file.")
    try:
        whole = pq.read_metadata(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{file}: cannot be read as Parquet ({reason(error)}). The file may be cut off or damaged: what says where "
            "everything lies stands at its end. Copy or write it again."
        ) from error
    size = file.stat().st_size
    for number in range(whole.num_row_groups):
        group = whole.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.data_page_offset > size:
                raise InputError(f"{file}: row group {number} lies beyond the end of the file. Copy or write it again.")
    return whole


def _family(kind: pa.DataType) -> str:
    """Return which types may stand for each other from file to file."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    for name, belongs in (
        ("whole numbers", pa.types.is_integer), ("floats", pa.types.is_floating), ("text", pa.types.is_string),
        ("text", pa.types.is_large_string), ("text", pa.types.is_string_view),
    ):  # fmt: skip
        if belongs(kind):
            return name
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        width = f" of {kind.list_size}" if pa.types.is_fixed_size_list(kind) else ""
        return f"lists{width} of {_family(kind.value_type)}"
    return str(kind)


def _same_types(
    first: Path, types: dict[str, pa.DataType], file: Path, schema: dict[str, pa.DataType]
) -> None:  # fmt: skip
    for name, kind in types.items():
        if name not in schema:
            raise InputError(
                f"{file}: column {name!r} of {first.name} is missing in it. Its columns: {listed(schema)}."
            )
        other = schema[name]
        if "null" not in (str(kind), str(other)) and _family(kind) != _family(other):
            raise InputError(
                f"{file}: column {name!r} is {other} there and {kind} in {first.name}. Write all files with one type."
            )


def batches(group: Group, columns: Sequence[str], threads: bool = False) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the number of the first row, and some columns, of every few thousand rows of a row group.

    Raises
    ------
    InputError
        The row group is damaged or cut off; the message names it.
    """
    start = group.start
    try:
        with pq.ParquetFile(group.path, memory_map=True, pre_buffer=False) as file:
            for batch in file.iter_batches(ROWS, [group.number], list(columns), use_threads=threads):
                yield start, batch
                start += batch.num_rows
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{group.path}: {group} cannot be read after row {start:,} ({reason(error)}). The file is cut off or damaged "
            "there. Copy or write it again."
        ) from error
    if start != group.start + group.rows:
        raise InputError(
            f"{group.path}: {group} holds {start - group.start:,} rows, and says {group.rows:,}. Write the file again."
        )


def frame_of(batch: pa.RecordBatch) -> pd.DataFrame:
    """Return rows as pandas has them; half-precision numbers as float32."""
    frame: pd.DataFrame = pa.Table.from_batches([batch]).replace_schema_metadata(None).to_pandas()
    half = [name for name in frame.columns if frame[name].dtype == np.float16]
    return frame.astype(dict.fromkeys(half, np.float32))


def take(table: ParquetTable, columns: Sequence[str], rows: NDArray[np.int64]) -> pd.DataFrame:
    """Return some rows of some columns, `rows` ascending, by one pass over the row groups that hold them."""
    found = []
    for group in table.groups:
        low, high = np.searchsorted(rows, [group.start, group.start + group.rows])
        if low == high:
            continue
        for start, batch in batches(group, columns, threads=True):
            here = rows[slice(*np.searchsorted(rows, [start, start + batch.num_rows]))] - start
            if len(here):
                found.append(frame_of(batch.take(pa.array(here))))
    return pd.concat(found, ignore_index=True)


def sample(table: ParquetTable, columns: Sequence[str], most: int, seed: int) -> pd.DataFrame:
    """Return at most `most` rows drawn at random, of many row groups from `SAMPLED` of them; in the order of the table."""
    rng, groups = np.random.default_rng(seed), table.groups
    if len(groups) > SAMPLED:
        groups = [groups[number] for number in np.sort(rng.choice(len(groups), SAMPLED, replace=False))]
    ends = np.cumsum([group.rows for group in groups])
    place = np.arange(ends[-1])
    if len(place) > most:
        place = np.sort(rng.choice(ends[-1], most, replace=False, shuffle=False))
    group = np.searchsorted(ends, place, side="right")
    starts = np.array([one.start for one in groups]) - np.r_[0, ends[:-1]]
    return take(table, columns, place + starts[group])


__all__ = ["Group", "ParquetTable", "batches", "frame_of", "is_parquet", "open_parquet", "sample", "take"]
