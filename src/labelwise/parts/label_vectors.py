"""A vector for every label: given as numbers, by name, or as texts with something that encodes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from labelwise.base import InputError

Doubles = npt.NDArray[np.float64]


def label_vectors(given: Any, encoder: Any = None, name: str = "class_vectors") -> tuple[Doubles, list[Any] | None]:
    """Read label vectors, and the labels' names where they are given by name.

    Parameters
    ----------
    given
        (N, p) numbers, one row a label; or N texts, one a label; or a mapping from label to its vector or text.
    encoder
        Makes vectors of texts: a function of a list of texts, or an object with ``encode`` or ``transform``.
    name
        What the argument is called, for messages.

    Returns
    -------
    (N, p) finite vectors, and N names or None.

    Raises
    ------
    InputError
        When they are not numbers, a label's vector is not finite, or texts come without an encoder.

    Examples
    --------
    >>> label_vectors({"cat": [1, 0], "dog": [1, 1]})
    (array([[1., 0.],
           [1., 1.]]), ['cat', 'dog'])
    >>> label_vectors(["cat", "horse"], encoder=lambda texts: [[len(text)] for text in texts])[0].tolist()
    [[3.0], [5.0]]
    """
    names = list(given) if isinstance(given, Mapping) else None
    rows = list(given.values()) if isinstance(given, Mapping) else given
    if _are_texts(rows):
        rows = _encoded(list(rows), encoder, name)
    dense = rows.toarray() if hasattr(rows, "toarray") else rows
    try:
        vectors = np.asarray(dense, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be numbers of shape (N, p), one row a label, or texts. {error}") from None
    if vectors.ndim != 2 or not vectors.size:
        raise InputError(f"{name} must be numbers of shape (N, p), one row a label. Got shape {vectors.shape}.")
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(f"{name} must be finite. Row {row}{'' if names is None else f' ({names[row]!r})'} is not.")
    return vectors, names


def _are_texts(rows: Any) -> bool:
    return isinstance(rows, list | tuple | np.ndarray) and len(rows) > 0 and isinstance(rows[0], str)


def _encoded(texts: list[str], encoder: Any, name: str) -> Any:
    work: Callable[[list[str]], Any] | None = next(
        (found for found in (getattr(encoder, "encode", None), getattr(encoder, "transform", None)) if found), encoder
    )
    if not callable(work):
        raise InputError(
            f"{name} are texts: give encoder=, a function of a list of texts or a fitted transformer, that makes vectors "
            f"of them. Got encoder={encoder!r}."
        )
    vectors = work(texts)
    n_rows = vectors.shape[0] if hasattr(vectors, "shape") else len(vectors)
    if n_rows != len(texts):
        raise InputError(f"encoder must return one vector a text. Got {n_rows} for {len(texts)} texts.")
    return vectors
