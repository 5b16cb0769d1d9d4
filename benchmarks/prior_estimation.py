"""Class shares of 1,000,000 x 100 posteriors: QuaPy's ``EMQ.EM`` and `labelwise.parts.priors.em_prior`, in one process.

``python benchmarks/prior_estimation.py [--rows N] [--classes K]`` prints a Markdown row: seconds (wall and CPU), memory
beyond the input (peak resident set of the call), mean absolute error of the shares against the truth, distance from the
maximum of the likelihood, and the ratios.
"""

from __future__ import annotations

import argparse
import threading
import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import psutil
from quapy.method.aggregative import EMQ

from labelwise.parts.priors import em_prior

HEADER = """\
| EM prior estimation | peer wall / CPU s, memory | ours wall / CPU s, memory | times faster (wall / CPU) \
| MAE peer / ours | distance from the maximum peer / ours |
|---|---|---|---|---|---|"""


class Run(NamedTuple):
    """What one call cost and found."""

    wall: float
    cpu: float
    gigabytes: float
    prior: np.ndarray

    def __str__(self) -> str:
        return f"{self.wall:.2f} / {self.cpu:.2f}, +{self.gigabytes:.2f} GiB"


def posteriors(n_rows: int, n_classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Exact float32 posteriors of a Gaussian mixture under uniform source shares, and the target shares drawn."""
    prior = rng.dirichlet(np.ones(n_classes))
    proba = np.empty((n_rows, n_classes), dtype=np.float32)
    for start in range(0, n_rows, 50_000):
        block = proba[start : start + 50_000]
        rng.standard_normal(out=block, dtype=np.float32)
        block[np.arange(len(block)), rng.choice(n_classes, len(block), p=prior)] += 2.0
        np.exp(2.0 * block, out=block)
        block /= block.sum(axis=1, keepdims=True)
    return proba, prior


def measure(call: Callable[[], np.ndarray]) -> Run:
    """Run `call` once, watching the resident memory from a thread."""
    process, done, peak = psutil.Process(), threading.Event(), [0]
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    prior = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done.set()
    watcher.join()
    return Run(wall, cpu, peak[0] / 2**30, prior)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    proba, truth = posteriors(arguments.rows, arguments.classes, np.random.default_rng(arguments.seed))
    source = np.full(arguments.classes, 1 / arguments.classes)
    em_prior(proba[:1000], source, tol=1e-3)  # load the linear algebra before anything is timed
    ours = measure(lambda: em_prior(proba, source))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = measure(lambda: np.asarray(EMQ.EM(source, proba)[0]))
    best = em_prior(proba, source, tol=1e-9)
    error = [np.abs(run.prior - truth).mean() for run in (peer, ours)]
    away = [np.abs(run.prior - best).max() for run in (peer, ours)]
    print(HEADER)
    print(
        f"| {arguments.rows:,} x {arguments.classes}, QuaPy EMQ.EM | {peer} | {ours} "
        f"| {peer.wall / ours.wall:.1f} / {peer.cpu / ours.cpu:.1f} "
        f"| {error[0]:.5f} / {error[1]:.5f} | {away[0]:.1e} / {away[1]:.1e} |"
    )


if __name__ == "__main__":
    main()
