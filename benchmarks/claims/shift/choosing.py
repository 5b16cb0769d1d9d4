"""Choosing settings for another place: by source rows that were held out, or by an oracle that sees target labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from benchmarks.claims.shift.places import Place
from labelwise.base import UNLABELED
from labelwise.learner import Train


class Tried(NamedTuple):
    """A fitted model, its accuracy on held-out source rows, and on the target rows adapted to, whose labels are hidden."""

    model: Any
    source: float
    oracle: float


def held_out(place: Place, seed: int, share: float = 0.25) -> tuple[Any, Any]:
    """Return the numbers of the source rows to train on and of those held out."""
    rows = np.arange(len(place.y))
    return tuple(train_test_split(rows, test_size=share, random_state=seed, stratify=place.y))


def attempts(models: Sequence[Any], place: Place, seed: int) -> list[Tried]:
    """Fit every model on three quarters of the source and all target rows without labels; score it on the other quarter."""
    train, held = held_out(place, seed)
    X = np.concatenate([place.X[train], place.X_target])
    y = np.concatenate([place.y[train], np.full(len(place.X_target), UNLABELED)])
    found = []
    for model in models:
        fitted = clone(model).fit(X, y)
        of = [fitted.score(*pair) for pair in ((place.X[held], place.y[held]), (place.X_target, place.y_target))]
        found.append(Tried(fitted, *of))
    return found


def by_source(tried: Sequence[Tried]) -> Any:
    """Return the model that is best on held-out source rows; the first of equals."""
    return max(tried, key=lambda one: one.source).model


def by_oracle(tried: Sequence[Tried]) -> Any:
    """Return the model that is best on the target rows adapted to, by their hidden labels: a bound, not a method."""
    return max(tried, key=lambda one: one.oracle).model


def score(models: Sequence[Any], place: Place, seed: int) -> float:
    """Return the accuracy on target test rows of the model chosen by source rows."""
    return float(by_source(attempts(models, place, seed)).score(place.X_test, place.y_test))


def settings(model: Any, lrs: Sequence[float] = (1e-3, 3e-3), epochs: int = 30, **more: Sequence[Any]) -> list[Any]:
    """Return copies of a model with every learning rate, and with every value of one further field."""
    name, values = next(iter(more.items()), ("", [None]))
    made = []
    for lr in lrs:
        for value in values:
            fields = {"train": Train(epochs=epochs, batch_size=64, lr=lr, progress=False)}
            made.append(clone(model).set_params(**fields, **({name: value} if name else {})))
    return made
