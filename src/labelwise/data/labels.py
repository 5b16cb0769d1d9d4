"""Read labels, votes and the other row-wise facts of a table into `Targets`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from labelwise.base import InputError
from labelwise.data.columns import as_numbers, first_row, shown

if TYPE_CHECKING:
    from labelwise.data.roles import Roles
    from labelwise.supervision import Targets

FEW = 100
"""Whole numbers stored as floats are classes up to this many of them."""


def clean_labels(column: pd.Series[Any], *, task: str | None = None) -> tuple[np.ndarray, list[str]]:
    """Turn a label column into the array `labelwise.supervision.infer` reads, and say what was changed.

    Strings lose the spaces around them; whole numbers stored as floats become integers; missing values become None (or
    NaN where the labels are real numbers).

    Raises
    ------
    InputError
        Numbers and strings in one column, naming a row of each.
    """
    values = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_numeric_dtype(values.dtype):
        return _numbers(values, task), []
    return _objects(values.astype(object), task)


def _numbers(values: pd.Series[Any], task: str | None) -> np.ndarray:
    missing = values.isna().to_numpy()
    if task == "regression":
        return values.to_numpy(dtype=float, na_value=np.nan)
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_integer_dtype(values.dtype):
        return _with_none(values.to_numpy(dtype=np.int64, na_value=0), missing)
    reals = values.to_numpy(dtype=float, na_value=np.nan)
    known = reals[~missing]
    whole = bool(np.all(np.isfinite(known)) and np.all(known == np.floor(known)))
    if whole and (task == "classification" or len(np.unique(known)) <= FEW):
        return _with_none(np.where(missing, 0, reals).astype(np.int64), missing)
    if task == "classification":
        return np.array([None if gap else format(value, "g") for value, gap in zip(reals, missing, strict=True)])
    return reals


def _with_none(codes: np.ndarray, missing: np.ndarray) -> np.ndarray:
    if not missing.any():
        return codes
    values = codes.astype(object)
    values[missing] = None
    return values


def _objects(values: pd.Series[Any], task: str | None) -> tuple[np.ndarray, list[str]]:
    strings = np.array([isinstance(value, str) for value in values])
    missing = values.isna().to_numpy()
    others = ~strings & ~missing
    if strings.any() and others.any():
        one, other = first_row(strings) or 0, first_row(others) or 0
        raise InputError(f"label: column {str(values.name)!r} mixes strings (row {one}: {shown(values.iloc[one])}) and "
                         f"{type(values.iloc[other]).__name__} (row {other}: {shown(values.iloc[other])}). "
                         "Write every label the same way.")  # fmt: skip
    if others.any():
        return _numbers(pd.Series(values.infer_objects(), name=values.name), task), []
    return _strings(values, missing)


def _strings(values: pd.Series[Any], missing: np.ndarray) -> tuple[np.ndarray, list[str]]:
    stripped = np.array(
        [None if gap else value.strip() for value, gap in zip(values, missing, strict=True)], dtype=object
    )
    changed = np.array([new != old and new != "" for new, old in zip(stripped, values, strict=True)]) & ~missing
    empty = stripped == ""
    stripped[empty] = None
    notes = []
    if changed.any():
        row = first_row(changed) or 0
        notes.append(f"Spaces around the label were taken off in {changed.sum()} rows (first row {row}: "
                     f"{shown(values.iloc[row])}).")  # fmt: skip
    if empty.any():
        notes.append(f"{empty.sum()} empty labels (first row {first_row(empty)}) are read as unlabelled.")
    return stripped, notes


def read_targets(frame: pd.DataFrame, roles: Roles) -> Targets:
    """Validate labels, votes, domains, weights and trusted marks together.

    Raises
    ------
    InputError
        Labels that are all missing, of one class only, or an id column by mistake; see `labelwise.supervision.infer`.
    """
    from labelwise.supervision import infer

    kind = _KINDS.get(roles.task or "")
    try:
        return infer(
            _labels(frame, roles),
            votes=_votes(frame, roles.votes),
            domains=_codes(frame, roles.domain),
            trusted=None if roles.trusted is None else _flags(frame[roles.trusted]),
            sample_weight=None if roles.weight is None else as_numbers(frame[roles.weight]),
            kind="multilabel" if len(roles.labels) > 1 else kind,
        )
    except InputError as error:
        name = ", ".join(roles.labels or roles.votes)
        raise InputError(f"label column {name!r}: {error}") from error


_KINDS = {"classification": "classes", "regression": "real", "multi-label": "multilabel"}


def _labels(frame: pd.DataFrame, roles: Roles) -> Any:
    if len(roles.labels) == 1:
        return clean_labels(frame[roles.labels[0]], task=roles.task)[0]
    return frame[roles.labels].astype(float) if roles.labels else None


def _votes(frame: pd.DataFrame, names: list[str]) -> np.ndarray | None:
    """Read votes as labels are read, so that both spell the classes alike."""
    if not names:
        return None
    columns = [clean_labels(frame[name], task="classification")[0] for name in names]
    return np.stack([np.asarray(column, dtype=object) for column in columns], axis=1)


def _flags(column: pd.Series[Any]) -> np.ndarray:
    return column.fillna(False).astype(bool).to_numpy()


def _codes(frame: pd.DataFrame, name: str | None) -> np.ndarray | None:
    """Number the values of a column 0, 1, ... in sorted order; a missing value is a value of its own."""
    if name is None:
        return None
    return pd.factorize(frame[name], sort=True, use_na_sentinel=False)[0].astype(np.int64)
