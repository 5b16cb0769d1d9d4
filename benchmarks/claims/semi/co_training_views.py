"""Claims of uncertainty-aware co-training: classification of rows with three views, two labels a class."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.claims import Claim
from labelwise.learner import Train
from labelwise.semi_supervised import UncertaintyCoTraining

VIEWS = [range(64 * view, 64 * view + 64) for view in range(3)]


def three_pictures(seed: int, spoiled: float = 0.0) -> tuple[Any, Any, Any, Any]:
    """Return rows of three pictures of one digit, 20 of 300 labelled, and 250 test rows of other pictures.

    Each picture has its pixels shuffled with probability `spoiled`.
    """
    rng = np.random.default_rng(seed)
    pictures, digits = load_digits(return_X_y=True)
    order = rng.permutation(len(digits))

    def rows(pool: Any, n: int) -> tuple[Any, Any]:
        y = rng.integers(10, size=n)
        drawn = np.stack([[rng.choice(pool[digits[pool] == c]) for c in y] for _ in VIEWS], axis=1)
        x = pictures[drawn] / 16
        bad = rng.random(drawn.shape) < spoiled
        x[bad] = rng.permuted(x[bad], axis=1)
        return x.reshape(n, -1).astype(np.float32), y

    (X, y), test = rows(order[:1000], 300), rows(order[1000:], 250)
    few = np.full(len(y), -1)
    for c in range(10):
        few[rng.choice(np.flatnonzero(y == c), 2, replace=False)] = c
    return X, few, *test


def accuracy(seed: int, data: tuple[Any, Any, Any, Any], **settings: Any) -> float:
    """Train three networks with the same number of steps whatever the setting; score their average on the test rows."""
    train = Train(epochs=40, batch_size=32, lr=3e-3)
    model = UncertaintyCoTraining(columns=VIEWS, train=train, random_state=seed, **settings)
    return float(model.fit(*data[:2]).score(*data[2:]))


def against_labels(seed: int) -> dict[str, float]:
    """Compare with the same three networks on the labels alone."""
    data = three_pictures(seed)
    return {"baseline": accuracy(seed, data, weight=0.0), "method": accuracy(seed, data)}


def against_equal_weights(seed: int) -> dict[str, float]:
    """Compare with the plain mean of the other views, where a view is now and then worthless."""
    data = three_pictures(seed, spoiled=0.3)
    return {"baseline": accuracy(seed, data, confidence="equal"), "method": accuracy(seed, data)}


NAME = "labelwise.semi_supervised.UncertaintyCoTraining"

CLAIMS = [
    Claim(
        method=NAME, paper=145, name="pool", run=against_labels, metric="accuracy on test rows",
        data="digits, three pictures of the same digit a row as its views; 300 rows, 20 of them labelled",
        baseline="the same ensemble of views on the labels alone, as many steps",
        statement="Views that teach each other on the pool beat the same views trained on the labels.",
        tried="Three random thirds of the pixels of one picture, and three orientations of it, gain nothing: the mean of "
        "such views is no better a teacher than the ensemble that predicts anyway.",
    ),
    Claim(
        method=NAME, paper=145, name="uncertainty", run=against_equal_weights, metric="accuracy on test rows",
        data="the same, each picture's pixels shuffled with probability 0.3",
        baseline="co-training with the plain mean of the other views",
        statement="Weighting the views by their uncertainty over dropout passes beats weighting them alike.",
        tried="Without spoiled pictures, and with a weight of 1 instead of 0.2: no difference either.",
    ),
]  # fmt: skip
