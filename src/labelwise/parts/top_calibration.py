"""From the scores of a row's best labels to probabilities, learned on rows that were held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

Doubles = NDArray[np.float64]
RIDGE = 1e-3


@dataclass(frozen=True)
class TopCalibration:
    """``sigmoid(own s + beside (s - logsumexp of the row's scores) + shift)``: the order of a row never changes.

    The second term reads how far a label stands out among the row's candidates, which is all that scores of a softmax say.

    Parameters
    ----------
    own, beside
        Slopes, >= 0 and not both 0.
    shift
        Any number.
    scale
        Scores are divided by it first, > 0.
    """

    own: float = 1.0
    beside: float = 0.0
    shift: float = 0.0
    scale: float = 1.0

    def __call__(self, scores: ArrayLike) -> Doubles:
        """Return the probabilities of the best labels of each row, ``(n, k)``; of a score of -inf it is 0."""
        s = np.asarray(scores, dtype=np.float64) / self.scale
        away = s - logsumexp(s, axis=1, keepdims=True) if self.beside else np.zeros_like(s)
        own = self.own * s if self.own else np.zeros_like(s)
        return np.asarray(np.where(np.isneginf(s), 0.0, expit(own + self.beside * away + self.shift)))


def fit_top_calibration(scores: ArrayLike, right: ArrayLike) -> TopCalibration:
    """Fit to the scores ``(m, k)`` of the best labels of held-out rows, and to which of them are right, by likelihood.

    Places without a label have score -inf.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scores = -np.sort(-rng.normal(size=(2000, 3)), axis=1)
    >>> found = fit_top_calibration(scores, rng.random(scores.shape) < expit(2 * scores - 1))
    >>> round(found.own / found.scale, 1), round(found.shift, 1)
    (2.0, -1.0)
    """
    s, hit = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    held = np.isfinite(s)
    if not held.any():
        return TopCalibration()
    scale = float(np.abs(s[held]).mean()) or 1.0
    x = s / scale
    away = (x - logsumexp(x, axis=1, keepdims=True))[held]
    columns, target = np.stack([x[held], away, np.ones(held.sum())], 1), hit[held]
    share = (target.sum() + 1) / (len(target) + 2)
    start = np.array([1.0, 0.0, np.log(share / (1 - share))])
    found = minimize(
        _loss, start, (columns, target), jac=True, method="L-BFGS-B", bounds=[(0, None)] * 2 + [(None, None)]
    )
    own, beside, shift = (float(value) for value in found.x)
    if own + beside == 0:  # scores that say nothing keep their order all the same
        own = 1e-6
    return TopCalibration(own, beside, shift, scale)


def _loss(w: Doubles, columns: Doubles, target: NDArray[np.bool_]) -> tuple[float, Any]:
    logits = columns @ w
    value = np.logaddexp(0, logits).mean() - logits[target].sum() / len(target) + RIDGE / len(target) * (w @ w)
    return float(value), columns.T @ (expit(logits) - target) / len(target) + 2 * RIDGE / len(target) * w
