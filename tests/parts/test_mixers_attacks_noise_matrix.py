"""Mixes are convex and consistent, attacks stay in their ball and climb, noise matrices count and invert."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.data.synthetic import pair_noise, pair_transition
from labelwise.parts.attacks import fgsm, pgd
from labelwise.parts.judges import high_loss_probability
from labelwise.parts.mixers import cutmix, dirichlet_mix, mixup
from labelwise.parts.noise_matrix import NoiseMatrix


@given(st.integers(1, 9), st.floats(0.1, 4), st.booleans(), st.booleans(), st.integers(0, 99))
def test_mixup_is_a_convex_combination_with_a_permutation(rows, alpha, larger, per_row, seed):
    torch.manual_seed(seed)
    mix = mixup(rows, alpha, larger=larger, per_row=per_row)
    assert torch.allclose(mix.shares.sum(0), torch.ones(rows))
    assert sorted(mix.partners[1].tolist()) == list(range(rows)) == mix.partners[0].tolist()
    x = torch.randn(rows, 2, 3, dtype=torch.float64)
    by_hand = [sum(float(mix.shares[d, j]) * x[mix.partners[d, j]].numpy() for d in range(2)) for j in range(rows)]
    assert np.allclose(mix(x).numpy(), by_hand)
    assert not larger or bool((mix.shares[0] >= 0.5).all())


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_dirichlet_mix_uses_one_share_vector_a_batch(parts):
    torch.manual_seed(0)
    mix = dirichlet_mix(6, parts)
    assert mix.partners.shape == mix.shares.shape == (parts, 6)
    assert torch.allclose(mix.shares.sum(0), torch.ones(6)) and torch.equal(mix.shares[:, 0], mix.shares[:, 5])


@given(st.floats(0, 1), st.integers(0, 99))
def test_cutmix_tells_the_share_that_stayed(share, seed):
    torch.manual_seed(seed)
    mixed, stayed = cutmix(torch.zeros(2, 1, 8, 10), torch.ones(2, 1, 8, 10), share)
    assert mixed.mean().item() == pytest.approx(1 - stayed, abs=1e-6)
    assert stayed >= share - 0.3


@settings(max_examples=30)
@given(st.sampled_from(["inf", "2"]), st.floats(0.01, 2), st.integers(0, 99))
def test_pgd_of_a_linear_objective_reaches_the_known_maximum(norm, radius, seed):
    torch.manual_seed(seed)
    x, w = torch.randn(4, 5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    found = pgd(lambda z: z @ w, x, radius, norm=norm, steps=60, step_size=radius / 4)
    reach = radius * (w.abs().sum() if norm == "inf" else w.norm())
    assert torch.allclose((found - x) @ w, reach.expand(4), rtol=0.02)
    moved = (found - x).abs().max() if norm == "inf" else (found - x).norm(dim=1).max()
    assert moved <= radius * (1 + 1e-6)


def test_attacks_respect_bounds_and_leave_x_alone():
    x = torch.rand(3, 1, 4, 4)
    before = x.clone()
    for attack in (pgd, fgsm):
        found = attack(lambda z: z.flatten(1).sum(1), x, 0.5, bounds=(0.0, 1.0))
        assert found.min() >= 0 and found.max() <= 1 and not found.requires_grad
    assert torch.equal(x, before)


def test_high_losses_stand_out_and_equal_losses_do_not():
    rng = np.random.default_rng(0)
    losses = np.r_[rng.normal(0.2, 0.05, 300), rng.normal(2, 0.3, 100)]
    p = high_loss_probability(losses)
    assert (p[:300] < 0.5).mean() > 0.99 and (p[300:] > 0.5).mean() > 0.99
    assert not high_loss_probability(np.ones(5)).any()
    with pytest.raises(ValueError, match="Row 1"):
        high_loss_probability([0.0, np.nan])


def test_counts_on_trusted_rows_recover_the_planted_matrix():
    truth = np.random.default_rng(0).integers(0, 4, 20_000)
    noisy = pair_noise(truth, 0.3, random_state=0)
    noise = NoiseMatrix.from_trusted(noisy.y, truth, 4)
    wanted = pair_transition(4, 0.3).T
    assert np.abs(noise.matrix - wanted).max() < 0.02
    assert ((noise.low <= wanted) & (wanted <= noise.high)).mean() > 0.8
    assert noise.wrong_rate() == pytest.approx(0.3, abs=0.01)


@given(st.integers(2, 6), st.floats(0, 0.4), st.integers(0, 99))
def test_to_clean_undoes_to_given(k, rate, seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(k), 7)
    noise = NoiseMatrix(pair_transition(k, rate).T)
    assert np.allclose(noise.to_clean(noise.to_given(p)), p, atol=1e-8)
    assert np.allclose(noise.posterior(p, np.zeros(7, int)).sum(1), 1)


def test_bad_matrices_are_refused_with_what_to_do():
    with pytest.raises(InputError, match="transpose"):
        NoiseMatrix(np.array([[0.9, 0.1], [0.3, 0.7]]))
    with pytest.raises(InputError, match=r"true class 0 from 1.*Merge"):
        NoiseMatrix(np.full((2, 2), 0.5)).inverse()
    with pytest.raises(InputError, match="row 1 has code 5"):
        NoiseMatrix.from_trusted([0, 5], [0, 1], 2)
