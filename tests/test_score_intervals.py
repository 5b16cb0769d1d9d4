"""Scores of rows drawn anew, counted, are those of the rows copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from labelwise import scores


def copied(y: Any, proba: Any, decision: Any) -> dict[str, float]:
    """Return the scores of rows as they are, by other means."""
    said, seen = decision.argmax(1), np.unique(y)
    return {
        "accuracy": accuracy_score(y, said),
        "balanced accuracy": recall_score(y, said, labels=seen, average="macro", zero_division=0),
        "macro F1": f1_score(y, said, average="macro", zero_division=0),
        "log loss": log_loss(y, proba, labels=np.arange(proba.shape[1])),
        "calibration error": scores.calibration_error(y, proba),
    }


@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 10_000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_intervals_are_those_of_copied_rows(n, kinds, seed, weighs):
    rng = np.random.default_rng(seed)
    y, proba = rng.integers(kinds, size=n), rng.dirichlet(np.ones(kinds), n)
    decision = rng.dirichlet(np.ones(kinds), n) if weighs else None
    told = scores.classification_scores(y, proba, decision, draws=20, seed=seed)
    given_decision = proba if decision is None else decision
    draws = np.random.default_rng(seed)
    samples = [draws.integers(n, size=n) for _ in range(20)]
    drawn = [copied(y[rows], proba[rows], given_decision[rows]) for rows in samples]
    for name, value in copied(y, proba, given_decision).items():
        low, high = np.percentile([one[name] for one in drawn], [5, 95])
        assert told[name] == {
            "value": pytest.approx(value), "low": pytest.approx(low), "high": pytest.approx(high), "level": 0.9,
        }  # fmt: skip


def test_regression_intervals_are_those_of_copied_rows():
    rng = np.random.default_rng(0)
    y = rng.normal(size=50)
    prediction = y + rng.normal(size=50)
    told = scores.regression_scores(y, prediction, draws=30, seed=4)["mean absolute error"]
    draws = np.random.default_rng(4)
    errors = [np.abs(y - prediction)[draws.integers(50, size=50)].mean() for _ in range(30)]
    assert (told["low"], told["high"]) == pytest.approx(tuple(np.percentile(errors, [5, 95])))
