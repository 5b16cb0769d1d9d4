"""Claims of query strategies and of the stopping estimate: curves of scaled logistic regression on digits and banking77."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.claims import Claim
from benchmarks.claims.noise_grid import banking
from labelwise.active import BADGE, DiverseBatch, LabelGain, MarginQuery, Query, RandomQuery, TypiClust
from labelwise.active.loop import ActiveLoop
from labelwise.parts.out_of_fold import plain_classifier

Data = Callable[[], tuple[Any, Any]]


def digits() -> tuple[Any, Any]:
    """Return scikit-learn's digits."""
    X, y = load_digits(return_X_y=True)
    return X, y


def repeated_digits() -> tuple[Any, Any]:
    """Return 400 digits, each four times with a little noise: pools have near copies."""
    X, y = digits()
    rows = np.tile(np.arange(400), 4)
    return X[rows] + np.random.default_rng(0).normal(scale=0.3, size=(1600, 64)), y[rows]


def area(data: Data, query: Query, seed: int, *, batch: int, rounds: int, pool: int = 900, copies: int = 1) -> float:
    """Return the mean test accuracy after each round, from one label of each class on."""
    X, y = data()
    rng = np.random.default_rng(seed)
    once = len(y) // copies  # near copies of a row stay on one side
    order = rng.permutation(once)
    cut = pool // copies
    train, test = (np.concatenate([rows + once * c for c in range(copies)]) for rows in (order[:cut], order[cut:]))
    start = np.full(len(train), -1)
    for c in np.unique(y[train]):
        start[rng.choice(np.flatnonzero(y[train] == c))] = c
    loop = ActiveLoop(query=query, batch=batch, rounds=rounds, random_state=seed)
    scores = [each.model.score(X[test], y[test]) for each in loop.iterate(X[train], start, lambda rows: y[train][rows])]
    return float(np.mean(scores[1:]))


def compare(data: Data, method: Query, baseline: Query, **told: Any) -> Callable[[int], dict[str, float]]:
    """Return a claim's run: one strategy against another from the same start."""

    def run(seed: int) -> dict[str, float]:
        return {"baseline": area(data, baseline, seed, **told), "method": area(data, method, seed, **told)}

    return run


def predicted_gain(seed: int) -> dict[str, float]:
    """Error of the predicted gain of 60 more labels, and of taking the last step of the learning curve to go on."""
    X, y = digits()
    misses = {"baseline": list[float](), "method": list[float](), "held": list[float]()}
    for n in (60, 120):
        few, rest = train_test_split(np.arange(len(y)), train_size=n, stratify=y, random_state=seed)
        more, test = np.r_[few, rest[:60]], rest[60:]
        told = LabelGain(n_more=60, repeats=6, random_state=seed).measure(X[few], y[few])
        before, after = (plain_classifier().fit(X[rows], y[rows]).score(X[test], y[test]) for rows in (few, more))
        last = told.curve.iloc[-2:]
        slope = np.diff(last["accuracy"])[0] / np.diff(last["n_labels"])[0]
        misses["method"].append(abs(told.gain.value - (after - before)))
        misses["baseline"].append(abs(60 * slope - (after - before)))
        misses["held"].append(float(told.gain.low <= after - before <= told.gain.high))
    return {
        "baseline": float(np.mean(misses["baseline"])), "method": float(np.mean(misses["method"])),
        "90 % interval holds it": float(np.mean(misses["held"])),
    }  # fmt: skip


AREA = "mean test accuracy along the curve"

CLAIMS = [
    Claim(
        method="labelwise.active.MarginQuery", data="digits, 900 rows in the pool, 10 to 90 labels", baseline="random rows",
        metric=AREA, statement="Labelling the rows whose two best classes are closest teaches more than random rows.",
        run=compare(digits, MarginQuery(), RandomQuery(), batch=10, rounds=8),
    ),
    Claim(
        method="labelwise.active.BADGE", data="banking77, 20 intents, embeddings, 20 to 180 labels, 40 at a time",
        baseline="margin", metric=AREA, statement="In large batches, gradients that differ teach more than margins alone.",
        run=compare(banking, BADGE(), MarginQuery(), batch=40, rounds=4), needs=("banking77",), seeds=range(6),
    ),
    Claim(
        method="labelwise.active.TypiClust", data="digits, 10 to 40 labels", baseline="margin", metric=AREA,
        statement="With very few labels, typical rows teach more than rows the model is unsure of.",
        run=compare(digits, TypiClust(), MarginQuery(), batch=10, rounds=3), seeds=range(8),
    ),
    Claim(
        method="labelwise.active.DiverseBatch", data="400 digits, each in four near copies, 10 to 90 labels, 20 at a time",
        baseline="margin", metric=AREA, statement="Where rows nearly repeat, spreading the batch out teaches more.",
        run=compare(repeated_digits, DiverseBatch(), MarginQuery(), batch=20, rounds=4, pool=1000, copies=4), seeds=range(8),
    ),
    Claim(
        method="labelwise.active.LabelGain", data="digits, 60 and 120 labels, 60 more", metric="error of the predicted gain",
        baseline="the last step of the learning curve, continued", higher_is_better=False, run=predicted_gain,
        statement="A power law predicts what the next labels bring better than the last step of the curve does.",
        seeds=range(8),
    ),
]  # fmt: skip
