"""Labelling curves on rows whose labels are known: would a better order of labelling have paid?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import _num_samples

from labelwise.active.loop import ActiveLoop
from labelwise.active.names import STRATEGIES
from labelwise.active.pool import take
from labelwise.active.query import Query
from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, InputError, Method, Range
from labelwise.display import html_of
from labelwise.parts.learning_curves import resampled
from labelwise.supervision import encode_classes

Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
Inside = Range(low=0, high=1, low_open=True, high_open=True)
DEFAULT = ("random", "margin", "core-set", "BADGE", "typical")


@dataclass(frozen=True, eq=False)
class LabellingCurves:
    """What `LabellingSimulation` finds.

    Attributes
    ----------
    table
        A row for each strategy, repeat and round: ``strategy``, ``repeat``, ``round``, ``n_labels``, ``accuracy`` on test
        rows, ``inlier_rate`` of the rows asked for in the round before (of rows that belong to a class), ``n_pseudo`` and
        ``pseudo_accuracy`` of an estimator that gives pseudo-labels (else 0 and NaN).
    baseline
        The strategy that others are compared with.
    test_share, level
        For the intervals.
    """

    table: pd.DataFrame
    baseline: str
    test_share: float
    level: float

    def areas(self) -> pd.DataFrame:
        """Return the area under each labelling curve: mean accuracy over the labels bought, ``(repeats, strategies)``."""
        wide = {key: _area(part) for key, part in self.table.groupby(["strategy", "repeat"], sort=False)}
        return pd.Series(wide).unstack(0)[list(self.table["strategy"].unique())]

    def gain(self, strategy: str) -> Estimate:
        """Return how much larger the strategy's area is than the baseline's, paired over repeats."""
        areas = self.areas()
        return resampled(areas[strategy] - areas[self.baseline], self.test_share, self.level)

    def summary(self) -> pd.DataFrame:
        """Return a row for each strategy, best first.

        Columns: ``area``, ``gain`` over the baseline with ``low`` and ``high``, ``last`` accuracy, ``inlier_rate``.
        """
        last = self.table[self.table["round"] == self.table["round"].max()].groupby("strategy")["accuracy"].mean()
        rate = self.table.groupby("strategy")["inlier_rate"].mean()
        areas = self.areas()
        rows = [
            {"strategy": name, "area": area, **dict(zip(("gain", "low", "high"), self.gain(name), strict=False)),
             "last": last[name], "inlier_rate": rate[name]}
            for name, area in zip(areas.columns.astype(str), areas.mean(), strict=True)
        ]  # fmt: skip
        return pd.DataFrame(rows).sort_values("area", ascending=False, kind="stable").reset_index(drop=True)

    def to_frame(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def describe(self) -> str:
        """Return a line for each strategy."""
        labels = self.table["n_labels"]
        lines = [f"Mean accuracy while going from {labels.min()} to {labels.max()} labels, against {self.baseline}:"]
        lines += [self._line(row) for row in self.summary().itertuples()]
        return "\n".join(lines)

    def _line(self, row: Any) -> str:
        gain = f"{100 * row.gain:+.1f} points [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
        sure = "better" if row.low > 0 else "worse" if row.high < 0 else "the difference may be chance"
        told = "the baseline" if row.strategy == self.baseline else f"{gain}, {sure}"
        return f"{row.strategy}: {row.area:.1%}, {told}."

    def __str__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        return html_of(self)


def _area(part: pd.DataFrame) -> float:
    n, accuracy = part["n_labels"].to_numpy(float), part["accuracy"].to_numpy(float)
    width = n[-1] - n[0]
    return float(np.trapezoid(accuracy, n) / width) if width > 0 else float(accuracy.mean())


class LabellingSimulation(Method, Fields):
    """Would asking for labels in a better order have paid? Simulated labelling of rows whose labels are known.

    In every repeat test rows are set apart, a few rows of each class are labelled to start with, and every strategy labels
    the rest round by round from the same start. Areas under the curves are compared in pairs.

    Parameters
    ----------
    strategies
        Mapping from name to a strategy, or names among ``labelwise.active.names.STRATEGIES``.
        The first is the baseline.
    estimator
        As in `ActiveLoop`.
    start
        Rows of each class labelled to start with.
    batch, rounds
        Rows asked for in a round, and rounds.
    repeats
        Redraws of test rows and start, at least 2.
    test_share
        Share of the rows kept to score, in (0, 1).
    outlier
        Label in y of rows that belong to no class: the oracle says so, and such test rows are not scored. None: no such.
    filter
        As in `ActiveLoop`.
    level
        Confidence of the intervals; they allow for the overlap of the redraws (Nadeau and Bengio).
    random_state
        Seed of everything.

    References
    ----------
    Settles: Active learning literature survey. 2009 (learning curves).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> simulation = LabellingSimulation(strategies=["random", "margin"], rounds=4, repeats=3, random_state=0)
    >>> told = simulation.measure(X[:600], y[:600])
    >>> bool(told.gain("margin").value > 0)
    True
    """

    strategies: Mapping[str, Any] | Sequence[str] = DEFAULT
    estimator: Any = None
    start: Annotated[int, Count] = 1
    batch: Annotated[int, Count] = 10
    rounds: Annotated[int, Count] = 10
    repeats: Annotated[int, Range(low=2, whole=True)] = 5
    test_share: Annotated[float, Inside] = 0.3
    outlier: Any = None
    filter: Any = None
    level: Annotated[float, Inside] = 0.9
    random_state: int | None = None

    card = Card(
        kind="diagnostic", handles=frozenset({"few labels"}), cost="light",
        reference="Settles: Active learning literature survey. 2009.",
    )  # fmt: skip

    def measure(self, X: Any, y: ArrayLike) -> LabellingCurves:
        """Simulate on rows `X` with labels `y`; rows without a label (-1, None) are left out.

        Raises
        ------
        InputError
            For unknown strategies, or a class with too few rows to start, to query and to test.
        """
        self.check_fields()
        queries = self._queries()
        X, codes = self._read(X, y)
        rng = np.random.default_rng(self.random_state)
        found: list[dict[str, Any]] = []
        for repeat in range(self.repeats):
            train, test, first = self._split(codes, rng)
            seed = int(rng.integers(2**31))
            for name, query in queries.items():
                loop = ActiveLoop(
                    estimator=self.estimator, query=query, batch=self.batch, rounds=self.rounds, filter=self.filter,
                    random_state=seed,
                )  # fmt: skip
                rows = self._rounds(loop, X, codes, train, test, first)
                found += [{"strategy": name, "repeat": repeat, **row} for row in rows]
        return LabellingCurves(pd.DataFrame(found), next(iter(queries)), self.test_share, self.level)

    def _queries(self) -> dict[str, Query]:
        given = self.strategies
        if isinstance(given, str) or not len(given):
            raise InputError(f"LabellingSimulation.strategies must name at least one strategy. Got {given!r}.")
        if isinstance(given, Mapping):
            return dict(given)
        unknown = [name for name in given if name not in STRATEGIES]
        if unknown:
            raise InputError(
                f"LabellingSimulation.strategies: there is no {unknown[0]!r}. Known are {', '.join(STRATEGIES)}."
            )
        return {name: STRATEGIES[name]() for name in given}

    def _read(self, X: Any, y: ArrayLike) -> tuple[Any, Ints]:
        """Return labelled rows and their codes, -1 for outliers."""
        classes, codes = encode_classes(y)
        if len(codes) != _num_samples(X):
            raise InputError(f"X has {_num_samples(X)} rows but y has {len(codes)}: give one label per row.")
        known = np.flatnonzero(codes != UNLABELED)
        outlier = np.flatnonzero(classes == self.outlier) if self.outlier is not None else np.zeros(0, dtype=int)
        if self.outlier is not None and not len(outlier):
            raise InputError(f"LabellingSimulation.outlier: no row is labelled {self.outlier!r}.")
        kept = np.setdiff1d(np.arange(len(classes)), outlier)
        place = np.full(len(classes), UNLABELED)
        place[kept] = np.arange(len(kept))
        return take(X, known), place[codes[known]].astype(np.int64)

    def _split(self, codes: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
        """Return training rows, test rows of the classes, and positions among the training rows to start with."""
        order = rng.permutation(len(codes))
        n_test = round(self.test_share * len(codes))
        test, train = np.sort(order[:n_test]), np.sort(order[n_test:])
        first = []
        for c in range(int(codes.max()) + 1):
            rows = np.flatnonzero(codes[train] == c)
            if len(rows) <= self.start:
                raise InputError(
                    f"y: a class has {len(rows)} training rows, too few to start with {self.start} and query the rest. "
                    "Leave it out, or label more."
                )
            first.append(rng.choice(rows, self.start, replace=False))
        return train, test[codes[test] != UNLABELED], np.concatenate(first)

    def _rounds(
        self, loop: ActiveLoop, X: Any, codes: Ints, train: Ints, test: Ints, first: Ints
    ) -> Iterator[dict[str, Any]]:
        truth, X_test, X_train = codes[train], take(X, test), take(X, train)
        start = np.full(len(train), UNLABELED)
        start[first] = truth[first]
        rate = np.nan
        for each in loop.iterate(X_train, start, lambda rows: truth[rows]):
            pseudo = _pseudo(each.model, truth)
            yield {
                "round": each.number, "n_labels": int(((each.codes != UNLABELED) | each.outliers).sum()),
                "accuracy": float((np.asarray(each.model.predict(X_test)) == codes[test]).mean()),
                "inlier_rate": rate, "n_pseudo": len(pseudo),
                "pseudo_accuracy": float(pseudo.mean()) if len(pseudo) else np.nan,
            }  # fmt: skip
            rate = float((truth[each.rows] != UNLABELED).mean()) if len(each.rows) else np.nan


def _pseudo(model: Any, truth: Ints) -> Bools:
    """Return which of a model's pseudo-labels are right; an outlier's right one is the code after the last class."""
    found = getattr(model, "pseudo_labels_", None)
    if found is None:
        return np.zeros(0, dtype=bool)
    rows = found.rows if not hasattr(model, "fitted_rows_") else model.fitted_rows_[found.rows]
    right = np.where(truth == UNLABELED, truth.max() + 1, truth)
    return np.asarray(found.labels == right[rows])


def simulate(X: Any, y: ArrayLike, strategies: Any = DEFAULT, **fields: Any) -> LabellingCurves:
    """Return the curves of ``LabellingSimulation(strategies=strategies, **fields)``: one call instead of two."""
    return LabellingSimulation(strategies=strategies, **fields).measure(X, y)
