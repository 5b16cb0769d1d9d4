"""Claims of SSD-LLM: reviews whose product is hidden and goes with the opinion; birds and their backgrounds."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV

from benchmarks.claims import Claim, data_path
from labelwise.weak import Subpopulations, Thesaurus

PRODUCTS = Thesaurus({"product": {
    "books": ["book", "books", "author", "novel", "read", "reading", "pages", "chapter", "story", "writer"],
    "kitchen": ["pan", "knife", "cook", "cooking", "kitchen", "coffee", "pot", "oven", "dishwasher", "clean", "cup",
                "bowl", "stainless", "blender", "machine"],
}})  # fmt: skip
PLACES = Thesaurus({"background": {"water": ["sea", "lake", "river"], "land": ["forest", "meadow", "bamboo"]}})
WORDS = {1: ["sea", "lake", "river"], 0: ["forest", "meadow", "bamboo"]}
GRID = {"C": [0.01, 0.1, 1.0, 10.0]}


def worst(model: Any, X: np.ndarray, y: np.ndarray, group: np.ndarray) -> float:
    """Return the accuracy in the worst cell of class and group."""
    right = model.predict(X) == y
    return float(min(right[(y == c) & (group == g)].mean() for c in (0, 1) for g in (0, 1)))


def fitted(X: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> Any:
    """Return logistic regression tuned by the accuracy that its own weights ask for."""
    search = GridSearchCV(LogisticRegression(max_iter=2000), GRID, cv=5, scoring=None)
    return search.fit(X, y, sample_weight=weight).best_estimator_


def true_weights(y: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return weights by which all four cells of class and group count alike."""
    cell = 2 * y + group
    weight = 1 / np.bincount(cell)[cell]
    return weight / weight.mean()


@cache
def reviews() -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
    """Return embeddings, texts, opinions and products of reviews of books (1) and kitchen goods (0)."""
    frame = pd.read_parquet(data_path("amazon_domains", "data.parquet"))
    X = np.load(data_path("amazon_domains", "minilm.npz"))["emb"].astype(np.float32)
    kept = frame["domain"].isin(["books", "kitchen"]).to_numpy()
    frame = frame[kept]
    product = (frame["domain"] == "books").to_numpy().astype(int)
    return X[kept], frame["text"].tolist(), frame["label"].to_numpy().astype(int), product


def scores(
    X: Any, texts: list[str], y: Any, group: Any, train: Any, test: Any, thesaurus: Thesaurus
) -> dict[str, float]:
    """Return worst-group accuracies and how well the groups are found."""
    dimension = next(iter(thesaurus.table))
    result = Subpopulations(random_state=0).measure([texts[row] for row in train], y[train], thesaurus)
    told = result.groups[dimension].to_numpy() if dimension in result.groups else np.full(len(train), "unknown")
    weight = result.weights(dimension) if dimension in result.groups else None
    models = {"baseline": None, "method": weight, "true groups": true_weights(y[train], group[train])}
    found = {name: worst(fitted(X[train], y[train], w), X[test], y[test], group[test]) for name, w in models.items()}
    plain = fitted(X[train], y[train], None)
    known = told != "unknown"
    return found | {
        "overall, baseline": float(plain.score(X[test], y[test])),
        "rows with a group": float(known.mean()),
        "agreement of the groups (ARI)": float(adjusted_rand_score(group[train][known], told[known])),
    }


def opinions(seed: int) -> dict[str, float]:
    """Train on 1,000 reviews in which 95 % of the praise is for books and 95 % of the blame for kitchen goods."""
    X, texts, y, product = reviews()
    rng = np.random.default_rng(seed)
    cells = {(c, g): rng.permutation(np.flatnonzero((y == c) & (product == g))) for c in (0, 1) for g in (0, 1)}
    train = np.concatenate([rows[: 475 if c == g else 25] for (c, g), rows in cells.items()])
    test = np.concatenate([rows[475:] for rows in cells.values()])
    return scores(X, texts, y, product, train, test, PRODUCTS)


def birds(seed: int) -> dict[str, float]:
    """Land birds and water birds, 95 % on their own ground; captions tell the ground in nine of ten."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 6000)
    train, test = np.arange(2000), np.arange(2000, 6000)
    place = np.where(np.where(np.arange(6000) < 2000, rng.random(6000) < 0.95, rng.random(6000) < 0.5), y, 1 - y)
    seen = np.c_[(2 * y - 1) * 0.8, (2 * place - 1) * 1.5, np.zeros((6000, 8))] + rng.normal(size=(6000, 10))
    texts = [f"a bird near the {rng.choice(WORDS[int(p)]) if rng.random() < 0.9 else 'photographer'}" for p in place]
    return scores(seen, texts, y, place, train, test, PLACES)


WORST = "accuracy in the worst of four cells of class and group"
CLAIMS = [
    Claim(
        method="labelwise.weak.Subpopulations", paper=246, name="reviews", metric=WORST, run=opinions,
        data="1,000 Amazon reviews, MiniLM embeddings: 95 % of the praise for books, 95 % of the blame for kitchen goods",
        baseline="the same logistic regression without weights, same tuning", needs=("amazon_domains",),
        statement="Balancing the groups found in the texts by a table of words raises the worst group's accuracy.",
    ),
    Claim(
        method="labelwise.weak.Subpopulations", paper=246, name="birds", metric=WORST, run=birds,
        data="2,000 synthetic birds, 95 % on their own ground, which one caption in ten leaves out",
        baseline="the same logistic regression without weights, same tuning",
        statement="Balancing the groups found in the captions raises the worst group's accuracy.",
    ),
]  # fmt: skip
