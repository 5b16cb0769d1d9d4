"""Checks of behaviour: same seed same result, nothing touched, saved and loaded, better than chance."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np

from labelwise.checks.check import Check, listed, require
from labelwise.checks.trials import light, trial_of
from labelwise.checks.watched import answers, watched


def checks(cls: type[Any]) -> Iterator[Check]:
    """Yield the checks of an estimator's behaviour."""
    yield from listed(
        cls, same_seed_same_result, leaves_its_arguments_untouched, leaves_its_fields_untouched,
        leaves_global_random_state_untouched, survives_saving_and_loading, beats_chance,
    )  # fmt: skip
    if "classes" in cls.card.supervision and cls.card.kind != "diagnostic":
        yield from listed(cls, unlabelled_rows_are_no_class)


def same_seed_same_result(cls: type[Any]) -> None:
    """Two fits with one seed answer alike, to the last bit."""
    first = watched(cls)
    again = first.trial.fitted(cls)
    _same(first.answers, answers(again, first.trial), "two fits with the same seed differ")


def leaves_its_arguments_untouched(cls: type[Any]) -> None:
    """Read-only arrays can be fitted, and hold afterwards what they held before."""
    require(not watched(cls).arguments, "fit changed its input")


def leaves_its_fields_untouched(cls: type[Any]) -> None:
    """What the constructor was given is the same object after fit, and was not fitted or trained itself."""
    seen = watched(cls)
    require(not seen.replaced, f"fit replaced the field {', '.join(seen.replaced)}")
    require(not seen.changed, f"fit changed what the field {', '.join(seen.changed)} holds")


def leaves_global_random_state_untouched(cls: type[Any]) -> None:
    """With a seed given, numpy's, torch's and Python's global generators stand where they stood."""
    moved = watched(cls).moved
    require(not moved, f"fit or predict moved the global random state of {', '.join(moved)}")


def survives_saving_and_loading(cls: type[Any]) -> None:
    """A saved and loaded model answers alike, to the last bit, and has the same parameters."""
    from labelwise.persistence import load, save

    seen = watched(cls)
    with tempfile.TemporaryDirectory() as directory:
        save(seen.model, Path(directory) / "model")
        again = load(Path(directory) / "model")
    require(type(again) is type(seen.model), f"loaded a {type(again).__name__}")
    require(repr(again.get_params()) == repr(seen.model.get_params()), "the loaded model has other parameters")
    _same(seen.answers, answers(again, seen.trial), "the loaded model answers differently")


def beats_chance(cls: type[Any]) -> None:
    """Fitted on tiny real data, the method scores clearly better than guessing on other rows."""
    model, trial, *_ = watched(cls)
    if not hasattr(model, "predict"):
        raise SkipTest(f"{cls.__name__} predicts nothing")
    score = trial.score(model, trial.X_test, trial.y_test)
    require(score > trial.floor, f"scores {score:.3f} on held-out rows; better than {trial.floor} is needed")


def unlabelled_rows_are_no_class(cls: type[Any]) -> None:
    """Rows labelled -1, None or NaN are not learnt as a class of their own."""
    trial = trial_of(cls)
    if set(np.unique(trial.y)) - {-1} != {0, 1, 2}:
        raise SkipTest(f"{cls.__name__} is not tried on three classes")
    codes = np.where(np.arange(len(trial.y)) % 5 == 0, -1, trial.y)
    names = np.array(["green", "red", "white", None], dtype=object)
    for y, classes in ((codes, [0, 1, 2]), (names[codes], ["green", "red", "white"])):
        model = light(cls, **trial.fields).fit(trial.X, y, **trial.fit)
        require(list(model.classes_) == classes, f"classes_ is {list(model.classes_)}, expected {classes}")
        require(set(model.predict(trial.X_test)) <= set(classes), "predicts something that is no class")


def _same(first: dict[str, Any], second: dict[str, Any], message: str) -> None:
    for name, value in first.items():
        a, b = np.asarray(value), np.asarray(second[name])
        require(a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), f"{message} in {name}")
