"""One fit that is watched from outside, for all checks that need a fitted model and nothing special about it."""

from __future__ import annotations

import copy
import random
from typing import Any, NamedTuple

import numpy as np

from labelwise.checks.trials import Trial, light, trial_of


class Watched(NamedTuple):
    """A fitted model, what it was fitted on, what it says of the test rows, and what the fit touched.

    Attributes
    ----------
    model, trial, answers
        The fitted model, its data, and its answers by method name.
    arguments
        Whether an array given to ``fit`` changed. They were read-only.
    replaced, changed
        Names of fields that hold another object after fit, and of those whose object was fitted or trained itself.
    moved
        Names of the global random states that moved in fit or in the answers.
    """

    model: Any
    trial: Trial
    answers: dict[str, Any]
    arguments: bool
    replaced: list[str]
    changed: list[str]
    moved: list[str]


def answers(model: Any, trial: Trial) -> dict[str, Any]:
    """Return what a fitted model says of the test rows, by method name."""
    names = ("predict_proba", "decision_function", "predict", "transform")
    return {name: getattr(model, name)(trial.X_test) for name in names if hasattr(model, name)}


_last: dict[type[Any], Watched] = {}


def watched(cls: type[Any]) -> Watched:
    """Return the fit of a light instance; checks of a class follow each other and share it, so only the last is kept."""
    if cls not in _last:
        _last.clear()
        _last[cls] = _fit(cls)
    return _last[cls]


def _fit(cls: type[Any]) -> Watched:
    trial = trial_of(cls)
    model = light(cls, **trial.fields)
    fields = model.get_params(deep=False)
    inside = {name: _inside(value) for name, value in fields.items()}
    arrays = [value for value in (trial.X, trial.y, *trial.fit.values()) if isinstance(value, np.ndarray)]
    kept, states = [array.copy() for array in arrays], _states()
    for array in arrays:
        array.setflags(write=False)
    try:
        model.fit(trial.X, trial.y, **trial.fit)
        told = answers(model, trial)
    finally:
        for array in arrays:
            array.setflags(write=True)
    same = [np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(arrays, kept, strict=True)]
    after = model.get_params(deep=False)
    return Watched(
        model, trial, told, not all(same),
        [name for name, value in after.items() if value is not fields[name]],
        [name for name, value in after.items() if _inside(value) != inside[name]],
        [name for name, state in _states().items() if state != states[name]],
    )  # fmt: skip


def _states() -> dict[str, str]:
    import torch

    return {
        "Python": str(random.getstate()),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "torch": str(torch.get_rng_state().numpy().tobytes()),
    }


def _inside(value: Any) -> Any:
    """Return something that changes when a nested estimator is fitted or a module trained or bound."""
    if hasattr(value, "state_dict"):
        return {name: tensor.tolist() for name, tensor in value.state_dict().items()} | {"": sorted(vars(value))}
    if hasattr(value, "get_params"):
        return sorted(vars(value)), repr(value)
    return copy.deepcopy(value) if isinstance(value, (list, dict, set)) else repr(value)
