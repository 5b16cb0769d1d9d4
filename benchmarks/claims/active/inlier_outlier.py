"""Claims of inlier-outlier ensembles: digits 0 to 3 are wanted, 4 to 9 swim in the pool; five shots, then twenty a round."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.svm import OneClassSVM

from benchmarks.claims import Claim
from labelwise.active import ActiveLoop, InlierOutlierEnsemble, MarginQuery, Pool, Query, RandomQuery, VarianceRatio
from labelwise.learner import Classifier, Train
from labelwise.nets.dense import MLP

INLIERS, SHOTS, BATCH, ROUNDS, POOL = 4, 5, 20, 4, 600
TRAIN = Train(epochs=100, batch_size=64, lr=5e-3, progress=False)


def pool_and_test(seed: int) -> tuple[Any, Any, Any, Any]:
    """Return a pool of all digits (60 % outliers, labelled -1) and test rows of the wanted ones."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    X, y = X[order].astype(np.float32) / 16, y[order]
    test = np.flatnonzero((np.arange(len(y)) >= POOL) & (y < INLIERS))
    return X[:POOL], np.where(y[:POOL] < INLIERS, y[:POOL], -1), X[test], y[test]


def curve(estimator: Any, query: Query, seed: int, filter: Any = None) -> dict[str, float]:
    """Label round by round; return the mean inlier accuracy after the first round, and the inlier rate of the queries."""
    X, truth, X_test, y_test = pool_and_test(seed)
    rng = np.random.default_rng(seed)
    start = np.full(POOL, -1)
    for c in range(INLIERS):
        start[rng.choice(np.flatnonzero(truth == c), SHOTS, replace=False)] = c
    loop = ActiveLoop(estimator=estimator, query=query, batch=BATCH, rounds=ROUNDS, filter=filter, random_state=seed)
    accuracy, rate = list[float](), list[float]()
    for each in loop.iterate(X, start, lambda rows: truth[rows]):
        accuracy.append(float((each.model.predict(X_test) == y_test).mean()))
        if len(each.rows):
            rate.append(float((truth[each.rows] >= 0).mean()))
    return {"area": float(np.mean(accuracy[1:])), "rate": float(np.mean(rate[1:]))}


class FirstAtRandom(Query):
    """Random rows while no outlier is known (the paper's first round), then another strategy."""

    query: Any = None

    def picker(self, pool: Pool, rows: Any, limits: Any, rng: np.random.Generator) -> Any:
        """Ask the strategy that the round calls for."""
        known = int(pool.codes.max()) >= INLIERS
        return (self.query if known else RandomQuery()).picker(pool, rows, limits, rng)


def ensemble(**fields: Any) -> InlierOutlierEnsemble:
    """Return the method as the paper scores it: one member predicts, the pool is walked through with the labels' batches."""
    return InlierOutlierEnsemble(net=MLP(64, INLIERS + 1, (64,)), train=TRAIN, single=True, **fields)


def plain() -> Classifier:
    """Return the classifier of the baselines: the same network, wanted classes only."""
    return Classifier(net=MLP(64, INLIERS, (64,)), train=TRAIN)


@cache
def ours(seed: int, **fields: Any) -> dict[str, float]:
    """Return the whole method's curve, which several claims share."""
    return curve(ensemble(**fields), FirstAtRandom(query=VarianceRatio()), seed)


def detector(pool: Pool) -> Any:
    """Return what a one-class machine around the labelled wanted rows holds to be outliers."""
    known = pool.X[(pool.codes >= 0) & (pool.codes < INLIERS)]
    return OneClassSVM(nu=0.1, gamma="scale").fit(known).predict(pool.X) < 0


def beside_margin(seed: int) -> dict[str, float]:
    """The whole method against margin and random queries of a classifier of the wanted classes."""
    method, margin = ours(seed), curve(plain(), MarginQuery(), seed)
    random = curve(plain(), RandomQuery(), seed)
    return {
        "baseline": max(margin["area"], random["area"]), "method": method["area"], "margin": margin["area"],
        "random": random["area"], "inlier rate": method["rate"], "inlier rate of margin": margin["rate"],
    }  # fmt: skip


def beside_detector(seed: int) -> dict[str, float]:
    """The whole method against margin queries among what an outlier detector lets through."""
    method, filtered = ours(seed), curve(plain(), MarginQuery(), seed, filter=detector)
    return {
        "baseline": filtered["area"], "method": method["area"], "inlier rate": method["rate"],
        "inlier rate of the detector": filtered["rate"],
    }  # fmt: skip


def rate(seed: int) -> dict[str, float]:
    """Share of wanted classes among the rows asked for, with outliers last and without."""
    all_rows = curve(ensemble(), FirstAtRandom(query=VarianceRatio(outliers_last=False)), seed)
    share = float((pool_and_test(seed)[1] >= 0).mean())
    return {"baseline": all_rows["rate"], "method": ours(seed)["rate"], "share in the pool": share}


def without_pool(seed: int) -> dict[str, float]:
    """The whole method against itself without pseudo-labels."""
    return {"baseline": ours(seed, use_pool=False)["area"], "method": ours(seed)["area"]}


def without_committee(seed: int) -> dict[str, float]:
    """The whole method against one network, which can only ask at random."""
    one = curve(ensemble(members=1), RandomQuery(), seed)["area"]
    return {"baseline": one, "method": ours(seed)["area"]}


DATA = f"digits, 0-3 wanted, 4-9 outliers (60 % of {POOL} rows), {SHOTS} shots, {ROUNDS} rounds of {BATCH}, small MLP"
AREA = "mean accuracy on wanted classes along the curve"


def _claim(name: str, baseline: str, statement: str, run: Any, metric: str = AREA) -> Claim:
    return Claim(
        method="labelwise.active.InlierOutlierEnsemble", paper=35, name=name, data=DATA, baseline=baseline, metric=metric,
        statement=statement, run=run,
    )  # fmt: skip


CLAIMS = [
    _claim("whole", "the better of margin and random queries, a network of the wanted classes", 
           "With outliers in the pool, the ensemble with an outlier class and pseudo-labels beats usual active learning.",
           beside_margin),
    _claim("detector", "margin queries behind a one-class SVM", "It needs no separate outlier detector: it beats one.",
           beside_detector),
    _claim("outliers last", "variance ratio of all rows", "Putting predicted outliers last wastes fewer queries on them.",
           rate, "share of wanted classes among the rows asked for"),
    _claim("pool", "the same without pseudo-labels", "Pseudo-labels of the pool, outliers included, make it better.",
           without_pool),
    _claim("committee", "one network with pool and outlier class, random queries", "Five members that say what to ask beat "
           "one.", without_committee),
]  # fmt: skip
