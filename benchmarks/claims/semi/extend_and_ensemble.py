"""Claims of extending by pseudo-labels and generated rows: digits, half of them twenty times rarer than the others."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import f1_score

from benchmarks.claims import Claim
from labelwise.parts.out_of_fold import plain_classifier
from labelwise.semi_supervised import ExtendAndEnsemble

COMMON, RARE, POOL = 40, 2, 80
"""Labelled rows of every odd digit and of every even one; unlabelled rows of every odd digit (of even ones a tenth)."""


@cache
def rows(seed: int) -> tuple[Any, Any, Any, Any]:
    """Return labelled rows followed by the pool, as imbalanced, and balanced test rows."""
    X, y = load_digits(return_X_y=True)
    rng, train, few = np.random.default_rng(seed), [], []
    for c in range(10):
        mine = rng.permutation(np.flatnonzero(y == c))
        labelled, pool = (COMMON, POOL) if c % 2 else (RARE, POOL // 10)
        train += mine[: labelled + pool].tolist()
        few += [c] * labelled + [-1] * pool
    test = np.setdiff1d(np.arange(len(y)), train)
    return X[train], np.array(few), X[test], y[test]


@cache
def scores(seed: int, pseudo: bool, synthetic: bool, single: bool = False) -> tuple[float, float, float]:
    """Return macro F1, mean F1 of rare classes and of common ones on test rows."""
    X, y, X_test, y_test = rows(seed)
    if not pseudo:
        X, y = X[y >= 0], y[y >= 0]
    members = [plain_classifier()] if single else [plain_classifier(), ExtraTreesClassifier(100)]
    ratio = None if synthetic else 0.0
    model = ExtendAndEnsemble(estimators=members, threshold=0.7, synthetic_ratio=ratio, random_state=seed).fit(X, y)
    each = f1_score(y_test, model.predict(X_test), average=None, labels=np.arange(10))
    return float(each.mean()), float(each[::2].mean()), float(each[1::2].mean())


def rare(seed: int) -> dict[str, float]:
    return {
        "baseline": scores(seed, False, False)[1],
        "method": scores(seed, True, True)[1],
        "pseudo-labels alone": scores(seed, True, False)[1],
        "generated rows alone": scores(seed, False, True)[1],
    }


def common(seed: int) -> dict[str, float]:
    return {"baseline": scores(seed, False, False)[2], "method": scores(seed, True, True)[2]}


def ensemble(seed: int) -> dict[str, float]:
    return {"baseline": scores(seed, True, True, single=True)[0], "method": scores(seed, True, True)[0]}


METHOD = "labelwise.semi_supervised.ExtendAndEnsemble"
DATA = f"digits, {COMMON} labels of each odd one and {RARE} of each even one, a pool as lopsided; threshold 0.7"

CLAIMS = [
    Claim(
        method=METHOD, paper=134, data=DATA, metric="mean F1 of the rare classes",
        baseline="the same ensemble on the labels alone",
        statement="Pseudo-labels and generated rows raise the F1 of rare classes strongly.", run=rare,
    ),
    Claim(
        method=METHOD, paper=134, name="common classes", data=DATA, metric="mean F1 of the common classes",
        baseline="the same ensemble on the labels alone", margin=-0.01,
        statement="The F1 of common classes does not fall (by more than 0.01).", run=common,
    ),
    Claim(
        method=METHOD, paper=134, name="ensemble", data=DATA, metric="macro F1",
        baseline="logistic regression alone, extended",
        statement="The ensemble beats a single model of it, both extended.", run=ensemble,
    ),
]  # fmt: skip
