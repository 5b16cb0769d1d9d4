"""How a batch is drawn: pickers say which row comes next, limits which rows may still come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
PerGroup = int | Literal["all"] | None


class Limits:
    """Which of the candidates may still be drawn.

    Parameters
    ----------
    rows
        Numbers of the candidates; `open`, `price` and all positions follow their order.
    n
        Most rows to draw; None: as many as the budget buys.
    groups, cost
        Of every row of the pool.
    per_group
        Most rows of a group, or ``"all"``: a group is drawn whole or not at all.
    budget
        Most that the rows may cost together.
    """

    def __init__(
        self,
        rows: Ints,
        n: int | None,
        groups: ArrayLike | None = None,
        per_group: PerGroup = None,
        cost: ArrayLike | None = None,
        budget: float | None = None,
    ) -> None:
        _check(n, groups, per_group, cost, budget)
        self.left = len(rows) if n is None else n
        self.money = np.inf if budget is None else float(budget)
        self.bounded = per_group == "all" or budget is not None
        self.price = np.ones(len(rows)) if cost is None else _costs(cost)[rows]
        self.open = np.ones(len(rows), dtype=bool)
        self.group = np.unique(np.asarray(groups)[rows], return_inverse=True)[1] if groups is not None else None
        self.whole, self.per_group = per_group == "all", per_group
        if self.group is not None:
            self.taken = np.zeros(int(self.group.max(initial=-1)) + 1, dtype=np.int64)
            self._by_group = np.argsort(self.group, kind="stable")
            self._ends = np.cumsum(np.bincount(self.group))
        self._need = self._group_sums() if self.whole else (np.ones(len(rows)), self.price)
        self._shut()

    def _group_sums(self) -> tuple[Floats, Floats]:
        """Return the size and the price of each candidate's whole group."""
        assert self.group is not None
        size, price = (np.bincount(self.group, each)[self.group] for each in (np.ones(len(self.group)), self.price))
        return np.asarray(size, dtype=np.float64), np.asarray(price, dtype=np.float64)

    def _shut(self) -> None:
        """Close what no longer fits. A hair of slack, so that n rows of price b / n cost b."""
        size, price = self._need
        self.open &= (size <= self.left) & (price <= self.money * (1 + 1e-12))

    def most(self) -> int:
        """Return how many rows can be drawn at most."""
        affordable = int((np.cumsum(np.sort(self.price)) <= self.money * (1 + 1e-12)).sum())
        return min(self.left, affordable, len(self.open))

    def take(self, position: int) -> Ints:
        """Draw a candidate, and with it its group if groups come whole; return the positions drawn."""
        drawn = np.array([position])
        if self.group is not None:
            mates = self._mates(int(self.group[position]))
            if self.whole:
                drawn = mates
            self.taken[self.group[position]] += len(drawn)
            if self.whole or self.taken[self.group[position]] >= int(self.per_group or 0):
                self.open[mates] = False
        self.open[drawn] = False
        self.left -= len(drawn)
        self.money -= float(self.price[drawn].sum())
        if self.bounded:
            self._shut()
        return drawn

    def _mates(self, group: int) -> Ints:
        start = int(self._ends[group - 1]) if group else 0
        return np.asarray(self._by_group[start : int(self._ends[group])])


def _check(n: int | None, groups: Any, per_group: PerGroup, cost: Any, budget: float | None) -> None:
    if n is None and budget is None:
        raise InputError("select needs n=, the number of rows wanted, or budget= beside cost=.")
    if n is not None and (isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1):
        raise InputError(f"n must be a whole number, at least 1. Got {n!r}.")
    if (budget is None) != (cost is None):
        raise InputError("cost and budget go together: give the price of every row and the sum to spend.")
    if budget is not None and not (np.isfinite(budget) and budget >= 0):
        raise InputError(f"budget must be a finite sum, at least 0. Got {budget!r}.")
    if (groups is None) != (per_group is None):
        raise InputError(
            "groups and per_group go together: give the group of every row and how many rows it may yield."
        )
    if per_group is not None and per_group != "all" and (not isinstance(per_group, int | np.integer) or per_group < 1):
        raise InputError(f"per_group must be a whole number, at least 1, or 'all'. Got {per_group!r}.")


def _costs(cost: ArrayLike) -> Floats:
    price = np.asarray(cost, dtype=np.float64)
    wrong = ~(np.isfinite(price) & (price > 0))
    if wrong.any():
        raise InputError(f"cost must be positive. Row {int(wrong.argmax())} costs {price[wrong][0]:g}.")
    return price


class Picker(Protocol):
    """Says which candidate comes next, given which are open and what they cost."""

    def pick(self, limits: Limits) -> int:
        """Return the position of the next candidate, one that is open."""
        ...

    def took(self, position: int) -> None:
        """Learn that a candidate was drawn."""
        ...


def draw(picker: Picker, limits: Limits) -> Ints:
    """Return the positions drawn, in order, until nothing more fits."""
    drawn: list[Ints] = [np.zeros(0, dtype=np.int64)]
    for position in _wishes(picker, limits):
        drawn.append(limits.take(position))
        for each in drawn[-1]:
            picker.took(int(each))
    return np.concatenate(drawn)


def _wishes(picker: Picker, limits: Limits) -> Iterator[int]:
    """Yield open candidates; a fixed order is walked through once, because what is closed stays closed."""
    if isinstance(picker, Ranked):
        for position in picker.order(limits):
            if limits.left < 1 or (limits.bounded and not limits.open.any()):
                return
            if limits.open[position]:
                yield int(position)
        return
    while limits.left > 0 and limits.open.any():
        yield picker.pick(limits)


class Ranked:
    """The largest value for its price first; equal values in random order, or as `ties` has it."""

    def __init__(
        self, values: Floats, rng: np.random.Generator, ties: Floats | None = None, priced: bool = True
    ) -> None:
        self.values, self.rng, self.ties, self.priced = values, rng, ties, priced

    def order(self, limits: Limits) -> Iterator[int]:
        """Yield all positions, best first; those beyond a batch are sorted only when they are asked for."""
        worth = self.values / limits.price if self.priced else self.values
        keys = [self.rng.random(len(worth)), -worth]
        if self.ties is not None:
            keys.insert(1, -self.ties)
        for some in _leading(-worth, 2 * limits.left):
            yield from some[np.lexsort([key[some] for key in keys])]

    def pick(self, limits: Limits) -> int:
        """Return the best open position."""
        return int(np.where(limits.open, self.values / limits.price, -np.inf).argmax())

    def took(self, position: int) -> None:
        """Nothing changes."""


def _leading(values: Floats, n: int) -> list[Ints]:
    """Return the positions of the `n` smallest values and of those that equal the last of them, then all others."""
    if n >= len(values):
        return [np.arange(len(values))]
    first = values <= np.partition(values, n)[n]
    return [np.flatnonzero(first), np.flatnonzero(~first)]


class Rounds:
    """One row of each cluster in turn, the best of its cluster first; `value` is asked of a cluster when its turn comes."""

    def __init__(self, cluster: Ints, order: Ints, value: Callable[[Ints], Floats]) -> None:
        ends = np.cumsum(np.bincount(cluster, minlength=int(order.max()) + 1))
        by_cluster = np.split(np.argsort(cluster, kind="stable"), ends[:-1])
        self.members = [by_cluster[c] for c in order]
        self.value, self.turn = value, -1
        self.values: dict[int, Floats] = {}

    def pick(self, limits: Limits) -> int:
        """Return the best open row of the next cluster that has one."""
        while True:
            self.turn = (self.turn + 1) % len(self.members)
            rows = self.members[self.turn]
            free = limits.open[rows]
            if free.any():
                if self.turn not in self.values:
                    self.values[self.turn] = self.value(rows)
                return int(rows[np.where(free, self.values[self.turn], -np.inf).argmax()])

    def took(self, position: int) -> None:
        """Nothing changes."""


class Farthest:
    """The row farthest from everything labelled or drawn, for its price: greedy k-centre."""

    def __init__(self, Z: Floats, centres: Floats) -> None:
        self.Z, self.square = Z, np.einsum("ij,ij->i", Z, Z)
        self.gap: Floats | None = None
        if len(centres):
            import faiss

            self.gap = faiss.knn(np.ascontiguousarray(Z), np.ascontiguousarray(centres), 1)[0][:, 0]

    def pick(self, limits: Limits) -> int:
        """Return the open row of largest distance; without any centre yet, the one nearest to the mean."""
        if self.gap is None:
            return int(np.where(limits.open, self.square, np.inf).argmin())
        return int(np.where(limits.open, np.sqrt(np.maximum(self.gap, 0)) / limits.price, -1).argmax())

    def took(self, position: int) -> None:
        """Make the row a centre."""
        distance = self.square + self.square[position] - 2 * (self.Z @ self.Z[position])
        self.gap = distance if self.gap is None else np.minimum(self.gap, distance)


class PlusPlus:
    """k-means++ among outer products ``a_i h_i^T`` that are never formed.

    ``|a h^T - b g^T|^2 = |a|^2 |h|^2 + |b|^2 |g|^2 - 2 (a.b)(h.g)``: a step costs n (K + d), not n K d.
    """

    def __init__(self, A: Floats, H: Floats, rng: np.random.Generator) -> None:
        self.A, self.H, self.rng = A, H, rng
        self.square = np.einsum("ij,ij->i", A, A) * np.einsum("ij,ij->i", H, H)
        self.gap: Floats | None = None

    def pick(self, limits: Limits) -> int:
        """Return the longest gradient at first, then a row with chance proportional to its squared distance."""
        if self.gap is None:
            return int(np.where(limits.open, self.square / limits.price, -1).argmax())
        chance = np.cumsum(np.where(limits.open, self.gap / limits.price, 0), dtype=np.float64)
        if chance[-1] <= 0:
            return int(self.rng.choice(np.flatnonzero(limits.open)))
        position = int(np.searchsorted(chance, self.rng.random() * chance[-1], side="right"))
        return min(position, int(np.flatnonzero(limits.open)[-1]))

    def took(self, position: int) -> None:
        """Make the row a centre."""
        product = (self.A @ self.A[position]) * (self.H @ self.H[position])
        distance = np.maximum(self.square + self.square[position] - 2 * product, 0)
        distance[position] = 0
        self.gap = distance if self.gap is None else np.minimum(self.gap, distance)


class Spread:
    """The largest value times distance to the nearest drawn row, among the `front` rows while any is open."""

    def __init__(self, values: Floats, Z: Floats, front: Bools) -> None:
        self.values, self.Z, self.front = values, Z, front
        self.square, self.gap = np.einsum("ij,ij->i", Z, Z), np.ones(len(values))
        self.first = True

    def pick(self, limits: Limits) -> int:
        """Return the best open row; one exactly like a drawn row comes last, but before nothing at all."""
        open_ = limits.open & self.front
        value = (self.values + 1e-9) * (self.gap + 1e-9) / limits.price
        return int(np.where(open_ if open_.any() else limits.open, value, -1).argmax())

    def took(self, position: int) -> None:
        """Measure the distances to the row."""
        square = self.square + self.square[position] - 2 * (self.Z @ self.Z[position])
        distance = np.sqrt(np.maximum(square, 0))
        self.gap = distance if self.first else np.minimum(self.gap, distance)
        self.first = False
