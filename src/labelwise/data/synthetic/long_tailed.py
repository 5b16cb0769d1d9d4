"""Long tails cut out of balanced data: class shares of three shapes, labelled rows, and a pool with a tail of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from labelwise.base import UNLABELED, InputError, NonNegative, Range
from labelwise.data.synthetic.drawing import FloatArray, IntArray, RandomState, as_codes, check, generator, long_tail

Shape = Literal["exponential", "step", "zipf"]


def tail_shares(n_classes: int, ratio: float, shape: Shape = "exponential") -> FloatArray:
    """Return class shares (K,) that fall, the first `ratio` times the last.

    ``exponential``: geometrically, as in `long_tail`; ``step``: the first half large, the others small; ``zipf``: as a
    power of the class's place.

    >>> tail_shares(4, 9.0, "step")
    array([0.45, 0.45, 0.05, 0.05])
    >>> shares = tail_shares(4, 2.0, "zipf")
    >>> bool(np.isclose(shares[0] / shares[3], 2) and np.isclose(shares[0] / shares[1], 2**0.5))
    True
    """
    even = long_tail(n_classes, ratio)
    if shape == "exponential":
        return even
    if shape == "step":
        sizes = np.where(np.arange(n_classes) < (n_classes + 1) // 2, ratio, 1.0)
    elif shape == "zipf":
        sizes = (1.0 + np.arange(n_classes)) ** (-np.log(ratio) / np.log(max(n_classes, 2)))
    else:
        raise InputError(f"shape must be 'exponential', 'step' or 'zipf'. Got {shape!r}.")
    return np.asarray(sizes / sizes.sum())


@dataclass(frozen=True, eq=False)
class LongTailed:
    """Rows drawn out of balanced data.

    Attributes
    ----------
    rows
        Numbers of the rows drawn ``(m,)``: the labelled ones, then the pool.
    y
        Their labels as a learner gets them ``(m,)``: -1 in the pool.
    truth
        Their true classes ``(m,)``.
    rest
        Numbers of all other rows: for a test, balanced as far as the data go.
    """

    rows: IntArray
    y: IntArray
    truth: IntArray
    rest: IntArray

    @property
    def counts(self) -> IntArray:
        """Labelled rows of each class ``(K,)``."""
        return np.bincount(self.y[self.y >= 0], minlength=int(self.truth.max()) + 1)

    @property
    def pool_counts(self) -> IntArray:
        """Unlabelled rows of each class ``(K,)``."""
        return np.bincount(self.truth[self.y < 0], minlength=int(self.truth.max()) + 1)


def long_tailed(
    y: ArrayLike,
    largest: int,
    ratio: float = 50.0,
    *,
    pool_size: float = 0.0,
    pool_ratio: float = 1.0,
    shape: Shape = "exponential",
    shuffle: bool = False,
    random_state: RandomState = None,
) -> LongTailed:
    """Draw labelled rows with a long tail, and a pool without labels whose tail is set apart.

    Parameters
    ----------
    y
        Class codes of the rows to draw from ``(n,)``; unlabelled ones are left alone.
    largest
        Labelled rows of the largest class, >= 1; every class gets at least one.
    ratio, pool_ratio
        Largest over smallest class of the labelled rows, and of the pool; 1 is balanced.
    pool_size
        Rows of the pool for each labelled one, >= 0. Where a class has too few, its part of the pool is cut short.
    shape
        Of both tails, see `tail_shares`.
    shuffle
        Draw which classes are large; otherwise the first are, in both tails.
    random_state
        Seed.

    Examples
    --------
    >>> drawn = long_tailed(np.arange(300) % 3, 40, ratio=10, pool_size=1, pool_ratio=1, random_state=0)
    >>> drawn.counts.tolist(), drawn.pool_counts.tolist(), len(drawn.rest)
    ([40, 12, 4], [19, 19, 19], 187)
    """
    codes, n_classes = as_codes(y, None)
    check("largest", largest, Range(low=1, whole=True))
    check("pool_size", pool_size, NonNegative)
    rng = generator(random_state)
    order = rng.permutation(n_classes) if shuffle else np.arange(n_classes)
    shares, pool_shares = tail_shares(n_classes, ratio, shape), tail_shares(n_classes, pool_ratio, shape)
    counts = np.empty(n_classes, np.int64)
    counts[order] = np.maximum(np.round(largest * shares / shares[0], 9).astype(np.int64), 1)
    wanted = np.empty(n_classes, np.int64)
    wanted[order] = np.round(pool_size * counts.sum() * pool_shares).astype(np.int64)
    found = np.bincount(codes[codes != UNLABELED], minlength=n_classes)
    if (found < counts).any():
        short = int((found < counts).argmax())
        raise InputError(f"y has {found[short]} rows of class {short}, but {counts[short]} are to be labelled.")
    return _drawn(codes, counts, wanted, rng)


def _drawn(codes: IntArray, counts: IntArray, wanted: IntArray, rng: np.random.Generator) -> LongTailed:
    members = [rng.permutation(np.flatnonzero(codes == code)) for code in range(len(counts))]
    labelled = np.concatenate([rows[:n] for rows, n in zip(members, counts, strict=True)])
    pool = np.concatenate([rows[n : n + m] for rows, n, m in zip(members, counts, wanted, strict=True)])
    rows = np.concatenate([rng.permutation(labelled), rng.permutation(pool)])
    y = np.where(np.arange(len(rows)) < len(labelled), codes[rows], UNLABELED)
    rest = np.setdiff1d(np.flatnonzero(codes != UNLABELED), rows)
    return LongTailed(rows, y, codes[rows], rest)
