"""Checks of behaviour: same seed same result, nothing touched, saved and loaded, better than chance."""

from __future__ import annotations

import copy
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np

from labelwise.checks.check import Check, listed, require
from labelwise.checks.trials import Trial, light, trial_of


def checks(cls: type[Any]) -> Iterator[Check]:
    """Yield the checks of an estimator's behaviour."""
    yield from listed(
        cls, same_seed_same_result, leaves_its_arguments_untouched, leaves_its_fields_untouched,
        leaves_global_random_state_untouched, survives_saving_and_loading, beats_chance,
    )  # fmt: skip
    if "classes" in cls.card.supervision and cls.card.kind != "diagnostic":
        yield from listed(cls, unlabelled_rows_are_no_class)


def answers(model: Any, trial: Trial) -> dict[str, Any]:
    """Return what a fitted model says of the test rows, by method name."""
    names = ("predict_proba", "decision_function", "predict", "transform")
    return {name: getattr(model, name)(trial.X_test) for name in names if hasattr(model, name)}


def same_seed_same_result(cls: type[Any]) -> None:
    """Two fits with one seed answer alike, to the last bit."""
    trial = trial_of(cls)
    _same(answers(trial.fitted(cls), trial), answers(trial.fitted(cls), trial), "two fits with the same seed differ")


def leaves_its_arguments_untouched(cls: type[Any]) -> None:
    """Read-only arrays can be fitted, and hold afterwards what they held before."""
    trial = trial_of(cls)
    arrays = [value for value in (trial.X, trial.y, *trial.fit.values()) if isinstance(value, np.ndarray)]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    try:
        trial.fitted(cls)
    finally:
        for array in arrays:
            array.setflags(write=True)
    kept = [np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(arrays, before, strict=True)]
    require(all(kept), "fit changed its input")


def leaves_its_fields_untouched(cls: type[Any]) -> None:
    """What the constructor was given is the same object after fit, and was not fitted or trained itself."""
    trial = trial_of(cls)
    model = light(cls, **trial.fields)
    before = model.get_params(deep=False)
    inside = {name: _inside(value) for name, value in before.items()}
    model.fit(trial.X, trial.y, **trial.fit)
    for name, value in model.get_params(deep=False).items():
        require(value is before[name], f"fit replaced the field {name}")
        require(_inside(value) == inside[name], f"fit changed what the field {name} holds")


def leaves_global_random_state_untouched(cls: type[Any]) -> None:
    """With a seed given, numpy's, torch's and Python's global generators stand where they stood."""
    import torch

    trial = trial_of(cls)
    before = random.getstate(), str(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    answers(trial.fitted(cls), trial)
    require(before[0] == random.getstate(), "fit or predict moved Python's global random state")
    require(before[1] == str(np.random.get_state()), "fit or predict moved numpy's global random state")  # noqa: NPY002
    require(torch.equal(before[2], torch.get_rng_state()), "fit or predict moved torch's global random state")


def survives_saving_and_loading(cls: type[Any]) -> None:
    """A saved and loaded model answers alike, to the last bit, and has the same parameters."""
    from labelwise.persistence import load, save

    trial = trial_of(cls)
    model = trial.fitted(cls)
    with tempfile.TemporaryDirectory() as directory:
        save(model, Path(directory) / "model")
        again = load(Path(directory) / "model")
    require(type(again) is type(model), f"loaded a {type(again).__name__}")
    require(repr(again.get_params()) == repr(model.get_params()), "the loaded model has other parameters")
    _same(answers(model, trial), answers(again, trial), "the loaded model answers differently")


def beats_chance(cls: type[Any]) -> None:
    """Fitted on tiny real data, the method scores clearly better than guessing on other rows."""
    trial = trial_of(cls)
    model = trial.fitted(cls)
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


def _inside(value: Any) -> Any:
    """Return something that changes when a nested estimator is fitted or a module trained or bound."""
    if hasattr(value, "state_dict"):
        return {name: tensor.tolist() for name, tensor in value.state_dict().items()} | {"": sorted(vars(value))}
    if hasattr(value, "get_params"):
        return sorted(vars(value)), repr(value)
    return copy.deepcopy(value) if isinstance(value, (list, dict, set)) else repr(value)
