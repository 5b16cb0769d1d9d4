"""What each kind of supervision makes of the arrays that the user passed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from labelwise.base import InputError
from labelwise.supervision.arrays import first, numbers
from labelwise.supervision.classes import as_column, check_class_count, check_not_an_id, factorise, merge
from labelwise.supervision.targets import AnyArray, Kind


class Given(NamedTuple):
    """What the user passed, as arrays; `guessed` if nobody said which kind it is."""

    y: Any
    names: list[str] | None
    votes: AnyArray | None
    bags: AnyArray | None
    complete: bool
    guessed: bool


def _read_classes(given: Given) -> dict[str, Any]:
    if given.y is None or sparse.issparse(given.y):
        raise InputError("y must have one class label a row, shape (n,), for kind='classes'. Got none.")
    classes, codes = factorise(as_column(given.y, "y"), "y")
    if given.guessed and not (classes.size and classes.dtype == bool):
        check_not_an_id(codes, len(classes), "y")
    if given.votes is None:
        check_class_count(classes, 2, "y")
        return {"n_rows": len(codes), "classes": classes, "codes": codes}
    ballot_classes, votes = factorise(given.votes, "votes", abstain=True)
    classes, codes, votes = merge(classes, codes, ballot_classes, votes, ("y", "votes"))
    check_class_count(classes, 2, "y")
    return {"n_rows": len(codes), "classes": classes, "codes": codes, "votes": votes}


def _read_real(given: Given) -> dict[str, Any]:
    values = _matrix(given, "real").astype(np.float64)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    return {"n_rows": len(values), "values": values}


def _matrix(given: Given, kind: str) -> AnyArray:
    """Return a dense y as numbers; what is missing is NaN."""
    if given.y is None or sparse.issparse(given.y):
        raise InputError(f"y must be a dense array for kind={kind!r}. Got {'none' if given.y is None else 'sparse'}.")
    return numbers(given.y, "y")


def _wide(given: Given, kind: str) -> AnyArray:
    """Return a dense matrix of numbers with at least two columns."""
    y = _matrix(given, kind)
    if y.ndim != 2 or y.shape[1] < 2:
        raise InputError(f"y must have one column a class, shape (n, K) with K >= 2, for kind={kind!r}. Got {y.shape}.")
    return y


def _column_names(given: Given) -> AnyArray:
    count = given.y.shape[1]
    return np.arange(count) if given.names is None else np.array(given.names, dtype=np.str_)


def _read_multilabel(given: Given) -> dict[str, Any]:
    if sparse.issparse(given.y):
        return _read_sparse(given)
    y = _matrix(given, "multilabel")
    if y.ndim != 2:
        raise InputError(f"y must have one column a label, shape (n, L), for kind='multilabel'. Got {y.shape}.")
    bad = ~np.isnan(y) & ~np.isin(y, (-1, 0, 1))
    if bad.any():
        raise InputError(f"y must hold 1 (yes), 0 (no) or -1 (unknown). {first(bad).capitalize()} holds {y[bad][0]}.")
    return {"n_rows": len(y), "classes": _column_names(given), "positive": y == 1, "negative": y == 0}


def _read_sparse(given: Given) -> dict[str, Any]:
    """Keep what is stored: 1 a yes, 0 a no; the rest is unknown, which is why zeros are never dropped here."""
    allowed = (0, 1) if given.complete else (-1, 0, 1)
    y = given.y.copy()  # the user's matrix stays as it is
    y.sum_duplicates()
    bad = ~np.isin(y.data, allowed)
    if bad.any():
        where = int(np.argmax(bad))
        row = int(np.searchsorted(y.indptr, where, side="right")) - 1
        raise InputError(
            f"y must store 1 (yes), 0 (no){'' if given.complete else ' or -1 (unknown)'}. "
            f"Row {row}, column {y.indices[where]} stores {y.data[where]}."
        )
    masks = {"positive": _stored(y, 1), "negative": _stored(y, 0)}
    return {"n_rows": y.shape[0], "classes": np.arange(y.shape[1]), "complete": given.complete, **masks}


def _stored(y: Any, value: int) -> Any:
    rows = np.repeat(np.arange(y.shape[0]), np.diff(y.indptr))[y.data == value]
    columns = y.indices[y.data == value]
    return sparse.csr_array((np.ones(len(rows), bool), (rows, columns)), shape=y.shape)


def _read_soft(given: Given) -> dict[str, Any]:
    soft = _wide(given, "soft")
    soft = soft if soft.dtype.kind == "f" else soft.astype(np.float64)
    return {"n_rows": len(soft), "soft": soft, **_with_column_votes(given)}


def _read_candidates(given: Given) -> dict[str, Any]:
    y = _wide(given, "candidates")
    bad = ~np.isin(y, (0, 1))
    if bad.any():
        raise InputError(
            f"y must hold True for every class that is possible, else False. "
            f"{first(bad).capitalize()} holds {y[bad][0]}."
        )
    return {"n_rows": len(y), "candidates": y.astype(bool), **_with_column_votes(given)}


def _with_column_votes(given: Given) -> dict[str, Any]:
    """Return the classes of a matrix with one column a class, and the votes in them, if any."""
    columns = _column_names(given)
    if given.votes is None:
        return {"classes": columns}
    named, votes = factorise(given.votes, "votes", abstain=True)
    unknown = named[~np.isin(named, columns)]
    if unknown.size:
        raise InputError(f"votes name the class {unknown.tolist()[0]!r}, which is no column of y: {columns.tolist()}.")
    return {"classes": columns, "votes": merge(columns, np.zeros(0, np.int64), named, votes, ("y", "votes"))[2]}


def _read_votes(given: Given) -> dict[str, Any]:
    """Read votes alone; a y beside them that says nothing only has to have their length."""
    ballots = given.y if given.votes is None else given.votes
    if ballots is None or sparse.issparse(ballots) or ballots.ndim != 2:
        shape = None if ballots is None else ballots.shape
        raise InputError(f"votes must have shape (n, m), one column a voter, for kind='votes'. Got {shape}.")
    if given.votes is not None and given.y is not None and len(given.y) != len(given.votes):
        raise InputError(f"votes has {len(given.votes)} rows, but y has {len(given.y)}.")
    classes, votes = factorise(ballots, "votes", abstain=True)
    check_class_count(classes, 2, "votes")
    return {"n_rows": len(votes), "classes": classes, "votes": votes}


def _read_bags(given: Given) -> dict[str, Any]:
    values = _matrix(given, "bags").astype(np.float64)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    proportions = values.ndim == 2 and bool(np.nanmin(values, initial=0) >= 0) and _sums_to_one(values, given.guessed)
    return {
        **_bag_numbers(given, len(values)),
        "values": values,
        "classes": _column_names(given) if proportions else None,
    }


def _sums_to_one(values: AnyArray, guessed: bool) -> bool:
    """Whether every bag's proportions do. Where nine in ten do, the others are a mistake, unless they were called means."""
    totals = values.sum(1)
    right = np.isnan(totals) | (np.abs(totals - 1) < 1e-3)
    if guessed and 0.9 <= right.mean() < 1:
        bag = int(np.argmin(right))
        raise InputError(
            f"y: the proportions of bag {bag} sum to {totals[bag]:.6g}, those of nearly all others to 1. Divide them by "
            "their sum, or pass kind='bags' if they are means."
        )
    return bool(right.all())


def _read_sets(given: Given) -> dict[str, Any]:
    if given.y is None or sparse.issparse(given.y):
        raise InputError("y must have one class label a bag, shape (B,), for kind='sets'. Got none.")
    classes, codes = factorise(as_column(given.y, "y"), "y")
    check_class_count(classes, 2, "y")
    return {**_bag_numbers(given, len(codes)), "classes": classes, "codes": codes}


def _bag_numbers(given: Given, count: int) -> dict[str, Any]:
    """Return the bags of the rows; every bag that y speaks of must have a row."""
    if given.bags is None:
        raise InputError("bags= is missing: labels of groups need the number of each row's group, shape (n,).")
    present = np.unique(given.bags)
    if present.size and present[0] >= 0 and present[-1] < count and len(present) < count:
        empty = np.setdiff1d(np.arange(count), present)[0]
        raise InputError(f"bags: no row is in bag {empty}, though y has {count} entries. Drop that entry of y.")
    if present.size and present[-1] >= count:
        raise InputError(f"y has {count} entries, but bags numbers {present[-1] + 1} bags (0 to {present[-1]}).")
    return {"n_rows": len(given.bags), "bags": given.bags}


READERS = {
    Kind.CLASSES: _read_classes,
    Kind.REAL: _read_real,
    Kind.MULTILABEL: _read_multilabel,
    Kind.SOFT: _read_soft,
    Kind.CANDIDATES: _read_candidates,
    Kind.VOTES: _read_votes,
    Kind.BAGS: _read_bags,
    Kind.SETS: _read_sets,
}
