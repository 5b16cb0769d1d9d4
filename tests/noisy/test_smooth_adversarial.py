"""The smooth adversarial loss: what it bounds, what its consistency bounds say, and what moves it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from labelwise.learner import Classifier, Train
from labelwise.losses import CompSum
from labelwise.noisy import SmoothAdversarial
from labelwise.noisy.smooth_adversarial import leads
from labelwise.parts.attacks import pgd

TAUS = (0.0, 0.4, 1.0, 1.5, 2.0)
X, Y = load_iris(return_X_y=True)
X = (X - X.mean(0)) / X.std(0)


def phi(u: np.ndarray | float, tau: float) -> np.ndarray | float:
    """The comp-sum function of the sum over the wrong classes."""
    return np.log1p(u) if tau == 1 else ((1 + u) ** (1 - tau) - 1) / (1 - tau)


def ramp(u: np.ndarray, rho: float) -> np.ndarray:
    return np.clip(1 - u / rho, 0, 1)


def test_leads():
    scores, y = torch.tensor([[1.0, 5.0, 2.0], [4.0, 0.0, 1.0]]), torch.tensor([1, 2])
    assert [sorted(row) for row in leads(scores, y).tolist()] == [[3.0, 4.0], [-3.0, 1.0]]


@given(st.integers(0, 10_000), st.sampled_from(TAUS), st.sampled_from([0.5, 1.0, 2.0]))
def test_it_bounds_the_adversarial_margin_loss(seed, tau, rho):
    """With nu >= sqrt(K - 1) / rho, over any finite set of attacked inputs."""
    rng, k = np.random.default_rng(seed), 4
    clean = 2 * rng.normal(size=k)
    attacked = np.r_[clean[None], clean + rng.normal(size=(30, k))]
    D = leads(torch.tensor(attacked), torch.zeros(31, dtype=torch.int64)).numpy()
    worst = phi(ramp(D, rho).sum(1), tau).max()
    smooth = float(CompSum(tau)(torch.tensor(clean / rho)[None], torch.tensor([0])))
    movement = np.linalg.norm(D - D[0], axis=1).max()
    assert worst <= smooth + math.sqrt(k - 1) / rho * movement + 1e-9


@given(st.integers(0, 10_000), st.sampled_from(TAUS), st.integers(2, 4))
def test_consistency_of_the_adversarial_margin_loss(seed, tau, k):
    """Excess adversarial error <= excess margin risk / phi(1), on discrete distributions and piecewise constant scores."""
    rng = np.random.default_rng(seed)
    p, rho = rng.dirichlet(np.ones(k)), 1.0

    def risk(h: np.ndarray) -> float:
        D = h[:, None] - h[None, :]  # [y, k']
        sums = ramp(D, rho).sum(1) - 1  # less the class itself
        return float(p @ phi(sums, tau))

    best = min(risk(np.array(h, float)) for h in itertools.product(range(k), repeat=k))
    for _ in range(20):
        h = rng.normal(size=k) * rng.choice([0.1, 1.0, 5.0])
        error = 1 - p[h.argmax()] if (np.sort(h)[-1] > np.sort(h)[-2]) else 1.0
        assert error - (1 - p.max()) <= (risk(h) - best) / phi(1.0, tau) + 1e-9


@pytest.mark.parametrize("tau", [2.0, 2.5])
@given(seed=st.integers(0, 10_000))
def test_consistency_of_the_flat_end_of_the_family(tau, seed):
    """For tau >= 2 the bound is linear: excess error <= (tau - 1) K^(tau - 1) excess risk, in terms of probabilities."""
    rng, k = np.random.default_rng(seed), 3
    p = rng.dirichlet(np.ones(k))
    guesses = np.r_[rng.dirichlet(np.full(k, 0.5), 400), np.eye(k), np.full((1, k), 1 / k)]

    def risk(q: np.ndarray) -> np.ndarray:
        logits = torch.tensor(q).clamp_min(1e-300).log()
        values = [CompSum(tau).pointwise(logits, torch.full((len(q),), label)) for label in range(k)]
        return torch.stack(values, 1).numpy() @ p

    risks = risk(guesses)
    excess_error = p.max() - p[guesses.argmax(1)]
    assert (excess_error <= (tau - 1) * k ** (tau - 1) * (risks - risks.min()) + 1e-9).all()


def test_gradient_passes_through_both_ends():
    """The movement's gradient differs from that with the clean end held still."""
    net = torch.nn.Linear(2, 3)
    x, moved, y = torch.ones(1, 2), torch.tensor([[1.0, 2.0]]), torch.tensor([0])

    def movement(clean: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(leads(net(moved), y) - clean, dim=1).sum()

    both = torch.autograd.grad(movement(leads(net(x), y)), net.weight)[0]
    one = torch.autograd.grad(movement(leads(net(x), y).detach()), net.weight)[0]
    assert torch.allclose(both[:, 0], torch.zeros(3), atol=1e-6)  # the first column is the same at both ends
    assert one[:, 0].abs().sum() > 0.1
    model = SmoothAdversarial(radius=0.3, net="linear", train=Train(epochs=1, progress=False), random_state=0).fit(X, Y)
    from labelwise.batch import Batch

    batch = Batch(torch.tensor(X[:8], dtype=torch.float32), torch.tensor(Y[:8]), torch.arange(8))
    parts = model.loss(batch)
    parts["movement"].backward()
    assert torch.allclose(model.net_.head.bias.grad, torch.zeros(3), atol=1e-6)  # cancels, through both ends only


def test_without_weight_or_radius_it_is_the_comp_sum_loss():
    train = Train(epochs=3, progress=False)
    plain = Classifier(criterion=CompSum(0.4), train=train, random_state=0).fit(X, Y).predict_proba(X)
    still = SmoothAdversarial(radius=0.0, train=train, random_state=0).fit(X, Y)
    np.testing.assert_allclose(still.predict_proba(X), plain, atol=1e-5)


def moved_leads(nu: float) -> float:
    train = Train(epochs=15, batch_size=32, progress=False)
    net = SmoothAdversarial(radius=0.5, nu=nu, train=train, random_state=0).fit(X, Y).net_.eval()
    x, y = torch.tensor(X, dtype=torch.float32), torch.tensor(Y)
    before = leads(net(x), y).detach()

    def movement(z: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(leads(net(z), y) - before, dim=1)

    torch.manual_seed(0)
    return movement(pgd(movement, x, 0.5)).detach().mean().item()


def test_a_larger_weight_holds_the_leads_stiller():
    assert moved_leads(3.0) < 0.5 * moved_leads(0.0)
