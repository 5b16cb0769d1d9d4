"""Class shares beside QuaPy: the target's shares from a classifier's probabilities, in one process."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite.compare import close
from benchmarks.suite.timing import Entry, Pair


def maximum(small: bool) -> Pair:
    """Expectation-maximisation; the peer stops at a looser tolerance of its own."""
    from quapy.method.aggregative import EMQ

    from benchmarks.prior_estimation import posteriors
    from labelwise.parts.priors import em_prior

    n, k = (2_000, 5) if small else (100_000, 50)
    proba, truth = posteriors(n, k, np.random.default_rng(0))
    source = np.full(k, 1 / k)

    def agree(ours: Any, theirs: Any) -> str:
        errors = [float(np.abs(side - truth).mean()) for side in (ours, theirs)]
        return f"{close(ours, theirs, 5e-3)}; mean error {errors[0]:.5f} / {errors[1]:.5f}"

    return Pair(f"{n:,} x {k}", partial(em_prior, proba, source), lambda: np.asarray(EMQ.EM(source, proba)[0]), agree)


def adjusted(soft: bool, solver: str, small: bool) -> Pair:
    """Adjusted counts from held-out source rows: the confusion, and the system solved for the target's shares."""
    from quapy.method.aggregative import ACC, PACC
    from sklearn.linear_model import LogisticRegression

    from benchmarks.prior_estimation import posteriors
    from labelwise.parts.priors import bbse_prior, confusion, predicted_shares

    n, k = (2_000, 5) if small else (100_000, 50)
    rng = np.random.default_rng(0)
    proba, truth = posteriors(n, k, rng)
    source, codes = sources(n, k, rng)

    def ours() -> Any:
        return bbse_prior(confusion(source, codes, soft=soft), predicted_shares(proba, soft=soft))

    # never asked: both sides get probabilities
    classifier = LogisticRegression().fit(np.eye(k), np.arange(k))

    def theirs() -> Any:
        method = (PACC if soft else ACC)(classifier, fit_classifier=False, solver=solver)
        method.aggregation_fit(source if soft else source.argmax(1), codes)
        return method.aggregate(proba if soft else proba.argmax(1))

    def agree(mine: Any, other: Any) -> str:
        errors = [float(np.abs(side - truth).mean()) for side in (mine, other)]
        return f"{close(mine, other, 5e-3)}; mean error {errors[0]:.5f} / {errors[1]:.5f}"

    return Pair(f"{n:,} + {n:,} x {k}", ours, theirs, agree)


def sources(n: int, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors of source rows with equal shares, and their classes."""
    codes = rng.integers(0, k, n)
    scores = rng.standard_normal((n, k), dtype=np.float32)
    scores[np.arange(n), codes] += 2.0
    proba = np.exp(2.0 * scores)
    return proba / proba.sum(1, keepdims=True), codes


DOUBLE = "both add up the same probabilities, ours in double precision, theirs in that of the input"
ENTRIES = [
    Entry("class shares, EM", ("quapy", "`EMQ.EM`"), maximum),
    Entry("class shares, adjusted counts", ("quapy", "`ACC`, exact"), partial(adjusted, False, "exact-cc")),
    Entry("class shares, adjusted counts", ("quapy", "`ACC`, minimize"), partial(adjusted, False, "minimize")),
    Entry("class shares, adjusted means", ("quapy", "`PACC`, exact"), partial(adjusted, True, "exact-cc"), DOUBLE),
    Entry("class shares, adjusted means", ("quapy", "`PACC`, minimize"), partial(adjusted, True, "minimize")),
]
