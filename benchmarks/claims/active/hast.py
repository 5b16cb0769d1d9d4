"""Claims of self-training between queries: topics of banking77 from frozen sentence embeddings, 30 to 130 labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from benchmarks.claims import Claim, data_path
from labelwise.active import HAST, UST, VERIPS, ActiveLoop, AcTune, MarginQuery, NeST, RandomQuery
from labelwise.parts.pseudo_labels import above

K, POOL, TEST, START, BATCH, ROUNDS = 10, 700, 500, 3, 20, 5
C = 100.0
"""Inverse regularisation, the best of 1, 3, 10, 30, 100 with 80 random labels of intents that the claims never see."""
EARLIER: dict[str, Any] = {"UST": UST, "AcTune": AcTune, "VERIPS": VERIPS, "NeST": NeST}


def topics(seed: int) -> tuple[Any, Any, Any, Any]:
    """Return the pool and test rows of ten intents drawn from the forty most frequent, redrawn by seed."""
    frame = pd.read_parquet(data_path("banking77", "data.parquet"))
    label = next(name for name in ("label", "intent", "category", "y") if name in frame)
    codes, _ = pd.factorize(frame[label])
    file = np.load(data_path("banking77", "minilm.npz"))
    Z = next(file[name] for name in file.files if file[name].ndim == 2 and len(file[name]) == len(codes))
    rng = np.random.default_rng(seed)
    frequent = np.argsort(-np.bincount(codes), kind="stable")[:40]
    chosen = np.sort(rng.choice(frequent, K, replace=False))
    rows = rng.permutation(np.flatnonzero(np.isin(codes, chosen)))[: POOL + TEST]
    X, y = Z[rows].astype(np.float64), np.searchsorted(chosen, codes[rows])
    return X[:POOL], y[:POOL], X[POOL:], y[POOL:]


def plain() -> LogisticRegression:
    """Return the classifier of all arms."""
    return LogisticRegression(C=C, max_iter=300)


def curve(estimator: Any, query: Any, seed: int) -> dict[str, float]:
    """Label round by round; return the mean accuracy along the curve, the last one, and what pseudo-labels were like."""
    X, y, X_test, y_test = topics(seed)
    rng = np.random.default_rng(seed)
    start = np.full(POOL, -1)
    for c in range(K):
        start[rng.choice(np.flatnonzero(y == c), START, replace=False)] = c
    loop = ActiveLoop(estimator=estimator, query=query, batch=BATCH, rounds=ROUNDS, random_state=seed)
    accuracy, right, given = list[float](), list[float](), list[int]()
    for each in loop.iterate(X, start, lambda rows: y[rows]):
        accuracy.append(float((each.model.predict(X_test) == y_test).mean()))
        pseudo = getattr(each.model, "pseudo_labels_", None)
        if pseudo is not None and len(pseudo):
            right.append(float((pseudo.labels == y[pseudo.rows]).mean()))
            given.append(len(pseudo))
    middle = np.array(accuracy)
    told = {"area": float(((middle[1:] + middle[:-1]) / 2).mean()), "last": accuracy[-1]}
    return told | ({"precision": float(np.mean(right)), "given": float(np.mean(given))} if right else {})


def beside_querying(seed: int) -> dict[str, float]:
    """Margin queries with HAST against margin queries alone; random queries with HAST beside."""
    alone, hast = curve(plain(), MarginQuery(), seed), curve(HAST(estimator=plain()), MarginQuery(), seed)
    chance = curve(HAST(estimator=plain()), RandomQuery(), seed)
    return {
        "baseline": alone["area"], "method": hast["area"], "last without": alone["last"], "last with": hast["last"],
        "random queries with HAST": chance["area"], "pseudo-labels": hast["given"], "precision": hast["precision"],
    }  # fmt: skip


def beside_predecessors(seed: int) -> dict[str, float]:
    """HAST against the best of the four others in this seed: a stricter rival than any one of them."""
    others = {name: curve(made(estimator=plain()), MarginQuery(), seed)["area"] for name, made in EARLIER.items()}
    return {
        "baseline": max(others.values()),
        "method": curve(HAST(estimator=plain()), MarginQuery(), seed)["area"],
        **others,
    }


def precision(seed: int) -> dict[str, float]:
    """Precision of pseudo-labels on which neighbours agree, and of all above the same probability."""
    X, y, _, _ = topics(seed)
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.choice(np.flatnonzero(y == c), START, replace=False) for c in range(K)])
    shown = np.full(POOL, -1)
    shown[rows] = y[rows]
    pool = np.flatnonzero(shown < 0)
    sure = above(plain().fit(X[rows], y[rows]).predict_proba(X[pool]), 0.5)
    given = HAST(estimator=plain(), random_state=seed).fit(X, shown).pseudo_labels_
    return {
        "baseline": float((sure.labels == y[pool[sure.rows]]).mean()),
        "method": float((given.labels == y[given.rows]).mean()),
        "above the threshold": float(len(sure)), "kept": float(len(given)),
    }  # fmt: skip


DATA = f"banking77, {K} intents redrawn by seed, frozen MiniLM embeddings, {POOL} rows in the pool, 30 to 130 labels"
AREA = "mean test accuracy along the curve"
SEEDS = tuple(range(8))

CLAIMS = [
    Claim(
        method="labelwise.active.HAST", paper=26, name="beside querying", data=DATA, metric=AREA, needs=("banking77",),
        baseline="margin queries, logistic regression", run=beside_querying, seeds=SEEDS,
        statement="Self-training on pseudo-labels of agreeing neighbours makes active learning better with as many labels.",
        tried="Seven of eight draws of intents gain or lose little; in one, wrong pseudo-labels of the first rounds confirm "
        "themselves and cost 3.7 points along the curve, though not at its end. Labels alone reach 95 % here, which leaves "
        "less room than the paper's data do.",
    ),
    Claim(
        method="labelwise.active.HAST", paper=26, name="beside predecessors", data=DATA, metric=AREA, needs=("banking77",),
        baseline="the best of UST, AcTune, VERIPS and NeST in each seed", run=beside_predecessors,
        statement="HAST beats the four earlier ways of self-training between queries.",
    ),
    Claim(
        method="labelwise.active.HAST", paper=26, name="precision", data=DATA + "; the first 30 labels",
        metric="share of right pseudo-labels", needs=("banking77",), baseline="all predictions above the same probability",
        run=precision, seeds=SEEDS,
        statement="Agreement of neighbours keeps pseudo-labels that are right more often than a threshold alone.",
    ),
]  # fmt: skip
