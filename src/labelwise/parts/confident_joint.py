"""The confident joint of given and true labels, and what follows from it: thresholds, counts, noise matrix.

Matrices over classes are (given, true) outside this module: entry ``[i, j]`` belongs to label i on a row whose true
class is j. Curtis G. Northcutt, Lu Jiang, Isaac L. Chuang: Confident Learning: Estimating Uncertainty in Dataset
Labels. Journal of Artificial Intelligence Research 70 (2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import UNLABELED, InputError
from labelwise.parts.blocks import row_blocks, run_all

AnyArray = NDArray[Any]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

CLOSE = 1e-6
"""Probabilities that differ by less count as equal, wherever cleanlab says so too."""

SUM = 0.01
"""How far a row of probabilities may be from 1 in sum: room for half precision."""

TINY = 1e-100


@dataclass(frozen=True, eq=False)
class Reading:
    """What one pass over the probabilities leaves: a few numbers a row, and the rows of each class.

    Attributes
    ----------
    codes : integers of shape (n,)
        Given classes, ``UNLABELED`` where there is none.
    proba : floats of shape (n, K)
        The probabilities themselves, never copied.
    top : int32 of shape (n,)
        The most probable class, the first of several.
    top_proba, own_proba : floats of shape (n,)
        Probability of the most probable class and of the given one (0 where unlabelled).
    order : integers of shape (n_labelled,)
        Labelled rows by class, within a class by number.
    starts : integers of shape (K + 1,)
        Where each class begins in `order`.
    """

    codes: Ints
    proba: AnyArray
    top: Ints
    top_proba: AnyArray
    own_proba: AnyArray
    order: Ints
    starts: Ints

    @property
    def n_classes(self) -> int:
        """Number of columns of the probabilities."""
        return int(self.proba.shape[1])

    @property
    def counts(self) -> Ints:
        """Labelled rows of each class, (K,)."""
        return np.diff(self.starts)

    @property
    def labelled(self) -> Bools:
        """Which rows have a label, (n,)."""
        return np.asarray(self.codes != UNLABELED)

    def rows(self, k: Any) -> Ints:
        """Return the rows labelled `k`, ascending."""
        return self.order[self.starts[k] : self.starts[k + 1]]

    @cached_property
    def agrees(self) -> Bools:
        """Whether the given class is the most probable one, or would be with `CLOSE` more; True where unlabelled."""
        raised = self.own_proba + self.own_proba.dtype.type(CLOSE)
        tied_first = (raised == self.top_proba) & (self.codes < self.top)
        return np.asarray((self.codes == self.top) | (raised > self.top_proba) | tied_first | ~self.labelled)


def read(codes: Ints, proba: AnyArray) -> Reading:
    """Go once through `proba` in row blocks, check it, and keep what later steps need.

    Parameters
    ----------
    codes : integers of shape (n,)
        Classes 0 to K - 1, ``UNLABELED`` where there is none.
    proba : float32 or float64 of shape (n, K)
        In memory or memory-mapped.

    Raises
    ------
    InputError
        A probability outside [0, 1] (by more than `CLOSE`) or not a number, or a row that does not sum to 1.
    """
    n, n_classes = proba.shape
    top = np.empty(n, np.int32)
    top_proba, own_proba = np.empty(n, proba.dtype), np.empty(n, proba.dtype)

    def work(block: slice) -> None:
        values = np.ascontiguousarray(proba[block])
        rows = np.arange(len(values))
        top[block] = values.argmax(1)
        top_proba[block] = values[rows, top[block]]
        own_proba[block] = np.where(codes[block] == UNLABELED, 0, values[rows, codes[block]])
        # argmax takes a NaN for the largest value, so that the cheap test on the largest finds it
        if not (top_proba[block].max() <= 1 + CLOSE and values.min() >= -CLOSE):
            check_range(values, block.start)

        total = values.sum(1)
        if not np.abs(total - 1).max(initial=0) <= SUM:
            row = int(np.argmax(~(np.abs(total - 1) <= SUM)))
            raise InputError(
                f"proba: each row must sum to 1. Row {block.start + row} sums to {total[row]:.4g}. Give probabilities, not "
                "scores (softmax turns scores into them)."
            )

    run_all(work, row_blocks(proba), proba.nbytes)
    small = np.asarray(codes).astype(np.int16 if n_classes < 2**15 else np.int64)  # numpy sorts int16 by radix
    order = np.argsort(small, kind="stable")[np.count_nonzero(codes == UNLABELED) :]
    starts = np.concatenate([[0], np.bincount(codes[order], minlength=n_classes).cumsum()])
    return Reading(codes, proba, top, top_proba, own_proba, order, starts)


def check_predicted(reading: Reading) -> None:
    """Refuse a labelled class that no row has any probability of: nothing can be said of its labels."""
    for k in np.flatnonzero(reading.counts):
        if not reading.own_proba[reading.rows(k)].any() and not reading.proba[:, k].any():
            raise InputError(
                f"proba: class {k} is never predicted: its column is 0 in every row. "
                "Check the order of the columns, or leave these rows out."
            )


def check_range(values: AnyArray, first_row: int = 0) -> None:
    """Refuse values that are not probabilities; NaN fails both comparisons."""
    if values.size and not (values.min() >= -CLOSE and values.max() <= 1 + CLOSE):
        row, column = np.argwhere(~((values >= -CLOSE) & (values <= 1 + CLOSE)))[0]
        found = values[row, column]
        raise InputError(f"proba must be in [0, 1]. Got {found} in row {first_row + row}, column {column}.")


def thresholds(reading: Reading) -> AnyArray:
    """Mean probability of the given class over the rows of each class, (K,); 2, out of reach, for a class without rows.

    Means are taken in the precision of the probabilities, row by row in the same order as by a mask: a threshold that
    differed in its last bit would flip rows that lie on it.
    """
    own = reading.own_proba[reading.order]
    bounds = zip(reading.starts[:-1], reading.starts[1:], strict=True)
    means = [np.mean(own[start:stop]) if stop > start else 2 for start, stop in bounds]
    return np.asarray(np.clip(np.asarray(means), 2 * CLOSE, None))


def confident_classes(reading: Reading, levels: AnyArray) -> Ints:
    """Return the class each row is confidently of, (n,): -1 if no class, or no label, reaches its threshold.

    A single class above its threshold; of several, the most probable. If the most probable class reaches its
    threshold it is the answer in both cases, so only the other rows are read again.
    """
    cut = levels - CLOSE
    confident = reading.labelled & (reading.top_proba >= cut[reading.top])
    found = np.where(confident, reading.top, -1)
    doubtful = np.flatnonzero(reading.labelled & ~confident & (reading.top_proba >= cut.min()))
    steps = row_blocks(np.broadcast_to(reading.proba[:1], (len(doubtful), reading.n_classes)))

    def work(step: slice) -> None:
        rows = doubtful[step]
        above = reading.proba[rows] >= cut
        how_many, first = np.count_nonzero(above, axis=1), above.argmax(1)
        found[rows] = np.select([how_many > 1, how_many == 1], [reading.top[rows], first], -1)

    run_all(work, steps, len(doubtful) * reading.proba[:1].nbytes)
    return found


def count_joint(reading: Reading, confident: Ints) -> Ints:
    """Confident counts of (given, true) classes, (K, K), at least 1 on the diagonal."""
    k = reading.n_classes
    sure = confident >= 0
    cells = confident[sure].astype(np.int64) * k + reading.codes[sure]
    counts = np.bincount(cells, minlength=k * k).reshape(k, k)
    np.fill_diagonal(counts, counts.diagonal().clip(min=1))
    return counts.T


def calibrate(counts: Ints, class_counts: Ints) -> Ints:
    """Scale confident counts so that given class i sums to its number of rows, in whole numbers, (K, K).

    The sums are taken over a (true, given) layout: a total that differed in its last bit could round a cell otherwise.
    """
    by_true = counts.T
    scaled = by_true / np.clip(by_true.sum(0), TINY, None) * class_counts
    scaled = scaled / np.clip(np.sum(scaled), TINY, None) * class_counts.sum()
    return round_rows(np.ascontiguousarray(scaled.T))


def round_rows(matrix: Floats) -> Ints:
    """Round to whole numbers such that every row keeps its rounded total.

    What is missing goes to the entries that rounding took most from, what is over comes from those it gave most.

    >>> round_rows(np.array([[0.45, 0.4, 0.15], [1.7, 0.6, 0.7]]))
    array([[1, 0, 0],
           [2, 0, 1]])
    """
    whole = matrix.round()
    missing = (matrix.sum(1).round() - whole.sum(1)).round()
    for row in np.flatnonzero(missing):
        left = missing[row]
        while left:
            step = np.sign(left)
            most = np.argsort(matrix[row] - whole[row])[:: -int(step)][: int(abs(left))]
            whole[row, most] += step
            left = (matrix[row].sum().round() - whole[row].sum()).round()
    return whole.astype(np.int64)


def joint(calibrated: AnyArray) -> Floats:
    """Estimated joint probability of (given, true) classes, (K, K)."""
    return np.asarray(calibrated / max(float(np.sum(calibrated)), TINY))


def noise_matrix(counts: AnyArray) -> Floats:
    """P(given class i | true class j) in ``[i, j]``, (K, K): every column sums to 1."""
    return np.asarray(counts / np.clip(counts.sum(0), TINY, None))


def inverse_noise_matrix(counts: AnyArray) -> Floats:
    """P(true class j | given class i) in ``[i, j]``, (K, K): every row of a class that occurs sums to 1."""
    return np.asarray(counts / np.clip(counts.sum(1, keepdims=True), TINY, None))
