"""The suite: its arithmetic, its table, and every entry at a tiny size."""

from __future__ import annotations

import importlib
import math
import statistics
import warnings

import benchmarks.__main__ as page
import numpy as np
import pytest
from benchmarks.suite import __main__ as command
from benchmarks.suite import compare, timing
from benchmarks.suite.table import Row, number, run, summary
from benchmarks.suite.timing import Differs, Entry, Outcome, Pair, alternate
from hypothesis import given
from hypothesis import strategies as st

SECONDS = st.floats(1e-6, 1e3)


class Clock:
    """Time that passes only where a call says so."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def takes(self, name: str, *each: float):
        """Return a call that takes these seconds in turn, the last ever after."""
        left = list(each)

        def call() -> str:
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return name

        return call


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: made.now)
    monkeypatch.setattr(timing.gc, "collect", lambda: 0)  # half a second each in a process full of other tests' modules
    return made


def same(ours: object, theirs: object) -> str:
    return f"{ours} and {theirs}"


def test_both_sides_take_turns_after_a_warm_up_and_the_ratio_is_ours_over_theirs(clock):
    pair = Pair("two", clock.takes("ours", 9, 9, 1, 3, 2), clock.takes("theirs", 9, 9, 4, 4, 4), same)
    outcome = alternate(pair, budget=0, rounds=(3, 3))
    assert clock.calls[:2] == ["ours", "theirs"] and clock.calls[4:] == ["theirs", "ours"] * 3
    assert outcome == Outcome("two", [1, 3, 2], [4, 4, 4], "ours and theirs")
    assert outcome.ratios == [0.25, 0.75, 0.5] and outcome.ratio == 0.5


def test_short_calls_are_repeated_and_seconds_are_of_one_call(clock):
    outcome = alternate(Pair("", clock.takes("a", 0.01), clock.takes("b", 0.2), same), budget=0, rounds=(1, 1))
    assert clock.calls.count("a") == 2 + 5 and clock.calls.count("b") == 2 + 1
    assert outcome.ratio == pytest.approx(0.05)


@pytest.mark.parametrize(("budget", "rounds"), [(0, 3), (12, 6), (1000, 9)])
def test_the_budget_decides_how_many_rounds(clock, budget, rounds):
    assert len(alternate(Pair("", clock.takes("a", 1), clock.takes("b", 1), same), budget).ours) == rounds


def test_a_pair_may_insist_on_the_wall_clock(clock):
    pair = Pair("", clock.takes("a", 1), clock.takes("b", 2), same, clock="wall")
    assert alternate(pair, 0, "cpu").ratio == 0.5


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=9))
def test_the_row_shows_the_median_of_ratios_within_its_range(rounds):
    ours, theirs = (list(side) for side in zip(*rounds, strict=True))
    outcome = Outcome("", ours, theirs, "")
    assert outcome.ratio == statistics.median(a / b for a, b in rounds)
    assert min(outcome.ratios) <= outcome.ratio <= max(outcome.ratios)
    cells = str(Row(Entry("x", ("", "y"), lambda _: None), outcome)).split("|")
    assert cells[6].strip().startswith("**") == (outcome.ratio >= 1)
    assert (cells[8].strip() == "not explained") == (outcome.ratio >= 1)


def test_a_row_that_is_not_faster_shows_the_reason_and_a_faster_one_does_not():
    entry = Entry("x", ("", "y"), lambda _: None, why="because")
    assert "because" in str(Row(entry, Outcome("", [2.0], [1.0], "")))
    assert "because" not in str(Row(entry, Outcome("", [1.0], [2.0], "")))
    assert not Row(entry, Outcome("", [2.0], [1.0], "")).unexplained


def test_a_missing_peer_and_a_difference_and_an_error_are_rows():
    def fails(error):
        def make(_):
            raise error

        return make

    absent = run(Entry("a", ("no-such-package", "`f`"), fails(ValueError())), True, 0, "wall")
    half = run(Entry("b", ("", "`f`"), fails(ModuleNotFoundError("No module named 'snorkel'"))), True, 0, "wall")
    apart = run(Entry("c", ("", "`f`"), fails(Differs("3 of 9 flags"))), True, 0, "wall")
    broken = run(Entry("d", ("", "`f`"), fails(ZeroDivisionError("a|b"))), True, 0, "wall")
    assert "pip install no-such-package" in str(absent) and "not installed" in str(half)
    assert "results differ: 3 of 9 flags" in str(apart) and "failed: ZeroDivisionError: a/b" in str(broken)
    assert [row.failed for row in (absent, half, apart, broken)] == [False, False, True, True]
    assert all(str(row).count("|") == 9 for row in (absent, half, apart, broken))
    told = summary([absent, half, apart, broken, Row(absent.entry, Outcome("", [1.0], [2.0], ""))])
    assert told == "1 of 1 comparisons below 1.0; 2 not made for want of the peer; 2 FAILED."


def test_results_that_differ_are_refused():
    with pytest.raises(Differs, match="1 of 2 flags"):
        compare.same_flags([True, False], [True, True])
    with pytest.raises(Differs, match="largest difference"):
        compare.close([1.0], [1.1], 0.01)
    with pytest.raises(Differs, match="shapes"):
        compare.close([1.0], [1.0, 1.0], 0.01)
    with pytest.raises(Differs):
        compare.close([math.nan], [1.0], 0.01)
    with pytest.raises(Differs, match=r"accuracy 0.5000 / 1.0000"):
        compare.accuracy(np.array([0, 1]))([0, 0], [0, 1])
    assert compare.accuracy(np.array([0, 1]))([0, 1], [0, 0]) == "accuracy 1.0000 / 0.5000"


def test_seconds_keep_three_digits():
    assert [number(value) for value in (0.12345, 123.4, 5e-7)] == ["0.123", "123", "5.00e-07"]


def test_entries_are_chosen_by_group_name_and_peer():
    every = list(command.entries())
    assert {entry.peer[0] for entry in command.entries("snorkel")} == {"snorkel"}
    assert len(list(command.entries("losses "))) == 16 and len(every) > 45
    assert len({(entry.name, entry.peer, str(entry.make)) for entry in every}) == len(every)


def test_options_of_a_benchmark_leave_the_page_alone(monkeypatch):
    started = []

    class Done:
        returncode = 3

    monkeypatch.setattr(page, "start", lambda name, options=(), stdout=None: started.append((name, options)) or Done())
    assert page.main(["suite", "--only", "loss", "--small"]) == 3
    assert started == [("suite", ["--only", "loss", "--small"])]


def test_the_page_has_a_place_for_every_benchmark():
    text = page.PAGE.read_text(encoding="utf-8")
    assert [name for name in page.COMMANDS if page.put(text, name, "new") == text] == []


@pytest.mark.slow
@pytest.mark.parametrize("group", command.GROUPS)
def test_every_entry_runs_at_a_tiny_size(group):
    for entry in importlib.import_module(f"benchmarks.suite.{group}").ENTRIES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = run(entry, True, 0, "wall")
        assert not row.failed, str(row)
        if row.outcome is None:
            assert "not installed" in row.missing


def test_an_entry_without_a_slow_peer_runs_at_a_tiny_size():
    row = run(importlib.import_module("benchmarks.suite.selection").ENTRIES[1], True, 0, "wall")
    assert row.outcome is not None and row.outcome.ratio > 0 and "mean distance" in str(row)
