"""Kernel ridge regression with exact leave-one-out scores: a quick model for asking "what if the labels were other ones".

The scores are linear in the labels, and one decomposition serves every label matrix and every penalty. So hundreds of
simulated labellings cost two matrix products each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LANDMARKS = 300
"""Rows that span the functions; all rows where there are no more."""
WIDTHS = (0.25, 0.5, 1.0, 2.0)
"""Widths of the kernel that are tried, in units of the root median square of the distance between rows."""
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Penalties that are tried; the kernel of a row with itself is 1."""
CONSTANT = 10.0
"""Value of the column that carries the offset: so large that its penalty does not matter."""
CLOSE = 1e-6
"""Least share of its leverage that a row must leave to the others."""


def squared_distances(A: Floats, B: Floats) -> Floats:
    """Return squared Euclidean distances of rows, (n, m)."""
    own, other = np.einsum("ij,ij->i", A, A), np.einsum("ij,ij->i", B, B)
    result: Floats = np.maximum(own[:, None] + other - 2 * (A @ B.T), 0)
    return result


def kernel_features(distances: Floats, among: Floats, width: float) -> Floats:
    """Return features (n, D) whose inner products are a Gaussian kernel's, as far as the landmarks span it (Nyström).

    Parameters
    ----------
    distances
        Squared distances of the rows to the landmarks (n, m).
    among
        Those among the landmarks (m, m).
    width
        Standard deviation of the kernel.
    """
    values, axes = np.linalg.eigh(np.exp(among.astype(np.float64) / (-2 * width**2)))
    kept = values > 1e-6 * values[-1]
    turn = (axes[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    phi = np.exp(distances / np.float32(-2 * width**2)) @ turn
    return np.column_stack([phi, np.full(len(phi), CONSTANT, dtype=np.float32)])


class Ridge:
    """Weighted ridge regression on features `phi` (n, D), for all `PENALTIES` at once.

    Parameters
    ----------
    phi
        Features, also of rows that do not train.
    weight
        Weight of every row in training (n,); 0 leaves it out, by default all are 1.

    Examples
    --------
    >>> phi, y = np.array([[1.0], [1], [1]], dtype=np.float32), np.array([[0.0], [1], [9]])
    >>> Ridge(phi, np.array([1.0, 1, 0])).scores(y, 0).round(2).ravel()  # row 2 trains nothing
    array([0.99, 0.  , 0.5 ], dtype=float32)
    """

    def __init__(self, phi: Floats, weight: NDArray[np.floating] | None = None) -> None:
        self.weight = np.ones(len(phi), np.float32) if weight is None else weight.astype(np.float32)
        gram = (phi * self.weight[:, None]).T @ phi
        values, axes = np.linalg.eigh(gram.astype(np.float64))
        self.turned: Floats = phi @ axes.astype(np.float32)
        self.shrunk = [(1 / (values.clip(0) + penalty)).astype(np.float32) for penalty in PENALTIES]

    def leverage(self, choice: int) -> Floats:
        """Return how much each row's own label counts in its prediction (n,)."""
        own: Floats = self.weight * ((self.turned**2) @ self.shrunk[choice])
        return np.minimum(own, 1 - CLOSE)

    def fitted(self, Y: NDArray[np.floating], choice: int) -> Floats:
        """Return predictions of all rows (n, K) from all training rows."""
        weighted = self.weight[:, None] * Y.astype(np.float32, copy=False)
        result: Floats = self.turned @ (self.shrunk[choice][:, None] * (self.turned.T @ weighted))
        return result

    def scores(self, Y: NDArray[np.floating], choice: int) -> Floats:
        """Return predictions of all rows (n, K), each from the training rows other than itself."""
        h = self.leverage(choice)[:, None]
        left: Floats = (self.fitted(Y, choice) - h * Y.astype(np.float32, copy=False)) / (1 - h)
        return left

    def tuned(self, Y: NDArray[np.floating], judged: NDArray[np.bool_] | None = None) -> tuple[int, float]:
        """Return the penalty (its number) with the least squared error on training rows left out, and that error.

        With `judged` (n,) only these rows count.
        """
        weight = self.weight if judged is None else self.weight * judged
        errors = [self._error(self.scores(Y, choice), Y, weight) for choice in range(len(PENALTIES))]
        best = int(np.argmin(errors))
        return best, errors[best]

    @staticmethod
    def _error(scores: Floats, Y: NDArray[np.floating], weight: NDArray[np.floating]) -> float:
        return float(np.average(((scores - Y) ** 2).sum(1), weights=weight))


class Choice(NamedTuple):
    """Features of the best kernel for some targets, its penalty's number and its squared error on rows left out."""

    phi: Floats
    penalty: int
    error: float


def best_features(
    Z: Floats, Y: NDArray[np.floating], rng: np.random.Generator, *, weight: NDArray[np.floating] | None = None,
    judged: NDArray[np.bool_] | None = None, landmarks: int = LANDMARKS,
) -> Choice:  # fmt: skip
    """Return the kernel features of rows `Z` (n, d) on which ridge regression predicts `Y` (n, K) best.

    Rows train with `weight` (n,), by default 1; what is best is told by the rows `judged` (n,), by default all that train.
    """
    usable = np.arange(len(Z)) if weight is None else np.flatnonzero(weight > 0)
    chosen = rng.permutation(usable)[:landmarks]
    distances = squared_distances(Z, Z[chosen])
    among = distances[chosen]
    scale = float(np.sqrt(np.median(among[~np.eye(len(among), dtype=bool)]))) if len(among) > 1 else 1.0
    found = []
    for width in WIDTHS:
        phi = kernel_features(distances, among, max(width * scale, 1e-6))
        found.append(Choice(phi, *Ridge(phi, weight).tuned(Y, judged)))
    return min(found, key=lambda choice: choice.error)
