"""Episodes: disjoint parts, right classes, every class drawn alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.parts.episodes import episodes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 4), st.integers(1, 5))
def test_support_and_queries_are_disjoint_and_of_their_class(seed, ways, shots, queries):
    rng = np.random.default_rng(seed)
    y = rng.integers(-1, 8, 300)
    for episode in episodes(y, 5, ways=ways, shots=shots, queries=queries, rng=rng):
        assert len(set(episode.support) | set(episode.query)) == ways * (shots + queries)
        assert (episode.classes[episode.support_y] == y[episode.support]).all()
        assert (episode.classes[episode.query_y] == y[episode.query]).all()
        assert len(set(episode.classes)) == ways and -1 not in episode.classes
        assert np.bincount(episode.support_y).tolist() == [shots] * ways


def test_every_class_is_drawn_alike_and_small_ones_never():
    y = np.r_[np.repeat(np.arange(4), 10), [9]]
    drawn = [c for e in episodes(y, 400, ways=2, shots=2, queries=3, rng=np.random.default_rng(0)) for c in e.classes]
    counts = np.bincount(drawn, minlength=10)
    assert counts[9] == 0 and (np.abs(counts[:4] - 200) < 50).all()


def test_too_few_classes_are_refused():
    with pytest.raises(InputError, match="fewer than ways"):
        next(episodes([0, 0, 1, 1], 1, ways=2, shots=2, queries=1, rng=np.random.default_rng(0)))
