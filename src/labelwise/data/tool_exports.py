"""The forms in which labelling tools hand answers back: tables, Label Studio's JSON and JSON-MIN, Argilla's records."""

from __future__ import annotations

import csv
import gzip
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from labelwise.base import InputError
from labelwise.data.naming import listed, unknown
from labelwise.data.read import read_table, reason

Record = Mapping[str, Any]

QUESTION = "label"
"""What the task files call the question, and the column of labels in a table."""
ANNOTATOR = "annotator"
"""Under this name the ``meta`` of a Label Studio result keeps who gave the label before Label Studio knew the task."""
TABLES = (".csv", ".csv.gz", ".tsv", ".parquet", ".feather", ".arrow")
ACCEPTED = "a table with the columns 'row' and 'label', or a JSON export of Label Studio or Argilla"
KINDS = ("choices", "number", "rating")
NOT_GIVEN = ("discarded", "draft")


class Answer(NamedTuple):
    """One answer as it stands in a file: where, for which row, what, by whom, and why it does not count if so."""

    where: str
    row: Any
    label: Any
    annotator: Any = None
    dropped: str = ""


def answers(path: Path, question: str | None) -> Iterable[Answer]:
    """Return the answers of a file of any accepted form, with labels still as the tool writes them."""
    suffix = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if not path.exists() or path.is_dir() or suffix not in (*TABLES, ".json", ".jsonl"):
        found = (
            "is a folder" if path.is_dir() else "no such file" if not path.exists() else f"unknown file type {suffix!r}"
        )
        raise InputError(f"{path}: {found}. Accepted: {ACCEPTED}.")
    if suffix in TABLES:
        return _of_table(path, _typed(path, suffix), question)
    records = _records(path)
    first = records[0] if records else {}
    if isinstance(first.get("data"), Mapping):
        return _of_studio(path, records, question)
    if "annotation_id" in first or "lead_time" in first:
        return _of_studio_min(path, records, question)
    if {"responses", "annotation", "fields"} & first.keys() or any(str(name).endswith(".responses") for name in first):
        return _of_argilla(path, records, question)
    if "row" in first:
        return _of_table(path, pd.DataFrame(records, dtype=object), question)
    raise InputError(f"{path}, record 1: found the keys {listed(first)}. Accepted: {ACCEPTED}.")


def _typed(path: Path, suffix: str) -> pd.DataFrame:
    """Read a table with labels as they were typed: 007 and NA stay what they are. Spreadsheets also write semicolons."""
    if suffix not in (".csv", ".csv.gz", ".tsv"):
        return read_table(path)
    try:
        opened: Any = gzip.open if suffix == ".csv.gz" else open
        with opened(path, "rt", encoding="utf-8-sig") as file:
            first = file.readline()
        chosen = max(",;\t", key=lambda separator: "row" in next(csv.reader([first], delimiter=separator), ()))
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # surplus cells, which would be dropped
            return pd.read_csv(
                path, sep=chosen, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False
            )
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the text is not UTF-8 ({error.reason}). Save it as 'CSV UTF-8'.") from error
    except (ValueError, OSError, csv.Error, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: cannot be read as a table ({reason(error)}). Accepted: {ACCEPTED}.") from error


def _of_table(path: Path, table: pd.DataFrame, question: str | None) -> Iterator[Answer]:
    column = question or QUESTION
    for name in ("row", column):
        if name not in table:
            raise unknown(str(path), name, list(map(str, table.columns)))
    people = table["annotator"] if "annotator" in table else [None] * len(table)
    for number, (row, label, person) in enumerate(zip(table["row"], table[column], people, strict=True), start=1):
        yield Answer(f"record {number}", row, label, person)


def _records(path: Path) -> list[Record]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = path.suffix.lower() == ".jsonl"
        content = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the text is not UTF-8 ({error.reason}). Export it again.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: is not JSON (line {error.lineno}: {error.msg}). Accepted: {ACCEPTED}.") from error
    records: list[Record] = content if isinstance(content, list) else [content]
    wrong = next((n for n, record in enumerate(records, start=1) if not isinstance(record, Mapping)), None)
    if wrong is not None:
        raise InputError(f"{path}, record {wrong}: found {records[wrong - 1]!r:.60}. A record is a JSON object.")
    return records


def _of_studio(path: Path, records: Sequence[Record], question: str | None) -> Iterator[Answer]:
    """Read Label Studio's JSON: every annotation of a task has results, each of a named control."""
    tasks = [(f"record {n}", record, list(_annotations(record))) for n, record in enumerate(records, start=1)]
    results = [result for _, _, done in tasks for annotation in done for result in annotation.get("result") or ()]
    _refuse_regions(path, results)
    names = [result.get("from_name") for result in results if result.get("type") in KINDS]
    asked = _question(path, names, question)
    for where, record, done in tasks:
        row = _first_of("row", record.get("data"), record.get("meta"))
        for annotation in done:
            mine = [result for result in annotation.get("result") or () if result.get("from_name") == asked]
            given = [result.get("value") for result in mine]
            named = _first_of(ANNOTATOR, *(result.get("meta") for result in mine))
            person = annotation.get("completed_by") if named is None else named
            cancelled = annotation.get("was_cancelled") or annotation.get("skipped")
            yield Answer(where, row, given, person, "cancelled" if cancelled else "")
        if not done:
            yield Answer(where, row, None)


def _annotations(record: Record) -> Iterable[Record]:
    return record.get("annotations") or record.get("completions") or ()


def _refuse_regions(path: Path, results: Sequence[Record]) -> None:
    kinds = {str(result.get("type")) for result in results}
    if kinds and not kinds & set(KINDS):
        raise InputError(f"{path}: found results of type {listed(sorted(kinds))}. Accepted: {listed(KINDS)}.")


def _of_studio_min(path: Path, records: Sequence[Record], question: str | None) -> Iterator[Answer]:
    """Read Label Studio's JSON-MIN: controls are the keys between those of the task and ``annotator``."""
    asked = _question(path, [name for record in records for name in _controls(record)], question)
    for number, record in enumerate(records, start=1):
        row = _first_of("row", record, record.get("meta"))
        yield Answer(f"record {number}", row, record.get(asked or QUESTION), record.get("annotator"))


def _controls(record: Record) -> list[str]:
    keys = list(record)
    first = keys.index("id") + 1 if "id" in keys else 0
    last = keys.index("annotator") if "annotator" in keys else len(keys)
    return keys[first:last]


def _of_argilla(path: Path, records: Sequence[Record], question: str | None) -> Iterator[Answer]:
    """Read Argilla's records: nested by question (2.x), flattened, one entry a user, or one ``annotation`` (1.x)."""
    told = [list(_responses(record)) for record in records]
    asked = _question(path, [name for entries in told for name, *_ in entries if name], question)
    for number, (record, entries) in enumerate(zip(records, told, strict=True), start=1):
        row = _first_of("row", record.get("metadata"), record)
        row = next((found for found in (row, record.get("external_id"), record.get("id")) if found is not None), None)
        mine = [entry for entry in entries if entry[0] in (asked, "")]
        for _, value, user, status in mine:
            yield Answer(f"record {number}", row, value, user, "cancelled" if status in NOT_GIVEN else "")
        if not mine:
            yield Answer(f"record {number}", row, None)


def _responses(record: Record) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield the question, value, user and status of each response, in whichever of the four forms they come."""
    given = record.get("responses")
    for name, entries in given.items() if isinstance(given, Mapping) else ():
        for entry in entries if isinstance(entries, list) else [entries]:
            yield (name, *_fields(entry))
    for entry in given if isinstance(given, list) else ():
        for name, value in (entry.get("values") or {}).items():
            yield name, value, entry.get("user_id"), entry.get("status")
        if not entry.get("values"):
            yield "", None, entry.get("user_id"), entry.get("status")
    for key in [str(key) for key in record if str(key).endswith(".responses")]:
        columns = (record.get(name) or [] for name in (key, f"{key}.users", f"{key}.status"))
        yield from ((key.removesuffix(".responses"), *entry) for entry in zip_longest(*columns))
    if record.get("annotation") is not None:
        yield "", record["annotation"], record.get("annotation_agent"), str(record.get("status")).lower()


def _fields(entry: Any) -> tuple[Any, Any, Any]:
    whole = isinstance(entry, Mapping)
    return (entry.get("value"), entry.get("user_id"), entry.get("status")) if whole else (entry, None, None)


def _question(path: Path, names: Iterable[Any], asked: str | None) -> str | None:
    known = [str(name) for name in dict.fromkeys(names) if name is not None]
    if asked is not None and known and asked not in known:
        raise unknown(str(path), asked, known, "question")
    if asked is None and len(known) > 1 and QUESTION not in known:
        raise InputError(f"{path}: holds answers to {listed(known)}. Say which one is the label: question=...")
    return asked or (QUESTION if QUESTION in known else next(iter(known), None))


def _first_of(key: str, *places: Any) -> Any:
    found = (place.get(key) for place in places if isinstance(place, Mapping))
    return next((value for value in found if value is not None), None)
