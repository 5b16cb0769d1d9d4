"""The race takes a method against noise where labels are wrong, and none where they are right."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from labelwise import catalogue
from labelwise.advice import race
from labelwise.advice.candidates import baseline_for
from labelwise.advice.shortlist import shortlist
from labelwise.audit import audit
from labelwise.data.synthetic import symmetric_noise


def raced(rate, seed):
    """Audit, shortlist and race half of the digits, the others stay for testing: result, baseline and right labels."""
    X, truth = load_digits(return_X_y=True)
    train = np.random.default_rng(seed).permutation(len(X)) < 900
    given = symmetric_noise(truth, rate, random_state=seed).y[train]
    report = audit(X[train], given)
    candidates = shortlist(report, random_state=seed, limit=3)
    baseline = baseline_for(64, 10, random_state=seed)
    result = race(
        X[train], given, candidates, baseline, budget_seconds=None, draws=1, random_state=seed,
        noise_matrix=report.noise_matrix.to_numpy(),
    )  # fmt: skip
    return result, baseline.build({}).fit(X[train], given), (X[~train], truth[~train])


def check(rate, seed):
    result, baseline, (X, truth) = raced(rate, seed)
    """Check the outcome of a race, and return its verdict."""
    winner = result.chosen.name.removesuffix(" + baseline")
    gain = result.chosen.build({}).fit(*_rows(seed, rate)).score(X, truth) - baseline.score(X, truth)
    if rate:
        assert result.verdict == "beats baseline"
        assert "noise" in catalogue.find(winner).handles
        assert gain > 0.05
    else:
        assert winner in ("baseline", "Classifier")  # no method against noise; a plain network may be as good
        assert gain > -0.005
    return result.verdict


def _rows(seed, rate):
    X, truth = load_digits(return_X_y=True)
    train = np.random.default_rng(seed).permutation(len(X)) < 900
    return X[train], symmetric_noise(truth, rate, random_state=seed).y[train]


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_noise_robust_where_there_is_noise_and_plain_where_not(rate):
    check(rate, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("rate", [0.3, 0.4])
def test_on_more_draws(rate, seed):
    check(rate, seed)


@pytest.mark.slow
def test_without_noise_the_baseline_is_kept_but_for_chance():
    """At a nominal rate of one in ten, one race of five may go to a method that is as good."""
    assert [check(0.0, seed) for seed in range(5)].count("baseline kept") >= 4
