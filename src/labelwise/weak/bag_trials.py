"""Bags of tiny real sets, on which the common checks fit methods that learn from bags."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris


def class_bags(size: int = 4) -> dict[str, Any]:
    """Return class proportions of random bags of iris."""
    X, y = load_iris(return_X_y=True)
    return _bags(X, y, np.eye(3)[y], size)


def two_class_bags(size: int = 4) -> dict[str, Any]:
    """Return shares of the second class in random bags of a part of breast cancer."""
    X, y = load_breast_cancer(return_X_y=True)
    return _bags(X[:240], y[:240], y[:240].astype(np.float64), size)


def real_bags(size: int = 4) -> dict[str, Any]:
    """Return mean targets of random bags of diabetes."""
    X, y = load_diabetes(return_X_y=True)
    return {**_bags(X, y, y, size), "score": lambda model, X, y: float(model.score(X, y)), "floor": 0.15}


def _bags(X: Any, y: Any, values: Any, size: int) -> dict[str, Any]:
    """Put two thirds of the rows into random bags of `size`; the other rows are the test."""
    order = np.random.default_rng(0).permutation(len(X))
    n = 2 * len(X) // (3 * size) * size
    train, test = order[:n], order[n:]
    X = (X - X.mean(0)) / X.std(0)
    means = values[train].reshape(-1, size, *values.shape[1:]).mean(1)
    bags = {"bags": np.arange(n) // size}
    return {"X": X[train], "y": means, "X_test": X[test], "y_test": y[test], "fit": bags}
