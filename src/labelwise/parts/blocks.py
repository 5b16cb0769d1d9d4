"""Row blocks: read an array that may be larger than memory piece by piece, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

BLOCK_BYTES = 2 * 2**20
"""Bytes of a block: small enough for a core's cache, large enough that Python's cost a block is lost in it."""

SMALL_BYTES = 2**24
"""Below this a pool of threads costs more than it brings."""


def row_blocks(array: NDArray[Any], n_bytes: int = BLOCK_BYTES) -> list[slice]:
    """Cut the rows of `array` into slices of about `n_bytes` each.

    >>> import numpy as np
    >>> row_blocks(np.zeros((5, 2)), n_bytes=32)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    row = max(1, array.itemsize * (array.size // max(1, len(array))))
    step = max(1, n_bytes // row)
    return [slice(start, min(start + step, len(array))) for start in range(0, len(array), step)]


def n_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(work: Callable[[Any], Any], items: Iterable[Any], n_bytes: int) -> None:
    """Call `work` on every item, on all cores if there are many bytes to go through.

    Threads, because numpy releases the interpreter lock where the time is spent and nothing has to be copied; each
    item must write to its own part of the result.
    """
    if n_bytes < SMALL_BYTES or n_cores() == 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(n_cores()) as pool:
        for _ in pool.map(work, items):
            pass
