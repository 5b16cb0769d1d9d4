"""Several labels a row: the flags of cleanlab's per-class function, and the labels it does not know."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.noisy import ConfidentLearning, find_multilabel_issues
from labelwise.parts.label_pruning import RULES


def problem(seed, n, n_labels, dtype, digits):
    rng = np.random.default_rng(seed)
    truth = rng.random((n, n_labels)) < rng.uniform(0.1, 0.6, n_labels)
    proba = np.clip(0.5 + (truth - 0.5) * rng.uniform(0.2, 0.9) + rng.normal(0, 0.2, truth.shape), 0, 1)
    y = np.where(rng.random(truth.shape) < 0.1, ~truth, truth).astype(int)
    y[0], y[1] = 0, 1  # cleanlab refuses a label that all rows have
    return y, (proba if digits is None else proba.round(digits)).astype(dtype)


problems = st.builds(
    problem,
    st.integers(0, 2**32 - 1),
    st.integers(2, 200),
    st.integers(1, 5),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([None, 1, 2]),
)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=15, deadline=None)
@given(problems)
def test_flags_are_cleanlabs(rule, problem):
    cleanlab = pytest.importorskip("cleanlab.multilabel_classification.filter")
    y, proba = problem
    lists = [np.flatnonzero(row).tolist() for row in y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cleanlab.find_multilabel_issues_per_class(lists, proba, filter_by=rule, n_jobs=1)
        # by score alone, cleanlab ranks whole rows, not labels
        rows = theirs.any(1) if "low" in rule else cleanlab.find_label_issues(lists, proba, filter_by=rule, n_jobs=1)
    ours = ConfidentLearning(rule=rule).find_issues(y, proba)
    assert np.array_equal(ours, theirs)
    assert np.array_equal(ours.any(1), rows)


@settings(max_examples=20, deadline=None)
@given(problems, st.integers(0, 1000))
def test_unknown_labels_are_as_if_their_row_was_not_there(problem, seed):
    y, proba = problem
    unknown = np.random.default_rng(seed).random(y.shape) < 0.2
    flags = find_multilabel_issues(np.where(unknown, -1, y), proba)
    assert not flags[unknown].any()
    for label in range(y.shape[1]):
        known = ~unknown[:, label]
        if known.any():
            alone = find_multilabel_issues(y[known, label : label + 1], proba[known, label : label + 1])
            assert np.array_equal(flags[known, label], alone[:, 0])


@pytest.mark.parametrize("same", [0, 1])
def test_a_label_that_all_rows_have_or_lack(same):
    proba = np.random.default_rng(0).random((50, 1))
    assert not find_multilabel_issues(np.full((50, 1), same), proba).any()


@pytest.mark.parametrize(
    ("y", "proba", "message"),
    [
        ([[1, 0]], [[0.5]], "one shape"),
        ([[1, 2]], [[0.5, 0.5]], "Got 2"),
        ([[1, 0]], [[0.5, 1.5]], "Got 1.5 in row 0, column 1"),
        ([[1, 0]], [[0.5, np.nan]], "Got nan in row 0, column 1"),
    ],
)
def test_bad_input(y, proba, message):
    with pytest.raises(InputError, match=message):
        find_multilabel_issues(np.array(y), np.array(proba))
