"""Tiny real data that fits a method's card, and a method made small enough to be fitted many times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any
from unittest import SkipTest

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.metrics import balanced_accuracy_score

from labelwise.base import UNLABELED

Array = NDArray[Any]
Score = Callable[[Any, Any, Any], float]


@dataclass(frozen=True)
class Trial:
    """What a class is fitted on by the checks, and what it must reach.

    Parameters
    ----------
    X, y, X_test, y_test
        Training and test rows.
    fit
        Further arguments of ``fit``.
    fields
        Constructor arguments beside those of `light`.
    score
        ``score(fitted, X_test, y_test)``, higher is better.
    floor
        What ``score`` must exceed: clearly better than chance.
    features
        Whether `X` holds features ``(n, d)``; otherwise the table of bad features and scikit-learn's suite do not apply.
    """

    X: Any
    y: Any
    X_test: Any
    y_test: Any
    fit: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    score: Score = lambda model, X, y: float(balanced_accuracy_score(y, model.predict(X)))
    floor: float = 0.6
    features: bool = True

    def fitted(self, cls: type[Any], seed: int | None = 0) -> Any:
        """Return a light instance of `cls`, fitted."""
        return light(cls, seed, **self.fields).fit(self.X, self.y, **self.fit)


def trial_of(cls: type[Any]) -> Trial:
    """Return data for `cls` by its card, or by its class method ``trial()`` when it defines one.

    Raises
    ------
    unittest.SkipTest
        When the card asks for something the suite has no data for.
    """
    if hasattr(cls, "trial"):
        return Trial(**cls.trial())
    supervision = set(cls.card.supervision)
    for kind, made in (("classes", _classes), ("real", _real), ("multilabel", _multilabel), ("votes", _votes)):
        if kind in supervision:
            return _with_needs(cls, made(cls))
    raise SkipTest(f"no tiny data for supervision {sorted(supervision)}: give {cls.__name__} a class method trial()")


def fits_features(cls: type[Any]) -> bool:
    """Whether ``fit(X, y)`` of the class takes features ``(n, d)``."""
    try:
        return trial_of(cls).features
    except SkipTest:
        return False


SMALL = {"n_resamples": 20, "draws": 3}


def light(cls: type[Any], seed: int | None = 0, batch_size: int = 16, *, epochs: int = 30, **given: Any) -> Any:
    """Return an instance with short training, few resamples and, where it has one, a seed."""
    names = {item.name for item in fields(cls)} if hasattr(cls, "__dataclass_fields__") else set()
    small: dict[str, Any] = {name: 30 for name in names if name.endswith("_steps")}
    small |= {name: value for name, value in SMALL.items() if name in names}
    if "train" in names:
        from labelwise.training import Train

        small["train"] = Train(epochs=epochs, batch_size=batch_size, progress=False)
    if "random_state" in names:
        small["random_state"] = seed
    return cls(**{**small, **given})


def _split(X: Array, y: Array, train: int, seed: int = 0) -> Trial:
    order = np.random.default_rng(seed).permutation(len(X))
    X = (X - X.mean(0)) / np.maximum(X.std(0), 1e-9)
    return Trial(X[order[:train]], y[order[:train]], X[order[train:]], y[order[train:]])


def _classes(cls: type[Any]) -> Trial:
    X, y = load_iris(return_X_y=True)
    trial = _split(X, y, train=105)
    if "few labels" in cls.card.handles:
        return replace(trial, y=np.where(np.arange(105) % 3 == 0, trial.y, UNLABELED))
    return trial


def _real(_: type[Any]) -> Trial:
    X, y = load_diabetes(return_X_y=True)
    trial = _split(X, y, train=200)
    return replace(trial, score=lambda model, X, y: float(model.score(X, y)), floor=0.15)


def _multilabel(_: type[Any]) -> Trial:
    """Digits: is it even, is it above four; a tenth of the labels is unknown."""
    X, digit = load_digits(return_X_y=True)
    labels = np.c_[digit % 2 == 0, digit > 4].astype(np.int8)
    trial = _split(X, labels, train=400)
    known = np.random.default_rng(0).random(trial.y.shape) > 0.1
    hits: Score = lambda model, X, y: float((model.predict(X) == y).mean())  # noqa: E731
    return replace(
        trial, y=np.where(known, trial.y, UNLABELED).astype(np.int8), score=hits, floor=0.7,
        X_test=trial.X_test[:300], y_test=trial.y_test[:300],
    )  # fmt: skip


def _votes(cls: type[Any]) -> Trial:
    """Votes alone: those of seven voters on the classes of iris, right three times out of four, silent now and then."""
    trial = _classes(cls)
    X, X_test = _ballots(trial.y, 0), _ballots(trial.y_test, 1)
    return replace(trial, X=X, y=None, X_test=X_test, features=False)


def _ballots(truth: Array, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    others = rng.integers(3, size=(len(truth), 7))
    votes = np.where(rng.random(others.shape) < 0.65, truth[:, None], others)
    return np.where(rng.random(others.shape) < 0.2, UNLABELED, votes)


def _beside_features(cls: type[Any]) -> Trial:
    trial = _classes(cls)
    return replace(trial, y=None, fit={"votes": _ballots(trial.y, 0)})


def _with_needs(cls: type[Any], trial: Trial) -> Trial:
    n = len(trial.X)
    given: dict[str, Callable[[], Trial]] = {
        "distances": lambda: trial,  # by default every two classes are equally far apart
        "votes": lambda: _beside_features(cls),
        "forget": lambda: replace(trial, fit={**trial.fit, "forget": np.arange(n) < n // 10}),
        "target rows": lambda: replace(trial, y=np.where(np.arange(n) % 3 == 0, UNLABELED, trial.y)),
        "unlabelled rows": lambda: replace(trial, y=np.where(np.arange(n) % 3 == 0, trial.y, UNLABELED)),
        "domains": lambda: replace(trial, fit={**trial.fit, "domains": np.arange(n) % 2}),
        "trusted": lambda: replace(trial, fit={**trial.fit, "trusted": np.arange(n) % 4 == 0}),
    }
    for need in sorted(cls.card.needs):
        if need not in given:
            raise SkipTest(f"no tiny data with {need!r}: give {cls.__name__} a class method trial()")
        trial = given[need]()
    return trial
