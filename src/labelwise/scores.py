"""How good predictions are, with intervals: what a run reports of its chosen method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_recall_fscore_support, r2_score

from labelwise.parts import calibration_measures as measures

Numbers = NDArray[np.floating[Any]]
Codes = NDArray[np.integer[Any]]
BINS = 10


def classification_scores(
    y: Codes, proba: Numbers, *, draws: int = 200, level: float = 0.9, seed: int = 0
) -> dict[str, Any]:
    """Return accuracy, balanced accuracy, macro F1, log loss and calibration error with bootstrap intervals over rows.

    Parameters
    ----------
    y
        Class codes ``(n,)``.
    proba
        Probabilities ``(n, K)``.
    draws, level, seed
        Bootstrap samples, level of the interval, and seed.
    """
    metrics: dict[str, Callable[[Codes, Numbers], float]] = {
        "accuracy": lambda t, p: float((p.argmax(1) == t).mean()),
        "balanced accuracy": _balanced_accuracy,
        "macro F1": lambda t, p: float(f1_score(t, p.argmax(1), average="macro", zero_division=0)),
        "log loss": lambda t, p: float(measures.log_loss_values(t, p).mean()),
        "calibration error": calibration_error,
    }
    return _with_intervals(metrics, y, proba, draws, level, seed)


def regression_scores(
    y: Numbers, prediction: Numbers, *, draws: int = 200, level: float = 0.9, seed: int = 0
) -> dict[str, Any]:
    """Return R2 and the mean absolute error with bootstrap intervals over rows."""
    metrics: dict[str, Callable[[Any, Any], float]] = {
        "R2": lambda t, p: float(r2_score(t, p)),
        "mean absolute error": lambda t, p: float(np.abs(t - p).mean()),
    }
    return _with_intervals(metrics, y, prediction, draws, level, seed)


def _with_intervals(metrics: dict[str, Any], y: Any, p: Any, draws: int, level: float, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    samples = [rng.integers(len(y), size=len(y)) for _ in range(draws)]
    tails = [50 * (1 - level), 50 * (1 + level)]
    out = {}
    for name, metric in metrics.items():
        low, high = np.percentile([metric(y[rows], p[rows]) for rows in samples], tails)
        out[name] = {"value": metric(y, p), "low": float(low), "high": float(high), "level": level}
    return out


def _balanced_accuracy(y: Codes, proba: Numbers) -> float:
    right = (proba.argmax(1) == y).astype(float)
    support = np.bincount(y, minlength=proba.shape[1])
    recall = np.bincount(y, right, minlength=proba.shape[1])[support > 0] / support[support > 0]
    return float(recall.mean())


def calibration_error(y: Codes, proba: Numbers) -> float:
    """Return the expected calibration error over ten bins of equal width: mean gap of confidence and accuracy."""
    return measures.calibration_error(y, proba, BINS)


def reliability(y: Codes, proba: Numbers) -> list[dict[str, float]]:
    """Return mean confidence, accuracy and count of each non-empty bin of confidence."""
    return measures.reliability(y, proba, BINS)


def per_class(y: Codes, proba: Numbers, classes: list[Any]) -> list[dict[str, Any]]:
    """Return precision, recall and support of every class."""
    precision, recall, _, support = precision_recall_fscore_support(
        y, proba.argmax(1), labels=np.arange(len(classes)), zero_division=0
    )
    return [
        {"class": str(name), "precision": float(p), "recall": float(r), "support": int(s)}
        for name, p, r, s in zip(classes, precision, recall, support, strict=True)
    ]
