"""Query 20 and 100 rows of a 100,000 x 64 pool, K = 10: scikit-activeml's strategies and ours.

``python benchmarks/active_query.py [--n ROWS] [--batches 20 100]`` prints a Markdown row for each strategy and batch: wall
and CPU seconds, memory beyond the input, ratios, and what each strategy wants as ours over theirs (1: just as good): mean
margin for margin, the largest distance to a chosen or labelled row for core-set, the mean squared distance of gradients to
the nearest chosen one for BADGE, the mean distance to the 20 nearest rows for typical. Probabilities are computed before and
not timed; 200 rows have labels. Every call runs in a process forked for it.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import faiss
import numpy as np
from skactiveml.base import SkactivemlClassifier
from skactiveml.pool import Badge, TypiClust, UncertaintySampling
from skactiveml.pool import CoreSet as PeerCoreSet

from benchmarks.measure import Cost, measure
from labelwise.active import BADGE, CoreSet, DiverseBatch, KMeansQuery, MarginQuery, Pool, Query
from labelwise.active import TypiClust as Typical
from labelwise.active.uncertainty import margin

HEADER = """\
| strategy | rows | scikit-activeml 1.0: wall / CPU, memory | ours: wall / CPU, memory | times faster (wall / CPU) \
| share of its memory | what it wants, ours / theirs |
|---|---|---|---|---|---|---|"""
K, D, LABELLED = 10, 64, 200


def problem(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of ten overlapping classes, labels of which 200 are known (-1 elsewhere), and softmax probabilities."""
    rng = np.random.default_rng(seed)
    centre, truth = rng.normal(size=(K, D)), rng.integers(0, K, n)
    X = (centre[truth] + 1.5 * rng.normal(size=(n, D))).astype(np.float32)
    logits = X @ centre.T / 4
    proba = np.exp(logits - logits.max(1, keepdims=True))
    return X, np.where(np.arange(n) < LABELLED, truth, -1), proba / proba.sum(1, keepdims=True)


class Told(SkactivemlClassifier):
    """A fitted classifier that answers with probabilities computed before."""

    def __init__(self, proba: Any = None, missing_label: float = np.nan) -> None:
        super().__init__(classes=np.arange(K), missing_label=missing_label)
        self.proba = proba

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Told:
        """Check, learn nothing."""
        self._validate_data(X, y, sample_weight)
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return what is known of the last rows."""
        return self.proba[-len(X) :]  # asked of all rows, or of the unlabelled ones, which come last


def theirs(name: str, X: np.ndarray, y: np.ndarray, proba: np.ndarray, batch: int) -> np.ndarray:
    """Query with scikit-activeml."""
    given = np.where(y < 0, np.nan, y)
    warnings.simplefilter("ignore")
    model = Told(proba).fit(X[:LABELLED], given[:LABELLED])
    told = {"X": X, "y": given, "batch_size": batch}
    if name == "margin":
        found = UncertaintySampling("margin_sampling", random_state=0).query(clf=model, fit_clf=False, **told)
    elif name == "core-set":
        found = PeerCoreSet(random_state=0).query(**told)
    elif name == "BADGE":
        found = Badge(random_state=0).query(clf=model, fit_clf=False, **told)
    else:
        found = TypiClust(random_state=0, k=20).query(**told)
    return np.asarray(found)


OURS: dict[str, Callable[[], Query]] = {
    "margin": MarginQuery, "core-set": CoreSet, "BADGE": BADGE, "typical": Typical, "k-means": KMeansQuery,
    "diverse margin": DiverseBatch,
}  # fmt: skip
PEERS = ("margin", "core-set", "BADGE", "typical")
WANTED = {
    "margin": "mean margin", "core-set": "largest distance", "BADGE": "mean squared gap of gradients",
    "typical": "mean distance to neighbours",
}  # fmt: skip


def ours(name: str, X: np.ndarray, y: np.ndarray, proba: np.ndarray, batch: int) -> np.ndarray:
    """Query with labelwise."""
    query = OURS[name]()
    return query.set_params(random_state=0).select(Pool(X, y, proba=proba), batch)


def wanted(name: str, rows: np.ndarray, X: np.ndarray, y: np.ndarray, proba: np.ndarray) -> float:
    """Return how well a batch does what its strategy is after."""
    if name == "margin":
        return float(margin(proba[rows]).mean())
    if name == "core-set":
        return float(np.sqrt(faiss.knn(X, X[np.r_[np.flatnonzero(y >= 0), rows]], 1)[0].max()))
    if name == "BADGE":
        A = proba - np.eye(K)[proba.argmax(1)]
        square = (A**2).sum(1) * (X.astype(float) ** 2).sum(1)
        gaps = [square + square[r] - 2 * (A @ A[r]) * (X @ X[r]) for r in rows]
        return float(np.min(gaps, axis=0).mean())
    return float(np.sqrt(faiss.knn(X[rows], X, 21)[0][:, 1:]).mean())


def row(name: str, batch: int, peer: Cost | None, own: Cost, quality: float | None) -> str:
    """One line of the table."""
    if peer is None or quality is None:
        return f"| {name} | {batch} |  | {own} |  |  |  |"
    return (
        f"| {name} | {batch} | {peer} | {own} | {peer.wall / own.wall:.1f} / {peer.cpu / own.cpu:.1f} "
        f"| {own.gigabytes / max(peer.gigabytes, 1e-3):.3f} | {quality:.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--batches", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--only", default="", help="only strategies whose name contains this")
    arguments = parser.parse_args()
    X, y, proba = problem(arguments.n)
    print(HEADER)
    for name in OURS:
        for batch in arguments.batches if arguments.only in name else ():
            own = measure(partial(ours, name, X, y, proba, batch), 3)
            peer = measure(partial(theirs, name, X, y, proba, batch), 1) if name in PEERS else None
            quality = None
            if peer is not None:
                mine, other = (wanted(name, cost.result, X, y, proba) for cost in (own, peer))
                quality = mine / other
            print(row(name, batch, peer, own, quality), flush=True)


if __name__ == "__main__":
    main()
