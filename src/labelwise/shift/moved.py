"""How did rows without labels move: other class shares, or other inputs? A mixture of the source's classes, fitted twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from labelwise.supervision.beside import moderate

Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]

AXES, STEPS, PRIOR_ROWS = 32, 60, 5.0
"""Most axes looked at; passes of the fit; rows that the source's shares count for."""
EVIDENCE, LEAST = 2.0, 0.25
"""A move is believed when the likelihood gains so many times what chance explains, and at least so much a row."""


@dataclass(frozen=True)
class Shape:
    """What labelled source rows look like: a diagonal Gaussian a class, after the spread within classes is made round."""

    middle: Doubles
    axes: Doubles
    centres: Doubles
    variances: Doubles
    counts: Doubles

    @property
    def prior(self) -> Doubles:
        """Class shares, none of them zero."""
        return np.asarray((self.counts + 1) / (self.counts + 1).sum())

    @classmethod
    def of(cls, Z: Doubles, codes: Codes, n_classes: int) -> Shape:
        """Describe rows `Z` (n, d) of classes `codes` (n,)."""
        middle = moderate(Z, "X").mean(axis=0)
        _, lengths, axes = np.linalg.svd(Z - middle, full_matrices=False)
        kept = (lengths > 1e-6 * lengths.max(initial=1e-12)) & (
            np.arange(len(lengths)) < min(AXES, max(1, len(Z) // 10))
        )
        axes = axes[kept].T
        scores = (Z - middle) @ axes
        centres = _means(scores, codes, n_classes)
        within = scores - centres[codes]
        spread = within.T @ within / len(within)
        spread = (
            0.9 * spread + 0.1 * np.diag(np.diag(spread)) + 1e-9 * np.trace(spread) / len(spread) * np.eye(len(spread))
        )
        values, vectors = np.linalg.eigh(spread)
        white = vectors / np.sqrt(np.maximum(values, 1e-12))
        centres, within = centres @ white, within @ white
        counts = np.bincount(codes, minlength=n_classes)
        variances = (_means(within**2, codes, n_classes) * counts[:, None] + 10) / (counts[:, None] + 10)
        return cls(middle, axes @ white, centres, variances, counts.astype(np.float64))

    def scores(self, Z: Doubles) -> Doubles:
        """Return rows along the round axes, (n, axes)."""
        return np.asarray((Z - self.middle) @ self.axes)


class Move(NamedTuple):
    """What was found: class shares `prior` (K,), and whether the inputs `moved` beyond what shares explain.

    `gain` is the log-likelihood a row gains by a move, `needed` what it must gain to be believed.
    """

    prior: Doubles
    gain: float
    needed: float

    @property
    def moved(self) -> bool:
        """Whether a move of the inputs is believed."""
        return self.gain > self.needed

    @property
    def suspicious(self) -> bool:
        """Whether a move, however small, is more than chance."""
        return self.gain > self.needed - LEAST


def find_move(shape: Shape, Z: Doubles) -> Move:
    """Fit rows by other class shares alone, and by other shares with all classes moved by one offset and one factor.

    The second model always fits better. It is believed when it fits better by more than `EVIDENCE` times what its parameters
    gain by chance (as the Bayesian information criterion counts them), and what it gains because the source's own centres
    are known from few rows only: a window of one class shows the whole error of that class's centre.
    """
    z, still = shape.scores(Z), np.zeros(shape.centres.shape[1])
    alone = _fit(shape, z, still, moving=False)
    starts = [still, z.mean(axis=0) - shape.prior @ shape.centres]
    together = max((_fit(shape, z, start, moving=True) for start in starts), key=lambda fitted: fitted[1])
    blur = len(still) * (alone[0] ** 2 / (shape.counts + 1)).sum()
    needed = LEAST + EVIDENCE * ((len(still) + 1) * np.log(len(z)) / (2 * len(z)) + blur)
    gain = together[1] - alone[1]
    return Move(together[0] if gain > needed else alone[0], float(gain), float(needed))


def _fit(shape: Shape, z: Doubles, offset: Doubles, *, moving: bool) -> tuple[Doubles, float]:
    """Return class shares and the mean log-likelihood of a row."""
    prior, factor, value = shape.prior, 1.0, -np.inf
    for _ in range(STEPS):
        logs = _log_densities(shape, z - offset, factor) + np.log(prior)
        top = logs.max(axis=1, keepdims=True)
        weight = np.exp(logs - top)
        total = weight.sum(axis=1, keepdims=True)
        before, value = value, float((top + np.log(total)).mean())
        if value - before < 1e-6:
            break
        weight /= total
        prior = (weight.sum(axis=0) + PRIOR_ROWS * shape.prior) / (len(z) + PRIOR_ROWS)
        if moving:
            offset, factor = _moved(shape, z, weight)
    return prior, value


def _log_densities(shape: Shape, z: Doubles, factor: float) -> Doubles:
    precision = 1 / (factor * shape.variances)
    square = (z**2) @ precision.T - 2 * z @ (precision * shape.centres).T + (precision * shape.centres**2).sum(axis=1)
    return np.asarray((np.log(precision).sum(axis=1) - square) / 2)


def _moved(shape: Shape, z: Doubles, weight: Doubles) -> tuple[Doubles, float]:
    """Return the offset and the factor of the variances that fit best, given how much each row is of each class."""
    precision = weight @ (1 / shape.variances)
    offset = ((precision * z) - weight @ (shape.centres / shape.variances)).sum(axis=0) / precision.sum(axis=0)
    moved = z - offset
    square = (moved**2 * precision).sum() - 2 * (moved * (weight @ (shape.centres / shape.variances))).sum()
    square += (weight @ (shape.centres**2 / shape.variances)).sum()
    return offset, float(np.clip(square / z.size, 0.25, 4))


def _means(values: Doubles, codes: Codes, n_classes: int) -> Doubles:
    """Return the mean of each class, (K, d); of a class without rows, that of all."""
    member = np.eye(n_classes)[codes]
    counts = member.sum(axis=0)[:, None]
    return np.asarray(np.where(counts > 0, member.T @ values / np.maximum(counts, 1), values.mean(axis=0)))
