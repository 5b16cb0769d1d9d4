"""How good predictions are, with intervals: what a run reports of its chosen method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.metrics import precision_recall_fscore_support, r2_score

from labelwise.parts import calibration_measures as measures
from labelwise.parts import multilabel_measures
from labelwise.parts.class_counts import SHOTS, class_shots
from labelwise.parts.label_density import value_shots

Numbers = NDArray[np.floating[Any]]
Codes = NDArray[np.integer[Any]]
BINS = 10
LONG = 3.0
"""The largest class, in multiples of the smallest, from which scores are told for many, medium and few rows apart."""
SHIFTED = frozenset({"mAP"})
"""Scores that rows drawn twice raise, as two equal rows are ranked alike: the interval is moved back to the score."""
MOST_CELLS = 2e7
"""Label entries that all bootstrap draws together look at."""


def classification_scores(
    y: Codes, proba: Numbers, decision: Numbers | None = None, *, draws: int = 200, level: float = 0.9, seed: int = 0
) -> dict[str, Any]:
    """Return accuracy, balanced accuracy, macro F1, log loss and calibration error with bootstrap intervals over rows.

    Parameters
    ----------
    y
        Class codes ``(n,)``.
    proba
        Probabilities ``(n, K)``.
    decision
        Largest at the class that is predicted, ``(n, K)``; None: the most probable one.
    draws, level, seed
        Bootstrap samples, level of the interval, and seed.
    """
    rows = _ClassRows(y, proba, proba if decision is None else decision)
    rng = np.random.default_rng(seed)
    drawn = [rows.scores(np.bincount(rng.integers(len(y), size=len(y)), minlength=len(y))) for _ in range(draws)]
    once = rows.scores(np.ones(len(y)))
    return {name: _interval(value, [scores[name] for scores in drawn], level) for name, value in once.items()}


class _ClassRows:
    """What each row adds to the scores of classes, so that rows drawn anew are counted and no row is copied."""

    def __init__(self, y: Codes, proba: Numbers, decision: Numbers) -> None:
        self.y, self.said, self.n_classes = y, decision.argmax(1), proba.shape[1]
        self.hit = self.said == y
        self.loss = measures.log_loss_values(y, proba)
        self.confidence, self.right = measures.top(y, proba)
        self.place = measures.width_places(self.confidence, BINS)

    def scores(self, times: NDArray[Any]) -> dict[str, float]:
        """Return the scores of a sample that holds each row so many `times` ``(n,)``."""
        n, kinds = times.sum(), self.n_classes
        hits = np.bincount(self.y, times * self.hit, minlength=kinds)
        support, said = (np.bincount(codes, times, minlength=kinds) for codes in (self.y, self.said))
        recall, named = hits[support > 0] / support[support > 0], support + said > 0
        parts = times, times * self.confidence, times * self.right
        bins = [np.bincount(self.place, part, minlength=BINS).astype(np.float64) for part in parts]
        return {
            "accuracy": float(hits.sum() / n),
            "balanced accuracy": float(recall.mean()),
            "macro F1": float((2 * hits[named] / (support + said)[named]).mean()),
            "log loss": float((times * self.loss).sum() / n),
            "calibration error": float(measures.ece(measures.Bins(*bins))),
        }


def regression_scores(
    y: Numbers, prediction: Numbers, *, draws: int = 200, level: float = 0.9, seed: int = 0
) -> dict[str, Any]:
    """Return R2 and the mean absolute error with bootstrap intervals over rows."""
    metrics: dict[str, Callable[[Any, Any], float]] = {
        "R2": lambda t, p: float(r2_score(t, p)),
        "mean absolute error": lambda t, p: float(np.abs(t - p).mean()),
    }
    return _with_intervals(metrics, (y, prediction), draws, level, seed)


def label_scores(
    y: Codes, proba: Numbers, decision: Numbers | None = None, *, draws: int = 200, level: float = 0.9, seed: int = 0
) -> dict[str, Any]:
    """Return mAP, macro and micro F1, log loss and calibration error of several labels a row, with bootstrap intervals.

    Parameters
    ----------
    y
        Labels ``(n, L)``: 1 yes, 0 no, -1 unknown, which counts on no side.
    proba
        Probabilities ``(n, L)``.
    decision
        Exceeds one half where a label is said, ``(n, L)``; None: the probabilities.
    draws, level, seed
        As in `classification_scores`; large tables are drawn less often.
    """
    metrics: dict[str, Callable[[Codes, Numbers, Numbers], float]] = {
        "mAP": lambda t, p, d: mean_average_precision(t, p),
        "macro F1": lambda t, p, d: multilabel_measures.f1(d > 0.5, t)["macro"],
        "micro F1": lambda t, p, d: multilabel_measures.f1(d > 0.5, t)["micro"],
        "log loss": lambda t, p, d: float(-np.log(np.clip(np.where(t == 1, p, 1 - p), 1e-7, 1))[t >= 0].mean()),
        "calibration error": lambda t, p, d: _entry_calibration(t[t >= 0], p[t >= 0]),
    }
    draws = int(np.clip(MOST_CELLS / y.size, 20, draws))
    return _with_intervals(metrics, (y, proba, proba if decision is None else decision), draws, level, seed)


def mean_average_precision(y: Codes, proba: Numbers) -> float:
    """Return the mean over labels of the average precision; 0 where no label has a known positive and negative."""
    each = multilabel_measures.average_precision(proba, y)
    return float(np.nanmean(each)) if np.isfinite(each).any() else 0.0


def _entry_calibration(y: Codes, p: Numbers) -> float:
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(place, p - y, minlength=BINS)).sum() / max(1, len(y)))


def class_tail(y: Codes, decision: Numbers, counts: ArrayLike, level: float = 0.9) -> dict[str, Any] | None:
    """Return the mean recall of classes with many, medium and few training rows; None where classes are about equal.

    Parameters
    ----------
    y, decision
        Codes ``(n,)`` of the rows that score, and what is largest at the predicted class ``(n, K)``.
    counts
        Training rows of each class ``(K,)``.
    level
        Of the intervals, which are of the rows that score.
    """
    right = (decision.argmax(1) == y).astype(np.float64)
    support = np.bincount(y, minlength=decision.shape[1])
    return _tail("recall", np.bincount(y, right, minlength=decision.shape[1]), support, counts, level)


def label_tail(y: Codes, decision: Numbers, counts: ArrayLike, level: float = 0.9) -> dict[str, Any] | None:
    """Return the mean recall of labels with many, medium and few training rows, said where `decision` exceeds 1/2."""
    found = ((decision > 0.5) & (y == 1)).sum(0)
    return _tail("recall", found, (y == 1).sum(0), counts, level)


def _tail(measure: str, hits: Any, support: Any, counts: ArrayLike, level: float) -> dict[str, Any] | None:
    n = np.asarray(counts, dtype=np.float64)
    if len(n) < 2 or not n.any() or n.max() < LONG * max(1.0, n[n > 0].min()):
        return None
    shots, seen = class_shots(n), support > 0
    smooth = (hits + 0.5) / (support + 1)  # a class without an error still has an interval
    error, z = smooth * (1 - smooth) / np.maximum(support, 1), norm.ppf(0.5 + level / 2)
    parts = []
    for code, name in enumerate(SHOTS):
        inside = (shots == code) & seen
        if inside.any():
            value = float((hits[inside] / support[inside]).mean())
            half = float(z * np.sqrt(error[inside].sum()) / inside.sum())
            ends = {"low": max(0.0, value - half), "high": min(1.0, value + half), "level": level}
            sizes = {"classes": int(inside.sum()), "from": int(n[inside].min()), "to": int(n[inside].max())}
            parts.append({"part": name, "value": value, **ends, **sizes, "rows": int(support[inside].sum())})
    return {"measure": measure, "parts": parts} if len(parts) > 1 else None


def real_tail(y: Numbers, prediction: Numbers, trained: Numbers, level: float = 0.9) -> dict[str, Any] | None:
    """Return the mean absolute error where training targets are many, medium and few; None where they are about even.

    Parameters
    ----------
    y, prediction
        Targets and predictions ``(n,)`` of the rows that score.
    trained
        Targets of the training rows.
    level
        Of the intervals.
    """
    if len(np.unique(trained)) < 2:
        return None
    shots, error, z = value_shots(trained, y), np.abs(y - prediction), norm.ppf(0.5 + level / 2)
    parts = []
    for code, name in enumerate(SHOTS):
        inside = error[shots == code]
        if len(inside) > 1:
            value, half = float(inside.mean()), float(z * inside.std(ddof=1) / np.sqrt(len(inside)))
            ends = {"low": max(0.0, value - half), "high": value + half, "level": level}
            parts.append({"part": name, "value": value, **ends, "rows": len(inside)})
    return {"measure": "mean absolute error", "parts": parts} if len(parts) > 1 else None


def _with_intervals(
    metrics: dict[str, Any], given: tuple[Any, ...], draws: int, level: float, seed: int
) -> dict[str, Any]:
    """Return each metric of `given`, row by row, with its interval over rows drawn anew."""
    n, rng, drawn = len(given[0]), np.random.default_rng(seed), dict[str, list[float]]()
    for _ in range(draws):
        rows = rng.integers(n, size=n)
        sample = [part[rows] for part in given]
        for name, metric in metrics.items():
            drawn.setdefault(name, []).append(metric(*sample))
    return {name: _interval(metric(*given), drawn[name], level, name in SHIFTED) for name, metric in metrics.items()}


def _interval(value: float, drawn: list[float], level: float, shifted: bool = False) -> dict[str, float]:
    """Return a score with its interval from those of rows drawn anew, moved back to the score where it is `shifted`."""
    low, high = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    if shifted:
        moved = value - np.median(drawn)
        low, high = np.clip([low + moved, high + moved], 0, 1)
    return {"value": value, "low": float(low), "high": float(high), "level": level}


def calibration_error(y: Codes, proba: Numbers) -> float:
    """Return the expected calibration error over ten bins of equal width: mean gap of confidence and accuracy."""
    return measures.calibration_error(y, proba, BINS)


def reliability(y: Codes, proba: Numbers) -> list[dict[str, float]]:
    """Return mean confidence, accuracy and count of each non-empty bin of confidence."""
    return measures.reliability(y, proba, BINS)


def per_label(y: Codes, decision: Numbers, labels: list[Any]) -> list[dict[str, Any]]:
    """Return precision, recall and support of every label, said where `decision` ``(n, L)`` exceeds one half."""
    said, true = (decision > 0.5) & (y >= 0), y == 1
    hits, named, support = (said & true).sum(0), said.sum(0), true.sum(0)
    return [
        {"class": str(name), "precision": float(h / max(1, p)), "recall": float(h / max(1, s)), "support": int(s)}
        for name, h, p, s in zip(labels, hits, named, support, strict=True)
    ]


def per_class(y: Codes, decision: Numbers, classes: list[Any]) -> list[dict[str, Any]]:
    """Return precision, recall and support of every class; `decision` ``(n, K)`` is largest at the predicted one."""
    precision, recall, _, support = precision_recall_fscore_support(
        y, decision.argmax(1), labels=np.arange(len(classes)), zero_division=0
    )
    return [
        {"class": str(name), "precision": float(p), "recall": float(r), "support": int(s)}
        for name, p, r, s in zip(classes, precision, recall, support, strict=True)
    ]
