"""Tiny data for the common checks of this room's methods."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_iris


def iris_trial(**more: Any) -> dict[str, Any]:
    """Return standardised iris in two parts as arguments of `labelwise.checks.Trial`, beside what else is given."""
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, train, test = (X - X.mean(0)) / X.std(0), order[:105], order[105:]
    return {"X": X[train], "y": y[train], "X_test": X[test], "y_test": y[test], **more}
