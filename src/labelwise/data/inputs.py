"""Choose the columns a model reads, and refuse those that do not hold what was declared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from labelwise.base import InputError
from labelwise.data.columns import (
    SAMPLE,
    Holds,
    finite_numbers,
    holds,
    is_constant,
    is_identifier,
    number_like,
    place,
    shown,
)
from labelwise.data.naming import expand, listed

Columns = str | Iterable[str] | None
"""A column name, a comma-separated string, a glob such as ``'e*'``, or a list of these."""

MANY = 20
"""More different values than this are measurements rather than categories."""

_SAYS: dict[Holds, str] = {
    "number": "numbers", "vector": "vectors", "image": "images", "category": "categories", "text": "free text",
    "date": "dates", "other": "nested values", "empty": "nothing",
}  # fmt: skip


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
    asked = [] if features is None else expand("features", features, list(frame.columns), exclude=others)
    for name in asked:
        _check_feature(frame[name])
    same = [name for name in asked if is_constant(frame[name])]
    kept = [name for name in asked if name not in same]
    if features is not None and not kept:
        raise InputError(f"features: none of {listed(asked) or 'them'} changes from row to row. Name other columns.")
    notes = _unused(same, "the same value in every row")
    return Inputs(text, image, kept, notes + _leak_notes(frame, kept, labels) + _value_notes(frame, kept))


def _default(frame: pd.DataFrame, labels: Collection[str], taken: Collection[str]) -> Inputs:
    free = [name for name in frame.columns if name not in taken]
    kinds = {name: holds(frame[name]) for name in free}
    images = [name for name in free if kinds[name] == "image"]
    if images:
        return Inputs(None, images[0], [], _left_out(images[0], free))
    usable, notes = _usable(frame, free, kinds, labels)
    texts = [name for name in usable if kinds[name] == "text"]
    if texts and not any(kinds[name] in {"number", "vector"} for name in usable):
        longest = max(texts, key=lambda name: float(frame[name].dropna().str.len().mean()))
        return Inputs(longest, None, [], [*notes, *_left_out(longest, usable)])
    if not usable:
        raise InputError(
            f"features: no usable input column is left among {listed(free) or 'none'}. {' '.join(notes)} "
            "Name the inputs with text, image or features."
        )
    for name in usable:
        _refuse_infinite(frame[name])
    return Inputs(None, None, usable, notes + _leak_notes(frame, usable, labels) + _value_notes(frame, usable))


def _usable(
    frame: pd.DataFrame, free: Sequence[str], kinds: dict[str, Holds], labels: Collection[str]
) -> tuple[list[str], list[str]]:
    """Leave out what cannot help, each column for the first reason that holds."""
    for name in free:
        _refuse_spoilt_numbers(frame[name])
    label = _one_label(frame, labels)
    reasons: dict[str, Callable[[str], bool]] = {
        "the same value in every row": lambda name: is_constant(frame[name]),
        "nested values": lambda name: kinds[name] == "other",
        "only names the row": lambda name: is_identifier(frame[name]),
        "names the label in another way": lambda name: _respells(label, frame[name]),
    }
    left, notes = list(free), []
    for reason, applies in reasons.items():
        out = [name for name in left if applies(name)]
        left = [name for name in left if name not in out]
        notes += _unused(out, reason)
    return left, notes


def _unused(names: Sequence[str], why: str) -> list[str]:
    return [f"Not used as {'features' if len(names) > 1 else 'a feature'}: {listed(names)} ({why})."] if names else []


def _left_out(kept: str, free: Sequence[str]) -> list[str]:
    others = [name for name in free if name != kept]
    return [f"{kept!r} is the input; name {listed(others)} as features to use them too."] if others else []


def _check_text(column: pd.Series[Any]) -> None:
    kind = holds(column)
    if kind == "empty":
        raise InputError(f"text: column {str(column.name)!r} is empty in every row. Name a column that holds text.")
    present = column.notna().to_numpy()
    strings = np.array([isinstance(value, str) for value in column])
    if (present & ~strings).any():
        raise InputError(
            f"text: column {str(column.name)!r} holds {_SAYS[kind]}, not text: {place(column, present & ~strings)}. "
            "Declare it with features, or name a column of strings."
        )


def _check_image(column: pd.Series[Any]) -> None:
    first = column.dropna().head(1)
    if first.empty or not isinstance(first.iloc[0], str | bytes | bytearray | np.ndarray | dict):
        value = "nothing" if first.empty else f"row {first.index[0]}: {shown(first.iloc[0])}"
        raise InputError(
            f"image: column {str(column.name)!r} holds no images ({value}). "
            "Accepted: paths of image files, their bytes, or arrays of pixels."
        )


def _check_feature(column: pd.Series[Any]) -> None:
    kind, present = holds(column), column.notna().to_numpy()
    if kind in {"text", "image", "other"}:
        remedy = "Leave it out." if kind == "other" else f"Declare it with {kind} instead."
        raise InputError(
            f"features: column {str(column.name)!r} holds {_SAYS[kind]}, not numbers or categories: "
            f"{place(column, present)}. {remedy}"
        )
    if _partly_numbers(column):
        raise _stray_text(column)
    _refuse_infinite(column)


def _stray_text(column: pd.Series[Any]) -> InputError:
    where = place(column, column.notna().to_numpy() & ~number_like(column))
    return InputError(
        f"features: column {str(column.name)!r} holds numbers, but {where}. "
        "Correct that cell, empty it, or leave the column out."
    )


def _partly_numbers(column: pd.Series[Any], share: float = 0.5) -> bool:
    """Whether at least a `share` of a column's strings, but not all, are numbers: it was meant to hold them."""
    if holds(column) != "category" or isinstance(column.dtype, pd.CategoricalDtype):
        return False
    present, numbers = column.notna().sum(), number_like(column).sum()
    return bool(share * present <= numbers < present)


def _refuse_spoilt_numbers(column: pd.Series[Any]) -> None:
    """Refuse, even where nothing was declared, a column of many different numbers with a few words in it."""
    if _partly_numbers(column, share=0.95) and column.nunique() > MANY:
        raise _stray_text(column)


def _refuse_infinite(column: pd.Series[Any]) -> None:
    kind = holds(column)
    if kind == "number":
        finite_numbers(column)
    if kind == "vector":
        infinite = np.array([bool(np.isinf(np.asarray(value, dtype=float)).any()) for value in column])
        if infinite.any():
            raise InputError(
                f"features: column {str(column.name)!r} is infinite in row {int(np.argmax(infinite))}. "
                "Every value must be a finite number or missing."
            )


def _value_notes(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Say which values are read in another way than they stand."""
    gaps = {name: int(frame[name].isna().sum()) for name in names}
    notes = []
    if gappy := [name for name in names if gaps[name]]:
        notes.append(
            f"{sum(gaps.values())} missing values in {listed(gappy)} are filled in (the median of a number, "
            "a category of its own)."
        )
    for name in names:
        column = frame[name]
        if _partly_numbers(column):
            where = place(column, column.notna().to_numpy() & ~number_like(column))
            notes.append(f"{name!r} holds numbers and text ({where}), so it is read as categories.")
    return notes


def _leak_notes(frame: pd.DataFrame, names: Sequence[str], labels: Collection[str]) -> list[str]:
    label = _one_label(frame, labels)
    leaks = [name for name in names if label is not None and _spell_alike(label, frame[name])]
    return [f"{name!r} names the label in another way: is it known when a prediction is made?" for name in leaks]


def _one_label(frame: pd.DataFrame, labels: Collection[str]) -> pd.Series[Any] | None:
    """Return the label column of a problem with classes, if there is one."""
    if len(labels) != 1:
        return None
    label = frame[next(iter(labels))]
    return label if holds(label) in {"number", "category", "text"} else None


def _respells(label: pd.Series[Any] | None, column: pd.Series[Any]) -> bool:
    """Whether a column is the label under other names beyond doubt: three classes or more, twenty rows or more."""
    return label is not None and len(column) >= 20 and label.nunique() > 2 and _spell_alike(label, column)


def _spell_alike(label: pd.Series[Any], column: pd.Series[Any]) -> bool:
    """Whether a column of few values matches the label value for value, in both directions."""
    if holds(column) not in {"number", "category"}:
        return False
    for rows in (SAMPLE, len(label)):  # a thousand rows rule out nearly every column
        part = pd.DataFrame({"label": label.head(rows), "column": column.head(rows)}).dropna()
        left, right = pd.factorize(part["label"])[0].astype(np.int64), pd.factorize(part["column"])[0]
        classes = int(left.max(initial=-1)) + 1
        if right.max(initial=-1) + 1 != classes or len(np.unique(left * classes + right)) != classes:
            return False
    return 2 <= classes <= 0.5 * len(part)
