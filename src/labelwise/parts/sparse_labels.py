"""Labels of many kinds as sparse matrices: the positives of every row, what is unknown, and which rows say something."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from labelwise.base import UNLABELED, InputError
from labelwise.parts.multilabel_measures import as_matrix, is_sparse
from labelwise.supervision import encode_classes
from labelwise.supervision.arrays import to_numpy

Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class SparseLabels:
    """Labels ``(n, L)``, in memory linear in what is stored.

    Attributes
    ----------
    positive
        CSR of ones, int8 ``(n, L)``.
    unknown
        CSR of ones where a label is unknown; None where all are known.
    rows
        Rows that say something: with a known entry (dense labels), with a positive (sparse labels), with a class.
    classes
        What the columns are called.
    single
        Whether every row has one class, given as ``(n,)``.
    sparse
        Whether labels came as a sparse matrix.
    """

    positive: Any
    unknown: Any
    rows: Ints
    classes: NDArray[Any]
    single: bool
    sparse: bool

    @property
    def n_labels(self) -> int:
        """The number of labels L."""
        return int(self.positive.shape[1])

    def taken(self, rows: Ints) -> SparseLabels:
        """Return the labels of some rows alone."""
        unknown = None if self.unknown is None else self.unknown[rows]
        return SparseLabels(
            self.positive[rows], unknown, np.arange(len(rows)), self.classes, self.single, self.sparse
        )  # fmt: skip

    def counts(self) -> Ints:
        """Return how often each label is given, (L,)."""
        return np.bincount(self.positive.indices, minlength=self.n_labels)


def read_labels(y: Any) -> SparseLabels:
    """Read labels and say what is odd about them.

    Parameters
    ----------
    y
        A sparse matrix ``(n, L)`` of 1 and 0, where what is not stored is a 0 and a row without any 1 says nothing; an
        array ``(n, L)`` of 1, 0 and -1 (unknown); or one class a row ``(n,)``, -1, None or NaN where there is none.

    Raises
    ------
    InputError
        For other values (naming row, label and value) and shapes, and when there is no positive label at all.

    Examples
    --------
    >>> labels = read_labels(sparse.csr_array([[1, 0], [0, 0], [1, 1]]))
    >>> labels.rows.tolist(), labels.counts().tolist()
    ([0, 2], [2, 1])
    """
    if y is None:
        raise InputError("the labels y are missing: y is None. Give (n, L) labels, sparse or dense, or (n,) classes.")
    if is_sparse(y):
        labels = _from_sparse(y)
    else:
        values = to_numpy(y, "y")[0]
        one_column = values.ndim == 2 and values.shape[1] == 1 and not _are_labels(values)
        if values.ndim == 1 or one_column:
            return _from_classes(y if values.ndim == 1 else values[:, 0])
        labels = _from_dense(values)
    if not labels.positive.nnz:
        raise InputError("y holds no positive label (1) in any row. Give at least one row with a label.")
    _tell_never_positive(labels)
    return labels


def _from_sparse(y: Any) -> SparseLabels:
    if y.ndim != 2 or 0 in y.shape:
        raise InputError(f"y must have shape (n, L) with rows and labels. Got {y.shape}.")
    held = sparse.csr_array(y)
    if not held.has_canonical_format:
        held = held.copy()
        held.sum_duplicates()
    positive = as_matrix(held)
    return SparseLabels(
        positive, None, np.flatnonzero(np.diff(positive.indptr)), np.arange(y.shape[1]), single=False, sparse=True
    )  # fmt: skip


def _are_labels(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "biuf" and bool(np.isin(values, (-1, 0, 1)).all())


def _from_dense(values: NDArray[Any]) -> SparseLabels:
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"y must have shape (n, L) with one column a label, or (n,) with classes. Got {values.shape}.")
    positive, unknown = as_matrix(values), sparse.csr_array((values == UNLABELED).astype(np.int8))
    rows = np.flatnonzero(np.diff(unknown.indptr) < values.shape[1])
    if not len(rows):
        raise InputError("y has no known entry: all labels are missing (-1). At least one 1 is needed.")
    return SparseLabels(
        positive, unknown if unknown.nnz else None, rows, np.arange(values.shape[1]), single=False, sparse=False
    )  # fmt: skip


def _from_classes(y: Any) -> SparseLabels:
    classes, codes = encode_classes(y)
    rows = np.flatnonzero(codes != UNLABELED)
    if len(classes) < 2:
        raise InputError(f"y has only one class, {classes[0]!r}; at least 2 are needed to tell them apart.")
    ones: Any = (np.ones(len(rows), np.int8), (rows, codes[rows]))
    positive: Any = sparse.csr_array(ones, shape=(len(codes), len(classes)))
    return SparseLabels(positive, None, rows, classes, single=True, sparse=False)


def _tell_never_positive(labels: SparseLabels) -> None:
    never = np.flatnonzero(labels.counts() == 0)
    if len(never):
        warnings.warn(
            f"{len(never)} of {labels.n_labels} labels are never positive, the first is label {never[0]}: nothing can "
            "be learned about them, and only what describes a label (label_features) can make it predicted.",
            stacklevel=4,
        )


def member_mask(matrix: Any, rows: Ints, pool: Ints) -> NDArray[np.bool_]:
    """Return which labels of a sorted `pool` ``(m,)`` the CSR `matrix` stores for `rows`, ``(b, m)``.

    >>> member_mask(sparse.csr_array([[1, 0, 1], [0, 1, 0]]), np.array([1, 0]), np.array([1, 2])).tolist()
    [[True, False], [False, True]]
    """
    found = np.zeros((len(rows), len(pool)), dtype=bool)
    place, labels = entries(matrix, rows)
    at = np.minimum(np.searchsorted(pool, labels), len(pool) - 1)
    inside = pool[at] == labels
    found[place[inside], at[inside]] = True
    return found


def entries(matrix: Any, rows: Ints) -> tuple[Ints, Ints]:
    """Return the stored entries of some rows of a CSR matrix: the row's place among `rows`, and the column."""
    length = matrix.indptr[rows + 1] - matrix.indptr[rows]
    place = np.repeat(np.arange(len(rows)), length)
    offset = np.arange(len(place)) - np.repeat(np.cumsum(length) - length, length)
    return place, matrix.indices[np.repeat(matrix.indptr[rows], length) + offset]


def one_of_each(matrix: Any, rows: Ints, rng: np.random.Generator) -> Ints:
    """Return a random stored column of each row, (b,); every row must have one."""
    first, length = matrix.indptr[rows], matrix.indptr[rows + 1] - matrix.indptr[rows]
    drawn: Ints = matrix.indices[first + (rng.random(len(rows)) * length).astype(np.int64)]
    return drawn
