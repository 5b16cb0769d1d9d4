"""Claims of robust self-training: pools that are not quite from the distribution of the labelled rows."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from examples.out_of_domain_pool import scores
from sklearn.datasets import load_digits

from benchmarks.claims import Claim
from labelwise.learner import Classifier, Train
from labelwise.semi_supervised import RobustSelfTraining

METHOD = "labelwise.semi_supervised.RobustSelfTraining"
GAUSSIANS = (
    "two Gaussians in 200 dimensions, means 2 apart, 10 labelled rows, a pool of 5000 whose means are moved by 0.5"
)
DIGITS = "digits as vectors, 5 labels a class, a pool of 600 of lower contrast with noise"

gaussians = cache(scores)


def linear(baseline: str) -> Any:
    """Return a run on two Gaussians: the robust linear classifier against another way."""

    def run(seed: int) -> dict[str, float]:
        got = gaussians(seed, 10, 5000, 0.5)
        return {"baseline": got[baseline], "method": got["robust"]}

    return run


@cache
def digits(seed: int) -> tuple[Any, ...]:
    """Return labelled rows and the moved pool together, labels (-1 in the pool), and test rows like the labelled ones."""
    rng = np.random.default_rng(seed)
    X, y = load_digits(return_X_y=True)
    order = rng.permutation(len(X))
    rows, pool, test = order[:500], order[500:1100], order[1100:]
    few = np.concatenate([rows[y[rows] == c][:5] for c in range(10)])
    moved = 0.8 * X[pool] + 2 * rng.normal(size=X[pool].shape)
    return np.r_[X[few], moved], np.r_[y[few], np.full(600, -1)], X[test], y[test]


def fitted(model: Any, epochs: int, seed: int) -> float:
    """Return a model's accuracy on the test rows."""
    X, y, X_test, y_test = digits(seed)
    model.set_params(train=Train(epochs=epochs, batch_size=50, lr=3e-3), random_state=seed)
    return float(model.fit(X, y).score(X_test, y_test))


@cache
def robust(seed: int) -> float:
    """Return the accuracy of the method with its default settings."""
    return fitted(RobustSelfTraining(), 60, seed)


def against_labels(seed: int) -> dict[str, float]:
    """Compare with the same network on the labels alone, as many steps."""
    return {"baseline": fitted(Classifier(), 240, seed), "method": robust(seed)}


def against_self_training(seed: int) -> dict[str, float]:
    """Compare with the same method without moves."""
    plain = RobustSelfTraining(robustness=None, pool_robustness=None)
    return {"baseline": fitted(plain, 60, seed), "method": robust(seed)}


CLAIMS = [
    Claim(
        method=METHOD, paper=0, name="linear, labels alone", data=GAUSSIANS, run=linear("labels only"),
        baseline="the same classifier on the labels alone", metric="accuracy on the labelled rows' distribution",
        statement="A pool from a shifted distribution helps a linear classifier where labels are far too few.",
    ),
    Claim(
        method=METHOD, paper=0, name="linear, self-training", data=GAUSSIANS, run=linear("self-training"),
        baseline="self-training without moves", metric="accuracy on the labelled rows' distribution",
        statement="Letting pool rows move makes better use of them than plain self-training.",
    ),
    Claim(
        method=METHOD, paper=0, name="digits, labels alone", data=DIGITS, run=against_labels,
        baseline="the same network on the labelled rows alone, as many steps", metric="accuracy on test rows",
        statement="An out-of-domain pool helps a small network, too.",
    ),
    Claim(
        method=METHOD, paper=0, name="digits, self-training", data=DIGITS, run=against_self_training,
        baseline="self-training without moves", metric="accuracy on test rows",
        statement="There, too, moves at a price beat plain self-training.",
    ),
]  # fmt: skip
