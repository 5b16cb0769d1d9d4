"""Whether targets hold together: lengths, ranges and contradictions, each named in the user's words."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from labelwise.base import UNLABELED, InputError
from labelwise.supervision.arrays import first
from labelwise.supervision.targets import Kind, Targets

ARGUMENTS = {"weight": "sample_weight"}
"""What users call a field when it is not its own name."""


def validate(targets: Targets, *, n_rows: int | None = None) -> Targets:
    """Return `targets` if they are consistent, else say what is not; `n_rows` is the length of ``X``, if known.

    Raises
    ------
    InputError
        The message starts with the name of the argument of `infer` that is wrong.

    Examples
    --------
    >>> from labelwise.supervision import infer
    >>> validate(infer([0, 1, -1]), n_rows=4)
    Traceback (most recent call last):
    labelwise.base.InputError: y labels 3 rows, but X has 4 rows.
    """
    if n_rows is not None and targets.n_rows != n_rows:
        name = {Kind.VOTES: "votes", Kind.BAGS: "bags", Kind.SETS: "bags"}.get(targets.kind, "y")
        raise InputError(f"{name} labels {targets.n_rows} rows, but X has {n_rows} rows.")
    _CHECKS[targets.kind](targets)
    if targets.kind.per_bag:
        _check_bags(targets)
    _check_lengths(targets)
    _check_weight(targets)
    return targets


def _check_codes(targets: Targets) -> None:
    _check_range("y", targets.need("codes"), targets.n_classes)


def _check_range(name: str, codes: Any, n_classes: int) -> None:
    bad = (codes < UNLABELED) | (codes >= n_classes)
    if bad.any():
        raise InputError(f"{name}: {first(bad)} has code {codes[bad][0]}, but there are {n_classes} classes.")


def _check_values(targets: Targets) -> None:
    values = targets.need("values")
    if np.isinf(values).any():
        where = first(np.isinf(values))
        where = where.replace("row", "bag") if targets.kind.per_bag else where
        raise InputError(f"y must be finite, NaN where unlabelled. {where.capitalize()} is infinite.")


def _check_masks(targets: Targets) -> None:
    if targets.positive is None or targets.negative is None:
        raise InputError("y: multilabel targets need both masks, positive and negative.")
    shape = (targets.n_rows, targets.n_classes)
    if not targets.positive.shape == targets.negative.shape == shape:
        raise InputError(
            f"y: masks must have shape {shape}. Got {targets.positive.shape} and {targets.negative.shape}."
        )
    both = targets.positive.multiply(targets.negative) if targets.is_sparse else targets.positive & targets.negative
    if both.sum():
        row, column = both.nonzero()
        raise InputError(f"y: row {row[0]} says both yes and no to label {column[0]}.")


def _check_soft(targets: Targets) -> None:
    soft = targets.need("soft")
    gaps = np.isnan(soft)
    _refuse_rows(gaps.any(1) & ~gaps.all(1), "is only partly NaN; an unlabelled row is NaN throughout")
    _refuse_rows(((soft < 0) | np.isinf(soft)).any(1), "has a probability that is negative or infinite")
    total = soft.sum(1)
    wrong = ~gaps.any(1) & (np.abs(total - 1) > 1e-3)
    if wrong.any():
        _refuse_rows(wrong, f"sums to {total[wrong][0]:.6g}; divide each row by its sum, or pass kind='real'")


def _refuse_rows(bad: Any, problem: str) -> None:
    if bad.any():
        raise InputError(f"y: {first(bad)} {problem}.")


def _check_candidates(targets: Targets) -> None:
    empty = ~targets.need("candidates").any(1)
    _refuse_rows(empty, "has no candidate; mark every class of an unlabelled row as possible")


def _check_votes(targets: Targets) -> None:
    votes = targets.need("votes")
    if votes.ndim != 2:
        raise InputError(f"votes must have shape (n, m), one column a voter. Got shape {votes.shape}.")
    _check_range("votes", votes, targets.n_classes)


def _check_bags(targets: Targets) -> None:
    bags, count = targets.need("bags"), targets.n_bags
    if bags.ndim != 1:
        raise InputError(f"bags must have shape (n,), one bag a row. Got shape {bags.shape}.")
    outside = (bags < 0) | (bags >= count)
    if outside.any():
        raise InputError(
            f"bags must number the entries of y, 0 to {count - 1} ({count} in all). "
            f"{first(outside).capitalize()} holds {bags[outside][0]}."
        )


def _check_lengths(targets: Targets) -> None:
    fields = ["votes", "domains", "trusted", "weight", "bags", "soft", "candidates", "index"]
    fields += [] if targets.kind.per_bag else ["codes", "values"]
    for name in fields:
        value = getattr(targets, name)
        if value is not None and len(value) != targets.n_rows:
            whole = "bags numbers" if targets.kind.per_bag else "y labels"
            raise InputError(
                f"{ARGUMENTS.get(name, name)} has {len(value)} entries, but {whole} {targets.n_rows} rows."
            )
    if targets.votes is not None and targets.kind is not Kind.VOTES:
        _check_votes(targets)


def _check_weight(targets: Targets) -> None:
    weight = targets.weight
    if weight is None:
        return
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        raise InputError(
            f"sample_weight must be finite and not negative. {first(bad).capitalize()} holds {weight[bad][0]}."
        )
    if not weight.any():
        raise InputError("sample_weight is 0 for every row: nothing would be learned. Give some row a positive weight.")


def check_some_label(targets: Targets) -> None:
    """Refuse targets that say nothing about any row."""
    if targets.labelled.any() or targets.votes is not None:
        return
    if targets.n_rows == 0:
        raise InputError("y is empty: there is no row to learn from.")
    if targets.kind is Kind.MULTILABEL and sparse.issparse(targets.positive):
        raise InputError("y stores no entry: every label of every row is unknown. Pass complete=True if it means no.")
    raise InputError(f"y: every label is missing, in all {targets.n_rows} rows. Some rows need a label.")


_CHECKS = {
    Kind.CLASSES: _check_codes,
    Kind.REAL: _check_values,
    Kind.MULTILABEL: _check_masks,
    Kind.SOFT: _check_soft,
    Kind.CANDIDATES: _check_candidates,
    Kind.VOTES: _check_votes,
    Kind.BAGS: _check_values,
    Kind.SETS: _check_codes,
}
