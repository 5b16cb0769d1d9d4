"""Few labels and a pool beside scikit-learn: who labels the pool faster, at equal or better accuracy?"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite.compare import accuracy
from benchmarks.suite.timing import Entry, Pair

D, K, LABELLED, NEAR = 64, 10, 10, 15
"""Features, classes, labelled rows of a class, and neighbours on both sides."""


def rows(n: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings of clusters in 32 directions whose means lie `apart` deviations; labels (-1: none), hidden classes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, n)
    inner = rng.normal(size=(n, 32)) + apart * rng.normal(size=(K, 32))[truth]
    X = inner @ rng.normal(size=(32, D)) / np.sqrt(D) + 0.02 * rng.normal(size=(n, D))
    y = np.full(n, -1)
    for c in range(K):
        y[np.flatnonzero(truth == c)[:LABELLED]] = c
    return X.astype(np.float32), y, truth


def logistic() -> Any:
    """The same classifier for both sides."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def peer(name: str) -> Any:
    """One of scikit-learn's, not fitted."""
    from sklearn import semi_supervised as theirs

    if name == "SelfTrainingClassifier":
        return theirs.SelfTrainingClassifier(logistic())
    graph, kernel = name.split()
    told = {"kernel": "knn", "n_neighbors": NEAR} if kernel == "knn" else {"kernel": "rbf", "gamma": 0.5}
    return getattr(theirs, graph)(**told, max_iter=1000)


def compared(name: str, apart: float, small: bool) -> Pair:
    """Fit on all rows, predict the pool."""
    from labelwise.active import HAST

    X, y, truth = rows(500 if small else 5_000 if "rbf" in name else 10_000, apart)
    pool = y < 0

    def ours() -> Any:
        return HAST(estimator=logistic(), k=NEAR + 1, random_state=0).fit(X, y).predict(X[pool])

    def theirs() -> Any:
        model = peer(name).fit(X, y)
        return model.predict(X[pool]) if name.startswith("Self") else model.transduction_[pool]

    size = f"{len(X):,} x {D}, {LABELLED} labels in each of {K} classes, {'clear' if apart > 0.8 else 'overlapping'}"
    return Pair(size, ours, theirs, accuracy(truth[pool], 0.1 if small else 0.005))


GRAPH = (
    "both spend most of their time on the neighbours of every row; ours then fits the classifier twice, which is what its "
    "accuracy comes from"
)
SETTINGS = {
    "SelfTrainingClassifier": "`SelfTrainingClassifier`",
    "LabelSpreading knn": "`LabelSpreading`, knn",
    "LabelPropagation knn": "`LabelPropagation`, knn",
    "LabelSpreading rbf": "`LabelSpreading`, rbf",
}
REASONS = {
    "SelfTrainingClassifier": "ours also looks up the neighbours of every row, whose votes decide what is kept",
    "LabelSpreading knn": GRAPH,
    "LabelPropagation knn": GRAPH,
}
ENTRIES = [
    Entry("semi-supervised: `HAST`", ("scikit-learn", told), partial(compared, name, apart), REASONS.get(name, ""))
    for name, told in SETTINGS.items()
    for apart in (0.6, 1.0)
]
