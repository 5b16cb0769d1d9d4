"""Files with tables and answers: whatever bytes they hold, reading them works or raises `InputError`."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
from tests.fuzz.coverage.mutate import Bytes, bytes_changed, tree_changed

from labelwise.data import read_table
from labelwise.data.exchange import read_answers
from labelwise.data.roles import read_targets, resolve_roles

FRAME = pd.DataFrame({
    "size": [1.5, np.nan, 3.0, 4.0], "kind": ["a", "b", None, "é\n"], "text": ["one two", "", "three", "four, five"],
    "when": pd.to_datetime(["2020-01-01"] * 4), "id": [1, 2, 3, 4], "ok": [True, False, True, False],
    "split": ["train", "train", "test", "test"], "vote_1": [0, 1, -1, 1], "weight": [1.0, 2.0, 0.0, 1.0],
})  # fmt: skip
STUDIO = [
    {"id": 1, "data": {"row": 3, "item": "text"}, "annotations": [{
        "completed_by": {"email": "a@b"}, "was_cancelled": False,
        "result": [{"from_name": "label", "to_name": "item", "type": "choices", "value": {"choices": ["cat"]},
                    "meta": {"annotator": "ann"}}]}]},
    {"id": 2, "data": {"item": "x"}, "meta": {"row": "4"}, "completions": [{"result": [
        {"from_name": "label", "type": "rating", "value": {"rating": 4}}]}]},
]  # fmt: skip
STUDIO_MIN = [{"id": 7, "row": 1, "item": "x", "label": "cat", "annotator": 2, "annotation_id": 3, "lead_time": 1.5}]
ARGILLA = [
    {"id": "5", "fields": {"item": "x"}, "metadata": {"row": 5}, "responses": {"label": [
        {"value": "cat", "user_id": "u", "status": "submitted"}]}},
    {"external_id": "6", "fields": {}, "responses": [
        {"values": {"label": {"value": "dog"}}, "user_id": "u", "status": "discarded"}]},
    {"id": 8, "label.responses": ["cat"], "label.responses.users": ["u"], "label.responses.status": ["draft"]},
    {"id": 9, "annotation": "cat", "annotation_agent": "a", "status": "Validated"},
]  # fmt: skip
ROWS = [{"row": 1, "label": "cat", "annotator": "a"}, {"row": 2.0, "label": 3, "annotator": None}]


def _parquet() -> bytes:
    out = io.BytesIO()
    nested = pa.array([[1, 2], [], None, [3]])
    table = pa.Table.from_pandas(FRAME).append_column("list", nested)
    pq.write_table(table, out, row_group_size=2)
    return out.getvalue()


def _feather() -> bytes:
    out = io.BytesIO()
    feather.write_feather(pa.Table.from_pandas(FRAME), out, compression="uncompressed")
    return out.getvalue()


def _stream() -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, pa.Table.from_pandas(FRAME).schema) as writer:
        writer.write_table(pa.Table.from_pandas(FRAME))
    return out.getvalue()


def _npz() -> bytes:
    out = io.BytesIO()
    np.savez(
        out, X=np.arange(8.0).reshape(4, 2), y=np.array(["a", "b", "a", "b"]), z=np.zeros((4, 2, 2)), n=np.int64(3)
    )
    return out.getvalue()


CSV = FRAME.to_csv(index=False).encode()
ANSWERS = b"rank,row,label,annotator\n1,7,cat,a\n2,3,,b\n"
SEEDS: dict[str, bytes] = {
    ".csv": CSV, ".tsv": FRAME.to_csv(index=False, sep="\t").encode(),
    ".jsonl": FRAME.to_json(orient="records", lines=True).encode(),
    ".parquet": _parquet(), ".feather": _feather(), ".arrow": _stream(), ".npz": _npz(),
}  # fmt: skip
PACKED = (".csv", ".tsv", ".jsonl")


def table(source: Bytes, folder: Path) -> None:
    """Read a table from changed or raw bytes, then tell what its columns are."""
    suffix = source.one_of(list(SEEDS))
    raw = source.below(4) == 0
    packed = suffix in PACKED and source.below(3) == 0
    content = source.rest() if raw else bytes_changed(SEEDS[suffix], source)
    file = folder / f"table{suffix}{'.gz' if packed else ''}"
    file.write_bytes(gzip.compress(content, 1, mtime=0) if packed and source.at % 5 else content)
    frame = read_table(file)
    roles(frame, source)


def roles(frame: pd.DataFrame, source: Bytes) -> None:
    """Tell the columns' roles, with one of them named as the label, and read the targets."""
    label = source.one_of([None, *frame.columns[:12]])
    found = resolve_roles(frame, label=label)
    read_targets(frame, found)


def answers(source: Bytes, folder: Path) -> None:
    """Read the exports of labelling tools, from changed trees."""
    documents: dict[str, list[Any]] = {"studio": STUDIO, "min": STUDIO_MIN, "argilla": ARGILLA, "rows": ROWS}
    document = tree_changed(source.one_of(list(documents.values())), source)
    lines = source.below(3) == 0 and isinstance(document, list)
    text = "\n".join(map(json.dumps, document)) if lines else json.dumps(document)
    file = folder / f"answers.{'jsonl' if lines else 'json'}"
    file.write_text(text, encoding="utf-8")
    read_answers(file, n_rows=source.one_of((None, 10)), question=source.one_of((None, "label", "other")))


def answer_table(source: Bytes, folder: Path) -> None:
    """Read a table of answers, or JSON, from changed or raw bytes."""
    suffix = source.one_of((".csv", ".tsv", ".csv.gz", ".json", ".jsonl"))
    seed = json.dumps(ROWS).encode() if "json" in suffix else ANSWERS
    content = source.rest() if source.below(3) == 0 else bytes_changed(seed, source)
    file = folder / f"answers{suffix}"
    file.write_bytes(gzip.compress(content, 1, mtime=0) if suffix.endswith("gz") else content)
    read_answers(file)


TARGETS: tuple[Callable[[Bytes, Path], None], ...] = (table, answers, table, answer_table)
