"""Targets in words, for people who want to know whether they were understood."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from labelwise.supervision.targets import Kind, Targets


def describe(targets: Targets) -> str:
    """Say in a few sentences what was understood: kind, classes, what is missing, what lies beside it.

    Examples
    --------
    >>> from labelwise.supervision import infer
    >>> print(describe(infer(["cat", None, "dog", "cat"])))
    4 rows with classes: 3 labelled, 1 unlabelled. 2 classes: 'cat' (2), 'dog' (1). 1 class has a single \
example: 'dog'.
    >>> print(describe(infer([-1, 1, 1, -1])))
    4 rows with classes: all labelled. 2 classes: -1 (2), 1 (2). As -1 and 1 are the only labels, -1 is a class here \
and does not mean unlabelled.
    """
    if targets.n_rows == 0:
        return "No rows."
    return " ".join([*_labels(targets), *_classes(targets), *_beside(targets)])


def _labels(targets: Targets) -> Iterator[str]:
    n, known = targets.n_rows, int(targets.labelled.sum())
    missing = "all labelled" if known == n else f"{known:,} labelled, {n - known:,} unlabelled"
    what = _WHAT[targets.kind]
    if targets.kind.per_bag:
        yield f"{_count(n, 'row')} in {_count(targets.n_bags, 'bag')} with {what}: {missing}."
    else:
        yield f"{_count(n, 'row')} with {what}: {missing}."
    if targets.kind in (Kind.REAL, Kind.BAGS):
        yield from _numbers(targets)
    if targets.kind is Kind.MULTILABEL:
        yield _entries(targets)
    if targets.kind is Kind.CANDIDATES:
        sizes = targets.need("candidates").sum(1)
        yield f"{sizes.mean():.3g} candidates a row on average."


def _numbers(targets: Targets) -> Iterator[str]:
    values = targets.need("values")
    each = f"{values.shape[1]} numbers each, " if values.ndim == 2 else ""
    if not np.isnan(values).all():
        yield f"Values: {each}{np.nanmin(values):.4g} to {np.nanmax(values):.4g}."
    if targets.kind is Kind.REAL and values.ndim == 1 and _look_like_codes(values[~np.isnan(values)]):
        yield "If these few whole numbers are names of classes, pass kind='classes'."


def _look_like_codes(values: Any) -> bool:
    return len(values) > 1 and bool((values == np.floor(values)).all()) and len(np.unique(values)) <= 20


def _entries(targets: Targets) -> str:
    yes, no = int(targets.positive.sum()), int(targets.negative.sum())
    cells = targets.n_rows * targets.n_classes
    if targets.complete:
        return f"Of {cells:,} entries {yes:,} yes, every other no (stated)."
    return f"Of {cells:,} entries {yes:,} yes, {no:,} no, {cells - yes - no:,} unknown."


def _classes(targets: Targets) -> Iterator[str]:
    if targets.classes is None:
        return
    noun = "label" if targets.kind is Kind.MULTILABEL else "class"
    counts = targets.class_counts
    named = [
        f"{label!r} ({counts[i]:,.0f})" if len(counts) else f"{label!r}"
        for i, label in enumerate(targets.classes[:5].tolist())
    ]
    more = f" and {targets.n_classes - 5:,} more" if targets.n_classes > 5 else ""
    yield f"{_count(targets.n_classes, noun)}: {', '.join(named)}{more}."
    rare = targets.rare_classes
    if rare.size:
        yield f"{_count(rare.size, noun)} {'has' if rare.size == 1 else 'have'} a single example: {_some(rare)}."
    yield from _warnings(targets)


def _warnings(targets: Targets) -> Iterator[str]:
    """Say where a rule of reading might have guessed wrong."""
    if targets.kind is not Kind.CLASSES or targets.classes is None:
        return
    yield from _twins(targets.classes)
    is_number = targets.classes.dtype.kind in "iu"
    if is_number and targets.classes.tolist() == [-1, 1]:
        yield "As -1 and 1 are the only labels, -1 is a class here and does not mean unlabelled."
    if is_number and targets.n_classes > 50:
        yield "If these numbers are quantities and not names, pass kind='real'."


def _twins(classes: Any) -> Iterator[str]:
    """Name two labels that differ only in upper and lower case, which are often one class."""
    seen: dict[str, str] = {}
    for label in classes.tolist() if classes.dtype.kind == "U" else ():
        twin = seen.setdefault(label.casefold(), label)
        if twin != label:
            yield f"{twin!r} and {label!r} differ only in case, and are two classes."
            return


def _beside(targets: Targets) -> Iterator[str]:
    if targets.votes is not None:
        share = (targets.votes >= 0).mean() if targets.votes.size else 0.0
        yield f"Votes of {_count(targets.votes.shape[1], 'voter')}, {share:.1%} cast, the others abstained."
    if targets.domains is not None:
        yield f"{_count(len(np.unique(targets.domains)), 'domain')}."
    if targets.trusted is not None:
        yield f"{_count(int(targets.trusted.sum()), 'row')} trusted."
    if targets.weight is not None:
        yield f"Weights {targets.weight.min():.3g} to {targets.weight.max():.3g}."


def _count(n: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{n:,} {noun if n == 1 else plural}"


def _some(items: Any) -> str:
    shown = ", ".join(repr(item) for item in items[:3].tolist())
    return shown + (", ..." if len(items) > 3 else "")


_WHAT = {
    Kind.CLASSES: "classes",
    Kind.REAL: "real targets",
    Kind.MULTILABEL: "several labels each",
    Kind.SOFT: "soft labels",
    Kind.CANDIDATES: "candidate sets",
    Kind.VOTES: "votes only",
    Kind.BAGS: "a proportion or mean per bag",
    Kind.SETS: "a class per bag",
}
