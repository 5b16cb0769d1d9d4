"""The nearest labelled rows of a class: what argues for a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labelwise.diagnostics.linear import scaled

if TYPE_CHECKING:
    from labelwise.job import Understood

SAME_KIND = 10.0
"""Columns whose spreads differ less than this (first to last decile) are taken to be of one kind."""
BLOCK = 16_384
"""Rows whose distances are taken at a time: none of the class is left out, and no copy of all its rows is made."""


class Near:
    """Exact neighbours within a class, by the same distances as the audit's.

    Parameters
    ----------
    data
        Encoded rows and their classes; unlabelled and test rows are nobody's neighbours.
    """

    def __init__(self, data: Understood) -> None:
        X = np.asarray(data.X).reshape(len(data.X), -1).astype(np.float32, copy=False)
        self._codes = np.asarray(data.targets.codes)
        self._classes = [str(name) for name in np.asarray(data.targets.classes).tolist()]
        self._cosine = _one_kind(X)
        self._features = X if self._cosine else scaled(X)
        spread = 0.0 if self._cosine else float(self._features.var(axis=0, dtype=np.float64).sum())
        self._scale = 2 * spread if spread > 0 else 2.0

    def of_class(self, row: int, label: str, k: int) -> list[tuple[int, float]]:
        """Return the `k` nearest rows of a class with their similarity, nearest first; the row itself is left out.

        The similarity is the cosine of embeddings; of tables ``1 - d^2 / (2 V)`` with V the total variance, which is the
        cosine of rows of usual length. Below 0 it is 0.
        """
        if label not in self._classes:
            return []
        rows = np.flatnonzero(self._codes == self._classes.index(label))
        rows = rows[rows != row]
        distance = self._distances(row, rows)
        best = np.argsort(distance, kind="stable")[:k] if len(rows) <= BLOCK else _smallest(distance, k)
        return [(int(rows[i]), float(np.clip(1 - distance[i] / self._scale, 0, 1))) for i in best]

    def _distances(self, row: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return squared distances of a row from others."""
        own = self._placed(np.array([row]))[0]
        found = np.empty(len(rows))
        for start in range(0, len(rows), BLOCK):
            block = self._placed(rows[start : start + BLOCK])
            found[start : start + BLOCK] = np.square(block - own).sum(axis=1, dtype=np.float64)
        return found

    def _placed(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return where rows lie: embeddings at unit length, tables as they are."""
        Z = self._features[rows]
        if not self._cosine:
            return Z
        norm = np.linalg.norm(Z, axis=1, keepdims=True)
        unit: NDArray[np.float32] = np.divide(Z, norm, out=np.zeros_like(Z), where=norm > 0)
        return unit


def _one_kind(X: NDArray[np.float32]) -> bool:
    """Say whether columns are of one kind, as those of embeddings are; `labelwise.audit.study` asks this too.

    The audit itself would cost a review some seconds to import.
    """
    spread = X.std(axis=0, dtype=np.float64)
    kept = spread[spread > 0]
    return bool(len(kept) > 16 and np.quantile(kept, 0.9) < SAME_KIND * np.quantile(kept, 0.1))


def _smallest(values: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    k = min(k, len(values))
    few = np.argpartition(values, k - 1)[:k]
    return few[np.argsort(values[few], kind="stable")]
