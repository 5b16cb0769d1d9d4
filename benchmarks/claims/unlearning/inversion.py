"""Claims of label-only inversion: digits 0 to 4 redrawn from a model's labels and from pictures of 5 to 9."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from benchmarks.claims import Claim
from labelwise.unlearning import InversionResult, LabelOnlyInversion

BUDGET = 66_500
"""Queries of the two older attacks; the transfer attack of 700 steps spends about as many."""


@cache
def attacked(seed: int) -> dict[str, InversionResult]:
    """Return what each attack makes of a network trained on digits 0 to 4."""
    X, y = load_digits(return_X_y=True)
    X, private = (X / 16).astype(np.float32), y < 5
    model = MLPClassifier((64,), max_iter=200, random_state=seed).fit(X[private], y[private])
    settings: dict[str, dict[str, Any]] = {
        "transfer": {}, "random": {"attack": "random"}, "boundary": {"attack": "boundary"},
    }  # fmt: skip
    return {
        name: LabelOnlyInversion(
            starts=10, steps=700, alone_steps=200, budget=BUDGET, random_state=seed, **extra
        ).measure(model, X[~private], X[private], y[private])
        for name, extra in settings.items()
    }


def against(baseline: str) -> Callable[[int], dict[str, float]]:
    """Return a run of the transfer attack against an older one."""

    def run(seed: int) -> dict[str, float]:
        found = attacked(seed)
        rates = {name: result.recognised.value for name, result in found.items() if result.recognised is not None}
        return {
            "baseline": rates[baseline], "method": rates["transfer"],
            "distance, baseline": found[baseline].distance or 0.0, "distance, method": found["transfer"].distance or 0.0,
            "distance of public rows": found["transfer"].reference or 0.0,
            "queries, baseline": found[baseline].queries, "queries, method": found["transfer"].queries,
        }  # fmt: skip

    return run


DIGITS = (
    "digits: a network of 64 hidden units trained on 0 to 4, public pictures of 5 to 9; ten reconstructions a class"
)
METRIC = "share of reconstructions that a support vector machine trained on the private rows puts in their class"
CLAIMS = [
    Claim(
        method="labelwise.unlearning.LabelOnlyInversion", paper=247, name="random search", data=DIGITS, metric=METRIC,
        baseline="random search with the same queries", run=against("random"),
        statement="A generator that learns from the model's labels redraws its classes better than search does.",
    ),
    Claim(
        method="labelwise.unlearning.LabelOnlyInversion", paper=247, name="boundary repulsion", data=DIGITS, metric=METRIC,
        baseline="boundary repulsion with the same queries", run=against("boundary"),
        statement="A generator that learns from the model's labels redraws its classes better than boundary repulsion.",
    ),
]  # fmt: skip
