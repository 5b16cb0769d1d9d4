"""Never below the baseline, as a property: twenty problems, half of which no method can improve."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.claims.advice import PROBLEMS, Problem, run

from labelwise.advice import race

TOLERANCE = 0.02
"""Test scores are means over thousands of rows, with a standard error of less than a point."""
QUICK = ["a small sample by chance", "a coin for each of two values", "checkerboard of four", "moons, few labels"]


def never_below(problem: Problem, seed: int, draws: int):
    outcome = run(problem, seed, draws)
    assert outcome.chosen >= outcome.baseline - TOLERANCE, outcome.result.reason
    if not outcome.won:
        assert outcome.chosen == outcome.baseline
    return outcome


@pytest.mark.parametrize("name", QUICK)
def test_never_below_on_a_few(name):
    problem = next(p for p in PROBLEMS if p.name == name)
    outcome = never_below(problem, seed=1, draws=1)
    assert outcome.won == problem.improvable


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_never_below_on_twenty(seed):
    outcomes = [never_below(problem, seed, draws=3) for problem in PROBLEMS]
    false_wins = sum(o.won for o in outcomes if not o.problem.improvable)
    assert false_wins <= 1  # one in ten is the nominal rate
    gains = [o.chosen - o.baseline for o in outcomes if o.problem.improvable]
    assert np.mean([gain > 0.05 for gain in gains]) >= 0.8


@pytest.mark.slow
def test_false_wins_are_as_rare_as_the_level_says():
    """Labels by chance, many times: where every method is equally good, one race in ten may go wrong, at most."""
    from benchmarks.claims.advice import challengers, plain

    problem = next(p for p in PROBLEMS if p.name == "a small sample by chance")
    wins = 0
    for seed in range(60):
        X, y, _, _ = problem.draw(seed)
        wins += race(X, y, challengers(seed), plain(seed), budget_seconds=None, draws=1, random_state=seed).verdict == (
            "beats baseline"
        )
    assert wins <= 10  # of 60 at 10 %, more would happen once in 20 times
