"""Run the benchmarks and write their rows into ``docs/benchmarks.md``: ``python -m benchmarks [NAME ...]``.

Each runs in a process of its own, one after the other. Its rows replace what stands between the page's markers
``<!-- NAME -->`` and ``<!-- /NAME -->``; everything else on the page is written by hand. With options of its own
(``python -m benchmarks suite --only loss --small``) one benchmark is tried, and the page is left alone.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
SCRIPTS = (
    "startup",
    "engine",
    "confident_learning",
    "noise_streaming",
    "dawid_skene",
    "prior_estimation",
    "active_query",
    "output_layer",
    "audit",
    "large_audit",
    "audit_gain",
    "race",
    "run_bundled",
    "guard",
    "extreme_labels",
    "llp_million",
    "neighbours",
    "ray_engine",
    "hot_paths",
)
COMMANDS = {
    "suite": ["-m", "benchmarks.suite"],
    **{name: [f"benchmarks/{name}.py"] for name in SCRIPTS if (ROOT / "benchmarks" / f"{name}.py").exists()},
    "checks": ["-m", "labelwise.checks"],
}


def start(name: str, options: Sequence[str] = (), stdout: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run one benchmark in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, *COMMANDS[name], *options]
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=stdout, text=True, check=False)


def run(name: str) -> str:
    """Run one benchmark and return the rows it printed, with a line about where and when."""
    started = time.perf_counter()
    done = start(name, stdout=subprocess.PIPE)
    if done.returncode:
        raise RuntimeError(f"{name} ended with exit code {done.returncode}")
    where = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    when = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"{done.stdout.strip()}\n\n*{when}, {where}; the benchmark took {time.perf_counter() - started:.0f} s.*"


def put(page: str, name: str, rows: str) -> str:
    """Return the page with `rows` between the markers of `name`.

    >>> put("a <!-- x -->old<!-- /x --> b", "x", "new")
    'a <!-- x -->\\n\\nnew\\n\\n<!-- /x --> b'
    """
    pattern = re.compile(rf"(<!-- {name} -->).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"docs/benchmarks.md has no markers <!-- {name} --> and <!-- /{name} -->.")
    return pattern.sub(lambda found: f"{found[1]}\n\n{rows}\n\n{found[2]}", page)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks, or all; return the number that failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(COMMANDS)}; all by default")
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) > 1 and given[0] in COMMANDS and given[1].startswith("-"):
        return start(given[0], given[1:]).returncode
    names = parser.parse_args(given).names or list(COMMANDS)
    unknown = sorted(set(names) - set(COMMANDS))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(COMMANDS)}")
    failures = 0
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            rows = run(name)
        except RuntimeError as error:
            failures += 1
            print(f"    failed, the page keeps its old rows: {error}", file=sys.stderr)
            continue
        print(rows, flush=True)
        draft = PAGE.with_suffix(".partial")
        draft.write_text(put(PAGE.read_text(encoding="utf-8"), name, rows), encoding="utf-8")
        draft.replace(PAGE)
    return failures


if __name__ == "__main__":
    sys.exit(main())
