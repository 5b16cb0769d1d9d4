"""Every estimator of the catalogue, on rows and labels in every state: it works, or it says what is wrong."""

from __future__ import annotations

from dataclasses import fields
from inspect import signature
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
from hypothesis import reject
from scipy import sparse
from tests.fuzz.cases import Case, Made, arguments_of, cases, made, tiny
from tests.fuzz.drive import fuzz
from tests.fuzz.promise import Refused, attempt, finite, require, snapshot

from labelwise import catalogue
from labelwise.checks.trials import light

ESTIMATORS = [entry for entry in catalogue.methods() if entry.kind != "loss" and hasattr(entry.cls, "fit")]
SAID = ("predict_proba", "decision_function", "predict", "transform")
NEW_CLASSES = {"unseen classes", "open set"}


@pytest.mark.parametrize("entry", ESTIMATORS, ids=lambda entry: entry.name)
def test_estimator(entry):
    try:
        tiny(entry.cls)
    except SkipTest as reason:
        pytest.skip(str(reason))
    fuzz(entry.name, cases(entry.cls), lambda case: holds(entry.cls, case), examples=2 if entry.cost == "heavy" else 3)


def holds(cls: type[Any], case: Case) -> None:
    try:
        given = made(cls, case)
    except Exception:  # such a container cannot hold such values
        reject()
    before = [snapshot(value) for value in (given.X, given.y, *given.fit.values())]
    model = light(cls, 0, **{"epochs": 1, **tiny(cls).fields})
    names = [*arguments_of(cls), *(item.name for item in fields(cls))]
    names += [name for said in SAID if hasattr(cls, said) for name in signature(getattr(cls, said)).parameters]
    done = attempt(lambda: model.fit(given.X, given.y, **given.fit), names, f"{cls.__name__}.fit")
    after = [snapshot(value) for value in (given.X, given.y, *given.fit.values())]
    require(before == after, f"{cls.__name__}.fit changed its input")
    if not isinstance(done, Refused):
        _answers(cls, model, given, names)


def _answers(cls: type[Any], model: Any, given: Made, names: list[str]) -> None:
    before = snapshot(given.asked)
    for name in SAID:
        if not hasattr(model, name):
            continue
        said = attempt(lambda name=name: getattr(model, name)(given.asked), names, f"{cls.__name__}.{name}")
        if not isinstance(said, Refused):
            _sound(cls, model, given, name, said)
    require(snapshot(given.asked) == before, f"{cls.__name__} changed what it was asked")


def _sound(cls: type[Any], model: Any, given: Made, name: str, said: Any) -> None:
    what = f"{cls.__name__}.{name}"
    finite(said, what)
    if "classes" not in cls.card.supervision or sparse.issparse(said) or not hasattr(model, "classes_"):
        return
    if name == "predict_proba":
        total = np.asarray(said).sum(1)
        require(np.allclose(total, 1, atol=1e-4), f"{what}: rows sum to {total[:3]}")
    if name == "predict" and not NEW_CLASSES & cls.card.handles:
        known = np.asarray(model.classes_).tolist()
        require(all(label in known for label in np.asarray(said).tolist()), f"{what} says what is no class of {known}")
