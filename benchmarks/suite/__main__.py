"""Run the suite and print one Markdown table: ``python -m benchmarks.suite [--only TEXT] [--small] [--clock cpu]``.

Every row runs labelwise and a peer in turn in this process, on one thread each: a run of both to warm up, then A B A B. The
ratio is the median over the rounds of ours over theirs, with the smallest and the largest. Data are drawn before, results
are compared before anything is timed. ``--clock cpu`` counts processor seconds instead, for a machine that others use too.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
from collections.abc import Iterator, Sequence

from benchmarks.suite.table import HEADER, Row, run, summary
from benchmarks.suite.timing import Entry, one_thread

GROUPS = ("start", "labels", "crowd", "semi", "active", "selection", "quantify", "losses", "extreme", "engine")


def entries(only: str = "", groups: Sequence[str] = GROUPS) -> Iterator[Entry]:
    """Yield the entries whose group, name or peer contains the text."""
    for group in groups:
        for entry in importlib.import_module(f"benchmarks.suite.{group}").ENTRIES:
            if only.lower() in f"{group} {entry.name} {' '.join(entry.peer)}".lower():
                yield entry


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if a row of a small trial failed (a long run's table says so itself)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks suite", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose group, name or peer contains it")
    parser.add_argument("--small", action="store_true", help="tiny sizes, one round: does everything run?")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--seconds", type=float, default=8.0, help="aimed at for a row (default 8)")
    asked = parser.parse_args(arguments)
    one_thread()
    rows: list[Row] = []
    print(HEADER)
    for entry in entries(asked.only):
        print(f"    {entry.name}, {entry.peer[1]} ...", file=sys.stderr, flush=True)
        rows.append(run(entry, asked.small, asked.seconds, asked.clock))
        print(rows[-1], flush=True)
        gc.collect()
    print(f"\n{summary(rows)}")
    return int(asked.small and any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
