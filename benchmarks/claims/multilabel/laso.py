"""Claims of LaSO: sets of digits in a mosaic, and a few examples of digits that training never saw."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from benchmarks.claims import Claim
from labelwise.learner import Train
from labelwise.multilabel import LaSO
from labelwise.multilabel.laso import OPERATIONS, guess
from labelwise.parts.multilabel_measures import average_precision

SEEN, NEW = np.arange(6), np.arange(6, 10)


class Mosaics(NamedTuple):
    """Pictures ``(n, 16, 16, 1)`` of up to four digits, and which digits are in them ``(n, 10)``."""

    X: np.ndarray
    y: np.ndarray


def mosaics(n: int, among: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> Mosaics:
    """Put one to three digits of the classes `among`, drawn from `rows` of the digits, into the quarters of a picture."""
    X, digit = load_digits(return_X_y=True)
    pictures, able = (X / 16).astype(np.float32).reshape(-1, 8, 8), rows[np.isin(digit[rows], among)]
    chosen = rng.choice(able, (n, 4))
    full = np.argsort(rng.random((n, 4)), 1) < rng.integers(1, 4, (n, 1))
    tiles = pictures[chosen] * full[:, :, None, None]
    joined = tiles.reshape(n, 2, 2, 8, 8).transpose(0, 1, 3, 2, 4).reshape(n, 16, 16, 1)
    y = np.zeros((n, 10), np.int8)
    np.maximum.at(y, (np.repeat(np.arange(n), 4), digit[chosen].ravel()), full.ravel().astype(np.int8))
    return Mosaics(joined, y)


@cache
def trained(seed: int) -> tuple[LaSO, np.ndarray, np.random.Generator]:
    """Return LaSO fitted on mosaics of the digits 0 to 5, the digits kept for tests, and the generator."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(1797)
    data = mosaics(1500, SEEN, order[:1200], rng)
    train = Train(epochs=12, batch_size=64, lr=5e-3)
    return LaSO(train=train, set_steps=800, random_state=seed).fit(data.X, data.y[:, SEEN]), order[1200:], rng


def mean_precision(y: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean over labels of the average precision."""
    return float(np.nanmean(average_precision(scores, y)))


def operations(seed: int) -> dict[str, float]:
    """Mean average precision of the three operations on pairs of new mosaics: by arithmetic on features, and by LaSO."""
    import torch

    model, rows, rng = trained(seed)
    one, two = mosaics(500, SEEN, rows, rng), mosaics(500, SEEN, rows, rng)
    A, B = one.y[:, SEEN].astype(int), two.y[:, SEEN].astype(int)
    wanted = {"union": A | B, "intersection": A & B, "subtraction": A & (1 - B)}
    a, b = (torch.as_tensor(model.features(part.X), dtype=torch.float32) for part in (one, two))
    head: Any = model.net_.head
    found = {}
    for name in OPERATIONS:
        naive = head(guess(name, a, b)).detach().numpy()
        found[f"{name}, arithmetic"] = mean_precision(wanted[name], naive)
        found[name] = mean_precision(wanted[name], model.combine_proba(name, one.X, two.X))
    return {
        "baseline": float(np.mean([found[f"{name}, arithmetic"] for name in OPERATIONS])),
        "method": float(np.mean([found[name] for name in OPERATIONS])), **found,
    }  # fmt: skip


def unseen(seed: int, shots: int = 5) -> dict[str, float]:
    """Mean average precision of digits never seen, from a few mosaics each: plain, with mixed rows, with LaSO's rows."""
    model, rows, rng = trained(seed)
    pool = mosaics(400, NEW, rows[:300], rng)
    few = np.unique(np.concatenate([np.flatnonzero(pool.y[:, digit])[:shots] for digit in NEW]))
    X, y, test = pool.X[few], pool.y[few][:, NEW], mosaics(500, NEW, rows[300:], rng)
    z, z_test, n_more = model.features(X), model.features(test.X), 20 * len(few)
    (one, two), share = rng.integers(len(few), size=(2, n_more)), rng.uniform(0, 1, (n_more, 1))
    mixed = np.concatenate([z, share * z[one] + (1 - share) * z[two]])
    soft = np.concatenate([y, np.where(share > 0.5, y[one], y[two])])

    def score(features: np.ndarray, labels: np.ndarray) -> float:
        spread = z.std(0) + 1e-6
        columns = [
            LogisticRegression(max_iter=500).fit(features / spread, labels[:, k]).decision_function(z_test / spread)
            if 0 < labels[:, k].mean() < 1 else np.zeros(len(z_test))
            for k in range(len(NEW))
        ]  # fmt: skip
        return mean_precision(test.y[:, NEW], np.stack(columns, 1))

    return {
        "baseline": score(z, y), "method": score(*model.augmented(X, y, n_more, random_state=seed)),
        "mixed features": score(mixed, soft),
    }  # fmt: skip


METHOD, SEEDS = "labelwise.multilabel.LaSO", (0, 1, 2)
CLAIMS = [
    Claim(
        method=METHOD, paper=127, name="operations", seeds=SEEDS, run=operations,
        statement="Learnt set operations name the labels of a union, intersection and difference better than arithmetic.",
        data="mosaics of one to three of scikit-learn's digits 0 to 5; test mosaics of other pictures",
        baseline="sum, minimum and positive difference of the same features, read by the same output layer",
        metric="mean average precision, mean of the three operations",
    ),
    Claim(
        method=METHOD, paper=127, name="few examples", seeds=SEEDS, run=unseen,
        statement="Rows made by set operations help to learn digits never seen from five mosaics each.",
        data="mosaics of the digits 6 to 9, features learnt on the digits 0 to 5",
        baseline="logistic regression on the features of the few mosaics", metric="mean average precision of the new digits",
    ),
]  # fmt: skip
