"""Claims of BatchFormer: rare classes on digits and MNIST with a long tail, frequent ones, calibration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import recall_score

from benchmarks.claims import Claim, tuned
from benchmarks.claims.imbalanced.semi_self import Tail, balanced, balanced_score, mnist
from labelwise.data.synthetic import long_tailed
from labelwise.imbalanced import BatchFormerClassifier
from labelwise.learner import LongTailClassifier, Train
from labelwise.losses import BalancedSoftmax, CrossEntropy
from labelwise.losses.base import Loss
from labelwise.parts.class_counts import by_shot, class_shots

PAPER = 221
GRID = {"train": [Train(lr=lr, epochs=epochs, batch_size=128) for lr in (1e-3, 3e-3) for epochs in (30, 80)]}


def digits(seed: int) -> Tail:
    """Digits: 120 down to 2 labelled rows a class, 50 a class to test."""
    X, y = load_digits(return_X_y=True)
    drawn = long_tailed(y, 120, 60, shuffle=True, random_state=seed)
    test = balanced(y, np.random.default_rng(seed).permutation(drawn.rest), 50)
    return Tail(X[drawn.rows], drawn.y, X[test], y[test])


def by_part(model: Any, data: Tail) -> dict[str, float]:
    """Return the mean recall of all classes, and of those with many, some and few rows."""
    recall = recall_score(data.y_test, model.predict(data.X_test), average=None, zero_division=0)
    return {"all": float(recall.mean()), **by_shot(recall, class_shots(np.bincount(data.y), many=60, few=15))}


def compared(load: Callable[[int], Tail], criterion: Loss, part: str) -> Callable[[int], dict[str, float]]:
    """Return a run: the mean recall of one part of the classes with and without the layer between rows."""

    def run(seed: int) -> dict[str, float]:
        data = load(seed)
        fitted = [
            tuned(model, GRID, data.X, data.y, seed, score=balanced_score)
            for model in (
                LongTailClassifier(criterion=criterion, random_state=seed),
                BatchFormerClassifier(criterion=criterion, random_state=seed),
            )
        ]
        plain, former = (by_part(model, data) for model in fitted)
        rest = {f"{name}, {who}": of[name] for name in plain if name != part
                for who, of in (("baseline", plain), ("method", former))}  # fmt: skip
        return {"baseline": plain[part], "method": former[part], **rest}

    return run


def mnist_tail(seed: int) -> Tail:
    """MNIST at 14 x 14, 100 down to 2 labelled rows a class."""
    return mnist(seed, pool_size=0.0)


METHOD = "labelwise.imbalanced.BatchFormerClassifier"
MNIST, DIGITS = "MNIST test set, 14 x 14, 100 to 2 rows a class", "digits, 120 to 2 rows a class"
FEW = "Classes with few rows are found more often."

CLAIMS = [
    Claim(
        method=METHOD, paper=PAPER, name=f"few rows, {data.split(',')[0]}, {loss}", data=data, statement=FEW,
        baseline=f"the same network and {loss}, same tuning", metric="mean recall of classes with fewer than 15 rows",
        run=compared(load, criterion, "few"), needs=("mnist_test",) if load is mnist_tail else (),
    )
    for data, load, loss, criterion in (
        (DIGITS, digits, "balanced softmax", BalancedSoftmax()), (MNIST, mnist_tail, "balanced softmax", BalancedSoftmax()),
        (MNIST, mnist_tail, "cross-entropy", CrossEntropy()),
    )
]  # fmt: skip
