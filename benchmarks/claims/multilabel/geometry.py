"""Claims of label geometry in embeddings: trees of terms, and label sets as soft targets."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score
from torch.nn.functional import normalize

from benchmarks.claims import Claim, data_path, tuned
from labelwise.data.synthetic import label_tree
from labelwise.learner import MultiLabelClassifier, Train
from labelwise.losses import HierarchicalMultiSimilarity, SoftCon
from labelwise.losses.label_sets import label_cosine
from labelwise.multilabel import HierarchicalEmbedding, SoftConClassifier
from labelwise.parts.label_space import taxonomy

SEEDS = (0, 1, 2, 3, 4)
FLAT = HierarchicalMultiSimilarity(levels=(0,), boundaries=(0.5,))
THREE = HierarchicalMultiSimilarity()
FOUR = HierarchicalMultiSimilarity(levels=(0, 1, 2, 4), boundaries=(0.9, 0.7, 0.5, 0.2))


def order_kept(cosine: np.ndarray, steps: np.ndarray, far: float = np.inf) -> float:
    """Spearman correlation of cosines and negative distances over pairs of different concepts."""
    pairs = np.triu(np.ones(steps.shape, dtype=bool), 1) & (steps > 0) & (steps <= far)
    return float(spearmanr(cosine[pairs], -steps[pairs]).statistic)


def free_vectors(loss: HierarchicalMultiSimilarity, steps: np.ndarray, seed: int) -> np.ndarray:
    """Cosines of free vectors of width 24 after 400 steps of Adam."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(len(steps), 24, generator=generator).requires_grad_()
    distance, optimizer = torch.as_tensor(steps), torch.optim.Adam([z], lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        loss(z, distance).backward()
        optimizer.step()
    unit = normalize(z.detach(), dim=1)
    return (unit @ unit.T).numpy()


def two_terms_each(seed: int) -> dict[str, float]:
    """A tree of depth 4 with three children a node, two synonyms a node."""
    tree = label_tree(4, 3)
    node = np.repeat(np.arange(len(tree)), 2)
    steps = tree.distances(node, node).astype(np.float32)
    found = {name: free_vectors(loss, steps, seed) for name, loss in (("flat", FLAT), ("three", THREE), ("four", FOUR))}
    return {
        "baseline": order_kept(found["flat"], steps), "method": order_kept(found["three"], steps),
        "three levels, pairs within distance 4": order_kept(found["three"], steps, 4),
        "four levels": order_kept(found["four"], steps),
    }  # fmt: skip


def umls() -> tuple[list[str], np.ndarray]:
    """The names of the concepts of the UMLS semantic network and their parents: the deepest of what each `isa`."""
    import pandas as pd

    triples = pd.read_parquet(data_path("knowledge_graphs", "umls.parquet"))
    pairs = triples[triples["relation"] == "isa"]
    names = sorted(set(pairs["head"]) | set(pairs["tail"]))
    above: dict[str, set[str]] = {name: set() for name in names}
    for head, tail in zip(pairs["head"], pairs["tail"], strict=True):
        if head != tail:
            above[head].add(tail)
    number = {name: i for i, name in enumerate(names)}
    deepest = {name: max(more, key=lambda other: (len(above[other]), other)) for name, more in above.items() if more}
    return names, np.array([number[deepest[name]] if name in deepest else -1 for name in names])


def of_umls(loss: HierarchicalMultiSimilarity, X: np.ndarray, y: np.ndarray, parents: np.ndarray, seed: int) -> Any:
    train = Train(epochs=100, batch_size=512, lr=0.03, weight_decay=0.0)
    return HierarchicalEmbedding(tree=parents, width=24, criterion=loss, train=train, random_state=seed).fit(X, y)


def umls_kept(seed: int) -> dict[str, float]:
    """Two free vectors a concept of UMLS."""
    _, parents = umls()
    node = np.repeat(np.arange(len(parents)), 2)
    steps = taxonomy(parents).distances(node)[:, node]
    scores = {}
    for name, loss in (("baseline", FLAT), ("method", THREE), ("four levels", FOUR)):
        z = of_umls(loss, np.eye(len(node)), node, parents, seed).transform(np.eye(len(node)))
        scores[name] = order_kept(z @ z.T, steps)
    return scores


def umls_new(seed: int) -> dict[str, float]:
    """Concepts not in training, described by the letters of their names: order of pairs that hold one of them."""
    names, parents = umls()
    steps = taxonomy(parents).distances(np.arange(len(names)))
    X = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=2).fit_transform(names).toarray()
    known = np.sort(np.random.default_rng(seed).permutation(len(names))[: 2 * len(names) // 3])
    new = ~np.isin(np.arange(len(names)), known)
    z = of_umls(FOUR, X[known], known, parents, seed).transform(X)
    steps = np.where(new[:, None] | new, steps, 0)  # pairs of known concepts are not scored
    return {"baseline": order_kept(X @ X.T, steps), "method": order_kept(z @ z.T, steps)}


def multilabel_set(name: str) -> dict[str, Any]:
    """Features, labels and the split of a set, dense."""
    d = np.load(data_path("multilabel", f"{name}.npz"), allow_pickle=True)
    parts = {k: d[k] for k in d.files}

    def dense(part: str) -> np.ndarray:
        if part in parts:
            return np.asarray(parts[part])
        given = (parts[f"{part}_data"], parts[f"{part}_indices"], parts[f"{part}_indptr"])
        return sparse.csr_matrix(given, shape=parts[f"{part}_shape"]).toarray()

    return {"X": dense("X").astype(np.float32), "Y": dense("Y").astype(np.int8), "test": parts["split"] == "test"}


def mean_precision(model: Any, X: Any, y: Any) -> float:
    """Average precision, mean over labels with a positive."""
    kept = (y == 1).any(axis=0)
    return float(average_precision_score(y[:, kept], model.predict_proba(X)[:, kept], average="macro"))


def regularised(name: str, seed: int) -> dict[str, float]:
    """200 labelled training rows, another 400 without labels; the set's own test rows."""
    data = multilabel_set(name)
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(~data["test"]))[:600]
    X, Y = data["X"][rows], data["Y"][rows]
    X_test, Y_test = data["X"][data["test"]], data["Y"][data["test"]]
    trains = [Train(epochs=epochs, batch_size=64, lr=2e-3) for epochs in (20, 60)]
    plain = tuned(
        MultiLabelClassifier(random_state=seed), {"train": [*trains, Train(epochs=150, batch_size=64, lr=2e-3)]}, X[:200],
        Y[:200], seed, score=mean_precision, budget=3,
    )  # fmt: skip
    some = np.where(np.arange(len(rows))[:, None] < 200, Y, -1)
    held = np.arange(200) % 4 == 0
    grid = [SoftConClassifier(train=trains[0], contrast=c, random_state=seed) for c in (0.03, 0.3, 1.0)]
    fits = [mean_precision(m.fit(*_without(X, some, held)), X[:200][held], Y[:200][held]) for m in grid]
    chosen = grid[int(np.argmax(fits))]
    alone = SoftConClassifier(train=chosen.train, contrast=0.0, random_state=seed).fit(X, some)
    return {
        "baseline": mean_precision(plain, X_test, Y_test),
        "method": mean_precision(chosen.fit(X, some), X_test, Y_test),
        "the same without contrast": mean_precision(alone, X_test, Y_test),
    }


def _without(X: np.ndarray, y: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return X, np.where(np.r_[held, np.zeros(len(y) - len(held), dtype=bool)][:, None], -1, y)


def likeness(seed: int) -> dict[str, float]:
    """Free vectors of 200 rows of yeast: correlation of their cosines with those of the label sets."""
    rng = np.random.default_rng(seed)
    Y = multilabel_set("yeast")["Y"]
    y = torch.as_tensor(Y[rng.permutation(len(Y))[:200]])
    S, scores = label_cosine(y).value.numpy(), {}
    apart = ~np.eye(len(S), dtype=bool)
    for name, loss, free in (
        ("method", SoftCon(instance=False), True), ("baseline", SoftCon(instance=False), False),
        ("softmax", SoftCon(instance=False, target="softmax"), True),
    ):  # fmt: skip
        z = torch.randn(200, 16, generator=torch.Generator().manual_seed(seed)).requires_grad_()
        moved = [z, loss.bias] if free and loss.target == "bce" else [z]
        optimizer = torch.optim.Adam(moved, lr=0.05)
        for _ in range(300):
            optimizer.zero_grad()
            loss(z, z, y).backward()
            optimizer.step()
        unit = normalize(z.detach(), dim=1)
        scores[name] = float(np.corrcoef((unit @ unit.T).numpy()[apart], S[apart])[0, 1])
    return scores


ORDER = "Spearman correlation of cosine and negative tree distance"

CLAIMS = [
    Claim(
        method="labelwise.losses.HierarchicalMultiSimilarity", paper=51, run=two_terms_each, metric=ORDER, seeds=SEEDS,
        statement="Levels grade cosines by tree distance, where synonyms alone do not.",
        data="synthetic tree of depth 4, three children a node, two synonyms a node, free vectors",
        baseline="multi-similarity of synonyms only",
    ),
    Claim(
        method="labelwise.multilabel.HierarchicalEmbedding", paper=51, name="UMLS", run=umls_kept, metric=ORDER,
        statement="Levels grade cosines by tree distance, where synonyms alone do not.", seeds=SEEDS,
        data="the isa trees of the UMLS semantic network, 135 concepts, two free vectors each",
        baseline="the same with synonyms only", needs=("knowledge_graphs",),
    ),
    Claim(
        method="labelwise.multilabel.HierarchicalEmbedding", paper=51, name="UMLS, new concepts", run=umls_new, metric=ORDER,
        statement="Concepts not in training are placed by their names better than the names' letters do.", seeds=SEEDS,
        data="the isa trees of the UMLS semantic network, a third of 135 concepts held out; letters of names as features",
        baseline="cosine of the features", needs=("knowledge_graphs",),
    ),
    Claim(
        method="labelwise.losses.SoftCon", paper=251, run=likeness, seeds=SEEDS, data="label sets of 200 rows of yeast",
        statement="With a learnt bias, cosines of embeddings come to be those of the label sets.",
        baseline="the same without a bias", metric="correlation of the cosines of free vectors and of label sets",
        needs=("multilabel",),
    ),
    *(
        Claim(
            method="labelwise.multilabel.SoftConClassifier", paper=251, name=name, seeds=SEEDS,
            run=partial(regularised, name),
            statement="Soft contrast as a regulariser raises precision where few rows have labels.",
            data=f"{name}, 200 labelled rows and 400 without labels, its own test split",
            baseline="binary cross-entropy on the labelled rows, as many settings tried", metric="mean average precision",
            tried="weights of the contrast 0.03, 0.3 and 1; the paper pre-trains on many more rows and probes afterwards",
            needs=("multilabel",),
        )
        for name in ("yeast", "scene")
    ),
]  # fmt: skip
