"""Class labels: which values are classes, which mean "unlabelled", and which are mistakes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from labelwise.base import UNLABELED, InputError
from labelwise.supervision.arrays import first, is_missing, place, to_numpy
from labelwise.supervision.targets import AnyArray, BoolArray, IntArray

MARKS = "Mark an unlabelled row with None or NaN (with -1 among integers)."


def encode_classes(y: Any, *, name: str = "y", least: int = 2) -> tuple[AnyArray, IntArray]:
    """Return the sorted classes and every row's code, ``UNLABELED`` where the label is missing.

    Missing are ``-1`` among integers, and None, NaN and ``pandas.NA``. One exception: integers that are exactly -1 and
    1 are two classes. Whole floats count as integers.

    Parameters
    ----------
    y
        Integers, booleans or text ``(n,)``: array, list, series (pandas, polars, Arrow).
    name
        How messages call the argument.
    least
        The number of classes there must be at least; 0 allows that every label is missing.

    Returns
    -------
    classes : array of shape (K,)
    codes : int64 array of shape (n,)

    Raises
    ------
    InputError
        Labels of mixed types, with stray whitespace or with fractions; fewer than `least` classes.

    Examples
    --------
    >>> encode_classes([2, -1, 0, 2])
    (array([0, 2]), array([ 1, -1,  0,  1]))
    >>> encode_classes([1, -1, 1])
    (array([-1,  1]), array([1, 0, 1]))
    """
    if y is None:  # in the words that scikit-learn's common tests look for
        raise InputError(f"{name}: this method requires {name} to be passed, but the target {name} is None.")
    column = as_column(to_numpy(y, name)[0], name)
    classes, codes = factorise(column, name)
    check_class_count(classes, least, name)
    return classes, codes


def as_column(array: AnyArray, name: str) -> AnyArray:
    """Return a 1-D array; a single column is taken as such, with scikit-learn's warning."""
    if array.ndim == 2 and array.shape[1] == 1:
        from sklearn.exceptions import DataConversionWarning

        text = "A column-vector y was passed when a 1d array was expected. Please pass y.ravel()."
        warnings.warn(text, DataConversionWarning, stacklevel=4)
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"{name} must have one class label a row, shape (n,). Got shape {array.shape}.")
    return array


def check_class_count(classes: AnyArray, least: int, name: str) -> None:
    """Refuse labels that are all missing, or all the same, when there is nothing to tell apart."""
    if len(classes) == 0 and least > 0:
        raise InputError(f"{name}: every label is missing. At least {least} classes need a labelled row.")
    if len(classes) < least:
        raise InputError(
            f"{name} has only one class, {classes.tolist()[0]!r}; at least {least} are needed to tell them apart."
        )


def factorise(cells: AnyArray, name: str, *, abstain: bool = False) -> tuple[AnyArray, IntArray]:
    """Return the sorted classes among `cells` (any shape) and the codes of all cells.

    With `abstain`, -1 always means that nothing was said, even beside nothing but 1.
    """
    missing = is_missing(cells)
    if cells.dtype.kind in "OUT":
        cells = _one_type(cells, missing, name)
    if cells.dtype.kind in "OU":
        return _factorise_text(cells, missing, name)
    if cells.dtype == bool:
        classes, codes = _factorise_numbers(cells.astype(np.int64), missing, name, abstain)
        return classes.astype(bool), codes
    if cells.dtype.kind not in "iuf":
        raise InputError(f"{name} must hold integers or text as class labels. Got {cells.dtype}. {MARKS}")
    return _factorise_numbers(_whole(cells, missing, name), missing, name, abstain)


def _one_type(cells: AnyArray, missing: BoolArray, name: str) -> AnyArray:
    """Return objects as what they all are (text, booleans, numbers), or name the first that differs."""
    if cells.dtype.kind == "U":
        return cells
    known = cells[~missing]
    words = {kind: _word(kind) for kind in set(map(type, known))}
    found = set(words.values())
    if len(found) > 1 and not found <= {"an integer", "a float"}:
        usual = words[type(known[0])]
        differs = ~missing & np.frompyfunc(lambda v: words.get(type(v), usual) != usual, 1, 1)(cells).astype(bool)
        value = cells.flat[int(np.argmax(differs))]
        raise InputError(
            f"{name} mixes types: {first(~missing)} holds {usual}, {known[0]!r}, but {first(differs)} holds "
            f"{words[type(value)]}, {value!r}. Make every label text, or every label an integer. {MARKS}"
        )
    if not found or found == {"text"}:
        return cells
    if not found <= {"a boolean", "an integer", "a float"}:
        raise InputError(
            f"{name} must hold integers or text as class labels. {first(~missing).capitalize()} holds {found.pop()}. "
            "For several labels a row, pass a matrix of 1 (yes), 0 (no) and -1 (unknown)."
        )
    numeric = bool if found == {"a boolean"} else np.int64 if found == {"an integer"} else np.float64
    try:
        return np.where(missing, 0, cells).astype(numeric)
    except OverflowError:
        raise InputError(f"{name} holds whole numbers beyond 64 bits as class labels. Pass them as text.") from None


def _word(kind: type) -> str:
    if issubclass(kind, str):
        return "text"
    if issubclass(kind, (bool, np.bool_)):
        return "a boolean"
    if issubclass(kind, (int, np.integer)):
        return "an integer"
    if issubclass(kind, (float, np.floating)):
        return "a float"
    return f"a {kind.__name__}"


def _whole(cells: AnyArray, missing: BoolArray, name: str) -> IntArray:
    """Return whole floats as integers."""
    if cells.dtype.kind != "f":
        return cells
    cells = cells.astype(np.float64)
    bad = ~missing & ~(np.isfinite(cells) & (cells == np.floor(cells)))
    if bad.any():
        value = cells.flat[int(np.argmax(bad))].item()
        raise InputError(
            f"{name} must hold integers or text as class labels. {first(bad).capitalize()} holds {value}: numbers with "
            "fractions are continuous targets (kind='real'), not classes."
        )
    large = ~missing & (np.abs(cells) >= 2.0**63)
    if large.any():
        raise InputError(
            f"{name} holds whole numbers beyond 64 bits as class labels: {first(large)} holds "
            f"{cells[large][0].item():.6g}. Pass them as text."
        )
    return np.where(missing, 0, cells).astype(np.int64)


def _factorise_numbers(cells: IntArray, missing: BoolArray, name: str, abstain: bool) -> tuple[AnyArray, IntArray]:
    some_missing = bool(missing.any())
    present, known_codes = _distinct(cells[~missing] if some_missing else cells)
    if UNLABELED in present and (abstain or present.tolist() != [-1, 1]):
        if present[0] < UNLABELED:
            raise InputError(
                f"{name} holds {present[0]} ({first(cells == present[0])}) beside -1, which would mean unlabelled. "
                "Number the classes from 0, or pass them as text, with None for unlabelled rows."
            )
        present, known_codes = present[1:], known_codes - 1  # -1 is the smallest: its code 0 becomes UNLABELED
    if not some_missing:
        return present, known_codes
    codes = np.full(cells.shape, UNLABELED, dtype=np.int64)
    codes[~missing] = known_codes
    return present, codes


def _distinct(values: IntArray) -> tuple[IntArray, IntArray]:
    """Return the sorted distinct values and each one's position; without sorting when their range is small."""
    if values.size == 0:
        return values.ravel(), np.zeros(values.shape, np.int64)
    low, high = int(values.min()), int(values.max())
    if high - low > values.size + 1000 or high > np.iinfo(np.int64).max:
        present, position = np.unique(values, return_inverse=True)
        return present, position.reshape(values.shape)
    offset = values.astype(np.int64) - low
    seen = np.zeros(high - low + 1, dtype=bool)
    seen[offset] = True
    return (np.flatnonzero(seen) + low).astype(values.dtype), (np.cumsum(seen) - 1)[offset]


def _factorise_text(cells: AnyArray, missing: BoolArray, name: str) -> tuple[AnyArray, IntArray]:
    known = cells[~missing].tolist()  # a dict of Python strings beats sorting a million fixed-width ones
    classes = sorted(set(known))
    for check in (_stray_space, _written_gap):
        for label in classes:
            problem = check(label, classes, cells.dtype.kind == "U")
            if problem:
                where = place(int(np.flatnonzero(~missing)[known.index(label)]), cells.shape)
                raise InputError(f"{name}: {where} holds {label!r}, {problem}")
    number = {label: code for code, label in enumerate(classes)}
    codes = np.full(cells.shape, UNLABELED, dtype=np.int64)
    codes[~missing] = np.fromiter(map(number.__getitem__, known), dtype=np.int64, count=len(known))
    return np.array(classes, dtype=np.str_), codes


def _stray_space(label: str, classes: list[str], fixed_width: bool) -> str | None:
    if label == label.strip() and label:
        return None
    if not label.strip():
        return f"an empty label. {MARKS}"
    twin = f", and would be another class than {label.strip()!r}" if label.strip() in classes else ""
    return f"with stray white space{twin}. Strip the labels first, e.g. [label.strip() for label in y]."


def _written_gap(label: str, classes: list[str], fixed_width: bool) -> str | None:
    if label == "nan" and fixed_width:
        return f"the text that numpy writes for a missing value among strings. Pass dtype=object. {MARKS}"
    if label == "-1" and classes != ["-1", "1"]:
        return f"which is text and does not mark an unlabelled row. {MARKS}"
    return None


def merge(
    classes: AnyArray, codes: IntArray, other: AnyArray, other_codes: IntArray, names: tuple[str, str]
) -> tuple[AnyArray, IntArray, IntArray]:
    """Number two sets of labels over the union of their classes."""
    if classes.size and other.size and (classes.dtype.kind == "U") != (other.dtype.kind == "U"):
        raise InputError(
            f"{names[1]} must use the labels of {names[0]}: {names[0]} holds {classes.tolist()[0]!r}, "
            f"{names[1]} holds {other.tolist()[0]!r}."
        )
    if classes.size == 0 or other.size == 0:
        return (classes if classes.size else other), codes, other_codes
    union = np.union1d(classes, other)
    return union, _renumber(union, classes, codes), _renumber(union, other, other_codes)


def _renumber(union: AnyArray, classes: AnyArray, codes: IntArray) -> IntArray:
    position = np.append(np.searchsorted(union, classes), UNLABELED)  # the last serves code -1
    return position[codes]


def check_not_an_id(codes: IntArray, n_classes: int, name: str) -> None:
    """Refuse a column whose labels are nearly all different: an identifier, or a number to be predicted as such."""
    n = int((codes != UNLABELED).sum())
    once = int((np.bincount(codes[codes != UNLABELED], minlength=1) == 1).sum())
    all_differ = n > 20 and once == n
    nearly = n_classes > max(1000, n / 2) and once > 0.8 * n_classes
    if all_differ or nearly:
        raise InputError(
            f"{name} has {n_classes:,} different labels in {n:,} rows, {once:,} of them used once: it looks like an id "
            "column. Pass the column of labels, kind='real' for numbers to predict, or kind='classes' if it is right."
        )
