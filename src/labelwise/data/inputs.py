"""Choose the columns a model reads, and refuse those that do not hold what was declared."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from labelwise.base import InputError
from labelwise.data.columns import Holds, as_numbers, first_row, holds, is_constant, is_identifier, number_like, shown
from labelwise.data.names import expand, listed

Columns = str | Iterable[str] | None
"""A column name, a comma-separated string, a glob such as ``'e*'``, or a list of these."""


class Inputs(NamedTuple):
    """The columns a model reads, and sentences on what was left out and why."""

    text: str | None
    image: str | None
    features: list[str]
    notes: list[str]


def choose_inputs(
    frame: pd.DataFrame,
    labels: Collection[str],
    *,
    text: str | None = None,
    image: str | None = None,
    features: Columns = None,
    taken: Collection[str] = (),
) -> Inputs:
    """Take the declared inputs, or choose them where none is declared; see `labelwise.data.resolve_roles`."""
    if text is None and image is None and features is None:
        return _default(frame, labels, taken)
    if text is not None:
        _check_text(frame[text])
    if image is not None:
        _check_image(frame[image])
    others = {*taken, *(name for name in (text, image) if name)}
    asked = [] if features is None else expand("features", features, [str(c) for c in frame.columns], exclude=others)
    for name in asked:
        _check_feature(frame[name])
    kept, notes = _without_constants(frame, asked)
    if not kept and text is None and image is None:
        raise InputError(f"features: none of the columns {listed(asked)} changes from row to row. Name other columns.")
    return Inputs(text, image, kept, [*notes, *_leak_notes(frame, kept, labels), *_value_notes(frame, kept)])


def _default(frame: pd.DataFrame, labels: Collection[str], taken: Collection[str]) -> Inputs:
    free = [str(name) for name in frame.columns if name not in taken]
    kinds: dict[str, Holds] = {name: holds(frame[name]) for name in free}
    images = [name for name in free if kinds[name] == "image"]
    if images:
        return Inputs(None, images[0], [], _left_out(free, images[:1]))
    kept, notes = _without_constants(frame, free)
    numbering = [name for name in kept if is_identifier(frame[name])]
    spelling = [name for name in kept if name not in numbering and _spells_label(frame, name, labels)]
    notes += _excuse(numbering, "only names the row") + _excuse(spelling, "names the label in another way")
    usable = [name for name in kept if name not in {*numbering, *spelling}]
    texts = [name for name in usable if kinds[name] == "text"]
    if texts and not any(kinds[name] in {"number", "vector"} for name in usable):
        longest = max(texts, key=lambda name: float(frame[name].dropna().astype(str).str.len().mean()))
        return Inputs(longest, None, [], [*notes, *_left_out(usable, [longest])])
    if not usable:
        raise InputError(f"features: no usable input column is left among {listed(free) or 'none'}. {' '.join(notes)} "
                         "Name them with text, image or features.")  # fmt: skip
    for name in usable:
        _refuse_infinite(frame[name])
    return Inputs(None, None, usable, [*notes, *_value_notes(frame, usable)])


def _left_out(free: list[str], kept: list[str]) -> list[str]:
    others = [name for name in free if name not in kept]
    note = f"Read {listed(kept)} as the input and left out {listed(others)}; name them as features to use them."
    return [note] if others else []


def _without_constants(frame: pd.DataFrame, names: list[str]) -> tuple[list[str], list[str]]:
    same = [name for name in names if is_constant(frame[name])]
    return [name for name in names if name not in same], _excuse(same, "the same value in every row")


def _excuse(names: list[str], why: str) -> list[str]:
    return [f"Not used as {'features' if len(names) > 1 else 'a feature'}: {listed(names)} ({why})."] if names else []


def _check_text(column: pd.Series[Any]) -> None:
    kind = holds(column)
    if kind == "empty":
        raise InputError(f"text: column {str(column.name)!r} is empty in every row. Name a column that holds text.")
    if kind in {"text", "category", "date"}:
        column = column.astype(object)
        wrong = np.array([not (isinstance(value, str) or pd.isna(value)) for value in column])
        if not wrong.any():
            return
        row = first_row(wrong)
    else:
        row = first_row(column.notna().to_numpy())
    raise InputError(f"text: column {str(column.name)!r} holds {_SAYS[kind]} (row {row}: {shown(column.iloc[row or 0])}), "
                     "not text. Declare it with features, or name a column of strings.")  # fmt: skip


_SAYS = {"number": "numbers", "vector": "vectors", "image": "images", "category": "values", "text": "values",
         "date": "dates", "empty": "nothing"}  # fmt: skip


def _check_image(column: pd.Series[Any]) -> None:
    first = column.dropna().head(1)
    if first.empty or not isinstance(first.iloc[0], str | bytes | bytearray | np.ndarray):
        value = "nothing" if first.empty else f"row {first.index[0]}: {shown(first.iloc[0])}"
        raise InputError(f"image: column {str(column.name)!r} holds no images ({value}). "
                         "Accepted: paths of image files, their bytes, or arrays of pixels.")  # fmt: skip


def _check_feature(column: pd.Series[Any]) -> None:
    kind = holds(column)
    if kind in {"text", "image"}:
        row = first_row(column.notna().to_numpy()) or 0
        raise InputError(f"features: column {str(column.name)!r} holds {'free text' if kind == 'text' else 'images'} "
                         f"(row {row}: {shown(column.iloc[row])}), not numbers or categories. "
                         f"Declare it with {kind} instead.")  # fmt: skip
    if kind in {"category", "date"} and not isinstance(column.dtype, pd.CategoricalDtype):
        _refuse_stray_text(column)
    _refuse_infinite(column)


def _refuse_stray_text(column: pd.Series[Any]) -> None:
    """A column where half of the values or more are numbers was meant to hold numbers."""
    present, numbers = column.notna().to_numpy(), number_like(column)
    if not numbers[present].all() and numbers.sum() >= 0.5 * present.sum():
        row = first_row(present & ~numbers) or 0
        raise InputError(f"features: column {str(column.name)!r} holds numbers, but row {row} holds "
                         f"{shown(column.iloc[row])}. Correct that cell, empty it, or leave the column out.")  # fmt: skip


def _refuse_infinite(column: pd.Series[Any]) -> None:
    kind = holds(column)
    if kind not in {"number", "vector"}:
        return
    if kind == "number":
        infinite = np.isinf(as_numbers(column))
    else:
        infinite = np.array([bool(np.isinf(np.asarray(value, dtype=float)).any()) for value in column])
    if infinite.any():
        raise InputError(f"features: column {str(column.name)!r} is infinite in row {first_row(infinite)}"
                         f"{f' and {infinite.sum() - 1} more' if infinite.sum() > 1 else ''}. "
                         "Every value must be a finite number or missing.")  # fmt: skip


def _value_notes(frame: pd.DataFrame, names: list[str]) -> list[str]:
    """Say which values are read in another way than they stand."""
    notes = []
    gaps = {name: int(frame[name].isna().sum()) for name in names}
    if gappy := [name for name in names if gaps[name]]:
        notes.append(f"{sum(gaps.values())} missing values in {listed(gappy)} are filled in (the median of a number, "
                     "a category of its own).")  # fmt: skip
    for name in names:
        if holds(frame[name]) == "category" and not isinstance(frame[name].dtype, pd.CategoricalDtype):
            present, numbers = frame[name].notna().to_numpy(), number_like(frame[name])
            if 0.5 * present.sum() <= numbers.sum() < present.sum():
                row = first_row(present & ~numbers) or 0
                notes.append(f"{name!r} holds numbers and text (row {row}: {shown(frame[name].iloc[row])}), "
                             "so it is read as categories.")  # fmt: skip
    return notes


def _leak_notes(frame: pd.DataFrame, names: list[str], labels: Collection[str]) -> list[str]:
    return [f"{name!r} names the label in another way: is it known when a prediction is made?"
            for name in names if _spells_label(frame, name, labels)]  # fmt: skip


def _spells_label(frame: pd.DataFrame, name: str, labels: Collection[str]) -> bool:
    """Whether a column of few values matches the one label column value for value."""
    if len(labels) != 1 or holds(frame[name]) not in {"number", "category"}:
        return False
    label = frame[next(iter(labels))]
    known = label.notna() & frame[name].notna()
    left, right = pd.factorize(label[known])[0], pd.factorize(frame[name][known])[0]
    classes = left.max(initial=-1) + 1
    if not 2 <= classes <= 0.5 * len(left) or right.max(initial=-1) + 1 != classes:
        return False
    return len(np.unique(left.astype(np.int64) * classes + right)) == classes
