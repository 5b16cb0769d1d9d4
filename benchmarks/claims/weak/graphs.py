"""Claims of LLM-GNN: citations and planted communities; an annotator errs more on less typical nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.stats import rankdata
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from benchmarks.claims import Claim, data_path
from labelwise.annotators import Simulated
from labelwise.weak import LLMGNN


class Nodes(NamedTuple):
    """Features, edges, classes, and how untypical each node is of its class, in [0, 1]."""

    X: np.ndarray
    edges: np.ndarray
    y: np.ndarray
    untypical: np.ndarray


def untypical(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the rank of each row's distance to the mean of its class, in [0, 1]."""
    centres = np.stack([X[y == label].mean(0) for label in np.unique(y)])
    return (rankdata(np.linalg.norm(X - centres[y], axis=1)) - 1) / (len(y) - 1)


@cache
def citations(name: str) -> Nodes:
    """Papers and citations; words as 64 singular vectors. Papers without words are left out."""
    parts = np.load(data_path("citation_graphs", f"{name}.npz"))
    words = sparse.csr_matrix((parts["X_data"], parts["X_indices"], parts["X_indptr"]), shape=tuple(parts["X_shape"]))
    kept = parts["y"] >= 0
    number = np.cumsum(kept) - 1
    edges = parts["edges"][kept[parts["edges"]].all(1)]
    X = normalize(TruncatedSVD(64, random_state=0).fit_transform(normalize(words[kept])))
    y = parts["y"][kept]
    return Nodes(X, number[edges], y, untypical(X, y))


def planted(seed: int) -> Nodes:
    """Five communities of 300 nodes, seven neighbours within and two without; features overlap."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(5), 300)
    X = 1.2 * np.eye(16)[y] + rng.normal(size=(1500, 16)) * rng.uniform(0.2, 1.0, (1500, 1))
    same = y[:, None] == y
    edges = np.argwhere(np.triu(rng.random((1500, 1500)) < np.where(same, 7 / 300, 2 / 1200), 1))
    return Nodes(X, edges, y, untypical(X, y))


class Randomly(LLMGNN):
    """The same, with nodes drawn at random and every answer believed."""

    def _choose(self, X: Any, graph: Any, annotator: Any, known: Any, seed: int) -> Any:
        return np.sort(np.random.default_rng(seed).choice(len(X), 20 * self.n_classes, replace=False))


def ways(K: int, seed: int) -> dict[str, LLMGNN]:
    """Return what is compared; nothing is tuned, as there are no labels to tune by."""
    plain = {"n_classes": K, "random_state": seed}
    return {
        "random nodes, no filter": Randomly(drop=0.0, **plain),
        "random nodes": Randomly(**plain),
        "PageRank alone": LLMGNN(easy=0.0, **plain),
        "no filter": LLMGNN(drop=0.0, **plain),
        "weighted": LLMGNN(weighted=True, **plain),
        "spread": LLMGNN(importance="spread", **plain),
        "method": LLMGNN(**plain),
    }


def compared(nodes: Callable[[int], Nodes], baseline: str) -> Callable[[int], dict[str, float]]:
    """Return a run: accuracy over all nodes, and of the answers learned from."""

    def run(seed: int) -> dict[str, float]:
        return {"baseline": measured(nodes, seed)[baseline], **measured(nodes, seed)}

    return run


@cache
def measured(nodes: Callable[[int], Nodes], seed: int) -> dict[str, float]:
    """Return the accuracy of every way, measured once for all claims."""
    task = nodes(seed)
    annotator = Simulated(truth=task.y, difficulty=task.untypical, easy=0.95, hard=0.45, spread=0.1, seed=seed)
    scores = {}
    for name, model in ways(int(task.y.max()) + 1, seed).items():
        model.fit(task.X, graph=task.edges, annotator=annotator)
        scores[name] = float((model.labels_ == task.y).mean())
        if name in ("method", "random nodes"):
            answers = np.array([answer.label for answer in model.answers_])
            scores[f"{name}: answers right"] = float((answers == task.y[model.chosen_]).mean())
    return scores


def cora(seed: int) -> Nodes:
    """Return Cora: the seed draws answers and weights."""
    return citations("cora")


def citeseer(seed: int) -> Nodes:
    """Return CiteSeer."""
    return citations("citeseer")


ANSWERED = (
    "an annotator of 70 % accuracy (95 % for the most typical nodes, 45 % for the least) asked about 20 nodes a class"
)
BASELINES = {
    "random nodes, no filter": "Choosing well and filtering beats annotating random nodes.",
    "PageRank alone": "Preferring nodes near cluster centres beats choosing by PageRank alone.",
    "no filter": "Dropping doubtful answers beats believing all of them.",
}
CLAIMS = [
    Claim(
        method="labelwise.weak.LLMGNN", paper=248, name=f"{name}, {baseline}", statement=statement, seeds=tuple(range(8)),
        data=f"{told}; {ANSWERED}", baseline=f"the same network, {baseline}", metric="accuracy over all nodes",
        run=compared(nodes, baseline), needs=() if nodes is planted else ("citation_graphs",),
        tried="nothing is tuned: there are no labels to tune by. A language model itself was not at hand",
    )
    for name, nodes, told in (
        ("Cora", cora, "Cora, words as 64 singular vectors"),
        ("CiteSeer", citeseer, "CiteSeer, words as 64 singular vectors"),
        ("communities", planted, "five planted communities of 300 nodes"),
    )
    for baseline, statement in BASELINES.items()
]  # fmt: skip
