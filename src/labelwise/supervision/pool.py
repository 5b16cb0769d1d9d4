"""An unlabelled pool given beside the labelled rows: checked, and put behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from labelwise.base import UNLABELED, InputError
from labelwise.supervision.classes import encode_classes
from labelwise.supervision.reading import infer
from labelwise.supervision.targets import Kind, Targets

AnyArray = NDArray[Any]


def with_pool(X: Any, y: Any, pool: Any) -> tuple[Any, AnyArray]:
    """Return the rows of `X` and behind them those of `pool`, and labels with None for every row without one.

    Parameters
    ----------
    X
        Rows as any method takes them: an array, a sparse matrix, a data frame or a list of texts.
    y
        Labels of `X`; some may be missing.
    pool
        Rows of the same kind, with the same columns or shape.

    Raises
    ------
    InputError
        If the pool is empty, has other features than `X`, or holds numbers that are not finite (which rows are named).
    """
    n_pool = int(np.shape(pool)[0]) if np.ndim(pool) or sparse.issparse(pool) or hasattr(pool, "shape") else 0
    if n_pool == 0:
        raise InputError("pool has no rows. Give unlabelled rows, or leave pool out.")
    rows = _behind(X, pool)
    classes, codes = encode_classes(y)
    labels = np.full(len(codes) + n_pool, None, dtype=object)
    labels[: len(codes)][codes != UNLABELED] = classes[codes[codes != UNLABELED]].tolist()
    return rows, labels


def _behind(X: Any, pool: Any) -> Any:
    """Stack two sets of rows of the same kind."""
    if sparse.issparse(X) or sparse.issparse(pool):
        _check_shapes(X.shape, pool.shape)
        return sparse.vstack([sparse.csr_matrix(X), sparse.csr_matrix(pool)])
    if hasattr(X, "columns"):
        _check_columns(X, pool)
        return np.concatenate([_finite(np.asarray(X), "X"), _finite(np.asarray(pool[list(X.columns)]), "pool")])
    if isinstance(X, list) and X and isinstance(X[0], str):
        return [*X, *_texts(pool)]
    above, below = np.asarray(X), np.asarray(pool)
    _check_shapes(above.shape, below.shape)
    return np.concatenate([above, _finite(below, "pool")])


def _check_shapes(X: tuple[int, ...], pool: tuple[int, ...]) -> None:
    if X[1:] != pool[1:]:
        raise InputError(
            f"pool has rows of shape {pool[1:]}, but those of X have {X[1:]}. Give the same features in the same order."
        )


def _check_columns(X: Any, pool: Any) -> None:
    if not hasattr(pool, "columns"):
        raise InputError(f"X is a data frame but pool is a {type(pool).__name__}. Give a data frame with its columns.")
    missing = [str(name) for name in X.columns if name not in pool.columns]
    if missing:
        raise InputError(f"pool lacks the columns {missing[:5]} of X. Give the same features.")


def _texts(pool: Any) -> list[str]:
    texts = list(pool)
    wrong = next((row for row, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise InputError(f"pool row {wrong} is {texts[wrong]!r}, but X holds texts. Give one text a row.")
    return texts


def _finite(rows: AnyArray, name: str) -> AnyArray:
    if rows.dtype.kind != "f":
        return rows
    bad = np.flatnonzero(~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1))
    if len(bad):
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise InputError(
            f"{name} holds NaN or infinity in rows {bad[:5].tolist()}{more}. Fill the gaps or leave those rows out."
        )
    return rows


def check_every_class(y: Any) -> None:
    """Refuse categorical labels some of whose categories have no row: that class could never be predicted.

    Raises
    ------
    InputError
        Naming the categories, and how many rows are labelled.
    """
    categories = getattr(getattr(y, "dtype", None), "categories", None)
    if categories is None or not hasattr(categories, "__len__"):  # polars' Categorical shares its categories
        return
    labels = y.to_list() if hasattr(y, "to_list") else list(y)
    seen = {label for label in labels if label is not None and label == label}
    empty = [name for name in categories if name not in seen]
    if empty:
        labelled = sum(label is not None and label == label for label in labels)
        raise InputError(
            f"y has {len(categories)} categories but no labelled row of {empty[:5]} ({labelled} rows are labelled). "
            "Label at least one row of each, or drop the category."
        )


def targets_with_pool(targets: Targets, n: int) -> Targets:
    """Return the targets with `n` unlabelled rows behind them."""
    if targets.kind is Kind.REAL:
        values = targets.need("values")
        return infer(np.concatenate([values, np.full((n, *values.shape[1:]), np.nan)]), kind=Kind.REAL)
    codes = np.concatenate([targets.need("codes"), np.full(n, UNLABELED)])
    return replace(infer(codes, kind=Kind.CLASSES), classes=targets.classes, codes=codes)


def values_with_pool(values: Any, name: str, n: int) -> Any:
    """Return row-wise values with those of `n` pool rows: not trusted, a source of their own, each its own group."""
    if values is None:
        return None
    behind = {"trusted": [False] * n, "domains": ["pool"] * n, "groups": [f"pool row {i}" for i in range(n)]}[name]
    kind = bool if name == "trusted" else object
    return np.concatenate([np.asarray(values, dtype=kind), np.asarray(behind, dtype=kind)])
