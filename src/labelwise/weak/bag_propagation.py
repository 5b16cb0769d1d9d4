"""Sum-product belief propagation of two classes over similar rows and over counts of bags.

The model of labels ``y`` in {0, 1}: ``-log P(y) = a sum over bags (sum of y - count)^2 + sum over edges J_ij [y_i != y_j]``.
Messages are log-odds of class 1. A bag is one factor of all its rows, and its messages are exact: with the others' beliefs
as independent, their sum has a Poisson-binomial distribution, which is convolved from both ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from labelwise.parts.neighbour_cells import Form, grown
from labelwise.parts.neighbours import neighbours

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LIMIT = 40.0
"""Largest log-odds of a message: beyond it a double no longer tells the probability from 0 or 1."""
SPREAD, SLACK = 7.0, 7
"""A sum of rows is followed this many standard deviations, and so many rows, either side of its mean."""
BLOCK = 1 << 14
MANY = 100_000
"""Rows of which near ones are numbered together, so that what a row is told lies in the cache."""
LEAF = 64
"""Rows that are numbered together."""
SHORT = 2**31 - 1
"""Largest number of four bytes."""
PAIR_ROWS = 3_037_000_499
"""Most rows whose pairs are numbers of eight bytes: its square is just below 2^63."""


class Graph(NamedTuple):
    """Similar rows, every edge in both directions, sorted by the row that is told.

    Attributes
    ----------
    start
        ``(n + 1,)``: entries ``start[i]`` to ``start[i + 1]`` are the neighbours of row i.
    other
        The neighbour, int32 or, beyond 2^31 rows or ends of edges, int64.
    reverse
        Where the same edge stands in the other direction, of the same type.
    coupling
        ``tanh(J / 2)``, in [0, 1).
    rows
        Which row each of them is, ``(n,)``; None: its number.
    """

    start: Ints
    other: NDArray[np.signedinteger[Any]]
    reverse: NDArray[np.signedinteger[Any]]
    coupling: Floats
    rows: Ints | None = None

    @property
    def n_edges(self) -> int:
        """Number of pairs of similar rows."""
        return len(self.other) // 2


class Beliefs(NamedTuple):
    """Probability of class 1 of each row ``(n,)``, passes made, and the mean change in the last of them."""

    proba: Floats
    iterations: int
    change: float


def similar_rows(
    Z: NDArray[np.floating], k: int, strength: float, *, length: float | None = None,
    max_distance: float | None = None, rng: np.random.Generator | None = None,
) -> Graph:  # fmt: skip
    """Join every row with its `k` nearest by cosine: ``J = strength * exp(-|z - z'| / length)``.

    Parameters
    ----------
    Z
        Finite numbers ``(n, d)``.
    k
        Neighbours a row; a row may be the neighbour of many more.
    strength
        Of the coupling of two equal rows, >= 0.
    length
        Distance at which the coupling has fallen to a third; None: the median distance of neighbours.
    max_distance
        Drop neighbours at a larger cosine distance, in (0, 2].
    rng
        For the approximate search in many rows.
    """
    order = near_together(Z) if len(Z) >= MANY else None
    Z = Z if order is None else Z[order]
    found = neighbours(Z, min(k, len(Z) - 1), rng=rng)
    near = np.ones(found.indices.shape, bool) if max_distance is None else found.distances <= max_distance
    rows = np.broadcast_to(np.arange(len(Z))[:, None], near.shape)[near]
    a, b = _distinct(np.minimum(rows, found.indices[near]), np.maximum(rows, found.indices[near]), len(Z))
    distance = pair_distances(Z, a, b)
    scale = length or float(np.median(distance)) if len(distance) else 1.0
    return joined(len(Z), a, b, strength * np.exp(-distance / (scale or 1.0)))._replace(rows=order)


def near_together(Z: NDArray[np.floating]) -> Ints:
    """Return an order of the rows in which those of like direction follow each other."""
    return np.concatenate(grown(Form(unit=True)(Z), LEAF, np.random.default_rng(0)))


def _distinct(low: Ints, high: Ints, n: int) -> tuple[Ints, Ints]:
    """Return every pair of row numbers once, in order."""
    if n > PAIR_ROWS:
        a, b = np.unique(np.stack([low, high]), axis=1)
        return a, b
    return np.divmod(np.unique(low * n + high), n)


def joined(n_rows: int, a: Ints, b: Ints, strength: Floats) -> Graph:
    """Return the graph of edges between rows `a` and `b`, each pair once, with strengths J."""
    order = np.argsort(np.concatenate([a, b]), kind="stable")
    short = max(n_rows, len(order)) <= SHORT  # half the bytes, while they suffice
    kind: type[np.signedinteger[Any]] = np.int32 if short else np.int64
    place = np.empty(len(order), kind)
    place[order] = np.arange(len(order), dtype=kind)
    ends = np.bincount(np.concatenate([a, b]), minlength=n_rows).cumsum()
    reverse = place[(order + len(a)) % max(1, len(order))]
    other = np.concatenate([b, a]).astype(kind)[order]
    coupling = np.tanh(np.concatenate([strength, strength])[order] / 2).clip(max=1 - 1e-12)
    return Graph(np.r_[0, ends], other, reverse, coupling)


def pair_distances(Z: NDArray[np.floating], a: Ints, b: Ints) -> Floats:
    """Return the Euclidean distances of pairs of rows, block by block."""
    blocks = (slice(first, first + BLOCK) for first in range(0, len(a), BLOCK))
    parts = [np.linalg.norm(np.asarray(Z[a[s]], np.float64) - Z[b[s]], axis=1) for s in blocks]
    return np.concatenate(parts) if parts else np.zeros(0)


def propagate(
    graph: Graph, bags: Ints, counts: Floats, weight: float, *, iterations: int = 100, damping: float = 0.5,
    tol: float = 1e-4,
) -> Beliefs:  # fmt: skip
    """Return the marginals that damped sum-product messages settle on; all messages of a pass are sent at once.

    Parameters
    ----------
    graph
        Similar rows, see `similar_rows`.
    bags
        Bag of each row ``(n,)``.
    counts
        Number of rows of class 1 in each bag ``(B,)``, whole or not; NaN: unknown.
    weight
        Of the squared difference between a bag's sum and its count, > 0.
    iterations
        Most passes; the time of one is proportional to the edges, and to the rows times the spread of their bag's sum.
    damping
        Share of the old message that is kept, in [0, 1).
    tol
        Stop when the marginals move by less, in the mean.
    """
    bags = bags if graph.rows is None else bags[graph.rows]
    members = np.argsort(bags, kind="stable")
    ends = np.bincount(bags, minlength=len(counts)).cumsum()
    factor = np.r_[0, ends], members, np.asarray(counts, np.float64), float(weight)
    edge, told, from_bag, known, tilt = (
        np.zeros(size) for size in (len(graph.other), len(graph.other), len(bags), len(bags), len(counts))
    )
    proba, change = np.full(len(bags), np.nan), np.inf
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        for passes in range(1, iterations + 1):
            _each(pool, ends, partial(_bag_messages, known, *factor, tilt, from_bag, damping))
            total = known + from_bag
            _each(pool, graph.start[1:], partial(_edge_messages, total, *graph[:4], edge, told, known, damping))
            edge, told = told, edge
            last, proba = proba, 1 / (1 + np.exp(-(from_bag + known)))
            change = float(np.abs(proba - last).mean()) if passes > 1 else np.inf
            if change < tol:
                break
    return Beliefs(_in_place(proba, graph.rows), passes, change)


def _in_place(values: Floats, rows: Ints | None) -> Floats:
    """Return values in the order of the row numbers."""
    if rows is None:
        return values
    result = np.empty_like(values)
    result[rows] = values
    return result


def _each(pool: ThreadPoolExecutor, ends: Ints, work: Callable[[int, int], None]) -> None:
    """Hand out ranges of bags or rows with about as many entries each; nobody writes what another reads."""
    if not len(ends):
        return
    marks = np.arange(0, int(ends[-1]) + 1, BLOCK)
    cuts = np.unique(np.r_[0, np.searchsorted(ends, marks), len(ends)])
    deque(pool.map(work, cuts[:-1].tolist(), cuts[1:].tolist()), maxlen=0)


@numba.njit(nogil=True, cache=True)
def _edge_messages(total, start, other, reverse, coupling, edge, told, known, damping, first, end):  # type: ignore[no-untyped-def]  # fmt: skip
    """Tell rows what each neighbour thinks without them, weakened by the coupling: ``tanh(m/2) = tanh(J/2) tanh(h/2)``.

    ``tanh(h/2) = (E - 1) / (E + 1)`` with ``E = exp(h)``. `known` becomes what all neighbours of a row tell it.
    """
    for i in range(first, end):
        heard = 0.0
        for e in range(start[i], start[i + 1]):
            odds = np.exp(min(max(total[other[e]] - edge[reverse[e]], -LIMIT), LIMIT))
            x = coupling[e] * (odds - 1)
            new = min(max(np.log((odds + 1 + x) / (odds + 1 - x)), -LIMIT), LIMIT)
            told[e] = damping * edge[e] + (1 - damping) * new
            heard += told[e]
        known[i] = heard


@numba.njit(nogil=True, cache=True)
def _bag_messages(h, start, members, counts, weight, tilt, message, damping, first, end):  # type: ignore[no-untyped-def]
    """Tell rows what their bag's count asks of them, given what all others in the bag think."""
    for b in range(first, end):
        if np.isnan(counts[b]) or start[b] == start[b + 1]:
            continue
        rows = members[start[b] : start[b + 1]]
        tilt[b] = _tilt(h, rows, counts[b], weight, tilt[b])
        _count_messages(h, rows, counts[b], weight, tilt[b], message, damping)


@numba.njit(nogil=True, cache=True)
def _tilt(h, rows, count, weight, x):  # type: ignore[no-untyped-def]
    """Return about the shift of all log-odds with which the mean sum is the most probable one: Newton within a bracket."""
    low, high = -2 * weight * (len(rows) - count) - 1, 2 * weight * count + 1
    for _ in range(60):
        x = x if low < x < high else (low + high) / 2
        gap, slope = x / (2 * weight) - count, 1 / (2 * weight)
        for i in rows:
            p = 1 / (1 + np.exp(-min(max(h[i], -LIMIT), LIMIT) - x))
            gap, slope = gap + p, slope + p * (1 - p)
        if abs(gap) < 1e-3:
            break
        if gap > 0:
            high = x
        else:
            low = x
        x -= gap / slope
    return x


@numba.njit(nogil=True, cache=True)
def _count_messages(h, rows, count, weight, tilt, message, damping):  # type: ignore[no-untyped-def]
    """Write ``log sum_s q(s) w(s + 1) / sum_s q(s) w(s)`` of each row: q is the distribution of the other rows' sum.

    Shifting all log-odds by any t and the count by ``-t / 2a`` leaves the messages as they are but for t. With `tilt` the
    sum has its mean where the factor ``w(s) = exp(-a (s - count)^2)`` is largest, so nothing underflows, and sums far from
    the mean can be left out. `forward` holds the sums of the first rows, in a window that moves with their mean.
    """
    k, centre = len(rows), count - tilt / (2 * weight)
    p, low = np.empty(k), np.empty(k + 1, np.int64)
    mean, variance = 0.0, 0.0
    for t in range(k):
        p[t] = 1 / (1 + np.exp(-min(max(h[rows[t]], -LIMIT), LIMIT) - tilt))
        variance += p[t] * (1 - p[t])
    half = int(min(float(k), SPREAD * np.sqrt(variance) + SLACK)) + 1
    width = 2 * half + 1
    low[0] = -half
    forward = np.zeros((k + 1, width + 2))  # a column of zeros on either side
    forward[0, half + 1] = 1.0
    for t in range(k):
        mean += p[t]
        low[t + 1] = int(np.floor(mean)) - half
        step = low[t + 1] - low[t]
        for u in range(1, width + 1):
            forward[t + 1, u] = (1 - p[t]) * forward[t, u + step] + p[t] * forward[t, u + step - 1]
    back, new = np.zeros(width + 2), np.zeros(width + 2)
    for u in range(1, width + 1):
        back[u] = np.exp(-weight * (low[k] + u - 1 - centre) ** 2)
    for t in range(k - 1, -1, -1):
        step, yes, no = low[t + 1] - low[t], 1e-300, 1e-300
        for u in range(1, width + 1):
            one, zero = back[u - step + 1], back[u - step]
            yes += forward[t, u] * one
            no += forward[t, u] * zero
            new[u] = (1 - p[t]) * zero + p[t] * one
        told = min(max(tilt + np.log(yes / no), -LIMIT), LIMIT)
        message[rows[t]] = damping * message[rows[t]] + (1 - damping) * told
        back, new = new, back
