"""What losses of long-tailed classes share: the rows of each class, and how much of training has passed."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labelwise.base import Fraction, InputError, Range
from labelwise.losses.base import Loss


class CountedLoss(Loss):
    """A loss that weighs or shifts classes by their numbers of rows, as `count` was told them.

    A subclass writes `settle`. Before `count`, or without it, all classes are taken to have one row.
    """

    passed: Tensor

    def __init__(self, defer: float = 0.0) -> None:
        super().__init__()
        check_arguments(self, defer=(defer, Fraction))
        self.defer = defer
        self.register_buffer("passed", torch.zeros(()))

    def settle(self, counts: NDArray[np.float64]) -> None:
        """Keep in buffers what the loss needs of the class counts (K,)."""
        raise NotImplementedError(f"{type(self).__name__} must define settle(counts).")

    def bind(self, n_rows: int, n_classes: int) -> Self:
        """Take all classes as equally large until `count`, and training as not begun; return self."""
        self.passed.zero_()
        self._classes = n_classes
        self.settle(np.ones(n_classes))
        return self

    def count(self, y: Tensor) -> Self:
        """Take in the class codes ``(n,)`` of all training rows; return self. A negative code is no label."""
        known = y[y >= 0]
        found = torch.bincount(known.flatten(), minlength=getattr(self, "_classes", 0))
        self.settle(found.cpu().numpy().astype(np.float64))
        return self

    def advance(self, share: float) -> None:
        """Hear that `share` of training has passed."""
        self.passed.fill_(share)

    def switched_on(self) -> bool:
        """Whether training has come to where the class weights set in (`defer`)."""
        return float(self.passed) >= self.defer

    def of_classes(self, name: str, logits: Tensor) -> Tensor:
        """Return a buffer with one number a class, on the device and in the type of the logits."""
        if getattr(self, name) is None:
            self.bind(0, logits.shape[1])
        found: Tensor = getattr(self, name)
        if len(found) != logits.shape[1]:
            raise InputError(
                f"{type(self).__name__} was told of {len(found)} classes, but logits have {logits.shape[1]} columns."
            )
        return found.to(logits)


def check_arguments(loss: Loss, **given: tuple[float, Range]) -> None:
    """Raise `InputError` for the first argument of a loss outside its range."""
    for name, (value, limits) in given.items():
        if value not in limits:
            raise InputError(f"{type(loss).__name__}.{name} must be {limits}. Got {value!r}.")
