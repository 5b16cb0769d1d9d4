"""Check that what a paper says of a method has been measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import SkipTest

from labelwise import catalogue
from labelwise.checks.check import Check, listed, require


def checks(cls: type[Any]) -> Iterator[Check]:
    """Yield the check of claims for a method of a paper."""
    if cls.__module__.startswith("labelwise.") and cls.card.paper is not None:
        yield from listed(cls, has_a_measured_claim)


def has_a_measured_claim(cls: type[Any]) -> None:
    """``claims.json`` has a row for the class; a method that nobody lists makes no claim."""
    entry = next((entry for entry in catalogue.methods() if entry.cls is cls), None)
    if entry is None:
        raise SkipTest(f"{cls.__name__} is not in the catalogue")
    require(
        catalogue.claims().get(entry.import_path),
        f"no measured claim: add one to benchmarks/claims/{entry.room}.py and run `make claims ROOM={entry.room}`",
    )
