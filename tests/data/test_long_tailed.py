"""Long tails cut out of balanced data: the counts asked for, no row twice, pools with a tail of their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.data.synthetic import long_tail, long_tailed, tail_shares

SHAPES = ("exponential", "step", "zipf")


@given(st.integers(2, 30), st.floats(1, 200), st.sampled_from(SHAPES))
@settings(max_examples=50)
def test_shares_fall_from_first_to_last_by_the_ratio(n_classes, ratio, shape):
    shares = tail_shares(n_classes, ratio, shape)
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 1e-12).all()
    assert shares[0] / shares[-1] == pytest.approx(ratio)


def test_exponential_is_long_tail():
    assert np.array_equal(tail_shares(7, 30.0), long_tail(7, 30.0))


@given(
    st.integers(0, 1000), st.sampled_from(SHAPES), st.floats(1, 20), st.floats(1, 20), st.floats(0, 3), st.booleans()
)
@settings(max_examples=50)
def test_rows_are_drawn_once_and_named_rightly(seed, shape, ratio, pool_ratio, size, shuffle):
    y = np.random.default_rng(seed).permutation(np.arange(1000) % 5)
    drawn = long_tailed(
        y, 30, ratio, pool_size=size, pool_ratio=pool_ratio, shape=shape, shuffle=shuffle, random_state=seed
    )
    every = np.concatenate([drawn.rows, drawn.rest])
    assert np.array_equal(np.sort(every), np.arange(1000))
    assert np.array_equal(drawn.truth, y[drawn.rows])
    labelled = drawn.y >= 0
    assert np.array_equal(drawn.y[labelled], drawn.truth[labelled])
    assert drawn.counts.max() == 30
    expected = np.maximum(np.floor(30 * tail_shares(5, ratio, shape) / tail_shares(5, ratio, shape)[0] + 1e-9), 1)
    assert np.array_equal(np.sort(drawn.counts)[::-1], np.sort(expected)[::-1])
    wanted = np.round(size * drawn.counts.sum() * tail_shares(5, pool_ratio, shape))
    assert (np.sort(drawn.pool_counts)[::-1] <= np.sort(wanted)[::-1]).all()


def test_too_few_rows_and_unknown_shapes_are_refused():
    with pytest.raises(InputError, match="class 0"):
        long_tailed(np.arange(20) % 2, 11, 2)
    with pytest.raises(InputError, match="shape"):
        tail_shares(3, 2.0, "flat")
