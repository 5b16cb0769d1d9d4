from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.nets.attention import AttentionText
from labelwise.semi_supervised import AttentionVAT
from labelwise.semi_supervised.attention_vat import differences, divergence, unit


def method(variant: str, radius: float = 1.0, seed: int = 0) -> AttentionVAT:
    torch.manual_seed(seed)
    vat = AttentionVAT(variant=variant, radius=radius)
    vat.net_ = AttentionText(50, 3, width=12).eval()
    return vat


def padded(seed: int, rows: int = 6, length: int = 9) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 50, size=(rows, length))
    for row, end in enumerate(rng.integers(1, length + 1, size=rows)):
        tokens[row, end:] = 0
    return torch.as_tensor(tokens)


def parts(vat: AttentionVAT, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    attended = vat.net_.features
    hidden, real = attended.encode(tokens)
    scores = attended.scores(hidden)
    return hidden.detach(), scores.detach(), real, vat.net_.head(attended.read(hidden, scores, real)).detach()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["vat", "ivat"]))
def test_padding_is_never_moved_and_never_counts(seed: int, variant: str) -> None:
    vat, tokens = method(variant, seed=seed), padded(seed)
    hidden, scores, real, clean = parts(vat, tokens)
    torch.manual_seed(1)
    change = vat.worst(hidden, scores, real, clean)
    assert (change[~real] == 0).all()
    longer = torch.cat([tokens, torch.zeros(6, 5, dtype=tokens.dtype)], 1)
    torch.testing.assert_close(vat.net_(tokens), vat.net_(longer))
    attention = vat.net_.features.attention(scores, real)
    assert (attention[~real] == 0).all()
    torch.testing.assert_close(attention.sum(1), torch.ones(6))
    wider = differences(
        torch.cat([scores, torch.ones(6, 5)], 1), torch.cat([real, torch.zeros(6, 5, dtype=torch.bool)], 1)
    )
    torch.testing.assert_close(wider[:, :9, :9], differences(scores, real))
    assert (wider[:, 9:] == 0).all() and (wider[:, :, 9:] == 0).all()


@pytest.mark.parametrize("variant", ["vat", "ivat"])
def test_the_gradient_is_zero_at_no_change_and_not_beside_it(variant: str) -> None:
    """Why the power iteration starts at a random alpha: at zero the divergence has its minimum."""
    vat, tokens = method(variant), padded(0)
    hidden, scores, real, clean = parts(vat, tokens)
    move, free = vat.moves(scores, real)

    def gradient(start: torch.Tensor) -> torch.Tensor:
        start = start.requires_grad_()
        moved = vat.net_.head(vat.net_.features.read(hidden, scores + move(start), real))
        return torch.autograd.grad(divergence(clean, moved).sum(), start)[0]

    assert float(gradient(torch.zeros_like(free)).abs().max()) < 1e-6
    assert float(gradient(0.1 * unit(torch.randn_like(free) * free)).abs().max()) > 1e-5


def test_vat_has_the_radius_and_ivat_is_a_combination_of_differences() -> None:
    tokens = padded(3)
    vat = method("vat", radius=2.5)
    hidden, scores, real, clean = parts(vat, tokens)
    several = real.sum(1) > 1
    torch.testing.assert_close(
        vat.worst(hidden, scores, real, clean)[several].norm(dim=1), torch.full((int(several.sum()),), 2.5)
    )
    ivat = method("ivat", radius=2.5)
    change = ivat.worst(hidden, scores, real, clean)
    assert (change[~several] == 0).all()  # a text of one word has no differences
    D = differences(scores, real)
    reach = 2.5 * D.norm(dim=2)  # |sum_k alpha_tk D_tk| <= |alpha_t| |D_t| and |alpha| = radius
    assert (change.abs() <= reach + 1e-5).all()
    for row in range(len(tokens)):
        for t in range(tokens.shape[1]):
            expected = np.array(
                [float(scores[row, t] - scores[row, k]) if real[row, t] and real[row, k] else 0.0 for k in range(9)]
            )
            norm = np.linalg.norm(expected)
            np.testing.assert_allclose(D[row, t], expected / norm if norm > 0 else expected, atol=1e-4)


@pytest.mark.parametrize("variant", ["vat", "ivat"])
def test_the_change_found_is_worse_than_random_ones(variant: str) -> None:
    vat, tokens = method(variant), padded(5, rows=40)
    hidden, scores, real, clean = parts(vat, tokens)
    move, free = vat.moves(scores, real)

    def harm(change: torch.Tensor) -> float:
        moved = vat.net_.head(vat.net_.features.read(hidden, scores + change, real))
        return float(divergence(clean, moved).mean().detach())

    found = harm(vat.worst(hidden, scores, real, clean))
    random = [harm(move(unit(torch.randn_like(free) * free))) for _ in range(20)]
    assert found > max(random)


def test_divergence_is_scipys_and_its_gradient_reaches_all_of_the_network() -> None:
    a, b = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    expected = rel_entr(softmax(a.numpy(), 1), softmax(b.numpy(), 1)).sum(1)
    np.testing.assert_allclose(divergence(a, b), expected)
    assert torch.isfinite(divergence(torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]]))).all()
    vat = method("ivat")
    vat.divergence(padded(1)).mean().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in vat.net_.features.parameters())


def test_fits_lists_of_texts_and_explains_them() -> None:
    data = AttentionVAT.trial()
    model = AttentionVAT(train=Train(epochs=15, batch_size=16, lr=5e-3), random_state=0).fit(data["X"], data["y"])
    assert model.score(data["X_test"], data["y_test"]) > 0.8
    weights = model.attention(data["X_test"])
    assert all(len(row) == 8 and row.sum() == pytest.approx(1) for row in weights)
    assert len(model.attention(["", "one"])[0]) == 1 and np.isfinite(model.predict_proba([""])).all()


def test_refuses_what_has_no_attention() -> None:
    with pytest.raises(InputError, match="X must be a list of texts"):
        AttentionVAT().fit(np.random.default_rng(0).normal(size=(20, 4)), [0, 1] * 10)
    with pytest.raises(InputError, match="has no attention scores"):
        AttentionVAT(net="transformer").fit(["a", "b"] * 10, [0, 1] * 10)
    with pytest.raises(InputError, match="net must have the parts"):
        AttentionVAT(net=torch.nn.Linear(3, 2)).fit(["a", "b"] * 10, [0, 1] * 10)
