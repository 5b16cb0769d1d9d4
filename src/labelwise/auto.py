"""The main job in memory, as scikit-learn estimators: audit, shortlist, race against the baseline, fit, queries."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, estimator_html_repr
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from labelwise.advice import Candidate, Considered, RaceResult, considered, next_rows, race, shortlist
from labelwise.advice.candidates import decided
from labelwise.advice.noise import noise_to_correct
from labelwise.advice.pool import SHORTEST
from labelwise.advice.result import COLUMNS
from labelwise.advice.score import choose
from labelwise.advice.workers import warm_up
from labelwise.audit import Finding, audit
from labelwise.base import Card, Fields, InputError, Method, Positive, Range
from labelwise.baselines import Baseline, BaselineRegressor
from labelwise.data.any_rows import RowReader
from labelwise.data.labels import clean_labels
from labelwise.display import panel
from labelwise.supervision import Kind, Targets, encode_classes, infer
from labelwise.supervision.arrays import to_numpy
from labelwise.supervision.classes import as_column
from labelwise.supervision.pool import targets_with_pool, values_with_pool

Task = Literal["classification", "regression"]

AUDIT_SHARE = 0.3
"""Part of the budget that the audit may take; the race has the rest."""
FEWEST_ROWS, FEWEST_OTHERS = 20, 4
"""A race needs so many labelled rows, and so many outside the largest class."""
MOST_QUERIES = 1000


def _classifies(model: Auto) -> bool:
    """Whether `predict_proba` makes sense: for real targets there is none."""
    if model.task is None and not hasattr(model, "task_"):
        return True
    return bool((model.task or model.task_) == "classification")


class Auto(Method, Fields):
    """Audits the labels, races the methods that fit against a tuned baseline, and is the winner, or the baseline.

    What ``labelwise run`` does with a file, for rows in memory. Whether `y` holds classes or numbers is read off it, as a
    table's label column is; `AutoClassifier` and `AutoRegressor` say so beforehand, which scikit-learn's searches and
    cross-validation prefer.

    Parameters
    ----------
    budget
        Seconds for audit, race and the fit of the chosen method together, above 0. Under about 8 there is no time to start
        processes. None: no limit, and then the result depends on nothing but the arguments.
    metric
        Of the race: ``auto`` takes accuracy, or balanced accuracy where classes are lopsided, and R2 for real targets;
        else a key of ``labelwise.advice.score.CLASS_METRICS`` or ``REAL_METRICS``, such as ``"log loss"``.
    level
        Confidence that a winner needs, in [0.5, 1).
    methods
        Names of the methods that race, as `labelwise.catalogue.find` knows them; None lets the findings choose, an empty
        list takes the baseline without a race.
    random_state
        Seed of everything random. None stands for 0: two fits are alike as far as time allows.
    workers
        Processes that fit at a time; None: by cores and budget. Results do not depend on it.

    Attributes
    ----------
    model_
        The chosen method, fitted on all rows to class codes or real targets.
    classes_ : array (K,)
        Class names, sorted; not for real targets.
    report_ : AuditReport
    findings_ : list of Finding
        Those of the report, the worst first.
    flagged_ : DataFrame
        One line a doubtful row and finding: ``row``, ``kind``, ``given_label``, ``suggested_label``, ``reason`` ...
    considered_ : list of Considered
        Every method of the catalogue: whether it raced, and why.
    result_ : RaceResult or None
        None where no race was held.
    leaderboard_ : DataFrame
        One line a method that raced, the best first; empty where no race was held.
    verdict_ : str
        One sentence: what is used, and why.
    queries_ : DataFrame
        The next rows to label or to check, the best first; see `query`. Empty for real targets.
    n_features_in_ : int
        Where X is an array of features.

    See Also
    --------
    labelwise.advice.race : the comparison itself.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> auto = Auto(budget=None, methods=[]).fit(X, y)
    >>> auto.verdict_
    'No method was asked for, so the plain baseline is used.'
    >>> auto.predict(X[:2])
    array([0, 0])
    """

    budget: Annotated[float, Positive] | None = 60.0
    metric: str = "auto"
    level: Annotated[float, Range(low=0.5, high=1, high_open=True)] = 0.9
    methods: Sequence[str] | None = None
    random_state: int | None = None
    workers: Annotated[int, Range(low=1, whole=True)] | None = None

    task: ClassVar[Task | None] = None
    card = Card(
        kind="estimator", cost="heavy", task="any", supervision=frozenset({"classes", "real"}),
        apart="It is the race.", expected_failed_checks={
            "check_classifiers_regression_target": "numbers with fractions are real targets, which it predicts as such",
        },
    )  # fmt: skip

    def fit(
        self, X: Any, y: Any, *, groups: ArrayLike | None = None, domains: ArrayLike | None = None,
        trusted: ArrayLike | None = None, pool: Any = None,
    ) -> Self:  # fmt: skip
        """Audit, race and fit.

        Parameters
        ----------
        X
            Array ``(n, d)``, sparse matrix, dataframe (pandas, polars, Arrow) with numbers, categories, dates and texts,
            list of n texts, or pictures ``(n, h, w, c)``.
        y
            Classes (whole numbers, text, bool) or numbers ``(n,)``; -1, None and NaN mean unlabelled.
        groups
            Rows of one value are never split between training and scoring, ``(n,)``.
        domains
            Source of every row, ``(n,)``.
        trusted
            Booleans ``(n,)``: rows whose labels are right. If there are any, only they score.
        pool
            Further rows without a label, in the form of X.

        Raises
        ------
        InputError
            Rows and labels that do not match, fewer than two classes, unknown methods or metrics.
        """
        self.check_fields()
        started = time.monotonic()
        if isinstance(self.methods, str):
            raise InputError(
                f"methods must be a list of names. Got the text {self.methods!r}; write [{self.methods!r}]."
            )
        if self.methods != [] and self.workers != 1 and self.budget is not None and self.budget >= 2 * SHORTEST:
            warm_up()  # the race's processes start during the audit
        seed = 0 if self.random_state is None else self.random_state
        self.reader_ = RowReader(random_state=seed)
        rows = self.reader_.fit_rows(X, self)
        targets = self._read_targets(X, y, len(rows))
        beside = {"groups": groups, "domains": domains, "trusted": trusted}
        if pool is not None:
            more = self.reader_.read_rows(pool, self)
            rows, targets = np.concatenate([rows, more]), targets_with_pool(targets, len(more))
            beside = {name: values_with_pool(value, name, len(more)) for name, value in beside.items()}
        self._refuse_choices(targets, rows.ndim == 4)
        self._audit(rows, targets, beside, seed, started)
        self._race(rows, targets, beside, seed, started)
        self._ask(rows, targets, seed)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class or the number of every row of `X`, which has the form it had in `fit`."""
        check_is_fitted(self)
        if self.task_ == "regression":
            return np.asarray(self.model_.predict(self.reader_.read_rows(X, self)), dtype=np.float64)
        return np.asarray(self.classes_[self._proba(self.reader_.read_rows(X, self)).argmax(axis=1)])

    @available_if(_classifies)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probabilities of ``classes_``, ``(n, K)``."""
        check_is_fitted(self)
        if self.task_ == "regression":
            raise InputError(f"{type(self).__name__} was fitted to real targets, which have no probabilities.")
        return self._proba(self.reader_.read_rows(X, self))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy, or R2 of real targets, on the rows of `X`."""
        measure = accuracy_score if self.task_ == "classification" else r2_score
        return float(measure(y, self.predict(X), sample_weight=sample_weight))

    def query(self, n: int = 20) -> pd.DataFrame:
        """Return the next `n` rows to label or to check, the best first, with the reason.

        Row numbers are those of `X` in `fit`; rows of the pool come behind them. At most 1,000 rows are ranked.
        """
        check_is_fitted(self)
        if self.task_ == "regression":
            raise InputError("query: the next rows to label are chosen for classes; this was fitted to real targets.")
        if n < 1:
            raise InputError(f"n must be at least 1. Got {n}.")
        return self.queries_.head(n)

    # -- reading

    def _read_targets(self, X: Any, y: Any, n: int) -> Targets:
        """Return the targets, with classes as codes; set ``task_`` and ``classes_``."""
        if y is None:
            validate_data(self, X, None)  # in the words that scikit-learn uses
        self.task_ = self.task or _task_of(y)
        if self.task_ == "regression":
            return infer(_real(y), kind=Kind.REAL, n_rows=n)
        self.classes_, codes = encode_classes(y)
        return replace(infer(codes, kind=Kind.CLASSES, n_rows=n), classes=self.classes_, codes=codes)

    def _refuse_choices(self, targets: Targets, image: bool) -> None:
        """Refuse an unknown metric or method before any time is spent."""
        kind = str(targets.kind)
        choose(self.metric, targets.class_counts if kind == "classes" else None, kind)
        if self.methods is not None:
            shortlist([], kind=kind, image=image, names=self.methods)

    # -- the job

    def _audit(self, rows: Any, targets: Targets, beside: dict[str, Any], seed: int, started: float) -> None:
        limit = None if self.budget is None else AUDIT_SHARE * self.budget - (time.monotonic() - started)
        self.report_ = audit(rows, targets, domains=beside["domains"], random_state=seed,
                             time_budget=None if limit is None else max(limit, 0.0))  # fmt: skip
        self.findings_: list[Finding] = list(self.report_)
        self.flagged_ = self.report_.flagged()
        asked: dict[str, Any] = {
            "kind": str(targets.kind), "image": rows.ndim == 4, "names": self.methods, "metric": self.metric,
        }  # fmt: skip
        self._candidates = shortlist(self.findings_, random_state=seed, **asked)
        self.considered_: list[Considered] = considered(self.findings_, **asked)

    def _race(self, rows: Any, targets: Targets, beside: dict[str, Any], seed: int, started: float) -> None:
        """Race the candidates, and fit what is chosen on all rows, the unlabelled ones with it."""
        candidates = self.__dict__.pop("_candidates")
        self.result_: RaceResult | None = None
        self.leaderboard_ = pd.DataFrame(columns=COLUMNS)
        self.verdict_ = self._no_race(targets, candidates)
        if not self.verdict_:
            left = None if self.budget is None else max(self.budget - (time.monotonic() - started), 0.5 * self.budget)
            self.result_ = race(
                rows, targets, candidates, budget_seconds=left, metric=self.metric, level=self.level, random_state=seed,
                noise_matrix=noise_to_correct(self.report_), workers=self.workers, final_fit=True,
                **beside,
            )  # fmt: skip
            self.leaderboard_, self.verdict_ = self.result_.leaderboard, self.result_.reason
        plain = BaselineRegressor if targets.kind is Kind.REAL else Baseline
        chosen = plain(random_state=seed) if self.result_ is None else self.result_.build()
        self.model_ = chosen.fit(rows, targets.need("values" if targets.kind is Kind.REAL else "codes"))

    def _no_race(self, targets: Targets, candidates: list[Candidate]) -> str:
        """Say in a sentence why no race is held; empty where one is."""
        used = "so the plain baseline is used"
        if not candidates:
            return f"No method was asked for, {used}."
        known = int(targets.labelled.sum())
        if known < FEWEST_ROWS:
            return f"{known} rows with a label are too few to compare methods (at least {FEWEST_ROWS}), {used}."
        if targets.kind is Kind.REAL:
            return ""
        others = known - np.bincount(targets.need("codes")[targets.labelled]).max()
        if others < FEWEST_OTHERS:
            return f"Only {others} rows are outside the largest class, too few to compare methods, {used}."
        return ""

    def _ask(self, rows: Any, targets: Targets, seed: int) -> None:
        """Rank the next rows to label: by out-of-fold predictions where there are any."""
        self.queries_ = pd.DataFrame({"rank": [], "row": [], "score": [], "reason": []})
        if targets.kind is Kind.REAL:
            return
        proba = self._proba(rows)
        if self.result_ is not None:
            fresh = ~np.isnan(self.result_.oof).any(axis=1)
            proba[fresh] = self.result_.oof[fresh]
        flagged = np.unique(self.flagged_["row"].to_numpy(dtype=np.int64))
        self.queries_ = next_rows(
            proba, rows, targets, min(MOST_QUERIES, len(rows)), flagged=flagged, random_state=seed
        )

    def _proba(self, rows: Any) -> NDArray[np.float64]:
        proba = np.zeros((len(rows), len(self.classes_)))
        proba[:, np.asarray(self.model_.classes_, dtype=np.int64)] = self.model_.predict_proba(rows)
        return proba

    # -- for scikit-learn, pickle and people

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.task is None:  # classes, as far as cross-validation is concerned: it looks at y for the rest
            real = getattr(self, "task_", "") == "regression"
            tags.estimator_type = "regressor" if real else "classifier"
            tags.classifier_tags, tags.regressor_tags = (None, RegressorTags()) if real else (ClassifierTags(), None)
        tags.target_tags.required = True
        tags.input_tags.sparse = tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle: of the race's candidates those to fit again, without their closures."""
        state = dict(super().__getstate__())
        if state.get("result_") is not None:
            result: RaceResult = state["result_"]
            state["result_"] = replace(
                result, chosen=decided(result.chosen, result.params),
                baseline=decided(result.baseline, result.baseline_params),
            )  # fmt: skip
        return state

    def __saved__(self) -> dict[str, Any]:
        """Return what `labelwise.save` keeps: what predicts, and the verdict; not the tables and the report."""
        dropped = {"report_", "findings_", "flagged_", "considered_", "result_", "leaderboard_", "queries_"}
        return {name: value for name, value in vars(self).items() if name not in dropped}

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        told = super().__repr__(N_CHAR_MAX=N_CHAR_MAX)
        return f"{told}\n{self.verdict_}" if hasattr(self, "verdict_") else told

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram for notebooks; once fitted, below the verdict and the leaderboard."""
        if not hasattr(self, "verdict_"):
            return super()._html_repr()
        board = getattr(self, "leaderboard_", pd.DataFrame(columns=COLUMNS))[
            ["method", "score", "difference", "status"]
        ]
        rows = board.astype(object).where(board.notna(), "").to_numpy().tolist()
        result: RaceResult | None = getattr(self, "result_", None)
        title = "baseline" if result is None else result.chosen.name
        told = panel(title, lead=self.verdict_, table=(list(board.columns), rows))
        return told + str(estimator_html_repr(self))


class AutoClassifier(ClassifierMixin, Auto):  # type: ignore[misc]
    """Audits class labels and is the winner of a race, or the baseline: `Auto` for classes.

    Parameters and attributes are those of `Auto`.

    Examples
    --------
    >>> auto = AutoClassifier(methods=[]).fit([[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"])
    >>> auto.predict([[0.5], [4.5]]).tolist()
    ['low', 'high']
    """

    task = "classification"
    card = Card(kind="estimator", cost="heavy", apart="It is the race.")


class AutoRegressor(RegressorMixin, Auto):  # type: ignore[misc]
    """Audits real targets and is the winner of a race, or the baseline: `Auto` for numbers.

    Parameters and attributes are those of `Auto`.

    Examples
    --------
    >>> auto = AutoRegressor(methods=[]).fit([[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 2.0, 3.0])
    >>> auto.predict([[1.5]]).round(1).tolist()
    [1.5]
    """

    task = "regression"
    card = Card(
        kind="estimator", cost="heavy", task="regression", supervision=frozenset({"real"}), apart="It is the race.",
    )  # fmt: skip


def _task_of(y: Any) -> Task:
    """Read off `y` whether it holds classes or numbers, as off the label column of a table."""
    column = to_numpy(y, "y")[0].squeeze()
    if column.ndim != 1:
        return "regression" if column.dtype.kind == "f" else "classification"
    values = clean_labels(pd.Series(column, name="y"))[0]
    return "regression" if infer(values).kind is Kind.REAL else "classification"


def _real(y: Any) -> NDArray[np.float64]:
    try:
        values = np.asarray(y)
        numbers = np.asarray(np.where(pd.isna(values), np.nan, values), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"y must hold numbers, NaN where the target is missing. {error}.") from error
    return as_column(numbers, "y") if numbers.ndim == 2 and numbers.shape[1] == 1 else numbers
