"""Seconds and memory of one call, measured in a forked child so that one contender's leftovers do not help the next."""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil


class Cost(NamedTuple):
    """What a call cost: wall and CPU seconds, GiB of memory beyond what there was before; and what it returned."""

    wall: float
    cpu: float
    gigabytes: float
    result: Any

    def __str__(self) -> str:
        return f"{self.wall:.2f} / {self.cpu:.2f} s, +{self.gigabytes:.3f} GiB"


def own_memory() -> int:
    """Resident bytes that are not pages of mapped files, which the system takes back when it needs them."""
    found = psutil.Process().memory_info()
    return int(found.rss - found.shared)


def _child(call: Callable[[], Any], pipe: Any) -> None:
    done, peak, before = threading.Event(), [0], own_memory()

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], own_memory() - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done.set()
    watcher.join()
    pipe.send(Cost(wall, cpu, peak[0] / 2**30, result))


def measure(call: Callable[[], Any], repeats: int = 3) -> Cost:
    """Run `call` in `repeats` children, one after the other; medians of the seconds, the largest memory."""
    context = multiprocessing.get_context("fork")
    costs = []
    for _ in range(repeats):
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(call, there))
        child.start()
        there.close()
        costs.append(here.recv())
        child.join()
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        max(cost.gigabytes for cost in costs),
        costs[0].result,
    )
