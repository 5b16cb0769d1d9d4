"""Counts of n-grams against those of scikit-learn's CountVectorizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from labelwise.data.ngrams import known_counts, learned_counts

OPTIONS: dict[str, dict[str, Any]] = {
    "word": {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"},
    "char": {"ngram_range": (2, 4), "analyzer": "char_wb"},
}
STRINGS = st.lists(st.text("abB zß\n\t\u00a0İ-_9", max_size=12) | st.text(max_size=8), min_size=1, max_size=8)


def reference(analyzer: str, strings: list[str], **options: Any) -> tuple[np.ndarray, list[str]]:
    counter = CountVectorizer(**OPTIONS[analyzer], **options)
    try:
        counts = counter.fit_transform(strings).toarray()
    except ValueError:  # nothing to count
        return np.zeros((len(strings), 0), dtype=np.int64), []
    return counts, sorted(counter.vocabulary_, key=counter.vocabulary_.__getitem__)


@pytest.mark.parametrize("analyzer", OPTIONS)
@given(strings=STRINGS, rarest=st.integers(1, 3))
@example(strings=["", " "], rarest=1)
@example(strings=["a"], rarest=1)
@settings(max_examples=60, deadline=None)
def test_counts_and_terms_are_those_of_scikit_learn(analyzer, strings, rarest):
    counts, terms = learned_counts(analyzer, strings, rarest=rarest)
    expected, names = reference(analyzer, strings, min_df=min(rarest, len(strings)))
    if rarest <= len(strings):
        assert terms == names
        np.testing.assert_array_equal(counts.toarray(), expected)
    else:
        assert terms == []
    assert counts.has_sorted_indices and (counts.data > 0).all()


@pytest.mark.parametrize("analyzer", OPTIONS)
@given(strings=STRINGS, others=STRINGS)
@settings(max_examples=60, deadline=None)
def test_known_terms_are_counted_as_by_scikit_learn(analyzer, strings, others):
    _, terms = learned_counts(analyzer, strings)
    if terms:
        expected = CountVectorizer(**OPTIONS[analyzer], vocabulary=terms).transform(others).toarray()
        np.testing.assert_array_equal(known_counts(analyzer, others, terms).toarray(), expected)


@pytest.mark.parametrize("analyzer", OPTIONS)
def test_the_most_frequent_terms_are_kept_and_ties_fall_in_sorted_order(analyzer):
    strings = ["red wine red", "red car", "white wine", "blue car blue", "zebra"]
    everything, names = learned_counts(analyzer, strings)
    counts, terms = learned_counts(analyzer, strings, most=4)
    total = everything.toarray().sum(0)
    ranked = [names[i] for i in sorted(range(len(names)), key=lambda i: (-total[i], names[i]))]
    assert terms == sorted(ranked[:4])
    np.testing.assert_array_equal(counts.toarray(), everything.toarray()[:, [names.index(term) for term in terms]])
