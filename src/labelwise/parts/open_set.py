"""The open-set protocol: some test rows belong to none of the classes a model knows.

Unknown rows have the code ``n_known`` here; each measure is of one thing a user wants: the known rows' classes
(`closed_accuracy`), the order of the outlier score (`auroc`), and both at once (`open_set_balanced_accuracy`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from labelwise.base import InputError


def auroc(outlier_score: ArrayLike, is_unknown: ArrayLike) -> float:
    """Return the chance that an unknown row scores above a known one (ties count half), in [0, 1].

    >>> auroc([0.1, 0.9, 0.4], [False, True, False])
    1.0
    """
    unknown = np.asarray(is_unknown, dtype=bool)
    if unknown.all() or not unknown.any():
        raise InputError("is_unknown must hold both known and unknown rows: there is nothing to tell apart.")
    return float(roc_auc_score(unknown, np.asarray(outlier_score, dtype=np.float64)))


def closed_accuracy(y: ArrayLike, prediction: ArrayLike, is_unknown: ArrayLike) -> float:
    """Return the accuracy of closed-set predictions on the known rows."""
    known = ~np.asarray(is_unknown, dtype=bool)
    if not known.any():
        raise InputError("is_unknown marks every row: there is no known row to score.")
    return float((np.asarray(y)[known] == np.asarray(prediction)[known]).mean())


def open_set_balanced_accuracy(y: ArrayLike, prediction: ArrayLike, n_known: int) -> float:
    """Return the mean recall over the known classes and "unknown", each weighing the same.

    Parameters
    ----------
    y, prediction
        Codes ``(n,)``: 0 to ``n_known - 1`` are the known classes; every other code, -1 too, is "unknown".
    n_known
        Number of known classes.

    >>> open_set_balanced_accuracy([0, 0, 1, 9, -1], [0, 1, 1, 2, 2], n_known=2)
    0.8333333333333334
    """
    truth, guess = _folded(y, n_known), _folded(prediction, n_known)
    return float(np.mean([(guess[truth == c] == c).mean() for c in np.unique(truth)]))


def _folded(codes: ArrayLike, n_known: int) -> NDArray[Any]:
    values = np.asarray(codes)
    return np.where((values >= 0) & (values < n_known), values, n_known)
