"""Real sets of which some classes lose their labels: what the claims and the grid of discovery are measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from benchmarks.claims.harness import data_path
from labelwise.parts.matching import MatchedAccuracy, matched_accuracy


@dataclass(frozen=True)
class Task:
    """Rows with their true classes, the labels given (-1 without one) and the known classes."""

    X: Any
    truth: Any
    given: Any
    known: Any

    @property
    def n_new(self) -> int:
        """Number of classes without any label."""
        return len(np.unique(self.truth)) - len(self.known)

    @property
    def pool(self) -> Any:
        """Which rows have no label."""
        return self.given == -1

    def accuracy(self, groups: Any) -> MatchedAccuracy:
        """Return the accuracy of groups of all rows, judged on the pool with one matching."""
        return matched_accuracy(self.truth[self.pool], np.asarray(groups)[self.pool], self.known)


def digits() -> tuple[Any, Any]:
    """Return scikit-learn's digits, pixels in [0, 1]."""
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def satimage() -> tuple[Any, Any]:
    """Return Landsat pixels, 36 standardised features, six classes."""
    file = np.load(data_path("satimage", "data.npz"), allow_pickle=False)
    X = file["X"].reshape(len(file["X"]), -1).astype(float)
    return (X - X.mean(0)) / X.std(0), file["y"]


def banking() -> tuple[Any, Any]:
    """Return sentence embeddings of the twenty most frequent intents of banking77."""
    codes = pd.read_parquet(data_path("banking77", "data.parquet"))["label"].to_numpy()
    frequent = np.sort(np.argsort(-np.bincount(codes), kind="stable")[:20])
    some = np.isin(codes, frequent)
    Z = np.load(data_path("banking77", "minilm.npz"))["emb"][some].astype(float)
    return Z, np.searchsorted(frequent, codes[some])


def spoken() -> tuple[Any, Any]:
    """Return the first 64 principal components of log-mel pictures of spoken digits."""
    file = np.load(data_path("spoken_digits", "logmel.npz"))
    S = file["S"].reshape(len(file["S"]), -1).astype(np.float32) / 255
    return PCA(64, random_state=0).fit_transform(S).astype(float), file["digit"].astype(int)


SETS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "digits": digits, "banking (20)": banking, "satimage": satimage, "spoken digits": spoken,
}  # fmt: skip
FOLDERS = {"banking (20)": "banking77", "satimage": "satimage", "spoken digits": "spoken_digits"}


def draw(name: str, seed: int, share: float = 0.5, rows: int = 800, mixed: bool = True) -> Task:
    """Draw rows and which classes are new; known classes' rows are labelled, in a mixed pool half of them."""
    X, y = SETS[name]()
    rng = np.random.default_rng([seed, int(100 * share)])
    some = rng.permutation(len(X))[:rows]
    X, y = X[some], y[some]
    classes = rng.permutation(np.unique(y))
    n_new = max(1, round(share * len(classes)))
    new, known = classes[:n_new], np.sort(classes[n_new:])
    hidden = np.isin(y, new) | ((rng.random(len(y)) < 0.5) & mixed)
    for c in known:
        hidden[rng.choice(np.flatnonzero(y == c), 3)] = False
    return Task(X, y, np.where(hidden, -1, y), known)
