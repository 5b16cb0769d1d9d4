"""One thread for many small problems of linear algebra, where handing work over costs more than the work."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries: once is enough


def one_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread inside a ``with`` block.

    >>> with one_thread():
    ...     pass
    """
    limits: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limits
