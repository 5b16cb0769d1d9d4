"""Rows of the suite's table: what a comparison gave, or why there is none."""

from __future__ import annotations

import statistics
import sys
import traceback
from typing import NamedTuple

from benchmarks.suite.timing import ROUNDS, Clock, Differs, Entry, Outcome, alternate, quiet, version

HEADER = """\
| what | size | peer | ours, s | theirs, s | ratio (range) | results | where not faster: why |
|---|---|---|---|---|---|---|---|"""


class Row(NamedTuple):
    """An entry and what came of it: an outcome, or the reason why there is none."""

    entry: Entry
    outcome: Outcome | None
    missing: str = ""
    failed: bool = False

    @property
    def unexplained(self) -> bool:
        """Whether the peer is at least as fast and nobody says why."""
        return self.outcome is not None and self.outcome.ratio >= 1 and not self.entry.why

    def __str__(self) -> str:
        return f"| {' | '.join(self._cells())} |"

    def _cells(self) -> list[str]:
        peer = self._peer()
        if self.outcome is None:
            return [self.entry.name, "", peer, "", "", "", self.missing.replace("|", "/"), ""]
        slower = self.outcome.ratio >= 1
        why = (self.entry.why or "not explained") if slower else ""
        ours, theirs = (number(statistics.median(values)) for values in (self.outcome.ours, self.outcome.theirs))
        shown = f"**{share(self.outcome.ratio)}**" if slower else share(self.outcome.ratio)
        low, high = share(min(self.outcome.ratios)), share(max(self.outcome.ratios))
        return [
            self.entry.name, self.outcome.size, peer, ours, theirs, f"{shown} ({low} to {high})",
            self.outcome.told, why,
        ]  # fmt: skip

    def _peer(self) -> str:
        distribution, called = self.entry.peer
        try:
            return " ".join(part for part in (distribution, version(distribution), called) if part)
        except ModuleNotFoundError:
            return f"{distribution} {called}".strip()


def number(value: float) -> str:
    """Return seconds with three digits.

    >>> number(12.345), number(0.000123456)
    ('12.3', '0.000123')
    """
    return f"{value:.3g}" if value >= 1e-4 else f"{value:.2e}"


def share(value: float) -> str:
    """Return a ratio with two digits after the point, or with two that are not zero.

    >>> share(1.234), share(0.00456)
    ('1.23', '0.0046')
    """
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def run(entry: Entry, small: bool, budget: float, clock: Clock) -> Row:
    """Measure one entry; a peer or data that are not there, and an error, give a row that says so."""
    try:
        version(entry.peer[0])
        with quiet():
            return Row(entry, alternate(entry.make(small), budget, clock, (1, 1) if small else ROUNDS))
    except ImportError as error:
        return Row(entry, None, f"not installed: {error}")
    except Differs as error:
        return Row(entry, None, f"results differ: {error}", failed=True)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return Row(entry, None, f"failed: {type(error).__name__}: {error}".splitlines()[0][:200], failed=True)


def summary(rows: list[Row]) -> str:
    """Return one sentence on all rows."""
    measured = [row.outcome for row in rows if row.outcome]
    faster = sum(outcome.ratio < 1 for outcome in measured)
    silent = sum(row.unexplained for row in rows)
    told = f"{faster} of {len(measured)} comparisons below 1.0"
    if len(measured) > faster:
        told += f", {len(measured) - faster} at or above, of which {silent} without a reason"
    failed = sum(row.failed for row in rows)
    absent = len(rows) - len(measured) - failed
    parts = [told, f"{absent} not made for want of the peer" if absent else "", f"{failed} FAILED" if failed else ""]
    return f"{'; '.join(part for part in parts if part)}."
