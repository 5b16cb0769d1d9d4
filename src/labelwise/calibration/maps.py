"""Maps from scores to calibrated probabilities, fitted by maximum likelihood of true labels, or of given ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize
from scipy.special import log_softmax, softmax

from labelwise.base import InputError
from labelwise.parts.calibration_measures import Codes, Doubles, read_proba

Kind = Literal["proba", "logits"]

SHARPEST, SOFTEST = 1e3, 1e-3
"""Largest and smallest factor on logits."""
SEARCH_ROWS = 20_000
"""Most rows that starting points are compared on, where the likelihood may have several peaks."""
RIDGE = 1e-6
"""Pull of weights towards the temperature and of biases towards 0: only differences of biases matter."""


@dataclass(frozen=True, eq=False)
class ScoreMap:
    """``softmax(W z + b)``: `weight` W is a number, one number a class ``(K,)``, or a matrix ``(K, K)``."""

    weight: Doubles
    bias: Doubles

    def __call__(self, logits: Doubles) -> Doubles:
        """Return probabilities ``(n, K)``."""
        return np.asarray(softmax(_mapped(self.weight, self.bias, logits), axis=1))


def _mapped(weight: Doubles, bias: Doubles, z: Doubles) -> Doubles:
    return np.asarray((z @ weight.T if weight.ndim == 2 else z * weight) + bias)


def kind_of(scores: ArrayLike) -> Kind:
    """Say whether scores ``(n, K)`` are probabilities (rows from 0 to 1 that sum to one) or logits."""
    try:
        read_proba(scores, "scores")
    except InputError:
        return "logits"
    return "proba"


def read_logits(scores: ArrayLike, kind: Kind, floor: float | None = None) -> tuple[Doubles, float]:
    """Return log-probabilities in float64 whatever the dtype of `scores`, and what a probability of zero counts as.

    Logits are normalised: a constant added to a row, which means nothing, then changes no map.

    Raises
    ------
    InputError
        For another shape than (n, K), K >= 2, for NaN or infinite logits, and for rows that are no probabilities.
    """
    if kind == "proba":
        proba = read_proba(scores, "scores").astype(np.float64)
        low = max(float(proba[proba > 0].min()) / 2, 1e-300) if floor is None else floor
        return np.log(np.maximum(proba, low)), low
    z = np.asarray(scores)
    if z.ndim != 2 or z.shape[1] < 2 or len(z) == 0 or z.dtype.kind not in "fiu":
        raise InputError(
            f"scores must be logits or probabilities of shape (n, K), K >= 2. Got {z.dtype} of shape {z.shape}."
            + (" For two classes and one margin s a row pass the columns [0, s]." if z.ndim == 1 else "")
        )
    bad = ~np.isfinite(z).all(1)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"scores: row {row} is {z[row][:8].tolist()}. Logits must be finite: clip them, or drop the row."
        )
    return np.asarray(log_softmax(z.astype(np.float64), axis=1)), 0.0


class Likelihood:
    """Mean ``-log P(given label)`` of mapped scores, and its slope.

    With a noise matrix T, ``P(given i) = sum_j T_ij p_j`` (forward correction), so that p is fitted to the true classes.
    """

    def __init__(self, z: Doubles, y: Codes, noise: Doubles | None = None) -> None:
        self.z, self.y, self.rows = z, y, np.arange(len(y))
        self.given = None if noise is None else noise[y]

    def part(self, rows: NDArray[Any] | slice) -> Likelihood:
        """Return the likelihood of some of the rows."""
        part = Likelihood(self.z[rows], self.y[rows])
        part.given = None if self.given is None else self.given[rows]
        return part

    def __call__(self, weight: Doubles, bias: Doubles) -> tuple[float, Doubles]:
        """Return the value and its gradient with respect to the mapped logits ``(n, K)``."""
        logs = log_softmax(_mapped(weight, bias, self.z), axis=1)
        p = np.exp(logs)
        if self.given is None:
            value = -logs[self.rows, self.y].mean()
            p[self.rows, self.y] -= 1
            return float(value), p / len(p)
        joint = self.given * p
        total = np.maximum(joint.sum(1, keepdims=True), 1e-300)
        return float(-np.log(total).mean()), (p - joint / total) / len(p)

    def slope(self, factor: float) -> float:
        """Return the derivative with respect to one factor on all logits."""
        if self.given is not None:
            return float(np.einsum("ij,ij->", self(np.array(factor), np.zeros(1))[1], self.z))
        weights = np.exp(factor * self.below)
        expected = np.einsum("ij,ij->i", weights, self.below) / weights.sum(1)
        return float((expected - self.below[self.rows, self.y]).mean())

    @cached_property
    def below(self) -> Doubles:
        """Logits less the largest of their row: their exponentials are at most 1, and 1 somewhere."""
        return np.asarray(self.z - self.z.max(1, keepdims=True))


def fit_temperature(likelihood: Likelihood) -> float:
    """Return the factor on the logits (1 / temperature) of the greatest likelihood, to machine precision.

    Without noise the likelihood has one peak; with it, the best of a grid of starting points is refined.
    """
    low, high = np.log(SOFTEST), np.log(SHARPEST)
    step = max(1, len(likelihood.y) // SEARCH_ROWS)
    part = likelihood.part(slice(None, None, step))
    if likelihood.given is None and step > 1:  # a bracket from a part of the rows saves passes over all of them
        near = np.log(fit_temperature(part))
        sides = [likelihood.slope(np.exp(end)) for end in (near - 0.1, near + 0.1)]
        low, high = (near - 0.1 if sides[0] < 0 else low), (near + 0.1 if sides[1] > 0 else high)
    elif likelihood.given is not None:
        grid = np.linspace(low, high, 56)
        best = int(np.argmin([part(np.array(np.exp(t)), np.zeros(1))[0] for t in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    if likelihood.slope(np.exp(low)) >= 0:
        return float(np.exp(low))
    if likelihood.slope(np.exp(high)) <= 0:
        return float(np.exp(high))
    return float(np.exp(brentq(lambda t: likelihood.slope(np.exp(t)), low, high, xtol=1e-12)))


def fit_weights(likelihood: Likelihood, *, full: bool, strength: float = 0.0) -> ScoreMap:
    """Return the map of greatest penalised likelihood with a weight and bias a class, or with a full matrix.

    The penalty is ``strength`` times the mean squared off-diagonal weight plus the mean squared bias (ODIR).
    """
    n_classes = likelihood.z.shape[1]
    off = 1 - np.eye(n_classes)
    factor = fit_temperature(likelihood)
    start_weight = factor * (np.eye(n_classes) if full else np.ones(n_classes))
    cut = start_weight.size

    def objective(flat: Doubles) -> tuple[float, Doubles]:
        weight, bias = flat[:cut].reshape(start_weight.shape), flat[cut:]
        value, g = likelihood(weight, bias)
        by_weight = g.T @ likelihood.z if full else (g * likelihood.z).sum(0)
        moved = weight - start_weight
        value += RIDGE / 2 * float((moved**2).sum() + bias @ bias) + strength * float(bias @ bias) / n_classes
        by_weight, by_bias = by_weight + RIDGE * moved, g.sum(0) + (RIDGE + 2 * strength / n_classes) * bias
        if full:
            value += strength * float((off * weight**2).sum()) / off.sum()
            by_weight = by_weight + 2 * strength * off * weight / off.sum()
        return value, np.concatenate([by_weight.ravel(), by_bias])

    start: Doubles = np.concatenate([start_weight.ravel(), np.zeros(n_classes)]).astype(np.float64)
    best = minimize(
        objective, start, jac=True, method="L-BFGS-B",
        options={"maxiter": 3000, "maxfun": 6000, "ftol": 1e-14, "gtol": 1e-9},
    ).x  # fmt: skip
    return ScoreMap(best[:cut].reshape(start_weight.shape), best[cut:])
