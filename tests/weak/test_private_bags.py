"""Released means and shares: the noise is what the promise needs, no less and no more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import kstest

from labelwise.base import InputError
from labelwise.weak.bag_splits import random_bags
from labelwise.weak.private_bags import nearest_shares, release_means, release_proportions

SEEDS = st.integers(0, 10**6)
EPSILON = st.floats(0.1, 5)


def noiseless(y, bags, bounds):
    """Return the clipped means, one bag after the other."""
    return np.array([np.clip(y[bags == b], *bounds).mean() for b in range(bags.max() + 1)])


@given(SEEDS, EPSILON)
def test_no_change_of_one_target_moves_the_log_likelihood_by_more_than_epsilon(seed, epsilon):
    rng = np.random.default_rng(seed)
    bags, y = random_bags(20, 4, rng.integers(100)), 5 * rng.normal(size=20)
    released = release_means(y, bags, epsilon=epsilon, bounds=(-3, 4), random_state=seed)
    other = y.copy()
    other[rng.integers(20)] = 20 * rng.normal()
    densities = [
        -np.abs(released.y - noiseless(values, bags, (-3, 4))) / released.scale - np.log(2 * released.scale)
        for values in (y, other)
    ]
    assert abs(densities[0].sum() - densities[1].sum()) <= epsilon + 1e-9


def test_the_worst_change_uses_up_epsilon():
    bags = np.zeros(5, int)
    found = release_means(np.zeros(5), bags, epsilon=0.7, bounds=(-2, 2))
    moved = abs(noiseless(np.r_[2.0, np.zeros(4)], bags, (-2, 2)) - noiseless(np.r_[-2.0, np.zeros(4)], bags, (-2, 2)))
    assert moved[0] / found.scale[0] == pytest.approx(0.7)


def test_noise_has_the_distribution_it_says():
    n = 4000
    found = release_means(np.full(n, 0.3), np.arange(n) // 2, epsilon=2.0, bounds=(0, 1), random_state=0)
    assert kstest((found.y - 0.3) / found.scale, "laplace").pvalue > 0.01
    np.testing.assert_allclose(found.scale, 1 / (2 * 2.0))


@pytest.mark.parametrize("k", [2, 3])
def test_an_attacker_who_knows_all_but_one_class_learns_no_more_than_epsilon(k):
    """Of many releases of two worlds that differ in one row, every event has odds within e^epsilon, up to sampling."""
    epsilon, repeats = 1.0, 20_000
    classes = np.arange(k)
    worlds = [np.r_[classes, 0, 0, code] for code in (0, 1)]
    bags = np.arange(repeats).repeat(k + 3)
    told = [
        release_proportions(np.tile(world, repeats), bags, epsilon=epsilon, random_state=code).y[:, 1]
        for code, world in enumerate(worlds)
    ]
    cuts = np.quantile(np.concatenate(told), np.linspace(0.05, 0.95, 19))
    above = np.array([[(share > cut).mean() for cut in cuts] for share in told])
    odds = np.abs(np.log(above[1] / above[0]))
    noise = 4 * np.sqrt((1 / (above * repeats)).sum(0))
    assert (odds <= epsilon + noise).all()
    if k == 2:  # of more classes one share alone does not use up epsilon
        assert odds.max() > 0.8 * epsilon


def test_larger_bags_are_told_more_exactly():
    y = np.random.default_rng(0).integers(0, 2, 4000)
    error = []
    for size in (2, 20, 200):
        bags = random_bags(len(y), size, 0)
        shares = np.bincount(bags, y) / np.bincount(bags)
        error.append(np.abs(release_proportions(y, bags, epsilon=1.0, random_state=0).y[:, 1] - shares).mean())
    assert error[0] > 3 * error[1] > 9 * error[2]


@given(SEEDS)
def test_shares_are_the_nearest_that_sum_to_one(seed):
    v = np.random.default_rng(seed).normal(size=4)
    found = nearest_shares(v[None])[0]
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    best = minimize(
        lambda p: ((p - v) ** 2).sum(), np.full(4, 0.25), bounds=[(0, 1)] * 4, method="SLSQP",
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
    )  # fmt: skip
    np.testing.assert_allclose(found, best.x, atol=1e-3)


def test_without_a_seed_every_release_differs_and_the_global_state_is_left_alone():
    before = str(np.random.get_state())  # noqa: NPY002
    one, other = (release_means(np.zeros(4), [0, 0, 1, 1], epsilon=1.0, bounds=(0, 1)).y for _ in range(2))
    assert (one != other).all()
    assert before == str(np.random.get_state())  # noqa: NPY002


@pytest.mark.parametrize(
    ("y", "bags", "more", "told"),
    [
        ([0.0, np.nan], [0, 0], {}, "one finite target a row"),
        ([0.0, 1.0], [0, 0, 0], {}, "bags labels 3 rows, but X has 2 rows"),
        ([0.0, 1.0], [0, 2], {}, "no row is in bag 1"),
        ([0.0, 1.0], [0, 0], {"epsilon": 0}, "epsilon must be"),
        ([0.0, 1.0], [0, 0], {"bounds": (1, 0)}, "the smaller first"),
    ],
)
def test_what_cannot_be_released_is_refused(y, bags, more, told):
    with pytest.raises(InputError, match=told):
        release_means(y, bags, **{"epsilon": 1.0, "bounds": (0, 1), **more})


def test_a_missing_class_cannot_be_released():
    with pytest.raises(InputError, match="Row 1 has none"):
        release_proportions([0, -1, 1], [0, 0, 0], epsilon=1.0)
