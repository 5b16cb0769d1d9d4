"""Rows of bags and ranks within them, against loops over bags; and what bag numbers are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.parts.bag_rows import bag_ranks, read_bags, rows_of


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 8))
def test_rows_and_ranks_are_those_of_a_loop(seed, n, n_bags):
    rng = np.random.default_rng(seed)
    bag, scores = rng.integers(0, n_bags, n), rng.normal(size=n)
    wanted = rng.permutation(n_bags)
    looped = np.concatenate([np.flatnonzero(bag == b) for b in wanted])
    assert rows_of(torch.tensor(bag), torch.tensor(wanted)).tolist() == looped.tolist()
    ranks = bag_ranks(torch.tensor(scores), torch.tensor(bag)).numpy()
    for b in np.unique(bag):
        np.testing.assert_array_equal(ranks[bag == b].argsort(), (-scores[bag == b]).argsort())


def test_bags_that_are_refused():
    assert read_bags(None, 3)[1] == 3
    for bags, told in (
        ([0, 1], "one number for each of the 3 rows"),
        ([0.0, 1.0, 1.0], "whole numbers"),
        ([0, -1, 0], "Row 1 holds -1"),
        ([0, 2, 2], "No row is in bag 1"),
    ):
        with pytest.raises(InputError, match=told):
            read_bags(bags, 3)
