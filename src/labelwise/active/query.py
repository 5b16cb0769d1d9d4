"""The one interface of query strategies: candidates, limits and the order in which rows are wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.active.drawing import Floats, Ints, Limits, PerGroup, Picker, Ranked, draw
from labelwise.active.pool import Pool
from labelwise.base import Card, Fields, InputError, Method

Filter = ArrayLike | Callable[[Pool], NDArray[np.bool_]] | Literal["outliers"] | None


class Query(Method, Fields):
    """Base of query strategies: a subclass says in `picker` in which order rows are wanted.

    Parameters
    ----------
    random_state
        Seed of ties and draws; None draws one.
    """

    random_state: int | None = None

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return what orders the candidates `rows`."""
        raise NotImplementedError(f"{type(self).__name__} must define picker(pool, rows, limits, rng).")

    def select(
        self,
        pool: Pool,
        n: int | None = None,
        *,
        filter: Filter = None,
        groups: ArrayLike | None = None,
        per_group: PerGroup = None,
        cost: ArrayLike | None = None,
        budget: float | None = None,
    ) -> Ints:
        """Return numbers of rows to label next, the most wanted first; never a row twice, nor one that has a label.

        Parameters
        ----------
        pool
            What is known of all rows.
        n
            Rows wanted; fewer come back where fewer may be drawn. None: as many as `budget` buys.
        filter
            Rows to leave out: a mask ``(n_rows,)``, a function of the pool returning one, or ``"outliers"`` for those that
            the pool (its model, its ``outlier=``) holds to be of no class.
        groups, per_group
            Group of every row ``(n_rows,)``, and how many rows of a group a batch may hold, or ``"all"``: a group is taken
            whole or not at all (it counts as its best row; one larger than what is left of n is passed over).
        cost, budget
            Price of every row ``(n_rows,)``, > 0, and the most a batch may cost. Strategies that grade rows take the
            largest grade per price; those that draw at random or by clusters only keep to the budget.

        Raises
        ------
        InputError
            For arguments that do not fit each other, or a pool without what the strategy needs.
        """
        self.check_fields()
        rows = _candidates(pool, filter)
        for name, values in (("groups", groups), ("cost", cost)):
            if values is not None and np.shape(values) != (pool.n,):
                raise InputError(f"{name} must have one entry a row, shape ({pool.n},). Got {np.shape(values)}.")
        limits = Limits(rows, n, groups, per_group, cost, budget)
        if not limits.open.any():
            return rows[:0]
        return rows[draw(self.picker(pool, rows, limits, np.random.default_rng(self.random_state)), limits)]


def _candidates(pool: Pool, filter: Filter) -> Ints:
    if filter is None:
        return pool.open
    if isinstance(filter, str):
        if filter != "outliers" or pool.outlier is None:
            raise InputError(
                f"filter must be a mask, a function of the pool, or 'outliers' where the pool knows them (outlier=, or a "
                f"model with outlier_score). Got {filter!r}."
            )
        dropped = pool.outlier
    else:
        dropped = np.asarray(filter(pool) if callable(filter) else filter)
    if dropped.shape != (pool.n,) or dropped.dtype != bool:
        raise InputError(f"filter must be a mask of shape ({pool.n},). Got shape {dropped.shape} of {dropped.dtype}.")
    return np.flatnonzero(~pool.labelled & ~dropped)


class ScoredQuery(Query):
    """Base of strategies that grade every row by itself: the largest `scores` come first, equal ones at random."""

    def scores(self, pool: Pool) -> Floats:
        """Return a number >= 0 for every row of the pool, ``(n_rows,)``."""
        raise NotImplementedError(f"{type(self).__name__} must define scores(pool).")

    def picker(self, pool: Pool, rows: Ints, limits: Limits, rng: np.random.Generator) -> Picker:
        """Return the order of the scores."""
        return Ranked(self.scores(pool)[rows], rng)


def query_card(year: int | None, reference: str) -> Card:
    """Return the card of a query strategy."""
    return Card(year=year, reference=reference, kind="part", handles=frozenset({"few labels"}), cost="seconds")
