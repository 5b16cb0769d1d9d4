"""Two contenders in turn in one process, A B A B, and what is told of them: medians, and the median ratio with its range."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

LEAST = 0.05
"""Seconds that a timed run takes at least: shorter calls are repeated."""
ROUNDS = (3, 9)
"""Fewest and most rounds of an entry."""
Call = Callable[[], Any]
Clock = Literal["wall", "cpu"]


class Pair(NamedTuple):
    """Both sides of a comparison on the same data, ready to run.

    Attributes
    ----------
    size
        Of the problem, in words.
    ours, theirs
        One run each; what they return goes to `agree`.
    agree
        Says in a few words how far both results are equal, or raises `Differs`.
    clock
        What this pair is timed by whatever is asked for; None follows the suite's choice.
    """

    size: str
    ours: Call
    theirs: Call
    agree: Callable[[Any, Any], str]
    clock: Clock | None = None


class Entry(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    name
        What is compared.
    peer
        Names of the peer's distribution, whose version is told, and of what is called in it.
    make
        Draws the problem and loads both sides; True asks for a tiny one.
    why
        One sentence: what differs, where we are not faster.
    """

    name: str
    peer: tuple[str, str]
    make: Callable[[bool], Pair]
    why: str = ""


class Differs(Exception):
    """The two sides do not give the same result."""


class Outcome(NamedTuple):
    """Seconds of one call of each round, and how the results compare."""

    size: str
    ours: list[float]
    theirs: list[float]
    told: str

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, round by round: below 1 we are faster."""
        return [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)


def seconds(call: Call, times: int, clock: Callable[[], float]) -> float:
    """Return the seconds of one of `times` calls."""
    gc.collect()
    start = clock()
    for _ in range(times):
        call()
    return (clock() - start) / times


def alternate(pair: Pair, budget: float, clock: Clock = "wall", rounds: tuple[int, int] = ROUNDS) -> Outcome:
    """Run both sides once to warm up, then in turn until about `budget` seconds are used up, within the rounds."""
    tick = time.process_time if (pair.clock or clock) == "cpu" else time.perf_counter
    told = pair.agree(pair.ours(), pair.theirs())
    sides = (pair.theirs, pair.ours)
    once = [max(seconds(side, 1, tick), 1e-6) for side in sides]
    times = [max(1, math.ceil(LEAST / each)) for each in once]
    fit = round(budget / sum(each * number for each, number in zip(once, times, strict=True)))
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(min(max(fit, rounds[0]), rounds[1])):
        for side, number, into in zip(sides, times, found, strict=True):
            into.append(seconds(side, number, tick))
    return Outcome(pair.size, found[1], found[0], told)


@contextlib.contextmanager
def quiet() -> Any:
    """Send what peers print to the error stream, without their warnings."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


def version(distribution: str) -> str:
    """Return the installed version, such as ``2.9.0``; nothing for what is no distribution.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed.
    """
    if not distribution:
        return ""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise ModuleNotFoundError(f"pip install {distribution}") from None


def one_thread() -> None:
    """Keep this process and its children to one thread each, before anything heavy is imported."""
    for name in ("OMP", "MKL", "OPENBLAS", "NUMBA", "VECLIB_MAXIMUM"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
