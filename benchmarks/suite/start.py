"""Starting, against its budgets: the peer is numpy's import and a sleep, or a sleep alone."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from benchmarks.suite.timing import Entry, Pair

IMPORT, HELP = 0.1, 0.3
"""Seconds that ``import labelwise`` may take beyond numpy's import, and ``labelwise --help`` altogether."""


def python(code: str) -> None:
    """Run code in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def command(*words: str) -> None:
    """Run the command line."""
    program = Path(sys.executable).with_name("labelwise")
    subprocess.run([str(program), *words], check=True, capture_output=True)


def kept(*_: object) -> str:
    """Nothing is computed."""
    return "a budget, not a library"


def imported(_: bool) -> Pair:
    """Import after numpy, against numpy and the budget."""
    theirs = partial(python, f"import time, numpy; time.sleep({IMPORT})")
    return Pair(f"budget {IMPORT} s", partial(python, "import numpy, labelwise"), theirs, kept, "wall")


def helped(words: tuple[str, ...], _: bool) -> Pair:
    """Print help, against the budget."""
    return Pair(f"budget {HELP} s", partial(command, *words), partial(time.sleep, HELP), kept, "wall")


ENTRIES = [
    Entry("`import labelwise` beside numpy", ("", "numpy's import + 0.1 s"), imported),
    *(
        Entry(f"`labelwise {' '.join(words)}`", ("", "0.3 s"), partial(helped, words))
        for words in (("--help",), ("audit", "--help"), ("adapt", "--help"))
    ),
]
