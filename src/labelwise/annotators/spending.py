"""A limit on what annotators may spend, kept before it is exceeded."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any, NamedTuple, Self

from labelwise.annotators.journal import Journal
from labelwise.base import InputError

ROUNDING = 1 + 1e-9
"""Ten times a tenth is one, whatever the last digit says."""


class Price(NamedTuple):
    """What a model asks for its answers.

    Attributes
    ----------
    call
        For each call, >= 0.
    read, written
        For a million tokens of the question, and of the answer, >= 0.
    """

    call: float = 0.0
    read: float = 0.0
    written: float = 0.0

    def of(self, read: float, written: float) -> float:
        """Return the price of one call with so many tokens."""
        return self.call + (self.read * read + self.written * written) / 1e6


class Spending:
    """A purse that several annotators can share. A call is made only if its highest possible price still fits.

    Parameters
    ----------
    limit
        The most that may be spent, >= 0, in the currency of the prices.
    file
        Where to write down what is spent, so that the limit holds for a job that is stopped and started again. What a
        call under way may cost counts as spent until it is known.

    Attributes
    ----------
    spent : float
        So far; calls under way count with their highest price.

    Examples
    --------
    >>> purse = Spending(limit=1.0)
    >>> purse.reserve(0.75)
    True
    >>> purse.settle(0.75, paid=0.5)
    >>> purse.spent, purse.reserve(0.75)
    (0.5, False)
    """

    def __init__(self, limit: float, file: str | Path | None = None) -> None:
        if not (isinstance(limit, int | float) and limit >= 0 and math.isfinite(limit)):
            raise InputError(f"Spending.limit must be a number >= 0. Got {limit!r}.")
        self.limit, self.file = limit, file
        self._journal = None if file is None else Journal(file)
        records = [] if self._journal is None else self._journal.records()
        self.spent = float(sum(record.get("amount", 0.0) for record in records))
        self._open = 0
        self._changed = threading.Condition()

    def reserve(self, most: float) -> bool:
        """Set `most` aside for a call; False, with nothing set aside, if it does not fit any more.

        While other calls are under way it waits for them, since they may cost less than was set aside.
        """
        with self._changed:
            while self.spent + most > self.limit * ROUNDING:
                if not self._open:
                    return False
                self._changed.wait()
            self._add(most)
            self._open += 1
            return True

    def settle(self, reserved: float, paid: float) -> None:
        """Replace what was set aside for a call by what it cost."""
        with self._changed:
            self._open -= 1
            self._add(paid - reserved)
            self._changed.notify_all()

    def _add(self, amount: float) -> None:
        if self._journal is not None and amount:
            self._journal.append({"amount": amount})
        self.spent += amount

    def __repr__(self) -> str:
        return f"Spending(limit={self.limit!r}, file={self.file!r})"

    def __deepcopy__(self, memo: Any) -> Self:
        """Return itself: a copy of an annotator spends from the same purse."""
        return self

    def __sklearn_clone__(self) -> Self:
        return self
