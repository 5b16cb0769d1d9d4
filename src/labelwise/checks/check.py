"""One named check of one class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from unittest import SkipTest


@dataclass(frozen=True)
class Check:
    """A function of a class under a name; calling it raises `AssertionError` or whatever the class raised.

    A check that turns out not to apply raises `unittest.SkipTest`, which pytest reports as skipped.
    """

    name: str
    cls: type[Any]
    run: Callable[[type[Any]], None]

    skipped: ClassVar[type[Exception]] = SkipTest

    def __call__(self) -> None:
        """Run the check."""
        self.run(self.cls)

    def __str__(self) -> str:
        return f"{self.cls.__name__}: {self.name}"


def listed(cls: type[Any], *functions: Callable[[type[Any]], None]) -> list[Check]:
    """Make a check of each function, named like it."""
    return [Check(function.__name__.replace("_", " "), cls, function) for function in functions]


def require(condition: object, message: str) -> None:
    """Raise `AssertionError` with `message` unless `condition` is true; works under ``python -O`` too."""
    if not condition:
        raise AssertionError(message)


def raised(call: Callable[[], object]) -> Exception | None:
    """Return the exception that `call` raises, None when it returns."""
    try:
        call()
    except Exception as error:
        return error
    return None
