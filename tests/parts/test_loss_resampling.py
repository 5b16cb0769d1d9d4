"""Resampling within groups: what is drawn, how often, and what is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.parts.loss_resampling import GroupwiseLossResampler

GROUPS = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(groups=GROUPS, pool=st.integers(1, 6), seed=st.integers(0, 100))
def test_a_pool_is_of_one_group_and_repeats_no_row_that_it_need_not(groups, pool, seed):
    generator = torch.Generator().manual_seed(seed)
    sampler = GroupwiseLossResampler(groups, pool)
    sampler.shuffle(generator)
    rows = sampler.draw(30, generator)
    assert rows.shape == (30, pool)
    group, count = np.array(groups), np.bincount(groups)
    for line in rows.numpy():
        (found,) = set(group[line])
        assert len(set(line)) == min(pool, count[found])


def test_groups_are_equally_likely_and_so_are_the_rows_of_a_group():
    generator = torch.Generator().manual_seed(0)
    groups = np.repeat([0, 3], [2, 18])
    sampler = GroupwiseLossResampler(groups, pool=3)
    drawn = []
    for _ in range(50):
        sampler.shuffle(generator)
        drawn.append(sampler.draw(400, generator)[:, 0])
    share = torch.cat(drawn).bincount(minlength=20).numpy() / 20_000
    np.testing.assert_allclose(share[:2], 0.25, atol=0.02)
    np.testing.assert_allclose(share[2:], 0.5 / 18, atol=0.005)


def test_pairs_of_a_pool_are_equally_likely():
    generator = torch.Generator().manual_seed(0)
    sampler = GroupwiseLossResampler(np.zeros(5, int), pool=2)
    counts = np.zeros((5, 5))
    for _ in range(4000):
        sampler.shuffle(generator)
        a, b = sampler.draw(1, generator)[0].tolist()
        counts[a, b] += 1
    np.testing.assert_allclose(counts[~np.eye(5, dtype=bool)] / 4000, 1 / 20, atol=0.015)


def test_choice_follows_the_softmax_of_minus_the_loss():
    loss = torch.tensor([0.3, 0.1, 0.6])
    sampler = GroupwiseLossResampler([0, 0, 0], pool=3, tau=0.2)
    place = sampler.choose(loss.expand(40_000, 3), torch.Generator().manual_seed(0))
    torch.testing.assert_close(place.bincount() / 40_000, (-loss / 0.2).softmax(0), atol=0.01, rtol=0)


@pytest.mark.parametrize(("tau", "expected"), [(1e-4, [0, 1, 0]), (float("inf"), [1 / 3] * 3)])
def test_limits_of_the_temperature(tau, expected):
    sampler = GroupwiseLossResampler([0, 0, 0], pool=3, tau=tau)
    place = sampler.choose(torch.tensor([0.3, 0.1, 0.6]).expand(20_000, 3), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(place.bincount(minlength=3) / 20_000, expected, atol=0.02)


def test_low_loss_within_the_group_is_chosen_whatever_other_groups_lose():
    groups = torch.tensor([0] * 10 + [1] * 10)
    loss = torch.cat([torch.linspace(0, 1, 10), 50 + torch.linspace(0, 1, 10)])
    sampler = GroupwiseLossResampler(groups, pool=10, tau=0.05)
    rows = sampler.draw(2000, torch.Generator().manual_seed(0))
    kept = rows.gather(1, sampler.choose(loss[rows], torch.Generator().manual_seed(1))[:, None]).squeeze(1)
    assert 0.45 < (kept >= 10).double().mean() < 0.55
    assert (loss[kept] % 50).mean() < 0.1


@pytest.mark.parametrize("groups", [[], [0.5], [-1, 0], [[0, 1]]])
def test_bad_groups(groups):
    with pytest.raises(InputError, match="groups"):
        GroupwiseLossResampler(groups)


@pytest.mark.parametrize("field", [{"pool": 0}, {"tau": 0.0}, {"tau": float("nan")}])
def test_bad_fields(field):
    with pytest.raises(InputError, match=next(iter(field))):
        GroupwiseLossResampler([0, 1], **field)
