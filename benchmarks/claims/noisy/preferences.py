"""Claims of PLD: recommendation from interactions that are partly accidents."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from benchmarks.claims import Claim
from labelwise.learner import Train
from labelwise.noisy import PLDRecommender
from labelwise.parts.ranking import ndcg_at_k, recall_at_k

RECOMMENDER = Train(epochs=30, batch_size=1024, lr=1e-2, weight_decay=0.0)
WAYS = {"plain BPR": "none", "global small loss": "all", "PLD": "user"}
PERSONAL = [{"penalty": 0.1, "tau": 0.1}, {"penalty": 0.1, "tau": 0.5}, {"penalty": 0.03, "tau": 0.5}]
GRIDS: dict[str, list[dict[str, Any]]] = {
    "plain BPR": [{"penalty": penalty} for penalty in (0.03, 0.1, 0.3)],
    "global small loss": PERSONAL,
    "PLD": PERSONAL,
}


def preferences(seed: int) -> tuple[Any, Any, Any]:
    """Return pairs of 300 users and 500 items, which of them are random, and clean held-out items (sparse)."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 500)) * 1.5 / np.sqrt(8) + 0.5 * rng.normal(size=500)
    order = np.argsort(-(taste + rng.gumbel(size=taste.shape)), axis=1)
    activity = np.clip(rng.lognormal(3.4, 0.6, 300), 12, 150).astype(int)
    rank, user = np.arange(500), np.arange(300)[:, None]
    liked = rank < activity[:, None]
    held = liked & (rng.random(order.shape) < 0.3)
    kept = liked & ~held
    noise = rng.random(order.shape)
    noise[liked] = np.inf
    wrong = noise.argsort(1).argsort(1) < np.round(0.2 * kept.sum(1))[:, None]
    pairs = np.stack([np.broadcast_to(user, order.shape), order], -1)
    test = sparse.csr_array((np.ones(held.sum()), pairs[held].T), shape=order.shape)
    return np.r_[pairs[kept], pairs[wrong]], np.arange(kept.sum() + wrong.sum()) >= kept.sum(), test


def recall(model: PLDRecommender, relevant: Any) -> float:
    """Return Recall@20 of the model's recommendations."""
    return recall_at_k(model.recommend(np.arange(relevant.shape[0]), 20), relevant)


def fit_recommender(pairs: Any, shape: tuple[int, int], way: str, seed: int) -> PLDRecommender:
    """Choose one of three settings by Recall@20 of a fifth of the training pairs, noise and all; fit on all of them."""
    held = np.random.default_rng(seed).random(len(pairs)) < 0.2
    train, test, every = (
        sparse.csr_array((np.ones(rows.sum()), pairs[rows].T), shape=shape) for rows in (~held, held, held | True)
    )
    models = [
        PLDRecommender(dim=32, within=WAYS[way], train=RECOMMENDER, random_state=seed, **setting) for setting in GRIDS[way]
    ]  # fmt: skip
    best = max(models, key=lambda model: recall(clone(model).fit(train), test))
    return best.fit(every)


@cache
def recommended(seed: int) -> dict[str, float]:
    """Return Recall@20, NDCG@20 and how well losses tell random interactions, for the three ways."""
    pairs, wrong, test = preferences(seed)
    found = {}
    for way in WAYS:
        model = fit_recommender(pairs, test.shape, way, seed)
        ranked = model.recommend(np.arange(300), 20)
        found[f"recall {way}"], found[f"ndcg {way}"] = recall_at_k(ranked, test), ndcg_at_k(ranked, test)
        for name, within in (("global", False), ("per user", True)):
            found[f"auc {name}, {way}"] = float(roc_auc_score(wrong, model.interaction_loss(pairs, within_user=within)))
    return found


def pick(source: Any, baseline: str, method: str) -> Any:
    """Return the comparison of two of a source's figures; the others are reported beside them."""

    def run(seed: int) -> dict[str, float]:
        found = source(seed)
        return {"baseline": found[baseline], "method": found[method]} | found

    return run


def recommender_claims() -> list[Claim]:
    """Return PLD against plain BPR and a global small-loss rule, and what losses say of noise."""
    told = {
        "data": "300 users of 12 to 150 interactions with 500 items, low-rank tastes, 20 % random interactions",
        "method": "labelwise.noisy.PLDRecommender", "paper": 121,
    }  # fmt: skip
    claims = [
        Claim(
            **told, name=f"{way}, {name}", baseline=f"{way}, three settings tried", metric=f"{name} on clean held-out items",
            statement=f"Resampling by personal loss recommends better than {way}.",
            run=pick(recommended, f"{name.split('@')[0].lower()} {way}", f"{name.split('@')[0].lower()} PLD"),
        )
        for way in ("plain BPR", "global small loss") for name in ("Recall@20", "NDCG@20")
    ]  # fmt: skip
    separation = Claim(
        **told, name="separation", baseline="loss compared over all users", run=pick(
            recommended, "auc global, plain BPR", "auc per user, plain BPR"
        ),
        metric="area under the ROC curve of random against right interactions, after plain BPR",
        statement="Losses compared within a user tell random interactions better than losses compared over all users.",
    )  # fmt: skip
    return [*claims, separation]


CLAIMS = recommender_claims()
