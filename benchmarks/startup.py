"""How long a start takes: ``import labelwise`` beyond numpy's own import, ``labelwise --help``, and importing peers.

``python benchmarks/startup.py`` prints a Markdown row a command: medians of wall seconds, one run of each command in turn.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
from pathlib import Path

PEERS = ("cleanlab", "crowdkit.aggregation", "quapy", "sklearn", "torch", "pandas")


def commands() -> dict[str, list[str]]:
    """Return what is measured by name; peers that are not installed are left out."""
    python = [sys.executable, "-c"]
    found = {
        "python": [*python, "pass"],
        "import numpy": [*python, "import numpy"],
        "import labelwise": [*python, "import labelwise"],
        "import numpy, labelwise": [*python, "import numpy, labelwise"],
        "labelwise --help": [str(Path(sys.executable).with_name("labelwise")), "--help"],
    }
    peers = [name for name in PEERS if importlib.util.find_spec(name.split(".")[0])]
    return found | {f"import {name}": [*python, f"import {name}"] for name in peers}


def wall(command: list[str]) -> float:
    """Return the seconds one run takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    measured: dict[str, list[float]] = {}
    for round_number in range(repeats + 1):  # the first round only warms the file cache
        for name, command in commands().items():
            seconds = wall(command)
            if round_number:
                measured.setdefault(name, []).append(seconds)
    median = {name: statistics.median(times) for name, times in measured.items()}
    numpy = median["import numpy"]
    over = statistics.median(
        [
            both - alone
            for both, alone in zip(measured["import numpy, labelwise"], measured["import numpy"], strict=True)
        ]
    )
    print("| command | median wall, s | times `import numpy` | goal |\n|---|---|---|---|")
    for name, seconds in median.items():
        goal = "0.3 s" if name == "labelwise --help" else ""
        print(f"| `{name}` | {seconds:.3f} | {seconds / numpy:.2f} | {goal} |")
    print(f"| `import labelwise` over numpy's import | {over:+.3f} | {over / numpy:+.2f} | 0.1 s |")


if __name__ == "__main__":
    main()
