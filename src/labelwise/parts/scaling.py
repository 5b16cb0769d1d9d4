"""Bias-corrected temperature scaling: the calibration that label shift estimation by likelihood needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Calibrated probabilities ``softmax(log p / temperature + bias)``.

    Parameters
    ----------
    temperature
        Above 1 softens, below 1 sharpens.
    bias
        (K,) added to the scaled logarithms.
    floor
        What a probability of zero counts as.
    """

    temperature: float
    bias: Doubles
    floor: float

    def __call__(self, proba: npt.ArrayLike) -> Floats:
        """Calibrate (n, K) probabilities; float32 stays float32."""
        array = np.asarray(proba)
        wide = array.astype(np.result_type(array.dtype, np.float32))  # float16 has no room for the floor
        logits = np.log(np.maximum(wide, self.floor))
        logits *= 1 / self.temperature
        logits += self.bias.astype(logits.dtype)
        calibrated: Floats = softmax(logits, axis=1)
        return calibrated


def fit_scaling(proba: npt.ArrayLike, codes: npt.ArrayLike, *, bias: bool = True) -> Scaling:
    """Fit a `Scaling` to held-out probabilities by maximum likelihood, in float64 whatever the dtype of `proba`.

    Parameters
    ----------
    proba
        (n, K) probabilities of rows the classifier was not trained on.
    codes
        (n,) their classes.
    bias
        Fit a bias a class (BCTS), so that the mean calibrated probabilities equal the class shares; otherwise only the
        temperature.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks. ICML 2017.
    Alexandari, Kundaje, Shrikumar: Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift
    adaptation. ICML 2020.

    Examples
    --------
    >>> over_confident = [[0.99, 0.01]] * 4 + [[0.01, 0.99]] * 4
    >>> scaling = fit_scaling(over_confident, [0, 0, 0, 1, 1, 1, 1, 0])
    >>> scaling(over_confident)[0].round(2)
    array([0.75, 0.25])
    """
    array, truth = np.asarray(proba, dtype=np.float64), np.asarray(codes, dtype=np.int64)
    floor = max(float(array[array > 0].min()) / 2, 1e-12)
    logits = np.log(np.maximum(array, floor))
    n_rows, n_classes = logits.shape
    rows = np.arange(n_rows)
    seen = logits[rows, truth].mean()
    shares = np.bincount(truth, minlength=n_classes) / n_rows

    def objective(parameters: Doubles) -> tuple[float, Doubles]:
        offset = parameters[1:] if bias else np.zeros(n_classes)
        logs = log_softmax(parameters[0] * logits + offset, axis=1)
        expected, ridge = np.exp(logs), 1e-6 * offset  # only differences of biases matter: keep them near zero
        value = float(-logs[rows, truth].mean() + ridge @ offset / 2)
        gradient = np.append((expected * logits).sum() / n_rows - seen, expected.mean(axis=0) - shares + ridge)
        return value, gradient[: len(parameters)]

    start = np.append(1.0, np.zeros(n_classes)) if bias else np.ones(1)
    bounds = [(1e-3, 1e3)] + [(-50.0, 50.0)] * (len(start) - 1)
    best = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-7}
    ).x
    return Scaling(float(1 / best[0]), best[1:] if bias else np.zeros(n_classes), floor)
