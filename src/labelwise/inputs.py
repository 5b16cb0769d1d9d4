"""From what a user passes as X to the rows a network reads: one modality, one shape, checked again at predict."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from labelwise.base import InputError
from labelwise.parts.moments import centre_and_scale
from labelwise.parts.subwords import SubwordTokenizer
from labelwise.parts.tokens import HashTokenizer, Vocabulary


class Inputs:
    """Reads X for a learner: ``vectors``, ``images``, ``series`` or ``tokens``; standardises vectors and series.

    Attributes: `modality`; `shape` of one row as the network sees it (images as ``(channels, h, w)``, tokens as
    ``(length, vocabulary)``); `tokenizer`, by default of hashed words; `center` and `scale` of standardisation, None when
    there is none.
    """

    def __init__(
        self,
        owner: Any,
        standardize: bool = True,
        tokenizer: HashTokenizer | SubwordTokenizer | Vocabulary | None = None,
    ) -> None:
        self.owner, self.standardize = owner, standardize
        self.modality, self.of_bytes = "vectors", False
        self.shape: tuple[int, ...] = (0,)
        self.center: NDArray[np.float32] | None = None
        self.scale: NDArray[np.float32] | None = None
        self.texts_only = tokenizer is not None
        self.tokenizer = HashTokenizer() if tokenizer is None else tokenizer

    def fit(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Learn modality, shape and scale from X and return the rows."""
        check_texts(X)
        self.modality = modality_of(X)
        if self.texts_only and self.modality != "tokens":
            raise InputError(f"X holds {self.modality}, but this net reads texts. Give a list of texts, one a row.")
        rows = self._rows(X, reset=True, y=y)
        self.of_bytes = rows.dtype == np.uint8
        self.shape = (*rows.shape[1:], self.tokenizer.vocabulary) if self.modality == "tokens" else rows.shape[1:]
        if self.standardize and self.modality in ("vectors", "series"):
            axes = (0,) if self.modality == "vectors" else (0, 2)
            self.center, self.scale = (part.astype(np.float32) for part in centre_and_scale(rows, axes))
        return self._standardized(rows)

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the rows of new data; raise `InputError` when modality or shape differ from those of fit."""
        check_texts(X)
        found = modality_of(X)
        if found != self.modality:
            raise InputError(f"X holds {found}, but {type(self.owner).__name__} was fitted on {self.modality}.")
        rows = self._rows(X, reset=False)
        if self.modality in ("images", "series") and rows.shape[1:] != tuple(self.shape):
            raise InputError(
                f"X has rows of shape {rows.shape[1:]}, but {type(self.owner).__name__} was fitted on {tuple(self.shape)}."
            )
        return self._standardized(rows)

    def _rows(self, X: Any, reset: bool, y: Any = None) -> NDArray[Any]:
        if self.modality == "tokens":
            return self.tokenizer(list(X))
        if self.modality == "images":
            return _channels_first(np.asarray(X))
        if self.modality == "series":
            return _finite(single_precision(X))
        if reset and y is None:
            validate_data(self.owner, X, None)  # raises the standard message for a missing y
        rows = validate_data(self.owner, X, dtype=np.float32, reset=reset, order="C")
        return np.asarray(rows)

    def _standardized(self, rows: NDArray[Any]) -> NDArray[Any]:
        if self.center is None or self.scale is None:
            return rows
        rows = rows - self.center
        rows /= self.scale
        return rows


def modality_of(X: Any) -> str:
    """Return ``tokens`` for texts, ``images`` for 4-D, ``series`` for 3-D arrays, else ``vectors``."""
    if isinstance(X, (list, tuple)) and X and all(isinstance(text, str) for text in X):
        return "tokens"
    if (
        getattr(X, "ndim", None) == 1
        and len(X)
        and isinstance(X[0] if isinstance(X, np.ndarray) else next(iter(X)), str)
    ):
        return "tokens"
    return {3: "series", 4: "images"}.get(getattr(X, "ndim", 2), "vectors")


def check_texts(X: Any) -> None:
    """Raise `InputError` for a list that begins with texts and goes on with something else."""
    if not isinstance(X, (list, tuple)) or not X or not isinstance(X[0], str):
        return
    wrong = next((row for row, text in enumerate(X) if not isinstance(text, str)), None)
    if wrong is not None:
        raise InputError(f"X holds texts, but row {wrong} is {X[wrong]!r}. Give every row a text; '' is one.")


def _channels_first(images: NDArray[Any]) -> NDArray[Any]:
    if images.dtype != np.uint8:
        images = _finite(single_precision(images))
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def single_precision(X: Any) -> NDArray[np.float32]:
    """Return single precision; what is too large for it becomes infinite, and is then refused by `_finite`."""
    array = np.asarray(X)
    if array.dtype.kind == "c":
        raise InputError("Complex data not supported: X must hold real numbers.")
    if 0 in array.shape:
        raise InputError(f"X is empty: it has shape {array.shape}, where at least 1 is required in every dimension.")
    try:
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"X must hold numbers, but {array.dtype} cannot be read as such ({error}).") from error


def _finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
    if bad.any():
        raise InputError(
            "Input X contains NaN, infinity or a value too large for single precision, first in row "
            f"{int(bad.argmax())}. Impute or drop such rows."
        )
    return values
