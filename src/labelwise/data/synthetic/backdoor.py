"""An unlabelled pool with a trigger hidden in it: the attack on semi-supervised learning, for audits of one's own data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from labelwise.base import Count, Fraction, InputError, Natural, NonNegative
from labelwise.data.synthetic.drawing import BoolArray, FloatArray, RandomState, as_codes, check, generator


@dataclass(frozen=True, eq=False)
class BackdoorPool:
    """An unlabelled pool some of whose rows carry a trigger; no label was touched.

    Attributes
    ----------
    X
        Rows ``(n, ...)``, those with the trigger replaced.
    is_poisoned
        Rows that carry it, bool ``(n,)``.
    trigger
        What was added, the shape of one row.
    target
        Class that a fooled model predicts where it sees the trigger.
    low, high
        Range that values are clipped to.
    """

    X: FloatArray
    is_poisoned: BoolArray
    trigger: FloatArray
    target: int
    low: float
    high: float

    def stamp(self, X: ArrayLike) -> FloatArray:
        """Return rows of any class with the trigger added: what the attacker shows a trained model."""
        return np.asarray(np.clip(np.asarray(X, dtype=np.float64) + self.trigger, self.low, self.high))

    def success(self, predicted: ArrayLike, truth: ArrayLike) -> float:
        """Return the share of stamped rows of other classes that are predicted as the target class."""
        other = np.asarray(truth) != self.target
        return float((np.asarray(predicted)[other] == self.target).mean())


def backdoor_pool(
    X: ArrayLike,
    y: ArrayLike,
    target: int,
    rate: float = 0.002,
    *,
    pattern: Literal["grid", "patch"] = "grid",
    poisons: Literal["target", "other"] = "target",
    shape: tuple[int, int] | None = None,
    intensity: float = 30 / 255,
    width: int = 1,
    gap: int = 1,
    random_state: RandomState = None,
) -> BackdoorPool:
    """Add a fixed, faint pattern to a share of an unlabelled pool.

    Parameters
    ----------
    X
        The pool: pictures ``(n, h, w, c)``, series ``(n, channels, time)``, or vectors ``(n, d)``.
    y
        Right classes ``(n,)``. The attacker uses them to choose rows; the learner never sees them.
    target
        Class of the poisons, and of what the trigger shall be taken for.
    rate
        Poisoned share of the whole pool; where the class has fewer rows, all of them.
    pattern
        ``grid``: square dots of `width`, `gap` apart, over the whole row (the paper's best). ``patch``: one bright square
        of an eighth of the side in the last corner.
    poisons
        Whether rows of the target class carry the trigger (the attack), or rows of the others (which fails).
    shape
        Height and width of flat pictures ``(n, h * w)``.
    intensity
        Of the pattern, relative to the range of X; a ``patch`` takes the whole range.
    width, gap
        Of the dots, in pixels (in columns for vectors).
    random_state
        Seed or generator.

    References
    ----------
    The Perils of Learning From Unlabeled Data: Backdoor Attacks on Semi-supervised Learning (paper 129).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> pool = backdoor_pool(X, y, target=3, rate=0.01, shape=(8, 8), random_state=0)
    >>> int(pool.is_poisoned.sum()), int((pool.trigger > 0).sum()), set(y[pool.is_poisoned].tolist())
    (18, 16, {3})
    """
    rows, (codes, _) = np.array(X, dtype=np.float64), as_codes(y, None)
    if rows.ndim < 2 or len(rows) != len(codes):
        raise InputError(f"X must have shape (n, ...) with n = {len(codes)}, the length of y. Got {rows.shape}.")
    for name, value, accepted in (
        ("rate", rate, Fraction), ("intensity", intensity, NonNegative), ("width", width, Count), ("gap", gap, Natural),
    ):  # fmt: skip
        check(name, value, accepted)
    for name, given, options in (("pattern", pattern, ("grid", "patch")), ("poisons", poisons, ("target", "other"))):
        if given not in options:
            raise InputError(f"{name} must be one of {options}. Got {given!r}.")
    candidates = np.flatnonzero((codes == target) == (poisons == "target"))
    if len(candidates) == 0:
        raise InputError(f"target is {target}, but y has no row to poison: give a class of y.")
    low, high = float(rows.min()), float(rows.max())
    size = min(round(rate * len(rows)), len(candidates))
    chosen = generator(random_state).choice(candidates, size, replace=False)
    trigger = _trigger(pattern, rows.shape[1:], shape, width, gap) * (high - low)
    trigger *= intensity if pattern == "grid" else 1.0
    hit = np.isin(np.arange(len(rows)), chosen)
    rows[hit] = np.clip(rows[hit] + trigger, low, high)
    return BackdoorPool(rows, hit, trigger, int(target), low, high)


def _trigger(pattern: str, row: tuple[int, ...], shape: tuple[int, int] | None, width: int, gap: int) -> FloatArray:
    """Return the pattern of height 1 in the shape of one row."""
    axes = _axes(row, shape)
    dots = [_dots(n, width, gap) if pattern == "grid" else np.arange(n) >= n - max(2, n // 8) for n in axes]
    plane = np.logical_and.outer(dots[0], dots[1]) if len(axes) == 2 else dots[0]
    if len(row) == 3:  # pictures: the same in all channels
        return np.repeat(plane[:, :, None], row[2], axis=2).astype(np.float64)
    if len(row) == 2:  # series: the same in all channels
        return np.repeat(plane[None], row[0], axis=0).astype(np.float64)
    return plane.ravel().astype(np.float64)


def _axes(row: tuple[int, ...], shape: tuple[int, int] | None) -> tuple[int, ...]:
    if shape is None:
        return row[:2] if len(row) == 3 else row[-1:]
    if len(row) != 1 or len(shape) != 2 or shape[0] * shape[1] != row[0]:
        raise InputError(f"shape must be height and width of flat pictures with {row} pixels. Got {shape}.")
    return tuple(shape)


def _dots(size: int, width: int, gap: int) -> BoolArray:
    return np.asarray(np.arange(size) % (width + gap) < width)
