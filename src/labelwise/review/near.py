"""The nearest labelled rows of a class: what argues for a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from labelwise.job import Understood

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
        from labelwise.audit.audit import make_study

        self._study = make_study(data.X, data.targets)
        self._codes = self._study.codes
        self._classes = [str(name) for name in self._study.classes]
        self._cosine = self._study.features is self._study.X
        spread = self._study.features.var(axis=0, dtype=np.float64).sum()
        self._scale = 2.0 if self._cosine or spread <= 0 else 2.0 * float(spread)

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
        own = self._study.unit_features(np.array([row]))[0].astype(np.float64)
        found = np.empty(len(rows))
        for start in range(0, len(rows), BLOCK):
            block = self._study.unit_features(rows[start : start + BLOCK])
            found[start : start + BLOCK] = np.square(block - own.astype(np.float32)).sum(axis=1, dtype=np.float64)
        return found


def _smallest(values: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    k = min(k, len(values))
    few = np.argpartition(values, k - 1)[:k]
    return few[np.argsort(values[few], kind="stable")]
