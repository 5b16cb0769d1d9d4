"""Losses of bags, in value and gradient, against loops over bags in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.weak.bag_losses import BagCrossEntropy, BagSquaredError, bags_of

SEEDS = st.integers(0, 10**6)
RHO = st.floats(0, 1)


def drawn(seed, n_bags=4, k=3, scale=3.0):
    """Return scores, labels of bags that sum to one, and bags of unequal sizes in mixed order."""
    rng = np.random.default_rng(seed)
    bag = rng.permutation(np.r_[np.arange(n_bags), rng.integers(0, n_bags, 6)])
    y = rng.dirichlet(np.ones(k), n_bags)
    return torch.tensor(scale * rng.normal(size=(len(bag), k))), torch.tensor(y), torch.tensor(bag)


def softmax(scores):
    e = np.exp(scores - scores.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def looped(scores, y, bag, rho, of_mean, of_rows):
    """Return the loss of the definition, one bag after the other."""
    total = 0.0
    for b in range(len(y)):
        rows = scores[bag == b]
        total += (1 - rho) * of_mean(rows, y[b]) + rho * np.mean([of_rows(row, y[b]) for row in rows])
    return total / len(y)


@given(SEEDS, RHO)
def test_cross_entropy_is_that_of_the_definition(seed, rho):
    scores, y, bag = drawn(seed)
    expected = looped(
        scores.numpy(), y.numpy(), bag.numpy(), rho,
        lambda rows, share: -(share * np.log(softmax(rows).mean(0))).sum(),
        lambda row, share: -(share * np.log(softmax(row[None])[0])).sum(),
    )  # fmt: skip
    np.testing.assert_allclose(float(BagCrossEntropy(rho)(scores, y, bag)), expected, rtol=1e-9)


@given(SEEDS, RHO)
def test_squared_error_is_that_of_the_definition(seed, rho):
    scores, y, bag = drawn(seed)
    expected = looped(
        scores.numpy(), y.numpy(), bag.numpy(), rho,
        lambda rows, mean: ((rows.mean(0) - mean) ** 2).sum(), lambda row, mean: ((row - mean) ** 2).sum(),
    )  # fmt: skip
    np.testing.assert_allclose(float(BagSquaredError(rho)(scores, y, bag)), expected, rtol=1e-9)


@given(SEEDS)
def test_the_instance_level_is_the_bag_level_plus_the_variance_within_bags(seed):
    scores, y, bag = drawn(seed)
    within = np.mean([scores.numpy()[bag.numpy() == b].var(0).sum() for b in range(len(y))])
    gap = BagSquaredError(1.0)(scores, y, bag) - BagSquaredError(0.0)(scores, y, bag)
    np.testing.assert_allclose(float(gap), within, rtol=1e-9)


@pytest.mark.parametrize("loss", [BagCrossEntropy, BagSquaredError])
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_gradients_are_right(loss, rho):
    scores, y, bag = drawn(0)
    assert torch.autograd.gradcheck(lambda s: loss(rho)(s, y, bag), scores.requires_grad_())


def test_bag_level_stays_finite_where_every_probability_underflows():
    scores = torch.tensor([[0.0, 500.0], [0.0, 400.0]], requires_grad=True)
    value = BagCrossEntropy(0.0)(scores, torch.tensor([[1.0, 0.0]]), torch.tensor([0, 0]))
    value.backward()
    assert abs(value.item() - (400 + np.log(2))) < 1e-3
    assert torch.isfinite(scores.grad).all()


@given(SEEDS)
def test_both_levels_agree_on_bags_of_one_row(seed):
    scores, y, _ = drawn(seed)
    bag = torch.arange(len(y))
    for loss in (BagCrossEntropy, BagSquaredError):
        torch.testing.assert_close(loss(0.0)(scores[: len(y)], y, bag), loss(1.0)(scores[: len(y)], y, bag))


def test_labels_of_a_batch_are_taken_from_the_rows_of_its_bags():
    labels, local = bags_of(torch.tensor([7, 2, 7]), torch.tensor([[0.1], [0.9], [0.1]]))
    assert labels.squeeze(1).tolist() == pytest.approx([0.9, 0.1])
    assert local.tolist() == [1, 0, 1]


def test_a_weight_outside_the_range_is_refused():
    with pytest.raises(InputError, match="BagCrossEntropy: rho must be"):
        BagCrossEntropy(1.5)
