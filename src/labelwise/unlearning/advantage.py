"""What a membership attack gains on forgotten rows: calls of "was trained on" among them, beyond those among unseen rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

from labelwise.base import Estimate, InputError

Z = 1.645
"""Half the width, in standard errors, of a two-sided 90 % interval."""
MOST = 4000
"""Kept rows that the attack is trained on."""


def evidence(model: Any, X: Any, y: ArrayLike) -> NDArray[np.float64]:
    """Return what an attacker sees of each row ``(n, m)``: how well the label is predicted, and how surely.

    Of classes with probabilities the label's log-odds, the largest probability and the entropy; of classes without them
    whether the label is right; of real targets the logarithm of the absolute error.
    """
    truth = np.asarray(y)
    if not hasattr(model, "classes_") and not hasattr(model, "predict_proba"):
        error = np.abs(np.asarray(model.predict(X), dtype=float) - truth)
        return np.asarray(np.log(error.reshape(len(truth), -1).mean(1, keepdims=True) + 1e-12))
    if not hasattr(model, "predict_proba"):
        return np.asarray(model.predict(X) == truth, dtype=float)[:, None]
    p = np.clip(model.predict_proba(X), 1e-7, 1 - 1e-7)
    of_label = (p * (truth[:, None] == np.asarray(model.classes_))).sum(1).clip(1e-7, 1 - 1e-7)
    return np.column_stack([np.log(of_label / (1 - of_label)), p.max(1), -(p * np.log(p)).sum(1)])


class Calls:
    """Which forgotten and which unseen rows an attack calls members of the training set.

    Boosted trees tell kept rows from unseen ones by `evidence`, in folds, so that no unseen row is called by trees that saw
    it; forgotten rows are called by all folds. The advantage is the share of calls among `forgotten` minus that among
    `unseen`: 0 when forgotten rows look like rows never seen, 1 when all are recognised.

    Parameters
    ----------
    kept, forgotten, unseen
        Evidence of rows, each ``(n, m)``.
    like
        Mask of the unseen rows that forgotten ones are compared with, say those of the same class; None takes all.
    folds, random_state
        Of the attack.
    """

    def __init__(
        self, kept: Any, forgotten: Any, unseen: Any, like: Any = None, folds: int = 5, random_state: int | None = 0
    ) -> None:
        rng = np.random.default_rng(random_state)
        kept = kept[rng.permutation(len(kept))[:MOST]]
        if min(len(kept), len(unseen)) < folds:
            raise InputError(f"the attack needs {folds} kept and {folds} test rows. Got {len(kept)} and {len(unseen)}.")
        rows, side = np.r_[kept, unseen], np.repeat([1, 0], [len(kept), len(unseen)])
        called, self.forgotten = np.zeros(len(rows)), np.zeros(len(forgotten))
        for train, test in StratifiedKFold(folds, shuffle=True, random_state=random_state).split(rows, side):
            trees = HistGradientBoostingClassifier(
                max_iter=40, max_leaf_nodes=8, class_weight="balanced", early_stopping=False, random_state=random_state
            ).fit(rows[train], side[train])
            called[test] = trees.predict(rows[test])
            self.forgotten += trees.predict(forgotten) / folds
        unseen_calls = called[len(kept) :]
        self.unseen = unseen_calls if like is None else unseen_calls[like]

    def advantage(self) -> Estimate:
        """Return the share of calls among forgotten rows minus that among unseen ones, with its 90 % interval."""
        return _difference(self.forgotten, self.unseen)

    def gap(self, other: Calls) -> Estimate:
        """Return by how much this advantage exceeds that of another model on the same rows, with its paired interval."""
        return _difference(self.forgotten - other.forgotten, self.unseen - other.unseen)


def _difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> Estimate:
    value = float(a.mean() - b.mean())
    # one imagined row half a call away keeps the spread of a few equal rows from being taken for none
    spreads = [(len(part) * part.var() + 0.25) / (len(part) + 1) for part in (a, b)]
    half = Z * math.sqrt(sum(spread / len(part) for spread, part in zip(spreads, (a, b), strict=True)))
    return Estimate(value, value - half, value + half)
