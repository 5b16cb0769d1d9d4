"""Claims of SP2OT: clusters of digits whose classes are 10 and 100 to 1, beside k-means and simpler transports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score

from benchmarks.claims import Claim
from labelwise.data.synthetic import long_tailed
from labelwise.imbalanced import SP2OT
from labelwise.learner import Train
from labelwise.parts.matching import best_matching

VARIANTS: dict[str, dict[str, Any]] = {
    "equal sizes": {"smoothness": 0.0, "size_price": np.inf, "first_mass": 1.0},
    "transport of all rows": {"smoothness": 0.0, "first_mass": 1.0},
    "progressive partial transport": {"smoothness": 0.0},
    "method": {},
}


def macro_f1(truth: np.ndarray, groups: np.ndarray) -> float:
    """Return the mean F1 of classes under the best matching of groups and classes; a group without a class is wrong."""
    named = best_matching(truth, groups)
    told = [named.get(group, -1) for group in groups.tolist()]
    return float(f1_score(truth, told, average="macro", labels=np.unique(truth), zero_division=0))


def compared(ratio: float) -> Callable[[int], dict[str, float]]:
    """Return a run: macro F1 of k-means, of simpler transports in the same training, and of SP2OT."""

    def run(seed: int) -> dict[str, float]:
        X, y = load_digits(return_X_y=True)
        drawn = long_tailed(y, 150, ratio, shuffle=True, random_state=seed)
        Z, truth = X[drawn.rows] / 16, drawn.truth
        train = Train(epochs=15, batch_size=128)
        found = {
            name: macro_f1(truth, SP2OT(n_clusters=10, train=train, random_state=seed, **given).fit_predict(Z))
            for name, given in VARIANTS.items()
        }
        groups = KMeans(10, n_init=10, random_state=seed).fit_predict(Z)
        return {"baseline": macro_f1(truth, groups), **found}

    return run


CLAIMS = [
    Claim(
        method="labelwise.imbalanced.SP2OT", paper=241, name=f"{ratio} to 1", seeds=(0, 1, 2), run=compared(ratio),
        statement="Partial, semantic transport finds classes of very different sizes better than k-means.",
        data=f"digits, 150 to {150 // ratio} rows a class, no labels", baseline="k-means on the same pixels, ten starts",
        metric="macro F1 under the best matching of clusters and classes",
        tried="nothing: settings are the defaults, as there are no labels to choose them by",
    )
    for ratio in (10, 100)
]  # fmt: skip
