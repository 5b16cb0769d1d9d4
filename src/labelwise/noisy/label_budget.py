"""Many cheap labels or few good ones: simulate on the data at hand how to split a labelling budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_array

from labelwise.base import UNLABELED, Card, Estimate, Fields, InputError, Method, Positive, Range
from labelwise.display import html_of
from labelwise.noisy.budget_curves import frontier, judged, learning_curve
from labelwise.parts.learning_curves import resampled
from labelwise.parts.out_of_fold import fit_codes, out_of_fold_proba, plain_classifier, predict_all, takes_weights
from labelwise.parts.threads import few_threads
from labelwise.supervision import encode_classes

Codes = NDArray[np.int64]
Rows = NDArray[np.intp]
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.05, 0.0)
Inside = Range(low=0, high=1, low_open=True, high_open=True)


@dataclass(frozen=True, eq=False)
class BudgetPlan:
    """What `LabelBudget` finds.

    Attributes
    ----------
    table
        A row for each budget and share of it spent on trusted labels: ``budget``, ``share``, ``n_trusted``, ``n_cheap``,
        ``accuracy`` with ``low`` and ``high``, and ``extrapolated`` where the data hold too few labels to try it.
    best
        A row for each budget: its best split with the same columns, its ``regime`` (``quantity-dominant``: cheap labels
        only, or as many as the grid allows; ``quality-dominant``: trusted labels only; ``mixed``), and ``sure``, whether
        the best split beats both ends of the grid (for mixed), or the other end, by more than chance. Here ``extrapolated``
        holds if it does for any of these.
    frontier
        The rows of `table` that no cheaper or equally cheap split beats, by what they spend (``cost``).
    disagreement
        Share of the rows with both labels whose cheap label differs from the trusted one.
    queries
        Numbers of the rows without a trusted label, most uncertain first: label these well next.
    """

    table: pd.DataFrame
    best: pd.DataFrame
    frontier: pd.DataFrame
    disagreement: Estimate
    queries: Rows

    def describe(self) -> str:
        """Return the plan in words, a line for each budget."""
        return "\n".join(_line(row) for row in self.best.itertuples())

    def __str__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        return html_of(self)


def _line(row: Any) -> str:
    doubt = "" if row.sure else " (the difference may be chance)"
    beyond = " Extrapolated: there are too few labels to try it." if row.extrapolated else ""
    return (
        f"Budget {row.budget:g}: {row.regime}{doubt}. Spend {row.share:.0%} on {row.n_trusted} trusted labels and the rest "
        f"on {row.n_cheap} cheap ones; expected accuracy {row.accuracy:.1%} [{row.low:.1%}, {row.high:.1%}].{beyond}"
    )


class Cell(NamedTuple):
    """One way to spend a budget."""

    budget: float
    share: float
    n_trusted: int
    n_cheap: int

    def _repr_html_(self) -> str:
        return html_of(self)


class LabelBudget(Method, Fields):
    """How to split a labelling budget between many cheap labels and few trusted ones, tried out on your own data.

    For every budget B and share f, ``f B / trusted_price`` trusted and ``(1 - f) B / cheap_price`` cheap labels are drawn
    from different rows, a classifier is trained on both and scored on trusted rows kept apart; this is repeated with other
    draws. Small budgets mostly want quantity, large ones quality, those between a mixture.

    A classifier whose ``fit`` takes ``trusted=`` (`SequentialFineTuning`) is told which rows are; any other is fitted on the
    union, trusted rows weighing more where it takes weights. The weight is that of a binary label against one flipped at
    rate e, ``1 / (1 - 2 e)^2`` with e the observed disagreement (for K classes with 2 replaced by ``K / (K - 1)``), at most
    25.

    A split that needs more rows than there are is extrapolated: ``1 - accuracy = a + b (n_trusted + r n_cheap)^-c`` is
    fitted to the splits that were tried. Its interval holds what redrawing changes, not that the curve may be wrong.

    Differs from the paper: classical classifiers by default, trained on the union and not in two stages; intervals.

    Parameters
    ----------
    estimator
        A scikit-learn classifier with ``predict_proba``; None takes scaled logistic regression.
    cheap_price, trusted_price
        Price of one label of either kind, > 0.
    budgets
        Sums to plan for, in the same money; None takes four from the smallest with 16 trusted labels to the largest with
        which most splits can be tried.
    shares
        Shares of a budget to spend on trusted labels, in [0, 1], at least two.
    sampling
        Which rows get a trusted label in the simulation: ``random``, or ``uncertainty``, those whose class a model of the
        split's cheap labels is least sure of.
    repeats
        Draws of test rows and labels, at least 3.
    test_share
        Share of the trusted rows kept apart to score, in (0, 1).
    level
        Confidence of the intervals; they allow for the overlap of the draws (Nadeau and Bengio).
    random_state
        Seed of the draws.

    References
    ----------
    Mallen, Belrose, Balancing Label Quantity and Quality for Scalable Elicitation, 2024 (paper 88).

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from labelwise.data.synthetic import symmetric_noise
    >>> X, truth = load_breast_cancer(return_X_y=True)
    >>> cheap = symmetric_noise(truth, 0.3, random_state=0).y
    >>> trusted = np.where(np.arange(569) % 2 == 0, truth, -1)  # every second row was labelled well too
    >>> plan = LabelBudget(budgets=[20, 60], shares=[1, 0.5, 0], repeats=5, random_state=0).measure(X, cheap, trusted)
    >>> plan.table[["budget", "share", "n_trusted", "n_cheap", "extrapolated"]].head(3)
       budget  share  n_trusted  n_cheap  extrapolated
    0    20.0    1.0         20        0         False
    1    20.0    0.5         10      100         False
    2    20.0    0.0          0      200         False
    """

    estimator: Any = None
    cheap_price: Annotated[float, Positive] = 0.1
    trusted_price: Annotated[float, Positive] = 1.0
    budgets: Sequence[float] | None = None
    shares: Sequence[float] = SHARES
    sampling: Literal["random", "uncertainty"] = "random"
    repeats: Annotated[int, Range(low=3, whole=True)] = 10
    test_share: Annotated[float, Inside] = 0.3
    level: Annotated[float, Inside] = 0.9
    random_state: int | None = None

    card = Card(
        paper=88, year=2024, kind="diagnostic", handles=frozenset({"noise", "few labels"}), needs=frozenset({"trusted"}),
        cost="light", reference="Mallen, Belrose, Balancing Label Quantity and Quality for Scalable Elicitation, 2024.",
    )  # fmt: skip

    def measure(self, X: Any, cheap: ArrayLike, trusted: ArrayLike) -> BudgetPlan:
        """Simulate all splits of all budgets.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            Features.
        cheap : array of shape (n,)
            Cheap labels; -1 (None for text) where a row has none.
        trusted : array of shape (n,)
            Trusted labels of some rows, at least eight and two of every class; -1 or None elsewhere. Rows with both labels
            tell how often the cheap ones are wrong.

        Raises
        ------
        InputError
            For labels that do not fit, prices, shares or budgets out of range.
        """
        self.check_fields()
        X = check_array(X, accept_sparse="csr", input_name="X")
        data = _Labels.read(X, cheap, trusted)
        cells = self._cells(data)
        rng = np.random.default_rng(self.random_state)
        with few_threads(X):
            accuracy = np.array([list(self._repeat(X, data, cells, rng)) for _ in range(self.repeats)])
            queries = self._queries(X, data, rng)
        extrapolated = np.isnan(accuracy).any(0)
        accuracy = learning_curve(accuracy, *np.array([[c.n_trusted, c.n_cheap] for c in cells]).T)
        table = pd.DataFrame(cells)
        estimates = [resampled(values, self.test_share, self.level) for values in accuracy.T]
        table[["accuracy", "low", "high"]] = np.clip([e[:3] for e in estimates], 0, 1)
        table["extrapolated"] = extrapolated
        best = judged(table, accuracy, self.test_share, self.level)
        cost = table["n_trusted"] * self.trusted_price + table["n_cheap"] * self.cheap_price
        return BudgetPlan(table, best, frontier(table, cost), data.disagreement(self.level), queries)

    def _cells(self, data: _Labels) -> list[Cell]:
        shares = np.unique(np.asarray(self.shares, dtype=float))[::-1]
        if len(shares) < 2 or shares.min() < 0 or shares.max() > 1:
            raise InputError(f"LabelBudget.shares must be at least two numbers in [0, 1]. Got {list(self.shares)}.")
        budgets = self._default_budgets(data) if self.budgets is None else np.asarray(self.budgets, dtype=float)
        if budgets.ndim != 1 or not len(budgets) or not (np.isfinite(budgets) & (budgets > 0)).all():
            raise InputError(f"LabelBudget.budgets must be positive sums. Got {self.budgets!r}.")
        cells = [self._cell(float(budget), float(share)) for budget in np.unique(budgets) for share in shares]
        empty = next((c for c in cells if c.n_trusted + c.n_cheap < 2), None)
        if empty is not None:
            raise InputError(
                f"LabelBudget.budgets: {empty.budget:g} buys {empty.n_trusted + empty.n_cheap} labels at share "
                f"{empty.share:g}. Every split needs at least 2: raise the budget or lower the prices."
            )
        return cells

    def _cell(self, budget: float, share: float) -> Cell:
        n_trusted = int(share * budget / self.trusted_price + 1e-9)
        left = (1 - share) * budget if share == 1 else budget - n_trusted * self.trusted_price
        return Cell(budget, share, n_trusted, int(left / self.cheap_price + 1e-9))

    def _default_budgets(self, data: _Labels) -> NDArray[np.float64]:
        least = 16 * self.trusted_price
        most = max(data.pool_size(self.test_share) * self.trusted_price, len(data.cheap_rows) * self.cheap_price)
        return np.unique(np.geomspace(least, max(2 * least, most), 4).round(2))

    def _repeat(self, X: Any, data: _Labels, cells: Sequence[Cell], rng: np.random.Generator) -> Iterator[float]:
        """Yield the accuracy of every cell, NaN where there are too few rows; one test set and one order for all."""
        pool, test = train_test_split(
            data.trusted_rows, test_size=self.test_share, stratify=data.trusted[data.trusted_rows],
            random_state=int(rng.integers(2**31)),
        )  # fmt: skip
        pool, cheap = rng.permutation(pool), rng.permutation(np.setdiff1d(data.cheap_rows, test))
        cheap = cheap[np.argsort(np.isin(cheap, pool), kind="stable")]  # rows that cannot be bought well come first
        for cell in cells:
            drawn = self._draw(X, data, cell, pool, cheap)
            yield np.nan if drawn is None else self._score(X, data, *drawn, test)

    def _draw(self, X: Any, data: _Labels, cell: Cell, pool: Rows, cheap: Rows) -> tuple[Rows, Rows] | None:
        """Return the rows to be labelled well and cheaply, no row in both; None where there are too few."""
        if cell.n_trusted > len(pool):
            return None
        if self.sampling == "uncertainty" and cell.n_trusted and cell.n_cheap:
            first = fit_codes(
                self._estimator, _safe_indexing(X, cheap[: cell.n_cheap]), data.cheap[cheap[: cell.n_cheap]]
            )
            pool = pool[
                np.argsort(-_entropy(predict_all(first, _safe_indexing(X, pool), data.n_classes)), kind="stable")
            ]
        well = pool[: cell.n_trusted]
        rest = cheap[~np.isin(cheap, well)][: cell.n_cheap]
        return (well, rest) if len(rest) == cell.n_cheap else None

    def _score(self, X: Any, data: _Labels, well: Rows, rest: Rows, test: Rows) -> float:
        rows = np.concatenate([well, rest])
        codes = np.concatenate([data.trusted[well], data.cheap[rest]])
        mask = np.arange(len(rows)) < len(well)
        model = self._fit(_safe_indexing(X, rows), codes, mask, data)
        return float((np.asarray(model.predict(_safe_indexing(X, test))) == data.trusted[test]).mean())

    def _fit(self, X: Any, codes: Codes, mask: NDArray[np.bool_], data: _Labels) -> Any:
        if len(np.unique(codes)) > 1 and "trusted" in signature(self._estimator.fit).parameters:
            return clone(self._estimator).fit(X, codes, trusted=mask)
        mixed = mask.any() and not mask.all()
        weight = np.where(mask, data.weight, 1.0) if mixed and takes_weights(self._estimator) else None
        return fit_codes(self._estimator, X, codes, weight)

    def _queries(self, X: Any, data: _Labels, rng: np.random.Generator) -> Rows:
        codes = np.where(data.trusted != UNLABELED, data.trusted, data.cheap)
        proba = out_of_fold_proba(self._estimator, X, codes, data.n_classes, rng=rng)
        untrusted = np.flatnonzero(data.trusted == UNLABELED)
        order: Rows = untrusted[np.argsort(-_entropy(proba[untrusted]), kind="stable")]
        return order

    @property
    def _estimator(self) -> Any:
        return plain_classifier() if self.estimator is None else self.estimator


def plan_labels(
    X: Any, cheap: ArrayLike, trusted: ArrayLike, budgets: Sequence[float] | None = None, **fields: Any
) -> BudgetPlan:
    """Return the plan of ``LabelBudget(budgets=budgets, **fields)`` for the data: one call instead of two."""
    return LabelBudget(budgets=budgets, **fields).measure(X, cheap, trusted)


@dataclass(frozen=True, eq=False)
class _Labels:
    """Both kinds of labels as codes of the same classes."""

    cheap: Codes
    trusted: Codes
    n_classes: int

    @classmethod
    def read(cls, X: Any, cheap: ArrayLike, trusted: ArrayLike) -> _Labels:
        both = [_column(values, name, X.shape[0]) for values, name in ((cheap, "cheap"), (trusted, "trusted"))]
        classes, codes = encode_classes(np.concatenate(both), name="cheap and trusted", least=2)
        given, right = codes.astype(np.int64).reshape(2, -1)
        labels = cls(given, right, len(classes))
        counts = np.bincount(labels.trusted[labels.trusted_rows], minlength=len(classes))
        if counts.sum() < 8 or counts.min() < 2:
            scarce = classes[counts.argmin()]
            raise InputError(
                "trusted must label at least 8 rows, and 2 of every class, to split them into training and test rows. "
                f"Got {counts.sum()} rows, {counts.min()} of class {scarce!r}."
            )
        if not len(labels.cheap_rows):
            raise InputError("cheap has no label: every row is -1. Give the cheap labels of at least some rows.")
        return labels

    @property
    def cheap_rows(self) -> Rows:
        return np.flatnonzero(self.cheap != UNLABELED)

    @property
    def trusted_rows(self) -> Rows:
        return np.flatnonzero(self.trusted != UNLABELED)

    def pool_size(self, test_share: float) -> int:
        return int(len(self.trusted_rows) * (1 - test_share))

    @property
    def _wrong(self) -> tuple[int, int]:
        both = (self.cheap != UNLABELED) & (self.trusted != UNLABELED)
        return int((self.cheap != self.trusted)[both].sum()), int(both.sum())

    def disagreement(self, level: float) -> Estimate:
        wrong, total = self._wrong
        low, high = beta.interval(level, wrong + 0.5, total - wrong + 0.5)
        ends = float(low) if wrong else 0.0, float(high) if wrong < total or not total else 1.0
        return Estimate(wrong / total if total else np.nan, *ends, level)

    @property
    def weight(self) -> float:
        """Information of a trusted label in units of a cheap one."""
        wrong, total = self._wrong
        kept = 1 - (wrong / total if total else 0.0) * self.n_classes / (self.n_classes - 1)
        return 1 / max(kept, 0.2) ** 2


def _column(values: ArrayLike, name: str, n_rows: int) -> NDArray[Any]:
    array = np.asarray(values)
    if array.shape != (n_rows,):
        raise InputError(f"{name} must have one label a row, shape ({n_rows},). Got shape {array.shape}.")
    return array


def _entropy(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    terms: NDArray[np.float64] = -(proba * np.log(np.maximum(proba, 1e-300))).sum(1)
    return terms
