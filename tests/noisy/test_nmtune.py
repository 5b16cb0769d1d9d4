"""NMTune's regularisers against numpy, its head, and the spectrum it acts on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_wine

from labelwise.base import InputError
from labelwise.diagnostics import FeatureSpectrum
from labelwise.learner import Train
from labelwise.noisy import NMTune
from labelwise.noisy.nmtune import ResidualHead, consistency, covariance_penalty, dominance

SHORT = Train(epochs=15, batch_size=16, lr=5e-3, progress=False)


@given(st.integers(0, 10_000), st.integers(2, 20), st.integers(2, 8))
def test_regularisers_are_their_equations(seed, n, d):
    rng = np.random.default_rng(seed)
    z, f = rng.normal(size=(2, n, d))
    cov = np.cov(z, rowvar=False)
    off = (cov**2).sum() - (np.diag(cov) ** 2).sum()
    assert float(covariance_penalty(torch.tensor(z))) == pytest.approx(off / d)
    s = np.linalg.svd(z, compute_uv=False)
    assert float(dominance(torch.tensor(z))) == pytest.approx((s / s.sum())[:5].mean())
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (z, f)]
    assert float(consistency(torch.tensor(z), torch.tensor(f))) == pytest.approx(((unit[0] - unit[1]) ** 2).mean())


def test_gradients_reach_the_head_only():
    z, f = torch.randn(2, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    parts = [torch.autograd.grad(part, z, retain_graph=True)[0] for part in (covariance_penalty(z), dominance(z))]
    assert all(torch.isfinite(part).all() for part in parts)
    assert torch.autograd.gradcheck(dominance, z.detach().requires_grad_())
    frozen = f.detach().requires_grad_()
    consistency(z, frozen).backward()
    assert frozen.grad is None
    degenerate = torch.zeros(3, 4, requires_grad=True)
    assert torch.isfinite(torch.autograd.grad(dominance(degenerate), degenerate)[0]).all()


def test_head_adds_to_the_features():
    head = ResidualHead(3)
    with torch.no_grad():
        head.scale.zero_()
    x = torch.randn(5, 3)
    torch.testing.assert_close(head(x), x)
    assert torch.isfinite(ResidualHead(3).train()(x[:1])).all()


@pytest.mark.parametrize("noisy_view", [False, True])
def test_learns_and_its_regularisers_do_what_they_say(noisy_view):
    X, y = load_wine(return_X_y=True)
    strong = {"consistency": 0.0, "covariance": 5.0, "singular": 0.0, "noisy_view": noisy_view}
    spread, plain = (
        NMTune(**{**strong, "covariance": weight}, train=SHORT, random_state=0).fit(X, y) for weight in (5.0, 0.0)
    )
    assert plain.score(X, y) > 0.95
    penalties = [float(covariance_penalty(torch.tensor(model.features(X)))) for model in (spread, plain)]
    assert penalties[0] < penalties[1]


def test_other_networks_and_pictures_are_refused():
    X, y = load_wine(return_X_y=True)
    with pytest.raises(InputError, match="leave net='auto'"):
        NMTune(net="linear").fit(X, y)
    with pytest.raises(InputError, match="images"):
        NMTune().fit(np.zeros((8, 4, 4, 1)), np.arange(8) % 2)


@given(st.integers(0, 10_000), st.integers(5, 40), st.integers(1, 10))
def test_spectrum_is_that_of_a_full_decomposition(seed, n, d):
    Z = np.random.default_rng(seed).normal(size=(n, d)) @ np.diag(np.linspace(1, 3, d))
    q = np.linalg.svd(Z, compute_uv=False)
    q /= q.sum()
    found = FeatureSpectrum(random_state=0).measure(Z)
    assert found.entropy.value == pytest.approx(-(q * np.log(q)).sum())
    assert found.largest.value == pytest.approx(-np.log(q[0]))
    for estimate in (found.entropy, found.largest):
        assert 0 <= estimate.low <= estimate.value <= estimate.high


def test_spectrum_tells_even_from_one_sided_features():
    rng = np.random.default_rng(0)
    even = rng.normal(size=(500, 8))
    sided = even @ np.diag([20.0] + [1.0] * 7)
    a, b = (FeatureSpectrum(random_state=0).measure(Z) for Z in (even, sided))
    assert a.entropy.low > b.entropy.high
    assert a.largest.low > b.largest.high
    assert "carries" in str(b)
    scaled = FeatureSpectrum(random_state=0).measure(1e3 * sided)
    assert scaled.entropy.value == pytest.approx(b.entropy.value)
