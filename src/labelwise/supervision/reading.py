"""Reading a ``y`` of any kind into `Targets`: which kind it is, and what each kind makes of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from labelwise.base import InputError
from labelwise.supervision.arrays import first, is_missing, numbers, to_numpy, whole_numbers
from labelwise.supervision.checking import check_some_label, validate
from labelwise.supervision.classes import as_column, check_class_count, check_not_an_id, factorise, merge
from labelwise.supervision.targets import AnyArray, Kind, Targets


class Given(NamedTuple):
    """What the user passed, as arrays; `guessed` if nobody said which kind it is."""

    y: Any
    names: list[str] | None
    votes: AnyArray | None
    bags: AnyArray | None
    complete: bool
    guessed: bool


def infer(
    y: Any,
    *,
    votes: Any = None,
    bags: Any = None,
    domains: Any = None,
    trusted: Any = None,
    sample_weight: Any = None,
    kind: Kind | str | None = None,
    complete: bool = False,
    n_rows: int | None = None,
) -> Targets:
    """Read supervision of any kind, check all of it, and return it as `Targets`.

    Without `kind`, the kind follows from the arguments and from the type and shape of `y`:

    ================================  =====================================================================
    `y`                               read as
    ================================  =====================================================================
    None, or missing throughout       ``votes``, which then must be given
    with `bags`                       floats: ``bags``; integers or text: ``sets``
    ``(n,)`` integers, text, bools    ``classes``
    ``(n,)`` floats                   ``real``, even if all are whole (``kind="classes"`` reads those as classes)
    ``(n, K)`` bools                  ``candidates``
    ``(n, L)`` of -1, 0, 1, NaN       ``multilabel`` (floats whose rows sum to 1 are ``soft``)
    ``(n, K)`` floats                 ``soft`` if at least nine in ten rows sum to 1, else ``real``
    sparse                            ``multilabel``: stored 1 is yes, stored 0 no, -1 and what is not stored unknown
    ================================  =====================================================================

    Parameters
    ----------
    y
        Labels: array, list, scipy sparse matrix, or a pandas, polars or Arrow series or frame.
    votes
        ``(n, m)`` labels given by m annotators or labelling functions, in the classes of `y`; abstained: ``-1``, None.
    bags
        ``(n,)`` number of each row's bag, from 0 to ``len(y) - 1``.
    domains
        ``(n,)`` number of each row's source, not negative.
    trusted
        ``(n,)`` booleans: rows whose label is known to be right.
    sample_weight
        ``(n,)`` finite, not negative.
    kind
        Overrides the guess; a value of `Kind`.
    complete
        For a sparse `y` only: what is not stored is a no, instead of unknown.
    n_rows
        Number of rows of ``X``; checked against the labels when given.

    Raises
    ------
    InputError
        Anything that does not fit; the message names the argument, the row and the value, and says what to do.

    Examples
    --------
    >>> infer([0.5, float("nan"), 2.0]).kind
    <Kind.REAL: 'real'>
    >>> infer([0.2, 0.7], bags=[0, 0, 1, 1]).n_rows
    4
    >>> infer(["a", "b "])
    Traceback (most recent call last):
    labelwise.base.InputError: y: row 1 holds 'b ', with stray white space. Strip the labels first, e.g. \
[label.strip() for label in y].
    """
    given = _given(y, votes, bags, complete, kind)
    chosen = _guess(given) if kind is None else _kind(kind)
    targets = _READERS[chosen](given)
    whole = Targets(
        kind=chosen,
        domains=_row_numbers(domains, "domains"),
        trusted=_flags(trusted, "trusted"),
        weight=_weights(sample_weight),
        **targets,
    )
    validate(whole, n_rows=n_rows)
    check_some_label(whole)
    return whole


def _given(y: Any, votes: Any, bags: Any, complete: bool, kind: Any) -> Given:
    names = None
    if sparse.issparse(y):
        y = y.tocsr()
    elif y is not None:
        y, names = to_numpy(y, "y")
        if y.ndim not in (1, 2):
            raise InputError(f"y must have shape (n,) or (n, k). Got shape {y.shape}.")
        if y.shape[0] == 0:
            raise InputError("y is empty: there is no row to learn from.")
    if complete and not sparse.issparse(y):
        raise InputError("complete=True is for a sparse y; in a dense y write 0 for no and -1 for unknown.")
    ballots = None if votes is None else to_numpy(votes, "votes")[0]
    if ballots is not None and ballots.ndim != 2:
        raise InputError(f"votes must have shape (n, m), one column a voter. Got shape {ballots.shape}.")
    numbers_of_bags = None if bags is None else _row_numbers(bags, "bags")
    return Given(y, names, ballots, numbers_of_bags, complete, kind is None)


def _kind(kind: Kind | str) -> Kind:
    try:
        return Kind(kind)
    except ValueError:
        options = ", ".join(repr(option.value) for option in Kind)
        raise InputError(f"kind must be one of {options}. Got {kind!r}.") from None


def _guess(given: Given) -> Kind:
    y = given.y
    if sparse.issparse(y):
        return Kind.MULTILABEL
    if given.votes is not None and (y is None or is_missing(y).all()):
        return Kind.VOTES
    if y is None:
        raise InputError("y is missing, and so is votes=. Pass labels, or the votes of annotators as votes=.")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    looks_real = y.dtype.kind == "f" or (y.dtype.kind == "O" and _holds_floats(y))
    if given.bags is not None:
        return Kind.BAGS if looks_real or y.ndim == 2 else Kind.SETS
    if y.ndim == 1:
        return Kind.REAL if looks_real else Kind.CLASSES
    return Kind.CANDIDATES if y.dtype == bool else _guess_matrix(numbers(y, "y"))


def _holds_floats(y: AnyArray) -> bool:
    """Whether objects are numbers, some of them floats that do not merely mark what is missing."""
    kinds = set(map(type, y[~is_missing(y)]))
    return bool(kinds) and any(issubclass(k, (float, np.floating)) for k in kinds) and all(
        issubclass(k, (int, float, np.number)) for k in kinds
    )  # fmt: skip


def _guess_matrix(y: AnyArray) -> Kind:
    known = y[~np.isnan(y)] if y.dtype.kind == "f" else y
    totals = y.sum(1)
    totals = totals[~np.isnan(totals)]
    sums_to_one = totals.size > 0 and bool((np.abs(totals - 1) < 1e-3).mean() >= 0.9) and bool((known >= 0).all())
    if y.dtype.kind == "f" and sums_to_one and y.shape[1] > 1:
        return Kind.SOFT
    if np.isin(known, (-1, 0, 1)).all():
        return Kind.MULTILABEL
    if y.dtype.kind == "f":
        return Kind.REAL
    raise InputError(
        f"y has shape {y.shape} and holds whole numbers up to {known.max()}, which could be several things. Pass votes "
        "of annotators as votes=, or say kind='votes' or kind='real'."
    )


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
    y = given.y.copy()  # the user's matrix stays as it is
    y.sum_duplicates()
    bad = ~np.isin(y.data, (-1, 0, 1))
    if bad.any():
        where = int(np.argmax(bad))
        row = int(np.searchsorted(y.indptr, where, side="right")) - 1
        raise InputError(
            f"y must store 1 (yes), 0 (no) or -1 (unknown). Row {row}, column {y.indices[where]} "
            f"stores {y.data[where]}."
        )
    masks = {"positive": _stored(y, 1), "negative": _stored(y, 0)}
    return {"n_rows": y.shape[0], "classes": np.arange(y.shape[1]), "complete": given.complete, **masks}


def _stored(y: Any, value: int) -> Any:
    rows = np.repeat(np.arange(y.shape[0]), np.diff(y.indptr))[y.data == value]
    columns = y.indices[y.data == value]
    return sparse.csr_array((np.ones(len(rows), bool), (rows, columns)), shape=y.shape)


def _read_soft(given: Given) -> dict[str, Any]:
    soft = _wide(given, "soft").astype(np.float64)
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
    proportions = values.ndim == 2 and bool(np.nanmin(values, initial=0) >= 0) and _sums_to_one(values)
    return {
        **_bag_numbers(given, len(values)),
        "values": values,
        "classes": _column_names(given) if proportions else None,
    }


def _sums_to_one(values: AnyArray) -> bool:
    totals = values.sum(1)
    return bool((np.isnan(totals) | (np.abs(totals - 1) < 1e-3)).all())


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


def _row_numbers(data: Any, name: str) -> AnyArray | None:
    if data is None:
        return None
    array = _one_dimensional(data, name)
    whole = whole_numbers(array, name).astype(np.int64)
    if (whole < 0).any():
        raise InputError(f"{name} must not be negative. {first(whole < 0).capitalize()} holds {whole[whole < 0][0]}.")
    return whole


def _one_dimensional(data: Any, name: str) -> AnyArray:
    array = to_numpy(data, name)[0]
    if array.ndim != 1:
        raise InputError(f"{name} must have shape (n,), one entry a row. Got shape {array.shape}.")
    return array


def _flags(data: Any, name: str) -> AnyArray | None:
    if data is None:
        return None
    flags = numbers(_one_dimensional(data, name), name)
    bad = ~np.isin(flags, (0, 1))
    if bad.any():
        raise InputError(f"{name} must be True or False. {first(bad).capitalize()} holds {flags[bad][0]}.")
    return flags.astype(bool)


def _weights(data: Any) -> AnyArray | None:
    if data is None:
        return None
    return numbers(_one_dimensional(data, "sample_weight"), "sample_weight").astype(np.float64)


_READERS = {
    Kind.CLASSES: _read_classes,
    Kind.REAL: _read_real,
    Kind.MULTILABEL: _read_multilabel,
    Kind.SOFT: _read_soft,
    Kind.CANDIDATES: _read_candidates,
    Kind.VOTES: _read_votes,
    Kind.BAGS: _read_bags,
    Kind.SETS: _read_sets,
}
