"""The one object that carries supervision from the user's arrays down to the losses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from labelwise.base import UNLABELED, InputError

IntArray = NDArray[np.integer[Any]]
FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
AnyArray = NDArray[Any]

ROW_FIELDS = (
    "positive", "negative", "soft", "candidates", "votes", "bags", "domains", "trusted", "weight", "index"
)  # fmt: skip
"""Fields with one entry a row, whatever the kind."""


class Kind(StrEnum):
    """The rows of the table of conventions in `labelwise.supervision`."""

    CLASSES = "classes"
    REAL = "real"
    MULTILABEL = "multilabel"
    SOFT = "soft"
    CANDIDATES = "candidates"
    VOTES = "votes"
    BAGS = "bags"
    SETS = "sets"

    @property
    def per_bag(self) -> bool:
        """Whether the labels belong to bags of rows instead of rows."""
        return self in (Kind.BAGS, Kind.SETS)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Targets:
    """Validated supervision of `n_rows` rows; made by `infer`, checked by `validate`, told by `describe`.

    Only the fields of its `kind` are filled, the others are None. "Not positive" never means "negative": what nobody
    stated is `unknown`.

    Attributes
    ----------
    kind
        Which convention the labels follow.
    n_rows
        Number of rows of ``X``, also when the labels belong to bags.
    classes
        The labels that codes stand for, sorted, ``(K,)``; names or numbers of the columns for matrices.
    codes
        Position in `classes` or ``UNLABELED``: int64 ``(n,)``, but ``(B,)`` for sets.
    values
        Real targets ``(n,)`` or ``(n, m)``; for bags ``(B,)`` or ``(B, K)``. NaN is unknown.
    positive, negative
        What was said of each (row, label) of a multilabel problem: bool ``(n, L)``, or sparse CSR.
    complete
        Sparse multilabel only: whether what is not stored was stated to be negative; nothing is unknown then.
    soft
        Class probabilities ``(n, K)``; rows of NaN are unlabelled.
    candidates
        bool ``(n, K)``: the classes among which the right one is. A row of all classes is unlabelled.
    votes
        Codes ``(n, m)`` or ``UNLABELED`` where the voter abstained. May stand beside any kind of ``y``.
    bags
        Number of each row's bag ``(n,)``, in ``[0, B)``.
    domains
        Number of each row's source ``(n,)``.
    trusted
        bool ``(n,)``: rows whose labels are known to be right.
    weight
        float64 ``(n,)``, finite and not negative.
    index
        Stable number of each row ``(n,)``; kept by `take`, so that memories kept by row stay right.

    Examples
    --------
    >>> from labelwise.supervision import infer
    >>> targets = infer(["cat", None, "dog", "cat"])
    >>> targets
    Targets(kind='classes', n_rows=4, n_classes=2, labelled=3)
    >>> targets.codes
    array([ 0, -1,  1,  0])
    >>> targets.take([2, 3]).index
    array([2, 3])
    """

    kind: Kind
    n_rows: int
    classes: AnyArray | None = None
    codes: IntArray | None = None
    values: FloatArray | None = None
    positive: Any = None
    negative: Any = None
    complete: bool = False
    soft: FloatArray | None = None
    candidates: BoolArray | None = None
    votes: IntArray | None = None
    bags: IntArray | None = None
    domains: IntArray | None = None
    trusted: BoolArray | None = None
    weight: FloatArray | None = None
    index: IntArray = None  # type: ignore[assignment]  # filled below: the row numbers

    def __post_init__(self) -> None:
        if getattr(self, "index", None) is None:
            object.__setattr__(self, "index", np.arange(self.n_rows))

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        counts = f"n_rows={self.n_rows}, n_classes={self.n_classes}, labelled={int(self.labelled.sum())}"
        return f"Targets(kind='{self.kind}', {counts})"

    @property
    def n_classes(self) -> int:
        """Number of classes or labels; 0 for real targets and means of bags."""
        return 0 if self.classes is None else len(self.classes)

    @property
    def n_bags(self) -> int:
        """Number of bags that carry a label; 0 when labels belong to rows."""
        if not self.kind.per_bag:
            return 0
        return len(self.need("codes" if self.kind is Kind.SETS else "values"))

    @property
    def is_sparse(self) -> bool:
        """Whether the multilabel masks are sparse matrices."""
        return sparse.issparse(self.positive)

    @property
    def unknown(self) -> BoolArray | None:
        """What was not said of each (row, label): bool ``(n, L)``; None when sparse (use `masks`) or not multilabel."""
        if self.positive is None or self.is_sparse:
            return None
        return np.asarray(~(self.positive | self.negative))

    @property
    def labelled(self) -> BoolArray:
        """Rows of which something is known, bool ``(n,)``: for bags and sets, rows whose bag has a label."""
        known = self._known_units()
        if not self.kind.per_bag:
            return known
        return np.asarray(known[self.need("bags")])

    def _known_units(self) -> BoolArray:
        """Rows (for bags and sets: bags) of which something is known."""
        match self.kind:
            case Kind.CLASSES | Kind.SETS:
                known = self.need("codes") != UNLABELED
            case Kind.REAL | Kind.BAGS:
                values = self.need("values")
                known = ~np.isnan(values) if values.ndim == 1 else (~np.isnan(values)).any(1)
            case Kind.MULTILABEL:
                known = self._stated()
            case Kind.SOFT:
                known = ~np.isnan(self.need("soft")).any(1)
            case Kind.CANDIDATES:
                known = ~self.need("candidates").all(1)
            case Kind.VOTES:
                known = (self.need("votes") != UNLABELED).any(1)
        return np.asarray(known)

    def _stated(self) -> BoolArray:
        if not self.is_sparse:
            return np.asarray((self.positive | self.negative).any(1))
        if self.complete:
            return np.ones(self.n_rows, bool)
        return np.asarray(np.diff(self.positive.indptr) + np.diff(self.negative.indptr) > 0)

    @property
    def class_counts(self) -> AnyArray:
        """How often each class is named: rows, positives, votes, candidate lists; total probability if soft."""
        match self.kind:
            case Kind.CLASSES | Kind.SETS:
                codes = self.need("codes")
                return np.bincount(codes[codes != UNLABELED], minlength=self.n_classes)
            case Kind.VOTES:
                votes = self.need("votes")
                return np.bincount(votes[votes != UNLABELED], minlength=self.n_classes)
            case Kind.MULTILABEL:
                return np.asarray(self.positive.sum(0)).ravel().astype(np.int64)
            case Kind.CANDIDATES:
                return np.asarray(self.need("candidates").sum(0))
            case Kind.SOFT:
                return np.asarray(np.nansum(self.need("soft"), axis=0))
        return np.zeros(0, np.int64)

    @property
    def rare_classes(self) -> AnyArray:
        """Classes with a single example, which no split can put on both sides; empty where classes are not counted."""
        if self.classes is None or self.kind not in (Kind.CLASSES, Kind.SETS, Kind.MULTILABEL):
            return np.zeros(0, dtype=object)
        return np.asarray(self.classes[self.class_counts == 1])

    def array(self) -> AnyArray:
        """Return what a method learns from, of one class, one number or several labels a row.

        Class codes ``(n,)``, -1 unlabelled; real targets, NaN unlabelled; labels ``(n, L)`` int8: 1 yes, 0 no, -1 unknown.
        """
        if self.kind is Kind.MULTILABEL:
            positive, negative, _ = self.masks(slice(None))
            return np.where(positive, 1, np.where(negative, 0, UNLABELED)).astype(np.int8)
        return np.asarray(self.need("values" if self.kind is Kind.REAL else "codes"))

    def masks(self, rows: ArrayLike | slice) -> tuple[BoolArray, BoolArray, BoolArray]:
        """Return dense ``(positive, negative, unknown)`` masks of some rows, each ``(b, L)``; multilabel only."""
        if self.kind is not Kind.MULTILABEL:
            raise InputError(f"masks are for multilabel targets; these are of kind {self.kind}.")
        chosen = self._row_numbers(rows)
        positive, negative = self.positive[chosen], self.negative[chosen]
        if self.is_sparse:
            positive, negative = positive.toarray(), negative.toarray()
        if self.complete:
            negative = ~positive
        return positive, negative, ~(positive | negative)

    def take(self, rows: ArrayLike | slice) -> Targets:
        """Return the targets of some rows (numbers, bool mask or slice); `index` still tells where they came from.

        Labels that belong to bags stay whole, and rows keep the number of their bag.
        """
        chosen = self._row_numbers(rows)
        kept = {name: value[chosen] for name in ROW_FIELDS if (value := getattr(self, name)) is not None}
        if not self.kind.per_bag:
            kept |= {name: value[chosen] for name in ("codes", "values") if (value := getattr(self, name)) is not None}
        return replace(self, n_rows=len(chosen), **kept)

    def _row_numbers(self, rows: ArrayLike | slice) -> IntArray:
        if isinstance(rows, slice):
            return np.arange(self.n_rows)[rows]
        chosen = np.atleast_1d(np.asarray(rows))
        if chosen.dtype == bool:
            if chosen.shape != (self.n_rows,):
                raise InputError(f"rows: a bool mask of shape {chosen.shape} cannot choose among {self.n_rows} rows.")
            return np.flatnonzero(chosen)
        if chosen.size == 0:
            return np.zeros(0, np.int64)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise InputError(f"rows must be row numbers, a bool mask or a slice. Got {chosen.dtype} {chosen.shape}.")
        outside = chosen[(chosen < -self.n_rows) | (chosen >= self.n_rows)]
        if outside.size:
            raise InputError(f"rows: there is no row {outside[0]} among {self.n_rows} rows.")
        return chosen

    def need(self, name: str) -> AnyArray:
        """Return a field that this kind of targets cannot do without; raise `InputError` where it is None."""
        value = getattr(self, name)
        if value is None:
            raise InputError(f"{name}: targets of kind {self.kind} need it, and it is None.")
        filled: AnyArray = value
        return filled
