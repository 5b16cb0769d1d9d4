"""Label errors from 1,000,000 x 100 probabilities: cleanlab's ``find_label_issues`` and ours, by the same rule.

``python benchmarks/confident_learning.py [--n ROWS] [--k CLASSES] [--rule RULE]`` prints a Markdown row for probabilities
in memory and one for the same in a memory-mapped file: wall and CPU seconds, memory beyond the input, ratios, and the
Jaccard index of the flags. Nothing is compiled at run time; imports are not timed. Every call runs in a process forked
for it; cleanlab runs with ``n_jobs=1``, which is faster here than its default.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues

from benchmarks.measure import Cost, measure
from labelwise.noisy import ConfidentLearning
from labelwise.parts.label_pruning import RULES

HEADER = """\
| label errors | cleanlab 2.9: wall / CPU, memory | ours: wall / CPU, memory | times faster (wall / CPU) \
| share of its memory | flagged | Jaccard |
|---|---|---|---|---|---|---|"""


def problem(n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, of which 10 % are redrawn, and softmax probabilities of a model that is right on most rows."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    proba = np.empty((n, k), np.float32)
    for start in range(0, n, 50_000):
        block = proba[start : start + 50_000]
        rng.standard_normal(out=block, dtype=np.float32)
        block[np.arange(len(block)), truth[start : start + len(block)]] += 4.0
        np.exp(1.5 * block, out=block)
        block /= block.sum(1, keepdims=True)
    return np.where(rng.random(n) < 0.1, rng.integers(0, k, n), truth), proba


def theirs(y: np.ndarray, proba: np.ndarray | Path, rule: str) -> np.ndarray:
    """Flag with cleanlab."""
    values = np.load(proba, mmap_mode="r") if isinstance(proba, Path) else proba
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return find_label_issues(y, values, filter_by=rule, n_jobs=1)


def ours(y: np.ndarray, proba: np.ndarray | Path, rule: str) -> np.ndarray:
    """Flag with labelwise."""
    return ConfidentLearning(rule=rule).find_issues(y, proba)


def row(name: str, peer: Cost, own: Cost) -> str:
    """One line of the table."""
    both, either = np.count_nonzero(peer.result & own.result), np.count_nonzero(peer.result | own.result)
    return (
        f"| {name} | {peer} | {own} | {peer.wall / own.wall:.1f} / {peer.cpu / own.cpu:.1f} "
        f"| {own.gigabytes / peer.gigabytes:.3f} | {own.result.sum():,} | {both / max(either, 1):.6f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--rule", choices=RULES, default="prune_by_noise_rate")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    y, proba = problem(arguments.n, arguments.k)
    name = f"{arguments.n:,} x {arguments.k} float32, {arguments.rule}"
    print(HEADER)
    costs = [measure(partial(call, y, proba, arguments.rule), arguments.repeats) for call in (theirs, ours)]
    print(row(f"{name}, in memory", *costs), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proba.npy"
        np.save(path, proba)
        del proba
        costs = [measure(partial(call, y, path, arguments.rule), arguments.repeats) for call in (theirs, ours)]
        print(row(f"{name}, memory-mapped", *costs))


if __name__ == "__main__":
    main()
