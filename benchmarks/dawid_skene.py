"""Dawid-Skene on 100,000 tasks and 500,000 answers: crowd-kit's ``DawidSkene`` and ours, 20 iterations each.

``python benchmarks/dawid_skene.py [--tasks N] [--answers M] [--workers W] [--k CLASSES] [--iterations I]`` prints Markdown
rows for Dawid-Skene and for one coin: wall and CPU seconds (reading the answers included), memory beyond the input,
ratios, accuracy against the hidden truth, and the largest difference of a class probability. Every call runs in a
process forked for it.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import pandas as pd
from crowdkit.aggregation import DawidSkene as TheirDawidSkene
from crowdkit.aggregation import OneCoinDawidSkene as TheirOneCoin

from benchmarks.measure import Cost, measure
from labelwise.weak import DawidSkene, OneCoin, from_answers

HEADER = """\
| label model | crowd-kit 1.4: wall / CPU, memory | ours: wall / CPU, memory | times faster (wall / CPU) \
| accuracy, theirs / ours | largest difference |
|---|---|---|---|---|---|"""


def crowd(tasks: int, answers: int, workers: int, k: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Answers of workers whose accuracy is between 0.4 and 0.95, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, tasks)
    accuracy = rng.uniform(0.4, 0.95, workers)
    task = np.sort(np.concatenate([np.arange(tasks), rng.integers(0, tasks, answers - tasks)]))
    worker = rng.integers(0, workers, answers)
    label = np.where(rng.random(answers) < accuracy[worker], truth[task], rng.integers(0, k, answers))
    return pd.DataFrame({"task": task, "worker": worker, "label": label}), truth


def theirs(model: type, frame: pd.DataFrame, iterations: int) -> np.ndarray:
    """Class probabilities by crowd-kit, rows and columns in sorted order."""
    proba = model(n_iter=iterations, tol=-np.inf).fit(frame).probas_.sort_index()
    return proba[sorted(proba.columns)].to_numpy()


def ours(model: DawidSkene | OneCoin, frame: pd.DataFrame) -> np.ndarray:
    """Class probabilities by labelwise."""
    return model.fit(from_answers(frame.task, frame.worker, frame.label)).proba_


def row(name: str, truth: np.ndarray, peer: Cost, own: Cost) -> str:
    """One line of the table."""
    right = [(cost.result.argmax(1) == truth).mean() for cost in (peer, own)]
    return (
        f"| {name} | {peer} | {own} | {peer.wall / own.wall:.1f} / {peer.cpu / own.cpu:.1f} "
        f"| {right[0]:.4f} / {right[1]:.4f} | {np.abs(peer.result - own.result).max():.1e} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--answers", type=int, default=500_000)
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    frame, truth = crowd(asked.tasks, asked.answers, asked.workers, asked.k)
    # tol=0 never stops before the likelihood falls, so that both do the same number of iterations
    pairs = {
        "Dawid-Skene": (TheirDawidSkene, DawidSkene(smoothing=0, tol=0, max_iter=asked.iterations)),
        "one coin": (TheirOneCoin, OneCoin(tol=0, max_iter=asked.iterations)),
    }
    print(HEADER)
    for name, (peer, own) in pairs.items():
        costs = [
            measure(partial(theirs, peer, frame, asked.iterations), asked.repeats),
            measure(partial(ours, own, frame), asked.repeats),
        ]
        size = f"{asked.answers:,} answers on {asked.tasks:,} tasks by {asked.workers} workers, {asked.k} classes"
        print(row(f"{name}, {asked.iterations} iterations, {size}", truth, *costs), flush=True)


if __name__ == "__main__":
    main()
