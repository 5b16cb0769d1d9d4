"""Fewer threads where handing work over costs more than the work: small fits, and many small problems."""

from __future__ import annotations

import math
import sys
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

SMALL = 5_000_000
"""Numbers in X below which loops over rows use one thread too."""


def one_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread inside a ``with`` block.

    >>> with one_thread():
    ...     pass
    """
    return _limited({"blas": 1})


def few_threads(X: Any) -> AbstractContextManager[Any]:
    """Limit threads while a plain model is fitted to `X`: one for BLAS, and one for OpenMP where X is small.

    The products of a linear model are thin: a second thread mostly waits, and where the machine is busy it waits long.
    """
    small = math.prod(getattr(X, "shape", (0,))) < SMALL
    return _limited({"blas": 1, "openmp": 1} if small else {"blas": 1})


def _limited(limits: dict[str, int]) -> AbstractContextManager[Any]:
    pools = _pools(tuple(name in sys.modules for name in ("torch", "faiss", "sklearn")))
    limited: AbstractContextManager[Any] = pools.limit(limits=limits)
    return limited


@cache
def _pools(_: tuple[bool, ...]) -> ThreadpoolController:
    """Find the thread pools once for every set of loaded libraries: it takes as long as fitting a small model."""
    return ThreadpoolController()
