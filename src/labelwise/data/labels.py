"""Read labels, votes and the other row-wise facts of a table into `Targets`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from labelwise.base import InputError
from labelwise.data.columns import distinct, finite_numbers, first_row, number_like, of_strings, place, shown

if TYPE_CHECKING:
    from labelwise.data.roles import Roles
    from labelwise.supervision import Targets

KINDS = {"classification": "classes", "regression": "real", "multi-label": "multilabel"}
"""The tasks a user may name, and how `labelwise.supervision` calls their labels."""

TEST_MARKS = frozenset({"test", "testing"})
_YES, _NO = {"true", "yes", "t", "y", "1", "1.0"}, {"false", "no", "f", "n", "0", "0.0", ""}


def clean_labels(column: pd.Series[Any], *, task: str | None = None) -> tuple[np.ndarray, list[str]]:
    """Turn a label column into the array `labelwise.supervision.infer` reads, and say what was changed.

    Strings lose the spaces around them, and empty ones become None. Whole numbers stored as floats, as pandas stores
    integers with gaps, become integers if there are few different ones; other floats stay, as real targets.

    Parameters
    ----------
    column
        The labels, ``(n,)``.
    task
        ``classification``, ``regression``, ``multi-label``. Default: read off the values.

    Raises
    ------
    InputError
        Numbers and names in one column, or lists; the message names the rows.

    Examples
    --------
    >>> clean_labels(pd.Series(["spam", "ham ", None]))[0].tolist()
    ['spam', 'ham', None]
    >>> clean_labels(pd.Series([1.0, float("nan"), 0.0]))[0].tolist()
    [1, None, 0]
    """
    values = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    if pd.api.types.is_numeric_dtype(values.dtype):  # booleans too
        return _numbers(values, task), []
    return _objects(values.astype(object), task)


def _numbers(values: pd.Series[Any], task: str | None) -> np.ndarray:
    missing = values.isna().to_numpy()
    if task == "regression":
        return np.asarray(values.to_numpy(dtype=float, na_value=np.nan))
    if pd.api.types.is_bool_dtype(values.dtype):
        return _with_none(values.to_numpy(dtype=bool, na_value=False), missing)
    if pd.api.types.is_integer_dtype(values.dtype):
        return _with_none(values.to_numpy(dtype=np.int64, na_value=0), missing)
    reals = np.asarray(values.to_numpy(dtype=float, na_value=np.nan))
    if task == "classification" and not _whole(reals[~missing]):
        names = [None if gap else f"{value:g}" for value, gap in zip(reals, missing, strict=True)]
        return np.array(names, dtype=object)
    if task == "classification" or _few_whole(reals[~missing]):
        return _with_none(np.where(missing, 0, reals).astype(np.int64), missing)
    return reals


def _whole(known: np.ndarray) -> bool:
    return bool((np.abs(known) < 2.0**63).all() and (known == np.floor(known)).all())


def _few_whole(known: np.ndarray) -> bool:
    """Whether floats are class numbers: whole, and at most 100 (of few rows, 20) different ones."""
    return _whole(known) and len(np.unique(known)) <= min(100, max(20, len(known) // 5))


def _with_none(codes: np.ndarray, missing: np.ndarray) -> np.ndarray:
    if not missing.any():
        return codes
    values = codes.astype(object)
    values[missing] = None
    return values


def _objects(values: pd.Series[Any], task: str | None) -> tuple[np.ndarray, list[str]]:
    missing = values.isna().to_numpy()
    if of_strings(values):
        strings, numbers = ~missing, np.zeros(len(values), dtype=bool)
    else:
        strings = np.array([isinstance(value, str) for value in values])
        numbers = np.array([isinstance(value, int | float | np.number) for value in values]) & ~missing
    others = ~(strings | numbers | missing)
    if others.any():
        raise InputError(
            f"label: column {str(values.name)!r} must hold one class or number a row, but {place(values, others)}. "
            "For several labels a row, give one yes/no column a label."
        )
    if numbers.any():
        _refuse_mixture(values, numbers, strings)
        return _numbers(pd.Series(values.infer_objects(), name=values.name), task), []
    alike = number_like(values) & strings
    if task is None and 0.5 <= alike.sum() / max(strings.sum(), 1) < 1:
        _refuse_mixture(values, alike, strings & ~alike & (values.str.strip() != "").to_numpy())
    return _strings(values)


def _refuse_mixture(values: pd.Series[Any], numbers: np.ndarray, strings: np.ndarray) -> None:
    if strings.any():
        raise InputError(
            f"label: column {str(values.name)!r} mixes numbers and text: {place(values, numbers)}, "
            f"{place(values, strings)}. Write every label the same way"
            f"{'' if isinstance(values.iloc[first_row(numbers)], int | float) else ', or declare task=classification'}."
        )


def _strings(values: pd.Series[Any]) -> tuple[np.ndarray, list[str]]:
    codes, names = distinct(values)
    stripped = [name.strip() for name in names]
    changed = np.array([*(new not in ("", old) for new, old in zip(stripped, names, strict=True)), False])[codes]
    empty = np.array([*(new == "" for new in stripped), False])[codes]
    notes = []
    if changed.any():
        row = first_row(changed)
        notes.append(
            f"Spaces around the label were taken off in {changed.sum()} rows of {str(values.name)!r} "
            f"(first row {row}: {shown(values.iloc[row])})."
        )
    if empty.any():
        notes.append(f"{empty.sum()} empty labels (first row {first_row(empty)}) are read as unlabelled.")
    return np.array([*(new or None for new in stripped), None], dtype=object)[codes], notes


def read_targets(frame: pd.DataFrame, roles: Roles) -> Targets:
    """Validate labels, votes, domains, weights and trusted marks together.

    Parameters
    ----------
    frame
        The table, ``(n, columns)``.
    roles
        From `labelwise.data.resolve_roles`.

    Raises
    ------
    InputError
        Labels that are all missing, of one class only, or an id column by mistake; see `labelwise.supervision.infer`.
    """
    from labelwise.supervision import infer

    try:
        return infer(
            _labels(frame, roles),
            votes=_votes(frame, roles.votes),
            domains=None if roles.domain is None else _codes(frame[roles.domain]),
            trusted=None if roles.trusted is None else flags(frame[roles.trusted]),
            sample_weight=None if roles.weight is None else finite_numbers(frame[roles.weight]),
            kind="multilabel" if len(roles.labels) > 1 else KINDS.get(roles.task or ""),
        )
    except InputError as error:
        raise InputError(_in_words_of_tables(str(error), roles)) from error


def _in_words_of_tables(message: str, roles: Roles) -> str:
    """Name the column where the message names an argument."""
    for task, kind in KINDS.items():
        message = message.replace(f"kind={kind!r}", f"task={task}")
    if len(roles.labels) > 1:
        message = re.sub(r"column (\d+) holds", lambda found: f"column {roles.labels[int(found[1])]!r} holds", message)
    column = ", ".join(roles.labels or roles.votes)
    return message if repr(column) in message else f"label column {column!r}: {message}"


def _labels(frame: pd.DataFrame, roles: Roles) -> Any:
    if len(roles.labels) == 1:
        return clean_labels(frame[roles.labels[0]], task=roles.task)[0]
    if not roles.labels:
        return None
    return pd.DataFrame({name: _entries(frame[name]) for name in roles.labels})


def _entries(column: pd.Series[Any]) -> np.ndarray:
    """Read one of several label columns: numbers, or yes and no as words; what is empty is unknown (NaN)."""
    yes, no, blank = _yes_no(column)
    return np.where(blank, np.nan, yes) if (yes | no).all() else finite_numbers(column)


def _yes_no(column: pd.Series[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which rows say yes, which say no, and which of the latter are empty or missing, each ``(n,)``."""
    try:
        codes, values = distinct(column)
    except TypeError:  # lists and the like cannot be numbered
        codes, values = np.arange(len(column)), list(column)
    words = [*("" if pd.isna(value) else str(value).strip().lower() for value in values), ""]
    said = [word in _YES for word in words], [word in _NO for word in words], [word == "" for word in words]
    yes, no, blank = (np.array(marks)[codes] for marks in said)
    return yes, no, blank


def _votes(frame: pd.DataFrame, names: list[str]) -> np.ndarray | None:
    """Read votes as labels are read, so that both spell the classes alike."""
    if not names:
        return None
    columns = [clean_labels(frame[name], task="classification")[0] for name in names]
    return np.stack([column.astype(object) for column in columns], axis=1)


def is_test(column: pd.Series[Any]) -> np.ndarray:
    """Tell which rows a split column calls test rows, ``(n,)``."""
    codes, values = distinct(column)
    marks: np.ndarray = np.array([*(str(value).strip().lower() in TEST_MARKS for value in values), False])[codes]
    return marks


def flags(column: pd.Series[Any]) -> np.ndarray:
    """Read marks of trust: booleans, 0 and 1, or yes and no; a missing one is a no."""
    yes, no, _ = _yes_no(column)
    strange = ~(yes | no)
    if strange.any():
        raise InputError(
            f"trusted: column {str(column.name)!r} must hold yes or no, but {place(column, strange)}. "
            "Accepted: true and false, yes and no, 1 and 0."
        )
    return yes


def _codes(column: pd.Series[Any]) -> np.ndarray:
    """Number the values of a column 0, 1, ... in sorted order; a missing value is a value of its own."""
    return pd.factorize(column, sort=True, use_na_sentinel=False)[0].astype(np.int64)
