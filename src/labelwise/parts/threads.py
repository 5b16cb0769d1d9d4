"""Fewer threads where handing work over costs more than the work: small fits, and many small problems."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

from joblib import cpu_count
from threadpoolctl import ThreadpoolController

SMALL = 5_000_000
"""Numbers in X below which loops over rows use one thread too."""


def one_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread inside a ``with`` block.

    >>> with one_thread():
    ...     pass
    """
    return _limited({"blas": 1})


def one_loop() -> AbstractContextManager[Any]:
    """Keep loops of compiled code (OpenMP) that this thread starts to one thread inside a ``with`` block."""
    return _limited({"openmp": 1})


def few_threads(X: Any) -> AbstractContextManager[Any]:
    """Limit threads while a plain model is fitted to `X`: one for BLAS, and one for OpenMP where X is small.

    The products of a linear model are thin: a second thread mostly waits, and where the machine is busy it waits long.
    """
    small = math.prod(getattr(X, "shape", (0,))) < SMALL
    return _limited({"blas": 1, "openmp": 1} if small else {"blas": 1})


@contextmanager
def single_thread() -> Iterator[None]:
    """Keep everything inside a ``with`` block to one thread: linear algebra, loops of compiled code, torch, numba.

    What is computed then does not depend on the number of cores, and several processes can share the machine.
    """
    others = [sys.modules[name] for name in ("torch", "numba") if name in sys.modules]
    before = [module.get_num_threads() for module in others]
    with _limited({"blas": 1, "openmp": 1}):
        for module in others:
            module.set_num_threads(1)
        try:
            yield
        finally:
            for module, threads in zip(others, before, strict=True):
                module.set_num_threads(threads)


def cores(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many cores this process may use.

    These are the cores it is bound to, no more than the quota of its container, and no more than ``OMP_NUM_THREADS`` says
    where that is set (the least of the numbers in it): who sets it shares the machine.

    >>> cores({"OMP_NUM_THREADS": "1"})
    1
    """
    told = [int(part) for part in environment.get("OMP_NUM_THREADS", "").split(",") if part.strip().isdigit()]
    return max(1, min([int(cpu_count()), *told]))


def _limited(limits: dict[str, int]) -> AbstractContextManager[Any]:
    pools = _pools(tuple(name in sys.modules for name in ("torch", "faiss", "sklearn")))
    limited: AbstractContextManager[Any] = pools.limit(limits=limits)
    return limited


@cache
def _pools(_: tuple[bool, ...]) -> ThreadpoolController:
    """Find the thread pools once for every set of loaded libraries: it takes as long as fitting a small model."""
    return ThreadpoolController()
