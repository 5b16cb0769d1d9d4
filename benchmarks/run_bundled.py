"""``labelwise run`` on every bundled set with a budget of 60 s: wall time, and the leaderboard it ends with.

``python benchmarks/run_bundled.py [--budget 60s]`` prints a Markdown table of stages and one of methods.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from labelwise.data import bundled


def run(name: str, budget: str, folder: Path) -> Path:
    """Run one set from a cold cache in a process of its own and return its directory."""
    out = folder / name
    command = [
        sys.executable,
        "-m",
        "labelwise",
        "demo",
        "--data",
        name,
        "--budget",
        budget,
        "--out",
        str(out),
        "--json",
    ]
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "LABELWISE_CACHE": str(folder / "cache")}
    )
    return out


def main() -> None:
    """Run all sets and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="60s")
    budget = parser.parse_args().budget
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: run(name, budget, Path(folder)) for name in bundled.names()}
        print("| set | rows | read | encode | audit | race | fit | report | total, s | verdict |\n|" + "---|" * 10)
        for name, out in runs.items():
            info = json.loads((out / "run.json").read_text())
            stages = [
                f"{info['seconds'][s]:.1f}" for s in ("read", "encode", "audit", "race", "fit", "report", "total")
            ]
            print("| " + " | ".join([name, f"{info['data']['rows']:,}", *stages, info["advice"]["verdict"]]) + " |")
        print("\n| set | rank | method | score | difference to the baseline | status |\n|---|---|---|---|---|---|")
        for name, out in runs.items():
            board = pd.read_parquet(out / "leaderboard.parquet")
            for line in board.itertuples():
                difference = f"{line.difference:+.4f} [{line.difference_low:+.4f}, {line.difference_high:+.4f}]"
                shown = difference if line.difference == line.difference else ""
                score = f"{line.score:.4f}" if line.score == line.score else ""
                print(f"| {name} | {line.rank} | {line.method} | {score} | {shown} | {line.status} |")


if __name__ == "__main__":
    main()
