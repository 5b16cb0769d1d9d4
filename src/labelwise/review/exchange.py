"""Decisions out and in: the corrected table, and tasks with annotations for Label Studio and back."""

from __future__ import annotations

import io
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from labelwise.base import InputError
from labelwise.data.exchange import Given, read_answers, write_tasks
from labelwise.review.consensus import decided_rows
from labelwise.review.desk import Review, annotator_name

NAMELESS = "imported"
"""Who gave labels that came without a name."""
BEFORE, WHAT, WHO, WHEN = "label_before", "review", "reviewed_by", "reviewed_at"
FROM_FILE = "answers.csv"
"""Who is named for the labels of earlier rounds, whose annotators the run did not keep."""


class Format(NamedTuple):
    """A form of export: the file's ending, its media type, and who writes it."""

    ending: str
    media: str
    write: Callable[[Review], bytes]


def export(review: Review, form: str) -> bytes:
    """Return a file of one of `FORMATS`.

    Raises
    ------
    InputError
        For an unknown form, or where the run's table cannot be read again.
    """
    if form not in FORMATS:
        raise InputError(f"format must be one of {', '.join(FORMATS)}. Got {form!r}.")
    return FORMATS[form].write(review)


def file_name(review: Review, form: str) -> str:
    """Return a file name that every browser takes."""
    run = re.sub(r"[^A-Za-z0-9._-]+", "-", review.run.resolve().name).strip("-.") or "run"
    return f"{run}-reviewed{FORMATS[form].ending}"


# -- the corrected table


def corrected(review: Review) -> pd.DataFrame:
    """Return the run's table with decided labels in the place of its own, and who decided what.

    A pool's rows follow those of the table; the rows of a test table are not there. Besides its own columns it has
    ``label_before`` (the label that stood there, of decided rows), ``review`` (``changed``, ``confirmed``, ``labelled`` for
    a first label, ``disputed`` where votes tie and the label was left as it was; empty where nobody decided),
    ``reviewed_by`` and ``reviewed_at``. A name that the table has already gets an underscore behind it.
    """
    from labelwise.data.answers import with_answers
    from labelwise.job import understand
    from labelwise.session import job_of

    job = job_of(review.run)
    data = understand(replace(job, answers=None, test=None))
    label, frame = data.roles.label, data.frame
    if label is None:
        label = _free("label", frame)
        frame = frame.assign(**{label: pd.Series(data.given.tolist())})  # numbers stay numbers
    decided = _decided(review, job.answers)
    decided = decided[decided["row"].between(0, len(frame) - 1)]
    final = decided[decided["label"].notna()]
    now, _, _ = with_answers(frame, label, final[["row", "label"]])
    return _with_reviewers(frame, now, label, decided)


def _decided(review: Review, answers: pd.DataFrame | None) -> pd.DataFrame:
    """Return one line a decided row; a decision counts more than an answer of an earlier round."""
    decided = decided_rows(review.store.live())
    if answers is None:
        return decided
    earlier = answers.assign(disputed=False, annotators=FROM_FILE, at="")
    return pd.concat([earlier, decided], ignore_index=True).drop_duplicates("row", keep="last")


def _with_reviewers(frame: pd.DataFrame, now: pd.DataFrame, label: str, decided: pd.DataFrame) -> pd.DataFrame:
    rows = decided["row"].to_numpy(dtype=np.int64)
    old, new = (table[label].to_numpy(dtype=object)[rows] for table in (frame, now))
    missing = pd.isna(old)
    what = np.where(missing, "labelled", np.where(_same(old, new), "confirmed", "changed"))
    what = np.where(decided["disputed"].to_numpy(dtype=bool), "disputed", what)
    columns = {
        BEFORE: np.where(missing, None, old), WHAT: what, WHO: decided["annotators"].to_numpy(dtype=object),
        WHEN: decided["at"].to_numpy(dtype=object),
    }  # fmt: skip
    for name, values in columns.items():
        column = np.full(len(now), None, dtype=object)
        column[rows] = values
        now = now.assign(**{_free(name, frame): _typed(column, frame[label]) if name == BEFORE else column})
    return now


def _same(old: Any, new: Any) -> Any:
    return np.array([str(a) == str(b) or a == b for a, b in zip(old, new, strict=True)], dtype=bool)


def _typed(column: Any, like: pd.Series) -> Any:
    """Return the column as numbers where labels are numbers; with gaps they cannot stay whole in every format."""
    number = pd.api.types.is_numeric_dtype(like) and not pd.api.types.is_bool_dtype(like)
    return pd.to_numeric(pd.Series(column)).to_numpy() if number else column


def _free(name: str, frame: pd.DataFrame) -> str:
    while name in frame:
        name += "_"
    return name


def _csv(review: Review) -> bytes:
    table = corrected(review)
    for name in table:
        if (
            table[name].dtype == object
            and table[name].map(lambda cell: isinstance(cell, bytes | np.ndarray | dict)).any()
        ):
            raise InputError(f"the column {name!r} holds pictures or vectors, which CSV cannot keep. Export Parquet.")
    return table.to_csv(index=False).encode("utf-8", "surrogatepass")


def _parquet(review: Review) -> bytes:
    file = io.BytesIO()
    corrected(review).to_parquet(file, index=False)
    return file.getvalue()


# -- Label Studio


def _studio(review: Review) -> bytes:
    """Return the tasks of all cards, and of other rows that somebody decided, with what was suggested and decided."""
    given = defaultdict[int, list[Given]](list)
    for decision in review.store.live():
        given[decision.row].append(
            Given(decision.annotator, decision.label, decision.at, decision.seconds, number=review.real)
        )
    table = review.cards.table[["row", "suggested", "confidence", "reason", "preview"]]
    others = sorted(set(given) - set(review.cards.rows.tolist()))
    rest = pd.DataFrame({"row": np.array(others, dtype=np.int64)})
    table = pd.concat([table, rest], ignore_index=True).rename(columns={"suggested": "prediction"})
    rows = table["row"].tolist()
    previews = dict(zip(rows, table["preview"], strict=True))
    shown = review.material.shown(rows) or {}
    content = {row: shown.get(row) or _filled(previews[row]) or f"row {row}" for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tasks.json"
        write_tasks(table, file, "label-studio", content=content, given=given)
        return file.read_bytes()


def _filled(preview: Any) -> str | None:
    return preview if isinstance(preview, str) and preview.strip() else None


FORMATS = {
    "csv": Format(".csv", "text/csv; charset=utf-8", _csv),
    "parquet": Format(".parquet", "application/vnd.apache.parquet", _parquet),
    "label-studio": Format(".json", "application/json", _studio),
}


# -- coming in


def import_bytes(review: Review, content: bytes) -> dict[str, Any]:
    """Take in the labels of a file's content, as `import_file` does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "upload.json"
        file.write_bytes(content)
        try:
            return import_file(review, file)
        except InputError as error:
            raise InputError(str(error).replace(str(file), "the file")) from None


def import_file(review: Review, file: str | Path) -> dict[str, Any]:
    """Make the labels of a file decisions of those who gave them, all or none.

    Parameters
    ----------
    review
        The run under review.
    file
        What `labelwise.data.exchange.read_answers` reads: an export of Label Studio or Argilla, or a filled table.

    Returns
    -------
    dict
        ``imported``, ``skipped`` (empty or cancelled answers, those known already, and those of test rows), ``progress``.

    Raises
    ------
    InputError
        If the file cannot be read, or names a row or a class that the run does not have.
    """
    answers = read_answers(file, n_rows=review.info["data"].get("rows"))
    known = {(one.row, one.annotator): one.label for one in review.store.live()}
    fresh = []
    for row, label, person in zip(answers["row"].tolist(), answers["label"], answers["annotator"], strict=True):
        name = annotator_name(person or NAMELESS)
        label = review.class_named(label, f"row {row}")
        if known.get((row, name)) != label and row not in review.test_rows:
            fresh.append((row, name, review.action_of(row, label), label, None))
    review.decide_all(fresh)
    skipped = len(answers) - len(fresh) + sum(answers.attrs["skipped"].values())
    return {"imported": len(fresh), "skipped": skipped, "progress": review.progress()}


def uploaded(body: bytes, content_type: str) -> bytes:
    """Return the file in a request's body: the body itself, or its first file where it is a form."""
    if not content_type.lower().startswith("multipart/form-data"):
        return body
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode("latin-1") + body)
    for part in message.walk():
        if part.get_filename() is not None:
            return bytes(part.get_payload(decode=True) or b"")
    raise InputError("The form holds no file.")
