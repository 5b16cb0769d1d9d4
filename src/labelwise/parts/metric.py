"""Whether a table of distances is a metric, and if not, where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from labelwise.base import InputError

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

TOLERANCE = 1e-5
"""Share of the largest distance that rounding may take from an equation."""

TRIPLES = 300_000_000
"""Triples of labels that are tried for the triangle inequality, about a second; of more, only so many."""

CELLS = 2_000_000
"""Sums held at once."""


def check_metric(distances: npt.ArrayLike, sources: npt.ArrayLike | None = None, *, accept: str = "") -> None:
    """Refuse a table of distances that is not a metric, and say where it is not.

    Tried are: distances finite and not negative, 0 from a label to itself, the same in both directions, and never longer
    than the way over a third label. Different labels at distance 0 are accepted. The triangle inequality is tried for all
    triples up to `TRIPLES`, and beyond that for ways over randomly drawn labels.

    Parameters
    ----------
    distances
        (K, N) distances from K of N labels to all.
    sources
        (K,) labels that the rows belong to. Default: 0 to K - 1.
    accept
        What to do if the table is meant as it is, for the message.

    Raises
    ------
    InputError
        Names the labels and by how much.

    Examples
    --------
    >>> check_metric([[0, 1, 4], [1, 0, 1], [4, 1, 0]])
    Traceback (most recent call last):
    labelwise.base.InputError: distances are not a metric: from label 0 to label 2 it is 4, but over label 1 only \
1 + 1 = 2, shorter by 2. Their square roots are a metric: if these are squared distances, give them unsquared.
    """
    table = check_finite(distances)
    rows = np.arange(len(table)) if sources is None else np.asarray(sources)
    slack = TOLERANCE * float(table.max(initial=0))
    found = (
        _itself(table, rows, slack) or _asymmetric(table[:, rows], rows, slack) or _triangle(table, rows, slack)
    )  # the cheap ones first
    if found:
        raise InputError(f"distances are not a metric: {found} {accept}".rstrip())


def check_finite(distances: npt.ArrayLike) -> Floats:
    """Return the table as an array of numbers, and refuse entries that are negative or not finite, with their place."""
    table = np.asarray(distances)
    if table.ndim != 2 or not table.size or table.dtype.kind not in "biuf":
        raise InputError(f"distances must be a (K, N) array of numbers. Got shape {table.shape}.")
    bad = ~(table >= 0) | np.isinf(table)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(f"distances must be finite and not negative. Got {table[row, column]} at ({row}, {column}).")
    return table if table.dtype.kind == "f" else table.astype(np.float64)


def _itself(table: Floats, rows: Ints, slack: float) -> str:
    own = table[np.arange(len(rows)), rows]
    worst = int(own.argmax())
    return f"label {rows[worst]} is at {own[worst]:g} from itself, not at 0." if own[worst] > slack else ""


def _asymmetric(among: Floats, rows: Ints, slack: float) -> str:
    gap = np.abs(among - among.T)
    i, j = np.unravel_index(int(gap.argmax()), gap.shape)
    if gap[i, j] <= slack:
        return ""
    a, b = sorted((int(i), int(j)))
    return (
        f"from label {rows[a]} to label {rows[b]} it is {among[a, b]:g}, back {among[b, a]:g}, "
        f"a difference of {gap[a, b]:g}."
    )


class Detour(NamedTuple):
    """Three labels: the way from `first` to `last` over `via` is shorter by `by`."""

    by: float
    first: int
    via: int
    last: int
    whole: float
    one: float
    two: float


def _triangle(table: Floats, rows: Ints, slack: float) -> str:
    worst = _worst_detour(table, rows)
    if worst.by <= slack:
        return ""
    root = np.sqrt(table)
    squared = _worst_detour(root, rows).by <= TOLERANCE * float(root.max())
    hint = " Their square roots are a metric: if these are squared distances, give them unsquared." if squared else ""
    return (
        f"from label {worst.first} to label {worst.last} it is {worst.whole:g}, but over label {worst.via} only "
        f"{worst.one:g} + {worst.two:g} = {worst.one + worst.two:g}, shorter by {worst.by:g}.{hint}"
    )


def _worst_detour(table: Floats, rows: Ints) -> Detour:
    pivots = np.arange(len(rows))
    if len(rows) * table.size > TRIPLES:
        pivots = np.random.default_rng(0).permutation(len(rows))[: max(1, TRIPLES // table.size)]
    width = max(1, CELLS // len(rows))
    blocks = [slice(left, left + width) for left in range(0, table.shape[1], width)]
    return max(found for p in pivots.tolist() for block in blocks for found in _detours(table, rows, p, block))


def _detours(table: Floats, rows: Ints, p: int, block: slice) -> Iterator[Detour]:
    """The worst ways from a source over source `p` to a label, and from a source over a label to source `p`."""
    to_pivot, to_label, from_pivot = table[:, rows[p], None], table[:, block], table[p, block]
    for over in (True, False) if len(rows) < table.shape[1] else (True,):  # a square table has both among the first
        excess = to_label - (to_pivot + from_pivot) if over else to_pivot - (to_label + from_pivot)
        i, column = divmod(int(excess.argmax()), excess.shape[1])
        label, by = int(column + block.start), float(excess[i, column])
        whole, via, one = table[i, label], int(rows[p]), table[i, rows[p]]
        if over:
            yield Detour(by, int(rows[i]), via, label, float(whole), float(one), float(table[p, label]))
        else:
            yield Detour(by, int(rows[i]), label, via, float(one), float(whole), float(table[p, label]))
