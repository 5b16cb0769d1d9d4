"""Label models beside crowd-kit and snorkel."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite.compare import accuracy, at_least
from benchmarks.suite.timing import Entry, Pair

ROUNDS = 20
"""Iterations of expectation-maximisation."""


def confusions(coin: bool, small: bool) -> Pair:
    """Dawid-Skene, or one coin, from a table of answers; the same number of iterations."""
    from benchmarks import dawid_skene as bench
    from labelwise.weak import DawidSkene, OneCoin

    tasks, answers, workers, k = (200, 1_000, 20, 4) if small else (6_000, 30_000, 200, 10)
    frame, truth = bench.crowd(tasks, answers, workers, k)
    peer = bench.TheirOneCoin if coin else bench.TheirDawidSkene
    model = OneCoin(tol=0, max_iter=ROUNDS) if coin else DawidSkene(smoothing=0, tol=0, max_iter=ROUNDS)

    def agree(ours: Any, theirs: Any) -> str:
        right = [float((side.argmax(1) == truth).mean()) for side in (ours, theirs)]
        told = at_least("accuracy", *right, slack=0.01 if small else 0.001)
        return f"{told}, largest difference {np.abs(ours - theirs).max():.1g}"

    size = f"{answers:,} answers, {tasks:,} tasks, {workers} workers, {k} classes"
    return Pair(size, partial(bench.ours, model, frame), partial(bench.theirs, peer, frame, ROUNDS), agree)


def votes(small: bool) -> Pair:
    """The majority of each task's answers."""
    from crowdkit.aggregation import MajorityVote as Peer

    from benchmarks.dawid_skene import crowd
    from labelwise.weak import MajorityVote, from_answers

    tasks, answers, workers, k = (200, 1_000, 20, 4) if small else (100_000, 500_000, 500, 10)
    frame, truth = crowd(tasks, answers, workers, k)

    def ours() -> Any:
        told = from_answers(frame.task, frame.worker, frame.label)
        return MajorityVote().fit(told).predict(told)

    size = f"{answers:,} answers, {tasks:,} tasks, {k} classes"
    return Pair(
        size, ours, lambda: Peer().fit_predict(frame).sort_index().to_numpy(), accuracy(truth, 0.05 if small else 0.002)
    )


def abilities(small: bool) -> Pair:
    """GLAD; each with its own way to climb and to stop."""
    from crowdkit.aggregation import GLAD as Peer

    from benchmarks.dawid_skene import crowd
    from labelwise.weak import GLAD, from_answers

    tasks, answers, workers, k = (100, 600, 20, 3) if small else (500, 3_000, 40, 4)
    frame, truth = crowd(tasks, answers, workers, k)

    def ours() -> Any:
        told = from_answers(frame.task, frame.worker, frame.label)
        model = GLAD().fit(told)
        return model.classes_[model.proba_.argmax(1)]

    def theirs() -> Any:
        return Peer(n_iter=100, tol=1e-5, silent=True).fit_predict(frame).sort_index().to_numpy()

    size = f"{answers:,} answers, {tasks:,} tasks, {workers} workers, {k} classes"
    return Pair(size, ours, theirs, accuracy(truth, 0.05 if small else 0.005))


def rules(n: int, m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Votes of m rules, right in 60 to 90 % of the rows on which they speak (one in three), and two hidden classes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    right = rng.random((n, m)) < rng.uniform(0.6, 0.9, m)
    return np.where(rng.random((n, m)) < 1 / 3, np.where(right, truth[:, None], 1 - truth[:, None]), -1), truth


def programming(epochs: int, small: bool) -> Pair:
    """Rules' accuracies from their agreements, and the classes of all rows; ties of the peer are broken at random."""
    from snorkel.labeling.model import LabelModel

    from labelwise.weak import DataProgramming

    n, m = (500, 10) if small else (50_000, 30)
    table, truth = rules(n, m)

    def ours() -> Any:
        return DataProgramming(class_balance=[0.5, 0.5]).fit(table).proba_.argmax(1)

    def theirs() -> Any:
        model = LabelModel(cardinality=2, verbose=False)
        model.fit(table, n_epochs=epochs, class_balance=[0.5, 0.5], seed=0, progress_bar=False)
        return model.predict(table, tie_break_policy="true-random")

    return Pair(
        f"{n:,} rows, {m} rules, 2 classes, {epochs} epochs of theirs",
        ours,
        theirs,
        accuracy(truth, 0.05 if small else 0.002),
    )


CONVERGED = "ours fits until it converges and looks for copies among the rules; theirs takes 100 steps"
ENTRIES = [
    Entry("majority vote", ("crowd-kit", "`MajorityVote`"), votes),
    Entry(f"Dawid-Skene, {ROUNDS} iterations", ("crowd-kit", "`DawidSkene`"), partial(confusions, False)),
    Entry(f"one coin, {ROUNDS} iterations", ("crowd-kit", "`OneCoinDawidSkene`"), partial(confusions, True)),
    Entry("GLAD", ("crowd-kit", "`GLAD`"), abilities),
    Entry("label model of rules", ("snorkel", "`LabelModel`"), partial(programming, 100), CONVERGED),
    Entry("label model of rules, long", ("snorkel", "`LabelModel`"), partial(programming, 500)),
]
