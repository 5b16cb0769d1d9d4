"""Which column plays which part: label, text, image, features, votes, domain, group, weight, trusted, id, split."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from labelwise.base import InputError
from labelwise.data.inputs import Columns, choose_inputs
from labelwise.data.labels import KINDS, clean_labels, read_targets
from labelwise.data.naming import expand, listed, unknown
from labelwise.data.read import read_table

__all__ = ["Columns", "Roles", "read_targets", "resolve_roles"]

SINGLE = ("text", "image", "domain", "group", "weight", "trusted", "id", "split")
_SPLIT_NAMES = {"split", "fold", "subset", "partition"}
_SPLIT_VALUES = {"train", "training", "valid", "validation", "val", "dev", "test", "testing"}


@dataclass(frozen=True)
class Roles:
    """The part every column plays, and what was noticed on the way.

    ``label`` is None where only votes are known, and ``labels`` lists the columns of a multi-label task. ``unused``
    columns take no part. ``notes`` are sentences for the user: columns left out, values read as missing, and so on.

    Examples
    --------
    >>> frame = pd.DataFrame({"size": [1.5, 2.5, 0.5], "kind": ["a", "b", "a"]})
    >>> resolve_roles(frame, label="kind").features
    ['size']
    """

    label: str | None = None
    labels: list[str] = field(default_factory=list)
    text: str | None = None
    image: str | None = None
    features: list[str] = field(default_factory=list)
    votes: list[str] = field(default_factory=list)
    domain: str | None = None
    group: str | None = None
    weight: str | None = None
    trusted: str | None = None
    id: str | None = None
    split: str | None = None
    task: str | None = None
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def role_of(self, column: str) -> str:
        """Name the role of `column`: ``label``, ``text``, ``feature``, ``vote``, ..., ``unused``."""
        several = {"label": self.labels, "feature": self.features, "vote": self.votes}
        single = {role: [getattr(self, role)] for role in SINGLE}
        return next((role for role, names in {**several, **single}.items() if column in names), "unused")

    def inputs(self) -> list[str]:
        """Columns a model reads: text, image and features, in that order."""
        return [name for name in (self.text, self.image) if name] + self.features


def resolve_roles(
    frame: pd.DataFrame,
    *,
    label: Columns = None,
    text: str | None = None,
    image: str | None = None,
    features: Columns = None,
    votes: Columns = None,
    domain: str | None = None,
    group: str | None = None,
    weight: str | None = None,
    trusted: str | None = None,
    id: str | None = None,
    split: str | None = None,
    task: str | None = None,
) -> Roles:
    """Match what the user named with the columns of `frame`, and choose the inputs nobody named.

    Parameters
    ----------
    frame
        The table, ``(n, columns)``.
    label
        The label column; several (a list, ``'a,b'`` or a glob) for a multi-label task of yes/no columns.
    text, image, features
        The inputs. Where none is named: an image column if there is one; else every usable column as a feature; else
        the longest free-text column. Columns that only number the rows, never change, or spell the label in another way
        are left out with a note.
    votes
        Columns of annotators' or labelling functions' votes.
    domain, group, weight, trusted, id, split
        Source of a row; rows to keep together in cross-validation; sample weight; whether the label is trusted; name
        of a row; train/test marks.
    task
        ``classification``, ``regression`` or ``multi-label``. Default: read off the label.

    Raises
    ------
    InputError
        A column that is not there (with the nearest name) or named twice, text where numbers were declared or numbers
        where text was, infinite values, labels of mixed types, no usable input.
    """
    if task is not None and task not in KINDS:
        raise InputError(f"task must be one of {listed(KINDS)}. Got {task!r}.")
    frame = read_table(frame)  # unique string names, rows numbered from 0
    columns = list(frame.columns)
    named = dict(zip(SINGLE, (text, image, domain, group, weight, trusted, id, split), strict=True))
    single = {role: _one(role, name, columns) for role, name in named.items() if name is not None}
    labels, voters = _labels_and_votes(label, votes, columns, single)
    notes = clean_labels(frame[labels[0]], task=task)[1] if len(labels) == 1 else []
    if "split" not in single and (marks := _split_column(frame, {*labels, *voters, *single.values()})):
        single["split"] = marks
        notes.append(f"{marks!r} marks train and test rows, so it is not a feature.")
    taken = {*labels, *voters, *single.values()} - {text, image}
    inputs = choose_inputs(frame, labels, text=text, image=image, features=features, taken=taken)
    used = {*taken, *inputs.features, inputs.text, inputs.image}
    chosen: dict[str, Any] = {**single, "text": inputs.text, "image": inputs.image, "features": inputs.features}
    unused = [name for name in columns if name not in used]
    one = labels[0] if len(labels) == 1 else None
    return Roles(label=one, labels=labels, votes=voters, task=task, unused=unused, notes=notes + inputs.notes, **chosen)


def _one(role: str, name: str, columns: list[str]) -> str:
    if name not in columns:
        raise unknown(role, name, columns)
    return name


def _labels_and_votes(
    label: Columns, votes: Columns, columns: list[str], single: dict[str, str]
) -> tuple[list[str], list[str]]:
    labels = expand("label", label, columns) if label is not None else []
    voters = expand("votes", votes, columns, exclude={*labels, *single.values()}) if votes is not None else []
    if not labels and not voters:
        raise InputError(f"label: no label column was named. Name one of the columns {listed(columns)}.")
    _refuse_two_parts(labels, single)
    return labels, voters


def _refuse_two_parts(labels: list[str], single: dict[str, str]) -> None:
    """A label or an input column plays no other part; a domain may also be the group."""
    for role, name in single.items():
        others = ["label"] * (name in labels) + [r for r in ("text", "image") if r != role and single.get(r) == name]
        if others:
            raise InputError(f"{role}: column {name!r} is already the {others[0]} column. Name another column.")


def _split_column(frame: pd.DataFrame, taken: set[str]) -> str | None:
    for name in frame.columns:
        if name not in taken and str(name).lower() in _SPLIT_NAMES:
            marks = _marks(frame[name])
            if marks and marks <= _SPLIT_VALUES:
                return str(name)
    return None


def _marks(column: pd.Series) -> set[str]:
    """Return the first twenty different values of a column as texts; none where they are dicts or lists."""
    try:
        return {str(mark).strip().lower() for mark in column.dropna().unique()[:20]}
    except TypeError:
        return set()
