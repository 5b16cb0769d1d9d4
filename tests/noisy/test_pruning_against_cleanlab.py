"""The same probabilities give the same flags as cleanlab, row for row, ties included."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.noisy import ConfidentLearning
from labelwise.parts.label_pruning import RULES
from labelwise.parts.label_quality import SCORES

cleanlab_filter = pytest.importorskip("cleanlab.filter")
cleanlab_rank = pytest.importorskip("cleanlab.rank")


def problem(seed, n_classes, n, dtype, digits):
    """Skewed classes, some of them absent, noise of any strength, ties if probabilities are multiples of 1 / `digits`."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(n_classes, n, p=rng.dirichlet(np.full(n_classes, rng.choice([0.2, 1, 10]))))
    proba = rng.dirichlet(np.full(n_classes, rng.choice([0.1, 0.5, 1])), n)
    proba[np.arange(n), truth] += rng.choice([0, 0.3, 1, 3])
    proba /= proba.sum(1, keepdims=True)
    wrong = rng.random(n) < rng.choice([0, 0.1, 0.4])
    y = np.where(wrong, rng.choice(n_classes, n, p=rng.dirichlet(np.ones(n_classes))), truth)
    y[:2] = 0, n_classes - 1  # cleanlab refuses a single class
    if digits is not None:
        proba = rng.multinomial(digits, proba) / digits
        proba[:2] = np.eye(n_classes)[[0, n_classes - 1]]
        never = ~proba.any(0)  # labelled classes that are never predicted are refused
        y = np.where(never[y], proba.argmax(1), y)
    return y, proba.astype(dtype)


problems = st.builds(
    problem,
    st.integers(0, 2**32 - 1),
    st.sampled_from([2, 3, 5, 10, 40]),
    st.integers(3, 600),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([None, 4, 10, 100]),
)


def expected(y, proba, rule):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cleanlab_filter.find_label_issues(y, proba, filter_by=rule, n_jobs=1)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=30, deadline=None)
@given(problems)
def test_flags_are_cleanlabs(rule, problem):
    y, proba = problem
    assert np.array_equal(ConfidentLearning(rule=rule).find_issues(y, proba), expected(y, proba, rule))


@pytest.mark.parametrize("quality", SCORES)
@settings(max_examples=20, deadline=None)
@given(problems)
def test_scores_are_cleanlabs(quality, problem):
    y, proba = problem
    with np.errstate(all="ignore"):
        theirs = cleanlab_rank.get_label_quality_scores(y, proba, method=quality)
    assert np.array_equal(ConfidentLearning(quality=quality).label_quality(y, proba), theirs)


@pytest.mark.parametrize("n_classes", [200, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_classes_most_of_them_rare_or_absent(n_classes, dtype):
    y, proba = problem(n_classes, n_classes, 2500, dtype, None)
    assert len(np.unique(y)) < n_classes
    for rule in ("prune_by_noise_rate", "prune_by_class", "confident_learning"):
        assert np.array_equal(ConfidentLearning(rule=rule).find_issues(y, proba), expected(y, proba, rule))
