"""The noise matrix as one object: where it comes from, how sure it is, and what can be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from labelwise.base import InputError

Doubles = NDArray[np.float64]
WORST_CONDITION = 1e4
"""Largest condition number that is inverted: beyond it a rounding error of 1e-4 becomes a probability."""


def counted_interval(counts: Doubles, level: float = 0.9) -> tuple[Doubles, Doubles]:
    """Return the ends of the Jeffreys intervals of each column's shares, from counts ``(K, K)``."""
    total, tail = counts.sum(0), (1 - level) / 2
    low = np.where(counts > 0, beta.ppf(tail, counts + 0.5, total - counts + 0.5), 0.0)
    high = np.where(counts < total, beta.ppf(1 - tail, counts + 0.5, total - counts + 0.5), 1.0)
    return low, high


@dataclass(frozen=True, eq=False)
class NoiseMatrix:
    """``P(given i | true j)`` in ``[i, j]``: columns sum to 1.

    Parameters
    ----------
    matrix
        ``(K, K)``, non-negative, columns sum to 1.
    low, high
        Ends of the entries' intervals ``(K, K)`` at `level`; equal to the matrix where it is known.
    level
        Confidence of the intervals.

    Raises
    ------
    InputError
        If the matrix is not square, holds negative entries or a column that does not sum to 1.

    Examples
    --------
    >>> noise = NoiseMatrix.from_counts([[90, 0], [10, 50]])  # given in rows, true in columns
    >>> noise.matrix.round(2)
    array([[0.9, 0. ],
           [0.1, 1. ]])
    >>> noise.to_clean(noise.to_given([[0.3, 0.7]])).round(6)
    array([[0.3, 0.7]])
    """

    matrix: Doubles
    low: Doubles | None = None
    high: Doubles | None = None
    level: float = 0.9

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
            raise InputError(f"noise matrix must have shape (K, K) with K >= 2. Got {matrix.shape}.")
        wrong = (matrix < 0).any(0) | ~(np.abs(matrix.sum(0) - 1) < 1e-4)
        if wrong.any():
            column = int(np.argmax(wrong))
            found = f"Column {column} is {matrix[:, column].round(4).tolist()}"
            hint = " Its rows sum to 1: transpose it." if np.allclose(matrix.sum(1), 1) else ""
            raise InputError(
                f"noise matrix: column j must hold P(given i | true j) >= 0 and sum to 1. {found}, "
                f"sum {matrix[:, column].sum():.4g}.{hint}"
            )
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def from_counts(cls, counts: ArrayLike, level: float = 0.9) -> Self:
        """Return the shares of (given, true) counts ``(K, K)`` with Jeffreys intervals; a class never true stays right."""
        table = np.asarray(counts, dtype=np.float64)
        if table.ndim != 2 or table.shape[0] != table.shape[1] or (table < 0).any() or not np.isfinite(table).all():
            raise InputError(f"counts must be finite, non-negative numbers of shape (K, K). Got shape {table.shape}.")
        table = np.where((table.sum(0) > 0)[None], table, np.eye(len(table)))
        return cls(table / table.sum(0), *counted_interval(table, level), level)

    @classmethod
    def from_trusted(cls, given: ArrayLike, true: ArrayLike, n_classes: int, level: float = 0.9) -> Self:
        """Return the matrix counted on rows whose given and true codes ``(n,)`` are both known (0 .. K-1)."""
        pair = np.asarray(given, dtype=np.int64), np.asarray(true, dtype=np.int64)
        for name, codes in zip(("given", "true"), pair, strict=True):
            outside = (codes < 0) | (codes >= n_classes)
            if outside.any():
                row = int(np.argmax(outside))
                raise InputError(f"{name}: row {row} has code {codes[row]}, outside 0 .. {n_classes - 1}.")
        counts = np.bincount(pair[0] * n_classes + pair[1], minlength=n_classes**2).reshape(n_classes, n_classes)
        return cls.from_counts(counts, level)

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.matrix)

    def wrong_rate(self, prior: ArrayLike | None = None) -> float:
        """Return the share of wrong labels under the true class shares `prior` ``(K,)``, by default all equal."""
        shares = np.asarray(np.ones(self.n_classes) if prior is None else prior, dtype=np.float64)
        return float(1 - (self.matrix.diagonal() * shares).sum() / shares.sum())

    def inverse(self) -> Doubles:
        """Return the inverse ``(K, K)``.

        Raises
        ------
        InputError
            If the matrix cannot be inverted safely: two classes receive given labels in (nearly) the same shares.
        """
        condition = float(np.linalg.cond(self.matrix))
        if not condition < WORST_CONDITION:
            a, b = self._most_alike()
            raise InputError(
                f"noise matrix cannot be inverted (condition number {condition:.3g}, at most {WORST_CONDITION:g}): "
                f"given labels do not tell true class {a} from {b}. Merge these classes, or use a method that needs no "
                "inverse (forward correction, GCE)."
            )
        return np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)

    def to_given(self, proba: ArrayLike) -> Doubles:
        """Return the probabilities of given labels ``(n, K)`` that follow from those of true classes."""
        return np.asarray(np.asarray(proba, dtype=np.float64) @ self.matrix.T)

    def to_clean(self, proba: ArrayLike) -> Doubles:
        """Return probabilities of true classes ``(n, K)`` whose given labels would have `proba`, cut off at 0."""
        raw = np.clip(np.asarray(proba, dtype=np.float64) @ self.inverse().T, 0, None)
        total = raw.sum(1, keepdims=True)
        return np.where(total > 0, raw / np.where(total > 0, total, 1), 1 / self.n_classes)

    def posterior(self, proba: ArrayLike, given: ArrayLike) -> Doubles:
        """Return ``P(true | x, given label)`` ``(n, K)`` from ``P(true | x)`` and given codes ``(n,)``."""
        joint = np.asarray(proba, dtype=np.float64) * self.matrix[np.asarray(given)]
        total = joint.sum(1, keepdims=True)
        return np.where(total > 0, joint / np.where(total > 0, total, 1), np.asarray(proba))

    def _most_alike(self) -> tuple[int, int]:
        distance: Any = np.abs(self.matrix[:, :, None] - self.matrix[:, None, :]).sum(0)
        np.fill_diagonal(distance, np.inf)
        a, b = np.unravel_index(int(distance.argmin()), distance.shape)
        return int(a), int(b)
