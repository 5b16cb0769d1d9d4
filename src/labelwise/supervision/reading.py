"""Reading a ``y`` of any kind into `Targets`: which kind it is, and what each kind makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from labelwise.base import UNLABELED, InputError
from labelwise.supervision.arrays import first, is_missing, numbers, to_numpy, whole_numbers
from labelwise.supervision.checking import check_some_label, validate
from labelwise.supervision.kinds import READERS, Given
from labelwise.supervision.targets import AnyArray, Kind, Targets


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
    _check_used(given, chosen)
    targets = READERS[chosen](given)
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
        y = sparse.csr_array(y)  # type: ignore[call-overload]  # the stubs do not see that any sparse matrix will do
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
    if given.votes is not None and _says_nothing(y):
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
    if y.dtype.kind == "U" or (y.dtype.kind == "O" and any(isinstance(value, str) for value in y[0])):
        raise InputError(
            f"y holds text in {y.shape[1]} columns. Pass votes of annotators as votes=, or one label column."
        )
    return Kind.CANDIDATES if y.dtype == bool else _guess_matrix(numbers(y, "y"), looks_real)


def _says_nothing(y: AnyArray | None) -> bool:
    if y is None:
        return True
    return bool((y == UNLABELED).all() if y.dtype.kind in "iu" else is_missing(y).all())


def _check_used(given: Given, kind: Kind) -> None:
    """Refuse arguments that the kind would silently leave aside."""
    if given.bags is not None and not kind.per_bag:
        raise InputError(f"bags= goes with labels of whole bags (kind 'bags' or 'sets'); y is of kind {kind.value!r}.")
    if given.votes is None:
        return
    if kind not in (Kind.CLASSES, Kind.SOFT, Kind.CANDIDATES, Kind.VOTES):
        raise InputError(f"votes= name classes, but y is of kind {kind.value!r}. Leave votes out, or change kind=.")
    if kind is Kind.VOTES and given.y is not None and (sparse.issparse(given.y) or not _says_nothing(given.y)):
        raise InputError(
            "y holds labels that kind='votes' would ignore. Leave kind out to use y and votes, or y to None."
        )


def _holds_floats(y: AnyArray) -> bool:
    """Whether objects are numbers, some of them floats that do not merely mark what is missing."""
    kinds = set(map(type, y[~is_missing(y)]))
    return bool(kinds) and any(issubclass(k, (float, np.floating)) for k in kinds) and all(
        issubclass(k, (int, float, np.number)) for k in kinds
    )  # fmt: skip


def _guess_matrix(y: AnyArray, looks_real: bool) -> Kind:
    gaps = np.isnan(y)
    known = y[~gaps]
    yes_or_no = bool(np.isin(known, (-1, 0, 1)).all())
    torn = bool((gaps.any(1) & ~gaps.all(1)).any())  # a soft label is known wholly or not at all
    if looks_real and _rows_sum_to_one(y, gaps) and not (yes_or_no and torn):
        return Kind.SOFT
    if yes_or_no:
        return Kind.MULTILABEL
    if looks_real:
        return Kind.REAL
    raise InputError(
        f"y has shape {y.shape} and holds whole numbers up to {known.max()}, which could be several things. Pass votes "
        "of annotators as votes=, or say kind='votes' or kind='real'."
    )


def _rows_sum_to_one(y: AnyArray, gaps: AnyArray) -> bool:
    """Whether at least nine in ten complete rows do, so that the tenth is a mistake to be told."""
    totals = y.sum(1)[~gaps.any(1)]
    return totals.size > 0 and bool((y[~gaps] >= 0).all()) and bool((np.abs(totals - 1) < 1e-3).mean() >= 0.9)


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
