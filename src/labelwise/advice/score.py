r"""How good predictions are, higher is better: the metric of a race, also where the labels that score are wrong.

Scoring against noisy labels
----------------------------
Let ``T[i, j] = P(given label j | true class i)``, and let the noise depend on the true class only. For a model that has
not seen the row, prediction and given label are then independent given the true class, so that the joint table of
predictions and given labels is ``Q = M T`` where ``M[p, i] = P(predicted p, true i)``. Hence ``M = Q inv(T)``: accuracy
against the true classes is the trace of ``M``, that is, the mean over rows of ``inv(T)[given, predicted]``. Without
noise these values are 0 and 1. With noise some are above one and some below zero: the mean stays unbiased (clip it for
showing, not for averaging), and its variance grows by up to the square of the norm of ``inv(T)``. The correction cannot
create evidence; it removes the favour that raw accuracy shows to methods which repeat the noise. Other metrics are read
from ``M`` with its negative entries set to zero. Log loss instead compares ``proba T`` with the given label, which is
best at the true probabilities (forward correction, Patrini et al. 2017, CVPR).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.advice import several
from labelwise.base import InputError

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]
Function = Callable[[Any, Floats, Floats | None], float]
RowFunction = Callable[[Any, Floats, Floats | None], Floats]

LOPSIDED = 0.8
"""Classes whose shares have less than this entropy, as a part of the greatest possible, are scored by recall."""

WORST_CONDITION = 50.0
"""A noise matrix that is nearer to singular than this is not inverted: the variance would drown every difference."""


@dataclass(frozen=True)
class Metric:
    """A score of predictions, higher is better; losses carry a minus sign.

    Parameters
    ----------
    name
        One of `METRICS`.
    function
        Of given codes (b,), probabilities (b, K) and the noise matrix or None; for real targets of values and
        predictions; for several labels of labels (b, L), -1 unknown, and probabilities.
    row_function
        Of the same arguments: a value a row, (b,), whose mean is the score. Where the score is no mean of rows, these are
        its linear part in each row (its influence), which is what its chance error is made of.
    share
        Whether it is a share of rows, which people read in percentage points.
    noise_matrix
        P(given label | true class), rows true, or None to take the labels as they are.

    Examples
    --------
    >>> proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> choose("accuracy")(np.array([0, 1, 1]), proba).__round__(3)
    0.667
    """

    name: str
    function: Function
    row_function: RowFunction
    share: bool = True
    noise_matrix: Floats | None = None

    def __call__(self, y: Any, prediction: Floats) -> float:
        """Return the score of predictions `prediction` of the targets `y`."""
        return float(self.function(y, prediction, self.noise_matrix))

    def rows(self, y: Any, prediction: Floats) -> NDArray[np.float64]:
        """Return a value a row, (b,), whose mean is the score.

        >>> proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> choose("balanced accuracy").rows(np.array([0, 1, 1]), proba)
        array([1.5 , 0.75, 0.  ])
        """
        return np.asarray(self.row_function(y, prediction, self.noise_matrix), dtype=np.float64)

    @property
    def corrected(self) -> bool:
        """Whether scores are corrected for noise in the labels that score."""
        return self.noise_matrix is not None


def _margins(y: Ints, proba: Floats, noise: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Return, a class, the rows predicted right, those predicted as it, and those of it; corrected for noise."""
    k, predicted = proba.shape[1], proba.argmax(axis=1)
    if noise is None:  # without the (K, K) table: K may be large
        hits = np.bincount(y[predicted == y], minlength=k).astype(np.float64)
        return hits, np.bincount(predicted, minlength=k) * 1.0, np.bincount(y, minlength=k) * 1.0
    counts = np.bincount(predicted * k + y, minlength=k * k).reshape(k, k)
    joint = np.clip(counts @ np.linalg.inv(noise), 0, None)
    return joint.diagonal(), joint.sum(axis=1), joint.sum(axis=0)


def right(y: Ints, proba: Floats, noise: Floats | None = None) -> Floats:
    """Return 1 where a row is predicted right, else 0; with `noise`, an unbiased estimate of it for the true class."""
    predicted = proba.argmax(axis=1)
    if noise is None:
        return np.asarray(predicted == y, dtype=np.float64)
    return np.asarray(np.linalg.inv(noise)[y, predicted])


def accuracy(y: Ints, proba: Floats, noise: Floats | None = None) -> float:
    """Return the share of rows predicted right; with `noise`, its unbiased estimate for the true classes."""
    return float(right(y, proba, noise).mean())


def balanced_accuracy(y: Ints, proba: Floats, noise: Floats | None = None) -> float:
    """Return the mean over classes of the share of their rows that are predicted right."""
    hits, _, true = _margins(y, proba, noise)
    return float(np.mean(hits[true > 0] / true[true > 0]))


def _recall_rows(y: Ints, proba: Floats, noise: Floats | None = None) -> Floats:
    """Return the linear part of each row in `balanced_accuracy`: without noise, what it adds to its class's recall."""
    hits, _, true = _margins(y, proba, noise)
    kept = true > 0
    if noise is None:
        return np.asarray(right(y, proba) * len(y) / (kept.sum() * true[y]))
    back = np.linalg.inv(noise)[y]
    hit = back * (proba.argmax(axis=1)[:, None] == np.arange(proba.shape[1]))
    slope = (hit[:, kept] - hits[kept] / true[kept] * back[:, kept]) / true[kept]
    return _around(balanced_accuracy(y, proba, noise), len(y) * slope.mean(axis=1))


def _f1_rows(y: Ints, proba: Floats, noise: Floats | None = None) -> Floats:
    """Return the linear part of each row in `macro_f1`."""
    hits, predicted, true = _margins(y, proba, noise)
    sizes, named, rows = predicted + true, proba.argmax(axis=1), np.arange(len(y))
    per_hit = np.divide(2, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    per_size = -hits * per_hit**2 / 2
    if noise is None:
        slope = per_hit[y] * (named == y) + per_size[y] + per_size[named]
    else:
        back = np.linalg.inv(noise)[y]
        slope = per_hit[named] * back[rows, named] + back @ per_size + per_size[named]
    return _around(macro_f1(y, proba, noise), len(y) * slope / (sizes > 0).sum())


def _around(score: float, linear: Floats) -> Floats:
    return np.asarray(score + linear - linear.mean())


def macro_f1(y: Ints, proba: Floats, noise: Floats | None = None) -> float:
    """Return the mean over classes of the harmonic mean of precision and recall; absent classes do not count."""
    hits, predicted, true = _margins(y, proba, noise)
    sizes = predicted + true
    return float(np.mean(2 * hits[sizes > 0] / sizes[sizes > 0]))


def _log_rows(y: Ints, proba: Floats, noise: Floats | None = None) -> Floats:
    given = proba if noise is None else proba @ noise
    return np.asarray(np.log(np.clip(given[np.arange(len(y)), y], 1e-7, 1)), dtype=np.float64)


def log_loss(y: Ints, proba: Floats, noise: Floats | None = None) -> float:
    """Return minus the mean negative log probability of the label, at most 16.1 a row (a probability of 1e-7)."""
    return float(_log_rows(y, proba, noise).mean())


def _explained_rows(y: Floats, prediction: Floats, _: Floats | None = None) -> Floats:
    y, prediction = y.reshape(len(y), -1), prediction.reshape(len(y), -1)
    error, spread = (y - prediction) ** 2, y.var(axis=0)
    return np.asarray(np.where(spread > 0, 1 - error / np.where(spread > 0, spread, 1), 0).mean(axis=1))


def r2(y: Floats, prediction: Floats, _: Floats | None = None) -> float:
    """Return the share of variance explained, the mean over targets; constant targets count 0."""
    return float(_explained_rows(y, prediction).mean())


def _absolute_rows(y: Floats, prediction: Floats, _: Floats | None = None) -> Floats:
    return np.asarray(-np.abs(y.reshape(len(y), -1) - prediction.reshape(len(y), -1)).mean(axis=1))


def mean_absolute_error(y: Floats, prediction: Floats, _: Floats | None = None) -> float:
    """Return minus the mean absolute error."""
    return float(_absolute_rows(y, prediction).mean())


CLASS_METRICS = {
    "accuracy": Metric("accuracy", accuracy, right),
    "balanced accuracy": Metric("balanced accuracy", balanced_accuracy, _recall_rows),
    "macro F1": Metric("macro F1", macro_f1, _f1_rows, share=False),
    "log loss": Metric("log loss", log_loss, _log_rows, share=False),
}
REAL_METRICS = {
    "R2": Metric("R2", r2, _explained_rows, share=False),
    "MAE": Metric("MAE", mean_absolute_error, _absolute_rows, share=False),
}


LABEL_METRICS = {
    "mAP": Metric("mAP", several.mean_average_precision, several.average_precision_rows, share=False),
    "macro F1": Metric("macro F1", several.macro_f1, several.f1_rows, share=False),
    "log loss": Metric("log loss", several.log_loss, several.log_rows, share=False),
}
METRICS = {"classes": CLASS_METRICS, "real": REAL_METRICS, "multilabel": LABEL_METRICS}
"""Metrics by the kind of the targets."""
_WORDS = {"classes": "classes", "real": "real targets", "multilabel": "several labels a row"}


def choose(metric: str, counts: ArrayLike | None = None, kind: str = "classes") -> Metric:
    """Return the metric of that name for targets of a kind; ``auto`` chooses by the class counts.

    ``auto`` is R2 for real targets, the mean average precision (mAP) for several labels a row, balanced accuracy where
    classes are lopsided (entropy of their shares below `LOPSIDED` of the greatest possible: two classes at 25 to 75 are
    just not), else accuracy.

    Examples
    --------
    >>> choose("auto", [50, 60]).name, choose("auto", [5, 95]).name
    ('accuracy', 'balanced accuracy')
    """
    if metric == "auto":
        return _by_counts(counts) if kind == "classes" else METRICS[kind]["R2" if kind == "real" else "mAP"]
    known = METRICS[kind]
    if metric not in known:
        what = _WORDS[kind]
        raise InputError(f"metric must be 'auto' or, for {what}, one of {', '.join(known)}. Got {metric!r}.")
    return known[metric]


def _by_counts(counts: ArrayLike | None) -> Metric:
    found = np.asarray([1] if counts is None else counts, dtype=np.float64)
    share = found[found > 0] / found.sum()
    evenness = 1.0 if len(share) < 2 else float(-(share * np.log(share)).sum() / np.log(len(share)))
    return CLASS_METRICS["accuracy" if evenness >= LOPSIDED else "balanced accuracy"]


def corrected(metric: Metric, noise_matrix: ArrayLike, n_classes: int) -> Metric:
    """Return `metric` corrected by `noise_matrix`, P(given | true) with true classes as rows.

    A matrix that is too near to singular is not used: the metric comes back as it was.

    Raises
    ------
    InputError
        If the matrix is not ``(K, K)`` with rows that are probabilities.

    Examples
    --------
    >>> noisy = corrected(choose("accuracy"), [[0.8, 0.2], [0.2, 0.8]], 2)
    >>> always_right = np.eye(2)[[0, 1] * 50]
    >>> given = np.array([0, 1] * 40 + [1, 0] * 10)  # a fifth of the labels is wrong
    >>> round(noisy(given, always_right), 3)
    1.0
    """
    matrix = np.asarray(noise_matrix, dtype=np.float64)
    if matrix.shape != (n_classes, n_classes):
        raise InputError(f"noise_matrix must have shape ({n_classes}, {n_classes}). Got {matrix.shape}.")
    bad = np.flatnonzero((matrix < 0).any(axis=1) | (np.abs(matrix.sum(axis=1) - 1) > 1e-3))
    if len(bad):
        raise InputError(
            f"noise_matrix must hold P(given label | true class), true classes as rows that sum to 1. Row {bad[0]} is "
            f"{matrix[bad[0]].tolist()}."
        )
    usable = np.linalg.cond(matrix) <= WORST_CONDITION
    return replace(metric, noise_matrix=matrix) if usable else metric
