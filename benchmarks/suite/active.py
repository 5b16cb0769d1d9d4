"""Query strategies beside scikit-activeml: probabilities are given, the batch is drawn."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite.compare import at_least
from benchmarks.suite.timing import Entry, Pair


def batch(name: str, small: bool) -> Pair:
    """A batch of 20 of a strategy that both sides have."""
    from benchmarks import active_query as bench

    n = 600 if small else 10_000 if name == "typical" else 50_000
    X, y, proba = bench.problem(n)
    told = (name, X, y, proba, 20)

    def agree(ours: Any, theirs: Any) -> str:
        if set(map(int, ours)) == set(map(int, theirs)):
            return "the same rows"
        mine, other = (bench.wanted(name, np.asarray(chosen), X, y, proba) for chosen in (ours, theirs))
        better = mine if name == "margin" else -mine, other if name == "margin" else -other
        at_least(name, *better, slack=(0.3 if small else 0.05) * abs(other))
        return f"{bench.WANTED[name]} {mine:.4g} / {other:.4g}"

    return Pair(f"20 of {n:,} x {bench.D}", partial(bench.ours, *told), partial(bench.theirs, *told), agree)


def graded(method: str, small: bool) -> Pair:
    """The 20 rows of largest entropy or least confidence."""
    from skactiveml.pool import UncertaintySampling

    from benchmarks import active_query as bench
    from labelwise.active import EntropyQuery, LeastConfidence, Pool

    n = 600 if small else 50_000
    X, y, proba = bench.problem(n)
    given = np.where(y < 0, np.nan, y)
    model = bench.Told(proba).fit(X[: bench.LABELLED], given[: bench.LABELLED])
    query = {"entropy": EntropyQuery, "least_confident": LeastConfidence}[method]

    def theirs() -> Any:
        asked = UncertaintySampling(method, random_state=0)
        return asked.query(X=X, y=given, clf=model, fit_clf=False, batch_size=20)

    def agree(mine: Any, other: Any) -> str:
        at_least("rows in common", len(set(map(int, mine)) & set(map(int, other))), 20, slack=0)
        return "the same rows"

    return Pair(
        f"20 of {n:,} x {bench.D}", lambda: query(random_state=0).select(Pool(X, y, proba=proba), 20), theirs, agree
    )


def disagreement(small: bool) -> Pair:
    """BALD: the 20 rows on which ten models differ most."""
    from skactiveml.pool import GreedyBALD

    from benchmarks import active_query as bench
    from labelwise.active import BALD, Pool

    n = 600 if small else 20_000
    X, y, proba = bench.problem(n)
    rng = np.random.default_rng(1)
    passes = proba * rng.gamma(2.0, size=(10, *proba.shape))
    passes /= passes.sum(2, keepdims=True)
    given = np.where(y < 0, np.nan, y)
    models = [bench.Told(each).fit(X[: bench.LABELLED], given[: bench.LABELLED]) for each in passes]

    def theirs() -> Any:
        return GreedyBALD(random_state=0).query(X=X, y=given, ensemble=models, fit_ensemble=False, batch_size=20)

    def agree(mine: Any, other: Any) -> str:
        at_least("rows in common", len(set(map(int, mine)) & set(map(int, other))), 20, slack=0)
        return "the same rows"

    return Pair(
        f"20 of {n:,}, 10 models", lambda: BALD(random_state=0).select(Pool(X, y, passes=passes), 20), theirs, agree
    )


PEERS = {"margin": "UncertaintySampling", "core-set": "CoreSet", "BADGE": "Badge", "typical": "TypiClust"}
ENTRIES = [
    *(
        Entry(
            f"query: {method.replace('_', ' ')}", ("scikit-activeml", "`UncertaintySampling`"), partial(graded, method)
        )
        for method in ("entropy", "least_confident")
    ),
    Entry("query: BALD", ("scikit-activeml", "`GreedyBALD`"), disagreement),
    *(
        Entry(f"query: {name}", ("scikit-activeml", f"`{called}`"), partial(batch, name))
        for name, called in PEERS.items()
    ),
]
