"""How far two results are equal, in a few words."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suite.timing import Differs


def same_flags(ours: Any, theirs: Any) -> str:
    """Tell that both flag the same rows, or raise `Differs`.

    >>> same_flags(np.array([True, False]), np.array([True, False]))
    'the same 1 rows'
    """
    apart = int(np.count_nonzero(np.asarray(ours) != np.asarray(theirs)))
    if apart:
        raise Differs(f"{apart:,} of {len(ours):,} flags")
    return f"the same {int(np.count_nonzero(ours)):,} rows"


def close(ours: Any, theirs: Any, tolerance: float) -> str:
    """Tell the largest difference, or raise `Differs` where it is above the tolerance, relative to the largest number.

    >>> close([1.0, 2.0], [1.0, 2.0], 1e-5)
    'largest difference 0'
    """
    mine, other = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if mine.shape != other.shape:
        raise Differs(f"shapes {mine.shape} and {other.shape}")
    gap = float(np.abs(mine - other).max())
    if not gap <= tolerance * max(1.0, float(np.abs(other).max())):
        raise Differs(f"largest difference {gap:.1e}, more than {tolerance:.0e}")
    return f"largest difference {gap:.1g}"


def at_least(name: str, ours: float, theirs: float, slack: float) -> str:
    """Tell two scores of which larger is better, or raise `Differs` where ours is lower by more than `slack`.

    >>> at_least("accuracy", 0.9, 0.8, 0.0)
    'accuracy 0.9000 / 0.8000'
    """
    told = f"{name} {ours:.4f} / {theirs:.4f}"
    if not ours >= theirs - slack:
        raise Differs(told)
    return told


def accuracy(truth: Any, slack: float = 0.0) -> Any:
    """Return what compares two arrays of classes with the truth."""

    def agree(ours: Any, theirs: Any) -> str:
        return at_least(
            "accuracy", float(np.mean(np.asarray(ours) == truth)), float(np.mean(np.asarray(theirs) == truth)), slack
        )

    return agree
