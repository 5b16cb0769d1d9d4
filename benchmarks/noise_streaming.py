"""Noise estimates and flags from probabilities on disk: ours streamed, beside cleanlab's batched version.

``python benchmarks/noise_streaming.py [--n ROWS] [--k CLASSES]`` writes ``n x k`` float32 probabilities block by block, and
prints Markdown rows: wall and CPU seconds, and memory beyond the labels, of flagging and of the whole estimate of the noise
(share, matrix with intervals, probability of every label), at a tenth of ``n`` and at ``n``, so that growth shows.
cleanlab's ``label_issues_batched`` runs on the smaller file; it flags by another rule, so that only time and memory
compare. Every call runs in a process forked for it.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from benchmarks.measure import Cost, measure
from labelwise.noisy import ConfidentLearning
from labelwise.parts.confident_joint import read
from labelwise.parts.label_noise import estimate_noise

HEADER = "| rows x classes | what | wall / CPU, memory | result |\n|---|---|---|---|"


def write(path: Path, n: int, k: int, seed: int = 0) -> np.ndarray:
    """Write softmax probabilities to `path`, and return labels of which 10 % are redrawn."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    file = open_memmap(path, mode="w+", dtype=np.float32, shape=(n, k))
    for start in range(0, n, 50_000):
        block = rng.standard_normal((min(50_000, n - start), k), dtype=np.float32)
        block[np.arange(len(block)), truth[start : start + len(block)]] += 4.0
        np.exp(1.5 * block, out=block)
        file[start : start + len(block)] = block / block.sum(1, keepdims=True)
    file.flush()
    return np.where(rng.random(n) < 0.1, rng.integers(0, k, n), truth)


def flags(y: np.ndarray, path: Path) -> int:
    """Flag with confident learning, streamed."""
    return int(ConfidentLearning().find_issues(y, path).sum())


def noise(y: np.ndarray, path: Path) -> float:
    """Estimate the noise, streamed."""
    return float(estimate_noise(read(y, np.load(path, mmap_mode="r"))).share.value)


def theirs(y: np.ndarray, path: Path) -> int:
    """Flag with cleanlab, in batches."""
    from cleanlab.experimental.label_issues_batched import find_label_issues_batched

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = find_label_issues_batched(
            labels=y, pred_probs=np.load(path, mmap_mode="r"), batch_size=10_000, verbose=False
        )
    return len(found)


def row(n: int, k: int, what: str, cost: Cost) -> str:
    """One line of the table."""
    told = f"{cost.result:,}" if isinstance(cost.result, int) else f"{cost.result:.4f}"
    return f"| {n:,} x {k} | {what} | {cost} | {told} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000_000)
    parser.add_argument("--k", type=int, default=100)
    arguments = parser.parse_args()
    print(HEADER)
    with tempfile.TemporaryDirectory() as folder:
        for n in (arguments.n // 10, arguments.n):
            path = Path(folder) / f"{n}.npy"
            y = write(path, n, arguments.k)
            calls = {"flags, labelwise": flags, "share, matrix and probabilities, labelwise": noise}
            if n != arguments.n:
                calls["flags, cleanlab batched"] = theirs
            for what, call in calls.items():
                print(row(n, arguments.k, what, measure(partial(call, y, path), 1)), flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
