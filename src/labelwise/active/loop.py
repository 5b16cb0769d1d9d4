"""Rounds of fitting, querying and labelling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.validation import _num_samples

from labelwise.active.pool import Pool, take
from labelwise.active.query import Query
from labelwise.active.strategies import MarginQuery
from labelwise.base import UNLABELED, Count, Fields, InputError
from labelwise.parts.out_of_fold import fit_codes, plain_classifier
from labelwise.parts.threads import few_threads

Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Round:
    """One round: the model, what it was fitted on, and which rows to label next.

    Attributes
    ----------
    number
        From 0.
    model
        The fitted estimator, of class codes.
    codes
        Class code of every row ``(n,)``, -1 where there is none.
    outliers
        Rows ``(n,)`` that the oracle said to be of no class.
    rows
        Rows to label next, the most wanted first.
    """

    number: int
    model: Any
    codes: Ints
    outliers: Bools
    rows: Ints


def fit_round(estimator: Any, X: Any, codes: Ints, outliers: Bools) -> Any:
    """Fit a clone of `estimator` on what is labelled; it gets the pool and the outliers if it can use them."""
    told = signature(estimator.fit).parameters
    if "outliers" in told:
        return clone(estimator).fit(X, codes, outliers=outliers)
    if reads_pool(estimator):
        rows = np.flatnonzero(~outliers)
        return _with_rows(clone(estimator).fit(take(X, rows), codes[rows]), rows)
    rows = np.flatnonzero(codes != UNLABELED)
    return fit_codes(estimator, take(X, rows), codes[rows])


def reads_pool(estimator: Any) -> bool:
    """Whether ``fit`` wants the unlabelled rows too, marked -1."""
    card = getattr(estimator, "card", None)
    if card is not None:
        return "few labels" in card.handles
    return type(estimator).__module__.startswith("sklearn.semi_supervised")


def _with_rows(model: Any, rows: Ints) -> Any:
    model.fitted_rows_ = rows
    return model


class ActiveLoop(Fields):
    """Rounds of fitting, querying and labelling, with somebody or something that answers.

    Parameters
    ----------
    estimator
        Any classifier with ``predict_proba``, fitted from scratch each round; one that learns from unlabelled rows (`HAST`,
        FixMatch, scikit-learn's) gets the pool, one whose ``fit`` takes ``outliers=`` also the rows found to be of no class.
        None: scaled logistic regression.
    query
        A strategy; None takes `MarginQuery`.
    batch
        Rows asked for in a round.
    rounds
        Rounds of asking; the model is fitted once more after the last.
    filter
        What `Query.select` leaves out, such as ``"outliers"``.
    random_state
        Of the strategy and of an estimator that has a seed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, truth = load_iris(return_X_y=True)
    >>> y = np.where(np.arange(150) % 10 == 0, truth, -1)
    >>> model, labels = ActiveLoop(batch=5, rounds=5, random_state=0).run(X, y, lambda rows: truth[rows])
    >>> int((labels >= 0).sum()), bool(model.score(X, truth) > 0.9)
    (40, True)
    """

    estimator: Any = None
    query: Any = None
    batch: Annotated[int, Count] = 10
    rounds: Annotated[int, Count] = 10
    filter: Any = None
    random_state: int | None = None

    def run(self, X: Any, y: ArrayLike, oracle: Callable[[Ints], ArrayLike]) -> tuple[Any, Ints]:
        """Return the last model and all labels.

        Parameters
        ----------
        X
            Rows ``(n, ...)``.
        y
            Integer labels ``(n,)``, -1 where there is none; at least two classes have one.
        oracle
            ``oracle(rows)`` returns their labels; -1 says that a row is of no class.
        """
        codes = np.array(y)
        if codes.dtype.kind not in "iu" or codes.ndim != 1 or len(codes) != _num_samples(X):
            raise InputError(
                f"y must hold one integer label a row of X, -1 where there is none. Got {codes.dtype}, {codes.shape}."
            )
        if len(np.unique(codes[codes != UNLABELED])) < 2:
            raise InputError("y needs labelled rows of at least two classes to start from.")
        *_, last = self.iterate(X, codes.astype(np.int64), oracle)
        return last.model, last.codes

    def iterate(self, X: Any, codes: Ints, oracle: Callable[[Ints], ArrayLike]) -> Iterator[Round]:
        """Yield every round; the last has no rows to label."""
        self.check_fields()
        rng = np.random.default_rng(self.random_state)
        query = MarginQuery() if self.query is None else self.query
        estimator = plain_classifier() if self.estimator is None else self.estimator
        if not isinstance(query, Query):
            raise InputError(f"ActiveLoop.query must be a query strategy such as MarginQuery(). Got {query!r}.")
        codes, outliers = codes.copy(), np.zeros(len(codes), dtype=bool)
        for number in range(self.rounds + 1):
            with few_threads(X):
                model = fit_round(_seeded(estimator, rng), X, codes, outliers)
                rows = np.zeros(0, dtype=np.int64)
                if number < self.rounds:
                    pool = Pool(
                        X, np.where(outliers, codes.max() + 1, codes), model, random_state=int(rng.integers(2**31))
                    )
                    rows = _seeded(query, rng).select(pool, self.batch, filter=self._filter(pool))
            yield Round(number, model, codes.copy(), outliers.copy(), rows)
            if len(rows):
                answers = np.asarray(oracle(rows), dtype=np.int64)
                codes[rows], outliers[rows] = answers, answers == UNLABELED

    def _filter(self, pool: Pool) -> Any:
        return (
            None if isinstance(self.filter, str) and self.filter == "outliers" and pool.outlier is None else self.filter
        )


def _seeded(fields: Any, rng: np.random.Generator) -> Any:
    """Return a clone whose seed, if it has one, comes from `rng`."""
    copy = clone(fields)
    if "random_state" in copy.get_params(deep=False):
        copy.set_params(random_state=int(rng.integers(2**31)))
    return copy
