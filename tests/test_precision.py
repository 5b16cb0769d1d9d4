"""Estimators answer alike for rows in single and in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from labelwise import catalogue
from labelwise.checks.trials import light, trial_of

EXACT = 1e-4
"""Probabilities differ by less."""
NEAR = 1e-2
"""Numbers differ by less, as a share of the largest."""


def is_trained(cls: type[Any]) -> bool:
    from labelwise.learner.template import Learner

    return issubclass(cls, Learner)


def estimators() -> list[Any]:
    """Return the estimators that train no network; those that do turn their rows into float32 first."""
    found = [entry for entry in catalogue.methods() if entry.kind not in ("loss", "part") and not is_trained(entry.cls)]
    return [pytest.param(entry.cls, id=entry.name) for entry in found]


def answers(model: Any, X: Any) -> dict[str, Any]:
    """Return what a fitted estimator says of rows: labels or numbers, and probabilities where it has them."""
    said = {"predict": np.asarray(model.predict(X))}
    if hasattr(model, "predict_proba"):
        said["predict_proba"] = np.asarray(model.predict_proba(X), dtype=np.float64)
    return said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cls", estimators())
def test_single_and_double_precision_give_the_same_answers(cls: type[Any]) -> None:
    trial = trial_of(cls)
    X, X_test = (np.asarray(part) for part in (trial.X, trial.X_test))
    if not trial.features or X.dtype.kind != "f" or not hasattr(cls, "predict"):
        pytest.skip("its rows are no numbers, or it predicts nothing")
    single = (X.astype(np.float32), X_test.astype(np.float32))
    double = tuple(part.astype(np.float64) for part in single)
    said = []
    for rows, test in (single, double):
        model = light(cls, 0, epochs=2, **trial.fields).fit(rows, trial.y, **trial.fit)
        said.append(answers(model, test))
    same_labels(*(one["predict"] for one in said))
    if "predict_proba" in said[0]:
        low, high = (one["predict_proba"] for one in said)
        assert np.abs(low - high).max() <= EXACT, np.abs(low - high).max()


def same_labels(low: Any, high: Any) -> None:
    if low.dtype.kind == "f" and not np.array_equal(low, np.round(low)):
        spread = max(float(np.abs(high).max()), 1.0)
        assert np.nanmax(np.abs(low - high)) <= NEAR * spread
    else:
        same = (low == high) | ((low != low) & (high != high))
        assert same.mean() > 0.95
