"""Labels go out to labelling tools and come back: task files of Label Studio and Argilla, and their exports."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from labelwise.base import InputError, understood
from labelwise.data.naming import listed, unknown
from labelwise.data.tool_exports import ACCEPTED, ANNOTATOR, KINDS, QUESTION, Answer, answers

Tool = Literal["label-studio", "argilla", "csv"]
SHOWN = "item"
"""The key of what an annotator sees."""


class Given(NamedTuple):
    """A label that an annotator gave: None where the row was skipped, `at` an ISO time, `seconds` it took."""

    annotator: str
    label: str | None
    at: str | None = None
    seconds: float | None = None
    number: bool = False


def read_answers(path: str | Path, *, n_rows: int | None = None, question: str | None = None) -> pd.DataFrame:
    """Read finished labels back from a labelling tool.

    Parameters
    ----------
    path
        A table (CSV, TSV, Parquet, Arrow, JSON lines) with the columns ``row`` and ``label``, such as the one that
        ``labelwise query`` writes, and perhaps ``annotator``; or an export of Label Studio (JSON or JSON-MIN) or Argilla
        (JSON or JSON lines) of tasks that carry the row number: ``data.row`` or ``meta.row`` there, ``metadata.row``,
        ``external_id`` or ``id`` here.
    n_rows
        Rows of the table the labels are for; row numbers then must be below it. None accepts any.
    question
        Which control, question or column holds the label. Default: ``label``, or the only one there is.

    Returns
    -------
    pandas.DataFrame
        Columns ``row`` (int64), ``label`` (text, as typed) and ``annotator`` (text or None), in the order of the file; the
        same answer twice is kept once. ``.attrs["skipped"]`` counts the answers without a label: ``empty``, and
        ``cancelled`` ones (skipped, discarded, or drafts).

    Raises
    ------
    InputError
        A file of another form, a record without a row number or with one that is not in the table, several labels where
        one is accepted, two different labels of one row by the same annotator. The message names the file and the record.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "done.csv"
    ...     _ = file.write_text("rank,row,label\\n1,7,cat\\n2,3,\\n")
    ...     answers = read_answers(file)
    >>> answers.to_dict("records"), answers.attrs["skipped"]
    ([{'row': 7, 'label': 'cat', 'annotator': None}], {'empty': 1})
    """
    path = Path(path).expanduser()
    with understood(path, ACCEPTED):
        kept, skipped = _kept(path, n_rows, question)
    frame = pd.DataFrame(
        {
            "row": np.array([row for row, _ in kept], dtype=np.int64),
            "label": pd.Series([label for _, label in kept.values()], dtype=object),
            "annotator": pd.Series([person for _, person in kept], dtype=object),
        }
    )
    frame.attrs["skipped"] = dict(skipped)
    return frame


def _kept(
    path: Path, n_rows: int | None, question: str | None
) -> tuple[dict[tuple[int, str | None], tuple[str, str]], Counter[str]]:
    """Return where each label of a row by an annotator stands and what it is, and how many answers have none."""
    kept: dict[tuple[int, str | None], tuple[str, str]] = {}
    skipped: Counter[str] = Counter()
    for answer in answers(path, question):
        label = None if answer.dropped else _one_label(path, answer)
        if label is None:
            skipped[answer.dropped or "empty"] += 1
            continue
        key = _row_number(path, answer, n_rows), _person(answer.annotator)
        where, before = kept.setdefault(key, (answer.where, label))
        if before != label:
            raise _contradiction(path, key, (where, before), (answer.where, label))
    return kept, skipped


def write_tasks(
    queries: pd.DataFrame, path: str | Path, tool: Tool = "label-studio", *,
    content: Mapping[int, Any] | pd.Series | None = None, suggest: bool = True,
    given: Mapping[int, Sequence[Given]] | None = None,
) -> None:  # fmt: skip
    """Write the rows to label as a task file.

    Parameters
    ----------
    queries
        The table of ``labelwise query``: column ``row``, and if they are there ``prediction``, ``confidence``, ``reason``
        and ``preview``.
    path
        Where to write; an existing file is replaced. Argilla's records are JSON lines, or one JSON list if `path` ends in
        ``.json``.
    tool
        ``label-studio``: a list of tasks to import beside `labelling_config`; ``argilla``: records of a dataset with one
        field ``item`` and one label question ``label``; ``csv``: the table itself, to be filled in.
    content
        What an annotator sees of each row, by row number: a text, or the address of a picture. Default: the previews.
    suggest
        Show the model's prediction and its score as a pre-annotation. It saves clicks, but people follow it: leave it out
        where the labels shall be independent of the model.
    given
        Labels that annotators gave already, by row number. Label Studio shows them as annotations, Argilla as responses; a
        table for a person has no place for them. `read_answers` reads them back under the same names.

    Raises
    ------
    InputError
        No column ``row``, nothing to show, or a place that cannot be written.
    """
    path = Path(path).expanduser()
    if tool not in get_args(Tool):
        raise InputError(f"tool must be one of {listed(get_args(Tool))}. Got {tool!r}.")
    if "row" not in queries:
        raise unknown("queries", "row", list(map(str, queries.columns)))
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.absolute().parent}. Make it first, or name another place.")
    if tool == "csv":
        return queries.assign(label=queries.get("label", "")).to_csv(path, index=False)
    make = _studio_task if tool == "label-studio" else _argilla_record
    given = given or {}
    tasks = [make(query, _shown(query, content), suggest, given.get(query["row"], ())) for query in _queries(queries)]
    lines = tool == "argilla" and path.suffix != ".json"
    texts = [json.dumps(task, ensure_ascii=False) for task in tasks]
    path.write_text("\n".join(texts) + "\n" if lines else "[" + ",\n".join(texts) + "]\n", encoding="utf-8")
    return None


def labelling_config(classes: Sequence[Any], *, kind: Literal["text", "image"] = "text") -> str:
    """Return the labelling interface (XML) that Label Studio needs for tasks of `write_tasks`: one choice of `classes`.

    >>> print(labelling_config(["cat", "dog & co"]))
    <View>
      <Text name="item" value="$item"/>
      <Choices name="label" toName="item" choice="single" showInLine="true">
        <Choice value="cat"/>
        <Choice value="dog &amp; co"/>
      </Choices>
    </View>
    """
    names = list(dict.fromkeys(map(str, classes)))
    if len(names) < 2:
        raise InputError(f"classes: an annotator needs at least two classes to choose from. Got {names}.")
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in names)
    return (
        f'<View>\n  <{kind.capitalize()} name="{SHOWN}" value="${SHOWN}"/>\n'
        f'  <Choices name="{QUESTION}" toName="{SHOWN}" choice="single" showInLine="true">\n{choices}\n  </Choices>\n</View>'
    )


# -- writing


def _queries(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in query.items()} for query in table.to_dict("records")]


def _studio_task(query: dict[str, Any], shown: str, suggest: bool, given: Sequence[Given]) -> dict[str, Any]:
    task: dict[str, Any] = {"data": {"row": int(query["row"]), SHOWN: shown, **_about(query)}}
    guess = _guess(query) if suggest else None
    if guess is not None:
        result = [_studio_result(f"row{query['row']}", guess["value"])]
        task["predictions"] = [{"model_version": guess["agent"], "score": guess["score"], "result": result}]
    if given:
        task["annotations"] = [_studio_annotation(f"row{query['row']}-{n}", one) for n, one in enumerate(given)]
    return task


def _studio_result(name: str, label: str, *, number: bool = False) -> dict[str, Any]:
    value: dict[str, Any] = {"number": float(label)} if number else {"choices": [label]}
    kind = next(iter(value)) if number else "choices"
    return {"id": name, "from_name": QUESTION, "to_name": SHOWN, "type": kind, "value": value}


def _studio_annotation(name: str, given: Given) -> dict[str, Any]:
    """Return an annotation that Label Studio accepts: of annotators it knows users by their address only, so that other
    names go with the result, which it keeps as it is.
    """
    result = [] if given.label is None else [_studio_result(name, given.label, number=given.number)]
    about = {"created_at": given.at, "lead_time": given.seconds}
    person = {"completed_by": {"email": given.annotator}} if "@" in given.annotator else {}
    return {
        **person, **{key: value for key, value in about.items() if value is not None},
        "was_cancelled": given.label is None, "result": [item | {"meta": {ANNOTATOR: given.annotator}} for item in result],
    }  # fmt: skip


def _argilla_record(query: dict[str, Any], shown: str, suggest: bool, given: Sequence[Given]) -> dict[str, Any]:
    guess = _guess(query) if suggest else None
    done = [
        {"value": one.label, "user_id": one.annotator, "status": "submitted"} for one in given if one.label is not None
    ]
    return {
        "id": str(int(query["row"])),
        "fields": {SHOWN: shown},
        "metadata": {"row": int(query["row"]), **_about(query)},
        "suggestions": {} if guess is None else {QUESTION: guess},
        "responses": {QUESTION: done} if done else {},
    }


def _about(query: Mapping[str, Any]) -> dict[str, Any]:
    return {} if (why := _text(query.get("reason"))) is None else {"reason": why}


def _guess(query: Mapping[str, Any]) -> dict[str, Any] | None:
    label, score = _text(query.get("prediction")), query.get("confidence")
    known = float(score) if isinstance(score, float | int) and math.isfinite(score) else None
    return None if label is None else {"value": label, "score": known, "agent": "labelwise"}


def _shown(query: Mapping[str, Any], content: Mapping[int, Any] | pd.Series | None) -> str:
    row = query["row"]
    shown = query.get("preview") if content is None else content.get(row)
    if (text := _text(shown)) is None:
        raise InputError(f"row {row} has nothing to show to an annotator. Give its text or picture in `content`.")
    return text


# -- reading


def _one_label(path: Path, answer: Answer) -> str | None:
    values = list(dict.fromkeys(map(_text, _flat(answer.label))))
    labels = [value for value in values if value is not None]
    if len(labels) > 1:
        raise InputError(
            f"{path}, {answer.where}: found the labels {listed(labels)}. One label a row is accepted: "
            "let annotators choose a single one, or name the question it stands under."
        )
    return labels[0] if labels else None


def _flat(value: Any) -> Iterator[Any]:
    """Yield the values inside what a tool writes: ``cat``, ``["cat"]``, ``{"choices": ["cat"]}``, ``[{"rating": 4}]``."""
    if isinstance(value, Mapping):
        inner = next((value[key] for key in (*KINDS, "value") if key in value), None)
        yield from _flat(inner) if inner is not None else [str(dict(value))] if value else ()
    elif isinstance(value, list | tuple | np.ndarray):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _text(value: Any) -> str | None:
    """Return a label as text; 3.0 is ``3``, as it was before a table with gaps made it a fraction."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip() or None


def _person(annotator: Any) -> str | None:
    if isinstance(annotator, Mapping):
        annotator = next((annotator[key] for key in ("email", "username", "id") if annotator.get(key)), None)
    return _text(annotator)


def _row_number(path: Path, answer: Answer, n_rows: int | None) -> int:
    text = _text(answer.row)
    accepted = "a whole number from 0" + ("" if n_rows is None else f" to {n_rows - 1}")
    if text is None:
        raise InputError(
            f"{path}, {answer.where}: found no row number. Accepted: {accepted}, in data.row or meta.row (Label Studio), "
            "metadata.row, external_id or id (Argilla), or the column 'row'. `write_tasks` puts it there."
        )
    digits = text.removesuffix(".0")  # as a table with gaps writes whole numbers
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else -1
    if number < 0 or (n_rows is not None and number >= n_rows):
        raise InputError(
            f"{path}, {answer.where}: found row {text!r}. Accepted: {accepted}. Were these tasks made from this table?"
        )
    return number


def _contradiction(
    path: Path, key: tuple[int, str | None], first: tuple[str, str], second: tuple[str, str]
) -> InputError:
    who = "annotator " + repr(key[1]) if key[1] is not None else "nobody named as annotator"
    return InputError(
        f"{path}: row {key[0]} is labelled {first[1]!r} in {first[0]} and {second[1]!r} in {second[0]}, both by {who}. "
        "One label a row and annotator is accepted: remove one, or name the annotators."
    )
