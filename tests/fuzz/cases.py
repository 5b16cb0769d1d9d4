"""A case: what is done to the tiny data of a method before it is fitted; small, printable, and easy to shrink."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import sparse
from tests.fuzz.labels import ANY_Y, BESIDE, CLASSES, MULTILABEL, REAL
from tests.fuzz.rows import ANY, MATRICES, TEXTS, VALUES

from labelwise.checks.trials import Trial, trial_of

ROWS = (0, 24, 24, 12, 24, 40, 8, 5, 3, 2, 1)
COLUMNS = (0, 1, 2, 3, 8)
ASKED = ("no rows", "one row", "a column less", "a NaN", "a column more")
PER_ROW: dict[str, Callable[[int], Any]] = {
    "sample_weight": lambda n: np.linspace(0.5, 2, n),
    "domains": lambda n: np.arange(n) % 2,
    "groups": lambda n: np.arange(n) // 2,
    "trusted": lambda n: np.arange(n) % 3 == 0,
}
"""Arguments of ``fit`` that many methods take and no tiny data needs."""


@dataclass(frozen=True)
class Case:
    """How many rows are kept, and by what name each part is changed; what is not named stays as it is."""

    rows: int = 24
    columns: int | None = None
    values: str = "as they are"
    holder: str | None = None
    labels: str = "as they are"
    beside: dict[str, str] = field(default_factory=dict)
    asked: str | None = None


def kind_of(X: Any) -> str:
    """Return ``texts``, ``matrix``, ``graph`` or ``array``."""
    if isinstance(X, list | tuple):
        return "texts"
    if sparse.issparse(X):
        return "graph"
    return "matrix" if np.ndim(X) == 2 else "array"


def labels_for(cls: type[Any], trial: Trial) -> dict[str, Any]:
    """Return the changes that make sense of the labels of a method."""
    if trial.y is None:
        return {"as they are": lambda y: y}
    y = np.asarray(trial.y)
    if y.ndim == 1 and y.dtype.kind in "iub":
        return CLASSES
    if y.ndim == 1 and y.dtype.kind in "OU":
        return ANY_Y
    return REAL if y.dtype.kind == "f" else MULTILABEL


def arguments_of(cls: type[Any]) -> list[str]:
    """Return the names of what ``fit`` takes beside rows and labels."""
    return [name for name in inspect.signature(cls.fit).parameters if name not in ("self", "X", "y", "args", "kwargs")]


@cache
def tiny(cls: type[Any]) -> Trial:
    """Return the tiny data of a method, made once."""
    return trial_of(cls)


@st.composite
def cases(draw: Any, cls: type[Any]) -> Case:
    """Draw a case for a method: a few rows, and one or two things changed."""
    trial = tiny(cls)
    case = Case(rows=draw(st.sampled_from(ROWS)))
    beside = [name for name in arguments_of(cls) if name in trial.fit or name in PER_ROW]
    parts = ["columns", "values", "holder", "labels", "asked", *beside]
    for part in draw(st.lists(st.sampled_from(parts), min_size=1, max_size=2, unique=True)):
        case = _changed(draw, cls, trial, case, part)
    return case


def _changed(draw: Any, cls: type[Any], trial: Trial, case: Case, part: str) -> Case:
    holders = {"texts": TEXTS, "matrix": MATRICES}.get(kind_of(trial.X), ANY)
    if part == "columns":
        return replace(case, columns=draw(st.sampled_from(COLUMNS)))
    if part == "values":
        return replace(case, values=draw(st.sampled_from(sorted(VALUES))))
    if part == "holder":
        return replace(case, holder=draw(st.sampled_from(sorted(holders))))
    if part == "labels":
        return replace(case, labels=draw(st.sampled_from(sorted(labels_for(cls, trial)))))
    if part == "asked":
        return replace(case, asked=draw(st.sampled_from([*ASKED, *sorted(holders)])))
    return replace(case, beside={**case.beside, part: draw(st.sampled_from(sorted(BESIDE)))})


# -- from a case to arguments


@dataclass(frozen=True)
class Made:
    """The arguments of ``fit``, and what is asked of the fitted method."""

    X: Any
    y: Any
    fit: dict[str, Any]
    asked: Any


def made(cls: type[Any], case: Case) -> Made:
    """Return the arguments that a case describes; raises whatever cannot be made so."""
    trial = _cut(tiny(cls), case.rows)
    rng = np.random.default_rng(0)
    holders = {"texts": TEXTS, "matrix": MATRICES}.get(kind_of(trial.X), ANY)
    X, test = _values(trial.X, case, rng), _width(tiny(cls).X_test[:6], case)
    y = trial.y if case.labels == "as they are" else labels_for(cls, tiny(cls))[case.labels](np.asarray(trial.y))
    beside = {name: _beside(name, how, trial) for name, how in case.beside.items()}
    hold = holders[case.holder] if case.holder else lambda rows: rows
    ask = holders.get(case.asked or "", hold)
    return Made(hold(X), y, {**trial.fit, **beside}, ask(_asked(test, case.asked)))


def _cut(trial: Trial, rows: int) -> Trial:
    """Return the first rows; of bags the first quarter as many, with all of their rows."""
    bags, whole = trial.fit.get("bags"), trial.X
    n = len(bags) if bags is not None else np.shape(whole)[0]
    if bags is None:
        keep = np.arange(n) < rows
        y = trial.y
        y = y if y is None else y[:rows]
    else:
        keep, y = bags < rows // 4, trial.y[: rows // 4]
    fit = {name: _kept(value, keep) for name, value in trial.fit.items()}
    return replace(trial, X=_kept(whole, keep), y=y, fit=fit)


def _kept(value: Any, keep: Any) -> Any:
    n = len(keep)
    if sparse.issparse(value) or isinstance(value, np.ndarray):
        if value.shape[:1] != (n,):
            return value
        square = value.ndim == 2 and value.shape == (n, n)
        return value[keep][:, keep] if square else value[keep]
    if isinstance(value, list | tuple) and len(value) == n:
        return [item for item, inside in zip(value, keep, strict=True) if inside]
    return value


def _values(X: Any, case: Case, rng: np.random.Generator) -> Any:
    X = _width(X, case)
    if case.values == "as they are" or not isinstance(X, np.ndarray):
        return X
    with np.errstate(all="ignore"):
        return VALUES[case.values](X.astype(float), rng)


def _width(X: Any, case: Case) -> Any:
    if case.columns is None or kind_of(X) != "matrix":
        return X
    return np.tile(X, (1, 8))[:, : case.columns]


def _beside(name: str, how: str, trial: Trial) -> Any:
    base = trial.fit[name] if name in trial.fit else PER_ROW[name](np.shape(trial.X)[0])
    return BESIDE[how](base)


def _asked(X: Any, asked: str | None) -> Any:
    if asked == "no rows":
        return X[:0]
    if asked == "one row":
        return X[:1]
    if asked not in ASKED or not isinstance(X, np.ndarray) or X.ndim < 2:
        return X
    if asked == "a NaN":
        spoilt = X.astype(float)
        spoilt.flat[-1] = np.nan
        return spoilt
    return X[:, :-1] if asked == "a column less" else np.concatenate([X, X[:, :1]], 1)
