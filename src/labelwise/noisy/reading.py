"""Probabilities and labels as a user holds them, checked and ready to be read in blocks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError
from labelwise.supervision import encode_classes

Proba = ArrayLike | str | os.PathLike[str]


def read_proba(proba: Proba) -> NDArray[Any]:
    """Return class probabilities as `open_proba` does, with a column for each of at least two classes."""
    values = open_proba(proba)
    if values.shape[1] < 2:
        raise InputError(f"proba must have a column for each of K >= 2 classes. Got shape {values.shape}.")
    return values


def open_proba(proba: Proba) -> NDArray[Any]:
    """Return `proba` as float32 or float64 (n, K) without copying such arrays; a path is memory-mapped."""
    if isinstance(proba, str | os.PathLike):
        proba = _open(Path(proba))
    values = np.asanyarray(proba)
    if values.ndim != 2:
        raise InputError(f"proba must have two dimensions, rows and classes. Got shape {values.shape}.")
    if values.dtype in (np.float32, np.float64):
        return values
    if values.dtype.kind not in "fiub":
        raise InputError(f"proba must hold numbers. Got dtype {values.dtype}.")
    return values.astype(np.float64)


def _open(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise InputError(f"proba must be an array or the path of a .npy file. Cannot read {path}: {error}") from error


def read_labels(y: Any, proba: NDArray[Any]) -> NDArray[np.int64]:
    """Return class codes (n,) for the columns of `proba`, ``UNLABELED`` where there is none.

    Integers from 0 to K - 1 are column numbers, so that a class may be absent; other labels must be K different ones.
    """
    k = proba.shape[1]
    given = np.asarray(y)
    if given.ndim != 1 or len(given) != len(proba):
        raise InputError(f"y must have one label for each of the {len(proba)} rows of proba. Got shape {given.shape}.")
    if given.dtype.kind in "iu" and given.size and given.min() >= -1 and given.max() < k and not _signs(given):
        return given.astype(np.int64, copy=False)
    classes, codes = encode_classes(y, least=0)
    if len(classes) != k:
        raise InputError(
            f"y must have {k} classes, one for each column of proba, or be column numbers 0 to {k - 1}. "
            f"Got {len(classes)} classes."
        )
    return np.asarray(codes)


def _signs(given: NDArray[np.integer[Any]]) -> bool:
    """Whether the labels are exactly -1 and 1, which are two classes."""
    return bool(given.min() == -1 and given.max() == 1 and not (given == 0).any())
