"""The table of bad input: each is refused with a ValueError or TypeError that names what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import SkipTest

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from labelwise.checks.check import Check, raised, require
from labelwise.checks.trials import Trial, fits_features, light, trial_of
from labelwise.checks.watched import watched

Spoil = Callable[[Any, Any], tuple[Any, Any]]


def _put(X: Any, value: float) -> Any:
    spoilt = np.array(X, dtype=float)
    spoilt[3, 1] = value
    return spoilt


NO_Y = r"\by\b|votes"
ALWAYS: dict[str, tuple[Spoil, str]] = {
    "more rows than labels": (lambda X, y: (np.r_[X, X[:1]], y), r"inconsistent|rows|length|samples"),
    "no rows": (lambda X, y: (X[:0], None if y is None else y[:0]), r"0 sample|no rows|empty|at least|no votes"),
    "X of one dimension": (lambda X, y: (X[:, 0], y), r"2D|dimension|shape"),
    "infinity in X": (lambda X, y: (_put(X, np.inf), y), r"inf"),
    "text in X": (lambda X, y: (np.full(X.shape, "a", dtype=object), y), r"convert|string|float|number"),
    "no y": (lambda X, y: (X, None), NO_Y),
}
BY_KIND: dict[str, dict[str, tuple[Spoil, str]]] = {
    "classes": {
        "no row labelled": (lambda X, y: (X, np.full(len(y), -1)), r"label|class"),
        "mixed types of labels": (lambda X, y: (X, np.array(["a", *y[1:].tolist()], dtype=object)), r"mix|type|string"),
        "continuous labels": (lambda X, y: (X, np.linspace(0, 1, len(y))), r"label|class|continuous|integer|whole"),
    },
    "real": {
        "no target known": (lambda X, y: (X, np.full(len(y), np.nan)), r"missing|NaN|label"),
        "infinity in y": (lambda X, y: (X, np.where(np.arange(len(y)) == 2, np.inf, y)), r"inf"),
        "text in y": (lambda X, y: (X, np.full(len(y), "a", dtype=object)), r"convert|string|number|float|real"),
    },
    "multilabel": {
        "a label that is not 0, 1 or -1": (lambda X, y: (X, np.where(np.arange(len(y))[:, None] == 2, 7, y)), r"7"),
        "no label known": (lambda X, y: (X, np.full_like(y, -1)), r"label|missing|known"),
    },
}


def checks(cls: type[Any]) -> Iterator[Check]:
    """Yield a check for every row of the table that applies."""
    yield Check("refuses to predict before fit", cls, _not_fitted)
    if not fits_features(cls):
        return
    table = dict(ALWAYS)
    for kind, rows in BY_KIND.items():
        table |= rows if kind in cls.card.supervision else {}
    for name, (spoil, told) in table.items():
        yield Check(f"refuses {name}", cls, partial(_refused, spoil=spoil, told=told))
    yield Check("refuses NaN in X", cls, _nan_in_X)
    yield Check("refuses other features at predict", cls, _other_features)


def _refused(cls: type[Any], *, spoil: Spoil, told: str) -> None:
    trial = trial_of(cls)
    X, y = spoil(trial.X, trial.y)
    beside = {} if y is None and trial.y is None and told == NO_Y else _cut(trial, X)
    _error(lambda: light(cls, **trial.fields).fit(X, y, **beside), told)


def _cut(trial: Trial, X: Any) -> dict[str, Any]:
    return {name: value[: len(X)] if isinstance(value, np.ndarray) else value for name, value in trial.fit.items()}


def _nan_in_X(cls: type[Any]) -> None:
    trial = trial_of(cls)
    model = light(cls, **trial.fields)
    if get_tags(model).input_tags.allow_nan:
        raise SkipTest(f"{cls.__name__} reads NaN")
    _error(lambda: model.fit(_put(trial.X, np.nan), trial.y, **trial.fit), r"NaN")


def _other_features(cls: type[Any]) -> None:
    model, trial, *_ = watched(cls)
    for name in ("predict", "predict_proba", "transform"):
        if hasattr(model, name):
            _error(partial(getattr(model, name), trial.X_test[:, :-1]), r"features")


def _not_fitted(cls: type[Any]) -> None:
    trial = trial_of(cls)
    model = light(cls, **trial.fields)
    for name in ("predict", "predict_proba", "transform"):
        if hasattr(model, name):
            error = raised(partial(getattr(model, name), trial.X_test))
            require(isinstance(error, NotFittedError), f"{name} before fit must raise NotFittedError. Got {error!r}")


def _error(call: Callable[[], object], told: str) -> None:
    error = raised(call)
    require(error is not None, "was accepted")
    require(isinstance(error, ValueError | TypeError), f"must raise ValueError or TypeError. Got {error!r}")
    require(re.search(told, str(error), re.IGNORECASE), f"the message should match {told!r}. Got: {error}")
