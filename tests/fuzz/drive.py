"""Run a property over drawn examples: a fixed few in the ordinary suite, for a share of the time under ``make fuzz``."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable
from typing import Any

from hypothesis import given, seed, settings
from hypothesis import strategies as st

TOTAL = float(os.environ.get("FUZZ_SECONDS", "0"))
"""Seconds of all tests together under ``make fuzz``; 0 draws the fixed few."""
ROUND = 10


_tests = 1


def share_among(tests: int) -> None:
    """Note how many tests share the time."""
    global _tests
    _tests = max(1, tests)


def fuzz(name: str, cases: st.SearchStrategy[Any], property_of: Callable[[Any], None], examples: int) -> None:
    """Draw cases and hold the property against each; the seed follows from `name`, so that every run draws the same.

    With `TOTAL` set, rounds of other seeds follow until the test's share of it is over.
    """
    start, number = time.monotonic(), int(os.environ.get("FUZZ_SEED", "0"))
    _round(name, number, cases, property_of, ROUND if TOTAL else examples)
    while TOTAL and time.monotonic() < start + TOTAL / _tests:
        number += 1
        _round(name, number, cases, property_of, ROUND)


def _round(name: str, number: int, cases: Any, property_of: Callable[[Any], None], examples: int) -> None:
    @seed(zlib.crc32(f"{name} {number}".encode()))
    @settings(settings.get_profile("fuzz" if TOTAL else "fuzz-quick"), max_examples=examples)
    @given(cases)
    def run(case: Any) -> None:
        property_of(case)

    run()
