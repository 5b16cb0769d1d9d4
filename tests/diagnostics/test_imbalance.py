from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.diagnostics import Imbalance
from labelwise.parts.interval import ratio, share, spread


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=30).filter(any))
def test_bounds(counts):
    result = Imbalance().measure(counts)
    assert result.ratio.low <= result.ratio.value <= result.ratio.high
    assert 1 - 1e-9 <= result.effective_classes.value <= np.count_nonzero(counts) + 1e-9


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=10), st.randoms())
def test_order_of_classes_does_not_matter(counts, random):
    shuffled = random.sample(counts, len(counts))
    for mine, theirs in zip(Imbalance().measure(counts), Imbalance().measure(shuffled), strict=True):
        np.testing.assert_allclose(mine, theirs)


def test_equal_classes_count_fully():
    assert Imbalance().measure([50] * 7).effective_classes.value == pytest.approx(7)


@pytest.mark.parametrize("truth", [0.02, 0.3])
def test_share_interval_covers(truth):
    counts = np.random.default_rng(0).binomial(200, truth, size=2000)
    covered = np.mean([(e := share(c, 200)).low <= truth <= e.high for c in counts])
    assert 0.85 < covered < 0.95  # discrete: no interval is exact at 2 %


def test_ratio_interval_covers():
    rng = np.random.default_rng(1)
    more, fewer = rng.poisson(200, 2000), rng.poisson(40, 2000)
    covered = np.mean([(e := ratio(a, b)).low <= 5 <= e.high for a, b in zip(more, fewer, strict=True)])
    assert 0.88 < covered < 0.96


@settings(max_examples=30)
@given(st.integers(0, 50), st.integers(1, 50))
def test_share_stays_between_zero_and_one(count, more):
    estimate = share(count, count + more)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_spread_is_the_central_part():
    assert spread(50, np.arange(101))[:3] == pytest.approx((50, 5, 95))


def test_bad_counts():
    for counts in ([0, 0], [1.5, 2], [[1, 2]], [-1, 3]):
        with pytest.raises(InputError, match="counts must be"):
            Imbalance().measure(counts)
