"""What the losses of probabilities share: log-probabilities that survive half precision, and checked arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import InputError, Range


def log_proba(logits: Tensor) -> Tensor:
    """Return ``log softmax(logits)``, of half precision in float32: sums over classes of large logits then fit."""
    half = logits.dtype in (torch.float16, torch.bfloat16)
    return F.log_softmax(logits, 1, dtype=torch.float32 if half else None)


def log_own(logits: Tensor, y: Tensor) -> Tensor:
    """Return ``log p_y`` of every row, ``(b,)``."""
    return log_proba(logits).gather(1, y[:, None]).squeeze(1)


def checked(owner: Any, name: str, value: float, accepted: Range) -> float:
    """Return `value`, or raise `InputError` where it is outside the range of the loss's argument."""
    if value not in accepted:
        raise InputError(f"{type(owner).__name__}: {name} must be {accepted}. Got {value!r}.")
    return value


T = TypeVar("T")


def one_of(owner: Any, name: str, value: T, options: Sequence[Any]) -> T:
    """Return `value`, or raise `InputError` where it is not among the options of the loss's argument."""
    if value not in options:
        raise InputError(
            f"{type(owner).__name__}: {name} must be one of {', '.join(map(repr, options))}. Got {value!r}."
        )
    return value
