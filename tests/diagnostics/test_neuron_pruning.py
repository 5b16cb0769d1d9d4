"""Periodic and noise weights planted on purpose, the ratio against its definition, and pruning of any network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.diagnostics import PeriodicNeurons, inverse_participation_ratio, prune


def slow_ratio(row):
    p = len(row)
    power = []
    for j in range(p // 2 + 1):
        wave = np.exp(-2j * np.pi * j * np.arange(p) / p)
        power.append(abs((row * wave).sum()) ** 2)
    return sum(v**2 for v in power) / sum(power) ** 2


@given(st.integers(0, 10_000), st.integers(3, 40))
@settings(max_examples=40, deadline=None)
def test_ratio_is_its_definition_and_ignores_scale_and_rotation(seed, p):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(5, p))
    found = inverse_participation_ratio(rows)
    np.testing.assert_allclose(found, [slow_ratio(row) for row in rows])
    np.testing.assert_allclose(inverse_participation_ratio(1e-200 * rows), found)
    np.testing.assert_allclose(inverse_participation_ratio(np.roll(rows, 2, axis=1)), found)
    assert (found >= 1 / (p // 2 + 1) - 1e-12).all()
    assert (found <= 1 + 1e-12).all()


@given(st.integers(1, 14), st.floats(0, 6.3))
@settings(max_examples=30, deadline=None)
def test_one_frequency_has_one(frequency, phase):
    wave = np.cos(2 * np.pi * frequency * np.arange(31) / 31 + phase)
    assert inverse_participation_ratio(wave[None])[0] == pytest.approx(1)


@given(st.integers(0, 1000), st.integers(0, 40))
@settings(max_examples=15, deadline=None)
def test_planted_waves_are_told_from_noise(seed, n_waves):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(40, 59)) for _ in range(3)]
    for rows in weights:
        rows[:n_waves] += 3 * np.cos(2 * np.pi * rng.integers(1, 29, (n_waves, 1)) * np.arange(59) / 59)
    found = PeriodicNeurons(draws=5000).measure(*weights)
    noise = found.memorizing_neurons()
    assert set(noise.tolist()) <= set(range(n_waves, 40))
    assert len(noise) >= 40 - n_waves - 2
    assert (np.diff(found.score[noise]) >= 0).all()
    assert found.periodic.low <= n_waves / 40 <= found.periodic.high or abs(found.periodic.value - n_waves / 40) <= 0.05


def test_noise_level_holds_its_rate():
    found = PeriodicNeurons(false_alarms=0.05).measure(np.random.default_rng(1).normal(size=(4000, 31)))
    assert found.periodic.low < 0.06
    assert found.periodic.high > 0.04
    assert "look like noise" in str(found)


@given(st.integers(0, 10_000), st.floats(0, 1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_prune_cuts_out_the_ends_of_the_ranking(seed, share, highest):
    torch.manual_seed(seed)
    scores = np.random.default_rng(seed).random(10)
    net = torch.nn.Sequential(torch.nn.Linear(4, 10), torch.nn.Tanh(), torch.nn.Linear(10, 3))
    cut = prune(net, "0", scores, share, highest=highest)
    ranked = np.argsort(-scores if highest else scores)
    kept = torch.as_tensor(np.sort(ranked[round(share * 10) :]).copy())
    x = torch.randn(6, 4)
    expected = torch.tanh(net[0](x))[:, kept] @ net[2].weight[:, kept].T + net[2].bias
    torch.testing.assert_close(cut(x), expected)
    assert (net[0].weight != 0).all()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: PeriodicNeurons().measure(), "at least one"),
        (lambda: PeriodicNeurons().measure(np.ones((3, 5)), np.ones((4, 5))), "row per neuron"),
        (lambda: inverse_participation_ratio(np.ones(5)), r"\(n, p\)"),
        (lambda: inverse_participation_ratio([[1, np.nan, 2]]), "finite"),
        (lambda: prune(torch.nn.Linear(2, 3), "", [1, 2], 0.5), "one row for each"),
        (lambda: prune(torch.nn.Linear(2, 3), "", [1, 2, 3], 1.5), "share"),
    ],
)
def test_bad_input(call, told):
    with pytest.raises(InputError, match=told):
        call()
