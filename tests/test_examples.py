"""The examples: each runs in a reduced form here and in full where time allows, and computes what its docstring says."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from examples import in_context_linear as in_context
from examples import locality_weight_sharing as locality
from examples import pretraining_comparison as pretraining
from examples import projection_head as heads
from examples import unsupervised_pretraining as unsupervised

EXAMPLES = sorted(
    path.stem
    for path in (Path(__file__).parents[1] / "examples").glob("*.py")
    if "def main(reduced: bool = False)" in path.read_text()
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_reduced(name, capsys):
    importlib.import_module(f"examples.{name}").main(reduced=True)
    assert len(capsys.readouterr().out.splitlines()) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_in_full(name, capsys):
    importlib.import_module(f"examples.{name}").main()
    assert len(capsys.readouterr().out.splitlines()) >= 4


# -- projection heads


def test_the_slope_of_the_spectral_contrastive_loss_is_that_of_autograd():
    """One step of the example's descent against a step along torch's gradient of the loss."""
    signal, noise = heads.variances(6)
    start = heads.train_linear(signal, noise, seed=3, steps=0)
    after = heads.train_linear(signal, noise, seed=3, steps=1, lr=0.01)
    W1, W2 = (torch.as_tensor(w, dtype=torch.float64).requires_grad_() for w in start)
    W, S, S_plus = W2 @ W1, torch.diag(torch.as_tensor(signal + noise)), torch.diag(torch.as_tensor(signal))
    loss = -2 * torch.trace(W @ S_plus @ W.T) + torch.trace(W @ S @ W.T @ W @ S @ W.T)
    loss.backward()
    assert np.allclose(after[0], (W1 - 0.01 * W1.grad).detach().numpy())
    assert np.allclose(after[1], (W2 - 0.01 * W2.grad).detach().numpy())


def test_the_closed_form_is_where_the_slope_vanishes():
    signal, noise = heads.variances(6)
    W = np.diag(np.sqrt(signal) / (signal + noise))
    scaled = W * (signal + noise)
    assert np.allclose(scaled @ W.T @ scaled, W * signal)


# -- in-context learning


def test_the_limit_of_isotropic_inputs():
    """G^-1 = N / (N + d + 1) I, as in the paper."""
    c, block = in_context.limit(np.eye(5), 20)
    assert np.allclose(c * block, 20 / 26 * np.eye(5))


def test_descent_of_the_closed_form_ends_at_the_limit():
    L = in_context.covariance(4, 1)
    u, K = in_context.flow(L, 10, steps=4000)
    c, block = in_context.limit(L, 10)
    assert u == pytest.approx(c, rel=0.01)
    assert np.allclose(K, block, atol=0.01)


def test_second_moment_of_the_sample_covariance():
    """E[S S] = L G, on which the derivation stands, by simulation."""
    rng, L, N = np.random.default_rng(0), in_context.covariance(3, 2), 8
    x = rng.normal(size=(40_000, N, 3)) @ np.linalg.cholesky(L).T
    S = np.einsum("bni,bnj->bij", x, x) / N
    G = (1 + 1 / N) * L + np.trace(L) / N * np.eye(3)
    assert np.allclose((S @ S).mean(0), L @ G, atol=0.03)


def test_the_layer_at_its_limit_is_a_preconditioned_step():
    L, N = in_context.covariance(4, 0), 12
    c, block = in_context.limit(L, N)
    value = torch.cat([torch.zeros(4), torch.tensor([c])]).float()
    layer = in_context.Layer(value, torch.cat([torch.as_tensor(block).float(), torch.zeros(1, 4)]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        E, _ = in_context.prompts(torch.eye(4), N, 5)
    x, y, query = E[:, :4, :-1].numpy(), E[:, 4, :-1].numpy(), E[:, :4, -1].numpy()
    expected = np.einsum("bi,ij,bjn,bn->b", query, c * block, x, y) / N
    assert np.allclose(in_context.predict(layer, E).numpy(), expected, atol=1e-4)


# -- the others


def test_bisection_finds_the_first_of_a_grid():
    grid = [1, 2, 4, 8, 16]
    assert [locality.first_true(grid, lambda n, at=at: n >= at) for at in (0, 3, 16, 99)] == [1, 4, 16, 16]


def test_networks_of_the_moving_signal_see_what_they_should():
    """Moving the patches changes nothing for shared weights, and something for local ones."""
    torch.manual_seed(0)
    x, order = torch.randn(20, 4, 3), torch.tensor([2, 0, 3, 1])
    moved = {kind: locality.Patchwise(kind, 4, 3) for kind in locality.NETWORKS}
    same = {kind: bool(torch.allclose(net(x), net(x[:, order]), atol=1e-6)) for kind, net in moved.items()}
    assert same == {"CNN": True, "LCN": False, "FCN": False}
    assert [sum(p.numel() for p in net.parameters()) - 2 for net in moved.values()] == [3, 12, 48]


def test_patches_of_a_picture():
    x = torch.arange(64.0).reshape(1, 8, 8)
    assert pretraining.patches(x)[0, 0].tolist() == [0, 1, 8, 9]
    assert pretraining.patches(x)[0, 5].tolist() == [18, 19, 26, 27]


def test_hidden_patches_do_not_reach_the_tokens():
    torch.manual_seed(0)
    net, x, mask = pretraining.TinyViT().eval(), torch.rand(2, 8, 8), torch.zeros(2, 16, dtype=torch.bool)
    mask[:, 5] = True
    other = x.clone()
    other[:, 2:4, 2:4] = 0.7
    hidden = torch.zeros(32)
    assert torch.allclose(net.tokens(x, hidden, mask), net.tokens(other, hidden, mask))
    assert not torch.allclose(net.tokens(x), net.tokens(other))


def test_an_uninformative_target_is_orthogonal_to_the_factors():
    world = unsupervised.FactorWorld(np.random.default_rng(0), d=20, r=3, informative=False)
    x, y = world.draw(2000)
    assert np.abs(world.loadings.T @ world.faint).max() < 1e-9
    assert np.corrcoef(x @ world.faint, y)[0, 1] > 0.9
    assert (x @ world.faint).std() < 0.06
