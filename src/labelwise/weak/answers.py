"""Answers of several annotators or labelling functions, kept sparse: one entry an answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from labelwise.base import UNLABELED, InputError
from labelwise.supervision import encode_classes
from labelwise.supervision.arrays import to_numpy

AnyArray = NDArray[Any]
Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """Who said what about which row; made by `from_answers`, or by a label model from a matrix of votes.

    Attributes
    ----------
    task, worker, label : integers of shape (n_answers,)
        Numbers of the row, of who answered, and of the class.
    tasks, workers, classes : arrays
        What the numbers stand for: row names, names of those who answered, class labels.
    """

    task: Ints
    worker: Ints
    label: Ints
    tasks: AnyArray
    workers: AnyArray
    classes: AnyArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of rows, workers and classes."""
        return len(self.tasks), len(self.workers), len(self.classes)

    @cached_property
    def cells(self) -> Any:
        """One entry an answer, as a sparse matrix of shape (n, m * K): column ``worker * K + label``."""
        n, m, k = self.shape
        columns = self.worker.astype(np.int64) * k + self.label
        return sparse.csr_array((np.ones(len(columns)), (self.task, columns)), shape=(n, m * k))

    @cached_property
    def ballots(self) -> Floats:
        """Number of answers for each class, (n, K)."""
        n, _, k = self.shape
        cell = self.task.astype(np.int64) * k + self.label
        return np.bincount(cell, minlength=n * k).reshape(n, k).astype(float)

    def among(self, classes: AnyArray, workers: AnyArray | None = None) -> Answers:
        """Return the same answers with numbers for `classes`, and `workers`, that another model has learned."""
        label = positions(self.classes, classes, "votes name class")[self.label]
        if workers is None:
            return Answers(self.task, self.worker, label, self.tasks, self.workers, classes)
        worker = positions(self.workers, workers, "votes come from worker")[self.worker]
        return Answers(self.task, worker, label, self.tasks, workers, classes)

    def rows(self, chosen: NDArray[np.bool_]) -> Answers:
        """Return the answers on the rows for which `chosen`, (n,), is true; rows get new numbers."""
        kept, number = chosen[self.task], np.cumsum(chosen) - 1
        some = (number[self.task[kept]], self.worker[kept], self.label[kept])
        return Answers(*some, self.tasks[chosen], self.workers, self.classes)


def positions(values: AnyArray, known: AnyArray, what: str) -> Ints:
    """Return where each of `values` is in the sorted array `known`; refuse values that are not there."""
    try:
        place = np.searchsorted(known, values).clip(max=len(known) - 1)
        strange = known[place] != values
    except TypeError:
        place, strange = np.zeros(len(values), int), np.ones(len(values), bool)
    if np.any(strange):
        raise InputError(
            f"{what} {values[strange].tolist()[0]!r}, which was not there when the model was fitted. "
            f"Known: {', '.join(map(repr, known[:5].tolist()))}{', ...' if len(known) > 5 else ''}."
        )
    return np.asarray(place)


def from_answers(task: ArrayLike, worker: ArrayLike, label: ArrayLike) -> Answers:
    """Read answers in long form: three columns, one entry an answer. Use them in place of a matrix of votes.

    Parameters
    ----------
    task, worker : arrays of shape (n_answers,)
        Names or numbers; rows of results are in the sorted order of the tasks (``Answers.tasks``).
    label : array of shape (n_answers,)
        Class labels.

    Raises
    ------
    InputError
        Columns of different lengths, or a missing label.

    Examples
    --------
    >>> answers = from_answers(["a", "a", "b"], ["ann", "bob", "ann"], ["yes", "no", "yes"])
    >>> answers.shape
    (2, 2, 2)
    """
    columns = [np.asarray(task), np.asarray(worker)]
    classes, codes = encode_classes(label, name="label", least=1)
    if any(column.shape != codes.shape for column in columns):
        shapes = [column.shape for column in columns] + [codes.shape]
        raise InputError(f"task, worker and label must be columns of one length. Got shapes {shapes}.")
    if (codes == UNLABELED).any():
        row = int(np.flatnonzero(codes == UNLABELED)[0])
        raise InputError(f"label must not be missing. Entry {row} is; leave out answers that were not given.")
    (tasks, rows), (workers, people) = (np.unique(column, return_inverse=True) for column in columns)
    return Answers(rows, people, codes, tasks, workers, classes)


def read_votes(votes: Any) -> Answers:
    """Return `votes`, a matrix (n, m) with -1 or None where there is no answer, as `Answers`."""
    if isinstance(votes, Answers):
        return votes
    matrix = to_numpy(votes, "votes")[0]
    if matrix.ndim != 2:
        raise InputError(f"votes must have shape (n, m), one column for each who votes. Got shape {matrix.shape}.")
    if matrix.dtype.kind in "iu":  # -1 always abstains here, even beside a single class 1
        said = matrix != UNLABELED
        classes, label = np.unique(matrix[said], return_inverse=True)
        if len(classes) and classes[0] < 0:
            raise InputError(f"votes must be class labels, or -1 for none. Got {classes[0]}.")
    else:
        classes, codes = encode_classes(matrix.ravel(), name="votes", least=0)
        said = codes.reshape(matrix.shape) != UNLABELED
        label = codes[codes != UNLABELED]
    task, worker = np.nonzero(said)
    return Answers(task, worker, label, np.arange(len(matrix)), np.arange(matrix.shape[1]), classes)
