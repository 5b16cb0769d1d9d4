"""Sums, means, maxima and weights of bags, against loops over bags; batches that keep bags whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.parts.bags import bag_max, bag_mean, bag_softmax, bag_sum, whole_bags


def drawn(seed: int, n: int, n_bags: int, width: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return values ``(n,)`` or ``(n, width)`` and random bags; some bags may be empty."""
    rng = np.random.default_rng(seed)
    shape = (n,) if width is None else (n, width)
    return torch.tensor(rng.normal(size=shape)), torch.tensor(rng.integers(0, n_bags, n))


def looped(values: np.ndarray, bag: np.ndarray, n_bags: int, of_bag, empty: float) -> np.ndarray:
    """Return `of_bag` of the rows of each bag, one bag after the other."""
    rows = [values[bag == b] for b in range(n_bags)]
    return np.array([of_bag(r) if len(r) else np.full(values.shape[1:], empty) for r in rows])


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 8), st.sampled_from([None, 1, 3]))
def test_reductions_are_those_of_a_loop_over_bags(seed, n, n_bags, width):
    values, bag = drawn(seed, n, n_bags, width)
    for ours, theirs, empty in ((bag_sum, np.sum, 0.0), (bag_mean, np.mean, 0.0), (bag_max, np.max, -np.inf)):
        expected = looped(values.numpy(), bag.numpy(), n_bags, lambda r, of=theirs: of(r, axis=0), empty)
        np.testing.assert_allclose(ours(values, bag, n_bags).numpy(), expected, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 6))
def test_weights_are_the_softmax_within_each_bag(seed, n, n_bags):
    scores, bag = drawn(seed, n, n_bags, 2)
    found = bag_softmax(100 * scores, bag, n_bags)
    for b in bag.unique():
        torch.testing.assert_close(found[bag == b], (100 * scores[bag == b]).softmax(0))


@pytest.mark.parametrize("reduce", [bag_sum, bag_mean, bag_max, bag_softmax])
def test_gradients_are_right(reduce):
    values, bag = drawn(0, 7, 3, 2)[0], torch.tensor([0, 1, 2, 1, 0, 1, 1])
    assert torch.autograd.gradcheck(lambda v: reduce(v, bag, 3), values.requires_grad_())


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 10), st.integers(1, 15))
def test_batches_hold_every_row_of_the_chosen_bags_once_and_split_none(seed, n, n_bags, size):
    _, bag = drawn(seed, n, n_bags, None)
    chosen = torch.arange(0, n_bags, 2)
    batches = list(whole_bags(bag, chosen, size, torch.Generator().manual_seed(seed)))
    rows = torch.cat(batches) if batches else torch.zeros(0, dtype=torch.long)
    assert sorted(rows.tolist()) == torch.isin(bag, chosen).nonzero().squeeze(1).tolist()
    assert all(len(batch) >= size for batch in batches[:-1])
    held = [set(bag[batch].tolist()) for batch in batches]
    assert len(set().union(*held)) == sum(map(len, held))


def test_no_bag_is_added_to_a_batch_that_is_full():
    bag = torch.arange(6).repeat_interleave(3)
    sizes = [len(batch) for batch in whole_bags(bag, torch.arange(6), 6, torch.Generator().manual_seed(0))]
    assert sizes == [6, 6, 6]


def test_bags_that_do_not_fit_are_refused():
    values = torch.zeros(3)
    with pytest.raises(InputError, match=r"one number a row, shape \(3,\)"):
        bag_sum(values, torch.zeros(2, dtype=torch.long), 1)
    with pytest.raises(InputError, match=r"from 0 to 1, for 2 bags\. Got 2"):
        bag_mean(values, torch.tensor([0, 1, 2]), 2)
    with pytest.raises(InputError, match="at least 1 row"):
        list(whole_bags(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long), 0, torch.Generator()))
