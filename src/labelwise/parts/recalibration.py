"""Scores of any classifier back to probabilities for the training rows' class shares: a few parameters, on held-out rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from scipy.stats import chi2

Doubles = NDArray[np.float64]

PULL = 1.0
"""Weight, in rows, of the pull of the logarithm of the scale, and of the other parameters of `Recalibration` towards 0."""
DOUBT = 1e-3
"""Level of the likelihood ratio test by which `bend` and `offset` must prove that they are needed."""
BOUNDS = ((-7.0, 7.0), (-10.0, 10.0))
"""Of both, for rows that could be told apart by any scale."""


class Recalibration(NamedTuple):
    """Posterior with classes as in training: ``softmax(scale z + bend softmax(z) + power log prior + offset)``.

    A loss that makes up for the class shares (balanced softmax, re-weighting, margins) takes the prior out of the scores,
    more or less of it; `power` gives back what is missing, `scale` is one over a temperature. `offset` (K,) is for single
    classes that the scores say too often or never, `bend` for scores that tell sure rows from surer ones less, or more,
    than unsure ones (Dice). Both stay 0 unless the held-out rows plainly cannot be explained without.
    """

    scale: float
    power: float
    prior: Doubles
    offset: Doubles | float = 0.0
    bend: float = 0.0

    def __call__(self, scores: ArrayLike) -> Doubles:
        """Return probabilities (n, K) of scores (n, K)."""
        z = np.asarray(scores, dtype=np.float64)
        shaped = self.scale * z + self.bend * softmax(z, axis=1)
        return np.asarray(softmax(shaped + self.power * np.log(self.prior) + self.offset, axis=1))

    @classmethod
    def fit(cls, scores: Doubles, y: NDArray[Any], shares: Doubles, weight: Doubles | None = None) -> Recalibration:
        """Return the map of least log loss on held-out rows, drawn a little to scale 1 and 0 for the rest.

        Parameters
        ----------
        scores
            Of held-out rows (n, K).
        y
            Their codes (n,).
        shares
            Class shares (K,) of the training rows, all above 0.
        weight
            Of rows (n,), so that they stand for the training rows' shares.
        """
        weight = np.ones(len(y)) if weight is None else weight
        weight = weight * len(y) / weight.sum()
        log_prior, rows, sure = np.log(shares), np.arange(len(y)), softmax(scores, axis=1)

        def loss(at: Doubles) -> tuple[float, Doubles]:
            scale = float(np.exp(at[0]))
            log_p = log_softmax(scale * scores + at[1] * log_prior + at[2] * sure + at[3:], axis=1)
            gap = weight[:, None] * np.exp(log_p)
            gap[rows, y] -= weight
            of_class = gap.sum(0)
            slope = np.array([scale * (gap * scores).sum(), of_class @ log_prior, (gap * sure).sum(), *of_class])
            slope += PULL * at
            return float(-(weight * log_p[rows, y]).sum() + PULL / 2 * (at**2).sum()), slope

        few = _least(loss, [*BOUNDS, *[(0.0, 0.0)] * (1 + len(shares))])
        all_ = _least(loss, [*BOUNDS, *[BOUNDS[1]] * (1 + len(shares))])
        needed = 2 * (few.fun - all_.fun) > chi2.isf(DOUBT, 1 + len(shares))
        best = (all_ if needed else few).x
        return cls(float(np.exp(best[0])), float(best[1]), shares, best[3:], float(best[2]))


def _least(loss: Any, bounds: list[tuple[float, float]]) -> Any:
    """Return the lower of two minima, from an ordinary scale and from a large one."""
    starts = [np.array([log_scale, *[0.0] * (len(bounds) - 1)]) for log_scale in (0.0, 2.5)]
    found = [minimize(loss, at, jac=True, method="L-BFGS-B", bounds=bounds) for at in starts]
    return min(found, key=lambda one: float(one.fun))
