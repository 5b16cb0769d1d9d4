"""Claims of PromptRE: six prompts about relations, nearly all of which do not hold."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from benchmarks.claims import Claim
from labelwise.weak import MajorityVote, PromptRE, match_prior

RELATIONS, TYPES = 8, 4


def prompts(seed: int, uneven: bool = False) -> tuple[Any, Any, Any]:
    """Votes of six prompts, right in 40 to 80 %, that say a relation when they err; truth, 95 % none; types of the rows.

    Every type allows two of eight relations. With `uneven`, each prompt has a favourite among the relations.
    """
    rng = np.random.default_rng(seed)
    n, m = 10_000, 6
    types = rng.integers(TYPES, size=n)
    truth = np.where(rng.random(n) < 0.95, 0, 1 + 2 * types + rng.integers(2, size=n))
    right = rng.random((n, m)) < np.linspace(0.4, 0.8, m)
    wrong = 1 + rng.integers(RELATIONS, size=(n, m))
    if uneven:
        wrong = np.where(rng.random((n, m)) < 0.5, 1 + rng.permutation(RELATIONS)[:m], wrong)
    return np.where(right, truth[:, None], wrong), truth, types


def f1(chosen: Any, truth: Any) -> float:
    """Return micro F1 of the relations, `chosen` (n, 1 + relations) or codes (n,)."""
    if chosen.ndim == 1:
        chosen = chosen[:, None] == np.arange(1 + RELATIONS)
    gold = truth[:, None] == np.arange(1 + RELATIONS)
    hits = (chosen & gold)[:, 1:].sum()
    return float(2 * hits / (chosen[:, 1:].sum() + gold[:, 1:].sum()))


ALLOWED = {kind: [1 + 2 * kind, 2 + 2 * kind] for kind in range(TYPES)}


@cache
def scores(seed: int, uneven: bool) -> dict[str, float]:
    """Micro F1 of everything that is left out or added."""
    votes, truth, types = prompts(seed, uneven)
    known = np.bincount(truth, minlength=1 + RELATIONS) / len(truth)
    found = {"majority vote": f1(MajorityVote().fit(votes).predict(votes), truth)}
    for name, prior in (("even shares", "even"), ("learned shares", "learned"), ("known shares", known)):
        found[name] = f1(PromptRE(prior=prior).fit(votes).proba_.argmax(1), truth)
    typed = PromptRE(prior=known, allowed=ALLOWED).fit(votes, types=types).proba_
    found["known shares, types"] = f1(typed.argmax(1), truth)
    found["known shares, types, matched"] = f1(match_prior(typed, known, none=0), truth)
    return found


def against(baseline: str, method: str, uneven: bool = False) -> Any:
    """Return a run that compares two of the scores and tells all."""

    def run(seed: int) -> dict[str, float]:
        found = scores(seed, uneven)
        return {"baseline": found[baseline], "method": found[method]} | found

    return run


DATA = "10,000 rows, 95 % of them none, eight relations, six prompts right in 40 to 80 % that err towards relations"
TYPED = f"{DATA}; types that allow two relations each"
COMMON: dict[str, Any] = {"method": "labelwise.weak.PromptRE", "paper": 224, "metric": "micro F1 of the relations"}
CLAIMS = [
    Claim(
        name="against the vote", data=TYPED, baseline="majority vote", **COMMON,
        run=against("majority vote", "known shares, types"),
        statement="Tables of the prompts, types and known shares beat counting the prompts' answers.",
    ),
    Claim(
        name="types", data=TYPED, baseline="the same without types", **COMMON,
        run=against("known shares", "known shares, types"), statement="Ruling out relations by type helps.",
    ),
    Claim(
        name="learned shares", data=DATA, baseline="even shares", **COMMON, run=against("even shares", "learned shares"),
        statement="Class shares must not be even where one class has nearly all rows.",
    ),
    Claim(
        name="prior matching", data=f"{TYPED}; each prompt errs half of the time towards a favourite", **COMMON,
        baseline="the most probable class", run=against("known shares, types", "known shares, types, matched", True),
        statement="Choosing as many rows for a relation as its share says beats the most probable class.",
        tried="With even errors it does not help either; probabilities of this model are well calibrated.",
    ),
]  # fmt: skip
