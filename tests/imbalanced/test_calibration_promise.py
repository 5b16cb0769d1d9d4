"""The room's promise: whatever is done against imbalance, probabilities stay as calibrated as the plain model's."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from labelwise import catalogue
from labelwise.base import UNLABELED
from labelwise.learner import Classifier, LongTailClassifier, Train
from labelwise.losses import LDAM
from labelwise.parts.calibration_measures import calibration_error

TRAIN = Train(epochs=12)
CHANCE = 0.015
"""One and a half standard errors of the accuracy, 84 %, of the 1,350 rows that two fits hold out for their calibration."""
SEEDS = (0, 1)


def draw(seed: int, n: int) -> tuple[Any, Any]:
    """Six overlapping normal classes, the largest fifty times the smallest; test rows have the same shares."""
    rng = np.random.default_rng(seed)
    shares = 0.02 ** (np.arange(6) / 5)
    y = rng.choice(6, n, p=shares / shares.sum())
    centre = np.random.default_rng(1).normal(size=(6, 12)) * (np.arange(12) < 5)
    return (centre[y] + rng.normal(size=(n, 12))).astype(np.float32), y


def error(model: Any, seed: int) -> float:
    X, y = draw(seed, 4500)
    if "few labels" in type(model).card.handles:  # a pool of its own: every sixth label is hidden
        y = np.where(np.arange(len(y)) % 6 == 0, UNLABELED, y)
    X_test, y_test = draw(100 + seed, 8000)
    return calibration_error(y_test, model.fit(X, y).predict_proba(X_test))


@cache
def plain() -> float:
    return float(np.mean([error(Classifier(train=TRAIN, random_state=seed), seed) for seed in SEEDS]))


def learners() -> list[Any]:
    """Every classifier of the room, whoever wrote it."""
    found = catalogue.methods(room="imbalanced", task="classification", handles="imbalance")
    return [entry.cls for entry in found if hasattr(entry.cls, "predict_proba") and not entry.needs]


def made(cls: Any, seed: int) -> Any:
    given = {"train": TRAIN} if "train" in cls().get_params(deep=False) else {}
    return cls(**given, random_state=seed)


NOT_KEPT = {"ReliabilityBalancing": "off by 0.032 where plain training is off by 0.012: the blend is not undone"}


@pytest.mark.slow
@pytest.mark.parametrize("cls", learners(), ids=lambda cls: cls.__name__)
def test_methods_are_as_calibrated_as_plain_training(cls: Any, request: pytest.FixtureRequest) -> None:
    if cls.__name__ in NOT_KEPT:
        request.applymarker(pytest.mark.xfail(reason=NOT_KEPT[cls.__name__], strict=False))
    assert np.mean([error(made(cls, seed), seed) for seed in SEEDS]) < plain() + CHANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss",
    [e.cls for e in catalogue.methods(kind="loss", task="classification", handles="imbalance")],
    ids=lambda cls: cls.__name__,
)
def test_losses_are_as_calibrated_as_plain_training(loss: Any) -> None:
    if "classes" not in loss.card.supervision:
        pytest.skip("not a loss of one class per row")
    models = [LongTailClassifier(criterion=loss(), train=TRAIN, random_state=seed) for seed in SEEDS]
    assert np.mean([error(model, seed) for model, seed in zip(models, SEEDS, strict=True)]) < plain() + CHANCE


@pytest.mark.slow
def test_without_recalibration_the_promise_would_not_hold() -> None:
    """The test can fail: the same loss, trained without held-out rows, is far off."""
    bare = LongTailClassifier(criterion=LDAM(), calibration_share=0.0, train=TRAIN, random_state=0)
    assert error(bare, 0) > plain() + 10 * CHANCE
