"""What can be said of a model in another place without a label from there, for choosing between settings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labelwise.base import InputError
from labelwise.parts.threads import one_thread

Floats = NDArray[np.float64]


class SelectionScores(NamedTuple):
    """Scores of a fitted classifier, higher is better; none of them saw a label of the target.

    Attributes
    ----------
    source
        Accuracy on the source rows given. It says nothing of the target where the domains differ.
    weighted
        The same, source rows weighted by how much they look like target rows. Right under covariate shift with overlap;
        NaN for inputs that are no vectors.
    confidence
        Estimated accuracy on the target: the share of target rows more confident than the threshold that as many source
        rows exceed as are right (average thresholded confidence). Too high for a model that is sure of its mistakes.
    information
        Entropy of the mean prediction less the mean entropy on the target, over the log of the number of classes, in
        [0, 1]. Low for a model that puts all rows in one class; high for any that is sure and even-handed, right or not.
    """

    source: float
    weighted: float
    confidence: float
    information: float


def scores_without_labels(model: Any, X: Any, y: ArrayLike, X_target: Any) -> SelectionScores:
    """Score a fitted classifier for another place without labels from there.

    No such score is safe: a method can move features so that all four rise while the accuracy there falls (they trust the
    model's own confidence, or the source). The table in the claims of shift says how much accuracy each of them lost
    against an oracle. A few labelled target rows are the better judge.

    Parameters
    ----------
    model
        A fitted classifier with ``predict_proba`` and ``classes_``.
    X, y
        Source rows that were not trained on, and their labels, all known.
    X_target
        Target rows.

    References
    ----------
    Garg et al., Leveraging Unlabeled Data to Predict Out-of-Distribution Performance, ICLR 2022 (confidence). Sugiyama,
    Krauledat and Müller, Covariate Shift Adaptation by Importance Weighted Cross Validation, JMLR 2007 (weighted).
    Musgrave, Belongie and Lim, Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain
    Adaptation, 2022 (information).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X[::2], y[::2])
    >>> scores = scores_without_labels(model, X[1::2], y[1::2], X[1::2] + 0.1)
    >>> bool(scores.confidence > 0.8)
    True
    """
    codes = _codes(model, y)
    here, there = np.asarray(model.predict_proba(X)), np.asarray(model.predict_proba(X_target))
    if len(here) != len(codes) or not len(here) or not len(there):
        raise InputError(
            f"X, y and X_target must have rows, X and y as many. Got {len(here)}, {len(codes)}, {len(there)}."
        )
    right = here.argmax(axis=1) == codes
    return SelectionScores(
        float(right.mean()), weighted_accuracy(right, X, X_target), thresholded_confidence(here, right, there),
        information(there),
    )  # fmt: skip


def _codes(model: Any, y: ArrayLike) -> NDArray[np.int64]:
    labels, classes = np.asarray(y), np.asarray(model.classes_)
    strange = np.flatnonzero(~np.isin(labels, classes))
    if strange.size:
        raise InputError(
            f"y must hold classes of the model, {classes.tolist()[:10]}. Got {labels[strange[0]]!r} in row {strange[0]}: "
            "leave rows without a label out."
        )
    return np.asarray(np.argmax(labels[:, None] == classes[None], axis=1))


def weighted_accuracy(right: NDArray[np.bool_], X: Any, X_target: Any) -> float:
    """Return the mean of `right`, rows weighted by ``p(target | x) / p(source | x)``, at most ten times the mean weight."""
    if np.ndim(X) != 2 or len(X) < 2 or len(X_target) < 2:
        return float("nan")
    both, side = np.concatenate([X, X_target]), np.repeat([0, 1], [len(X), len(X_target)])
    with one_thread():
        judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500, class_weight="balanced"))
        there = judge.fit(both, side).predict_proba(X)[:, 1]
    ratio = there / np.maximum(1 - there, 1e-12)
    ratio = np.minimum(ratio, 10 * ratio.mean())
    return float(ratio @ right / ratio.sum())


def thresholded_confidence(here: Floats, right: NDArray[np.bool_], there: Floats) -> float:
    """Return the share of target rows as confident as the source rows that are right, see `SelectionScores`."""
    sure = np.sort(here.max(axis=1))[::-1]
    n_right = int(right.sum())
    if n_right == 0:
        return 0.0
    return float((there.max(axis=1) >= sure[n_right - 1]).mean())


def information(proba: Floats) -> float:
    """Return ``(H(mean p) - mean H(p)) / log K``."""
    p = np.clip(proba, 1e-12, 1)
    mean = p.mean(axis=0)
    gain = -(mean * np.log(mean)).sum() + (p * np.log(p)).sum(axis=1).mean()
    return float(np.clip(gain / np.log(p.shape[1]), 0, 1))
