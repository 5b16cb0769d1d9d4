"""How the score grows with the number of labels, and what more labels would bring and cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labelwise.advice.score import CLASS_METRICS, REAL_METRICS
from labelwise.base import Estimate, InputError
from labelwise.parts.interval import spread
from labelwise.parts.learning_curves import error_at, power_law, resampled
from labelwise.parts.out_of_fold import stratified_folds
from labelwise.parts.threads import few_threads

Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Fit = Callable[[Any, Any], Any]
"""Fits on rows and labels and returns something with ``predict``."""

LEAST = 40
"""Fewest labels from which a curve is drawn."""
LEAST_NUMBERS = 24
"""Fewest labels of a part where targets are numbers: fewer predict worse than their mean, which no power law follows."""
TEST_FOLDS = 4
SIZES, REPEATS, FEWEST_REPEATS = 6, 8, 3
MOST_TRAIN, MOST_TEST, WIDEST = 12_000, 5_000, 256
TABLE = 64
"""Columns up to which a quick model is a forest: few columns are mostly measurements, many an embedding."""
DRAWS = 400
REACH = 10
"""Farthest that the curve is followed, in multiples of the labels there are."""
AHEAD = (1.25, 1.5, 2.0, 3.0, 4.0)
STEPS = (0.01, 0.02, 0.05)
"""Gains for which the labels needed are told."""


@dataclass
class Curve:
    """Scores ``(repeats, sizes)`` of models fitted on `sizes` labels, each repeat with rows of its own kept apart."""

    sizes: Rows
    scores: Doubles
    method: str


def learning_curve(
    X: NDArray[Any], y: NDArray[Any], *, real: bool, metric: str = "accuracy", baseline: tuple[str, Fit] | None = None,
    seconds: float = 10.0, label_cost: float | None = None, unlabelled: int = 0, seed: int = 0, level: float = 0.9,
) -> dict[str, Any]:  # fmt: skip
    """Measure the score at growing numbers of labels, fit a power law, and follow it to more labels.

    Parameters
    ----------
    X
        Rows ``(n, ...)``, all labelled.
    y
        Class codes or numbers ``(n,)``.
    real
        Whether `y` holds numbers.
    metric
        ``accuracy``, ``balanced accuracy``, ``macro F1`` or ``R2``; of another, accuracy or R2 is measured.
    baseline
        Name and fit of the model to measure; a quick model where it is None, takes too long or fails.
    seconds
        Time to spend, about; at least three repeats are made.
    label_cost
        Price of one label, to tell costs in.
    unlabelled
        Rows that wait for a label, told beside the curve.
    seed, level
        Seed of the draws; confidence of the intervals.

    Returns
    -------
    dict
        ``metric``, ``method``, ``labels``, ``now``, ``points`` (measured), ``projection`` (more labels), ``next`` (labels
        needed for one, two and five points more), with intervals; ready for JSON.

    Raises
    ------
    InputError
        With fewer than 40 labels or a single class.
    """
    y = np.asarray(y).reshape(len(y))
    if len(y) < LEAST or len(np.unique(y)) < 2:
        raise InputError(f"a learning curve needs {LEAST} labels and two values of y. Got {len(y)} labels.")
    known = REAL_METRICS if real else CLASS_METRICS
    name = metric if metric in ("accuracy", "balanced accuracy", "macro F1", "R2") and metric in known else ""
    name = name or ("R2" if real else "accuracy")
    score = _scorer(known[name], real, 0 if real else int(y.max()) + 1)
    with few_threads(X):
        curve = _measured(X, y, real, score, baseline, seconds, seed, balanced=name != "accuracy")
    told = _told(curve, len(y), label_cost, level, np.random.default_rng(seed))
    return {"metric": name, "method": curve.method, "unlabelled": unlabelled, "level": level, **told}


def _scorer(metric: Any, real: bool, n_classes: int) -> Callable[[Any, Any], float]:
    if real:
        return lambda truth, said: float(metric(truth, np.asarray(said, dtype=np.float64).reshape(len(truth))))
    return lambda truth, said: float(metric(truth, np.eye(n_classes, dtype=np.float32)[np.asarray(said, dtype=int)]))


def _measured(
    X: Any, y: Any, real: bool, score: Any, baseline: tuple[str, Fit] | None, seconds: float, seed: int, balanced: bool
) -> Curve:
    """Measure the baseline if a first repeat of it is quick enough and fails nowhere, else a quick model."""
    if baseline is not None:
        try:
            rest = np.random.default_rng(seed)
            return _repeats(
                X, y, real, score, *baseline, seconds, rest, until=time.monotonic() + seconds / FEWEST_REPEATS
            )
        except (
            TimeoutError,
            ValueError,
            ArithmeticError,
            RuntimeError,
        ):  # too slow, or more rows of a class are wanted
            pass
    flat = _narrow(X.reshape(len(X), -1), seed)
    quick = _quick(flat.shape[1], real, balanced, seed)
    return _repeats(flat, y, real, score, *quick, seconds, np.random.default_rng(seed))


def _narrow(X: NDArray[Any], seed: int) -> NDArray[Any]:
    wide = min(X.shape) > WIDEST
    return PCA(WIDEST, svd_solver="randomized", random_state=seed).fit_transform(X) if wide else X


def _quick(width: int, real: bool, balanced: bool, seed: int) -> tuple[str, Fit]:
    """Return a model that is fitted within seconds: trees for the few columns of a table, ridge for embeddings."""
    weights = {} if real else {"class_weight": "balanced" if balanced else None}
    if width <= TABLE:
        trees = ExtraTreesRegressor if real else ExtraTreesClassifier
        forest = trees(60, min_samples_leaf=2, random_state=seed, **weights)
        return "a small forest of trees", lambda X, y: forest.fit(X, y)
    alphas = np.geomspace(0.1, 1000, 5)
    ridge = RidgeCV(alphas) if real else RidgeClassifierCV(alphas, **weights)
    return "ridge regression", lambda X, y: make_pipeline(StandardScaler(), ridge).fit(X, y)


def _repeats(
    X: Any, y: Any, real: bool, score: Any, method: str, fit: Fit, seconds: float, rng: np.random.Generator,
    until: float = np.inf,
) -> Curve:  # fmt: skip
    """Return the curve of as many repeats as time allows, three at least; the first must end before `until`."""
    sizes = _sizes(len(y), LEAST_NUMBERS // 2 if real else len(np.unique(y)))
    scores: list[list[float]] = []
    start = time.monotonic()
    while len(scores) < FEWEST_REPEATS or (
        len(scores) < REPEATS and (time.monotonic() - start) * (1 + 1 / len(scores)) < seconds
    ):
        scores.append(_one(X, y, real, score, fit, sizes, rng, until))
        until = np.inf
    return Curve(sizes, np.array(scores), method)


def _sizes(n: int, kinds: int) -> Rows:
    most = min(int(n * (1 - 1 / TEST_FOLDS)), MOST_TRAIN)
    least = max(min(2 * kinds, most // 3), most // 24, 8)
    return np.unique(np.geomspace(least, most, SIZES).round()).astype(np.int64)


def _one(
    X: Any, y: Any, real: bool, score: Any, fit: Fit, sizes: Rows, rng: np.random.Generator, until: float
) -> list[float]:
    """Return the scores of one repeat; raise TimeoutError where time is up before its end."""
    fold = rng.permutation(len(y)) % TEST_FOLDS if real else stratified_folds(y, TEST_FOLDS, rng)
    test, train = rng.permutation(np.flatnonzero(fold == 0))[:MOST_TEST], rng.permutation(np.flatnonzero(fold != 0))
    scores = []
    for size in sizes:
        rows = train[:size]
        if not real and len(np.unique(y[rows])) < 2:
            rows = np.append(rows, train[y[train] != y[rows[0]]][:1])
        if time.monotonic() > until:
            raise TimeoutError
        scores.append(score(y[test], fit(X[rows], y[rows]).predict(X[test])))
    return scores


def _told(curve: Curve, n: int, label_cost: float | None, level: float, rng: np.random.Generator) -> dict[str, Any]:
    law, laws = _laws(curve, rng)
    share = 1 / TEST_FOLDS
    points = [
        {"labels": int(size), **_ends(resampled(values, share, level))}
        for size, values in zip(curve.sizes, curve.scores.T, strict=True)
    ]
    ahead = [{"labels": round(n * times), **_at(law, laws, n * times, level)} for times in (1.0, *AHEAD)]
    return {
        "labels": n, "repeats": len(curve.scores), "points": points, "now": _at(law, laws, n, level),
        "projection": ahead, "label_cost": label_cost,
        "next": [_needed(law, laws, n, step, label_cost, level) for step in STEPS],
        "law": dict(zip(("floor", "scale", "exponent"), map(float, law), strict=True)),
    }  # fmt: skip


def _laws(curve: Curve, rng: np.random.Generator) -> tuple[Doubles, Doubles]:
    """Return the power law of the mean curve, and those of bootstrap means.

    The means are spread wider by what repeats that share rows hide (Nadeau and Bengio 2003), and by what few repeats do not
    tell of their own spread (Student's t).
    """
    scores = curve.scores
    share = 1 / TEST_FOLDS
    picks = rng.integers(0, len(scores), (DRAWS, len(scores)))
    n = len(scores)
    few = np.sqrt(n / (n - 1)) * stats.t.ppf(0.95, n - 1) / stats.norm.ppf(0.95)
    wider = np.sqrt(1 + n * share / (1 - share)) * few
    mean = scores.mean(axis=0)
    draws = mean + wider * (scores[picks].mean(axis=1) - mean)
    kept = mean > 0 if (mean > 0).sum() >= 3 else np.ones(len(mean), bool)
    return power_law(curve.sizes[kept], 1 - mean[kept]), power_law(curve.sizes[kept], 1 - draws[:, kept])


def _ends(estimate: Estimate) -> dict[str, float]:
    return {"value": float(estimate.value), "low": float(estimate.low), "high": float(min(estimate.high, 1.0))}


def _at(law: Doubles, laws: Doubles, n: float, level: float) -> dict[str, float]:
    value, draws = float(1 - error_at(law, n)), 1 - error_at(laws, n)
    return _widened(value, draws, level)


def _widened(value: float, draws: Doubles, level: float) -> dict[str, float]:
    found = spread(value, draws, level)
    return {"value": value, "low": min(found.low, value), "high": max(found.high, value)}


def _needed(law: Doubles, laws: Doubles, n: int, step: float, label_cost: float | None, level: float) -> dict[str, Any]:
    """Return how many more labels a gain takes; None stands for more than ten times the labels there are."""
    tail = 50 * (1 - level)
    draws = np.array([_solve(one, n, step) for one in laws])
    low, high = np.percentile(draws, [tail, 100 - tail], method="nearest")
    value = _solve(law, n, step)
    found = {"value": value, "low": min(low, value), "high": max(high, value)}
    more = {name: float(np.ceil(end)) if np.isfinite(end) else None for name, end in found.items()}
    cost = None if label_cost is None else {k: None if v is None else v * label_cost for k, v in more.items()}
    return {"gain": step, "labels": more, "cost": cost}


def _solve(law: Doubles, n: int, step: float) -> float:
    """Return the labels beyond `n` at which the law's error is `step` lower, or infinity beyond its reach."""
    a, b, c = law
    left = float(error_at(law, n)) - step - a
    if left <= 0 or b <= 0:
        return np.inf
    more = (b / left) ** (1 / c) - n
    return float(more) if more <= (REACH - 1) * n else np.inf
