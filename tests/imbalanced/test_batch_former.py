"""BatchFormer: prediction is the plain network's, gradients cross rows in training only, T against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.data.synthetic import blobs
from labelwise.imbalanced import BatchFormerClassifier
from labelwise.learner import Train
from labelwise.losses import ELR, LDAM
from labelwise.nets import BatchFormer
from labelwise.training import Batch

QUICK = Train(epochs=3, batch_size=32, progress=False)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def norm(z, layer):
    scaled = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + layer.eps)
    return scaled * layer.weight.detach().numpy() + layer.bias.detach().numpy()


def by_hand(encoder, x, heads):
    """One post-norm transformer layer over the rows of x (b, d), head by head."""
    told = {name: value.detach().numpy() for name, value in encoder.named_parameters()}
    q, k, v = np.split(x @ told["self_attn.in_proj_weight"].T + told["self_attn.in_proj_bias"], 3, axis=1)
    parts = []
    for one in np.split(np.arange(x.shape[1]), heads):
        attention = softmax(q[:, one] @ k[:, one].T / np.sqrt(len(one)))
        parts.append(attention @ v[:, one])
    out = np.concatenate(parts, 1) @ told["self_attn.out_proj.weight"].T + told["self_attn.out_proj.bias"]
    x = norm(x + out, encoder.norm1)
    inner = np.maximum(x @ told["linear1.weight"].T + told["linear1.bias"], 0)
    return norm(x + inner @ told["linear2.weight"].T + told["linear2.bias"], encoder.norm2)


@given(st.integers(0, 1000), st.integers(1, 9), st.sampled_from([(8, 4, 4), (6, 4, 2), (5, 4, 1)]))
@settings(max_examples=20)
def test_the_second_half_is_a_transformer_layer_over_the_rows(seed, rows, shape):
    width, asked, heads = shape
    torch.manual_seed(seed)
    former = BatchFormer(width, asked, dropout=0.0).double()
    x = torch.randn(rows, width, dtype=torch.float64)
    both, y = former(x, torch.arange(rows))
    assert torch.equal(both[:rows], x)
    assert np.allclose(both[rows:].detach().numpy(), by_hand(former.encoder, x.numpy(), heads))
    assert y.tolist() == [*range(rows), *range(rows)]


def test_places_share_the_layer_and_do_not_see_each_other():
    former = BatchFormer(8, dropout=0.0)
    x = torch.randn(5, 3, 8)
    both, _ = former(x, torch.arange(5))
    for place in range(3):
        alone, _ = former(x[:, place], torch.arange(5))
        assert torch.allclose(both[:, place], alone, atol=1e-6)


def cross_gradient(former, rows=6):
    """Return the norm of the gradient of row 0's scores with respect to the other rows' features."""
    x = torch.randn(rows, 8, requires_grad=True)
    h, _ = former(x, torch.arange(rows))
    loss = h[0].square().sum() + (h[rows].square() * torch.arange(8)).sum() if len(h) > rows else h[0].square().sum()
    (gradient,) = torch.autograd.grad(loss, x)
    return float(gradient[1:].norm())


def test_gradients_cross_rows_in_training_only():
    former = BatchFormer(8)
    assert cross_gradient(former) > 1e-3
    assert cross_gradient(former.eval()) == 0


def test_gradients_cross_rows_in_the_learners_own_loss():
    """One row's part of the loss moves the features of all rows of its batch."""
    X, y = (getattr(blobs(64, 3, 8, random_state=0), name) for name in ("X", "y"))
    model = BatchFormerClassifier(dropout=0.0, calibration_share=0.0, train=QUICK, random_state=0).fit(X, y)
    model.former_.train()

    x = torch.as_tensor(model.inputs_.transform(X)[:16]).requires_grad_()
    only = Batch(x, torch.as_tensor(y[:16]), torch.arange(16), weight=(torch.arange(16) == 3).float())
    (crossed,) = torch.autograd.grad(model.loss(only), x)
    assert (crossed.norm(dim=1) > 0).all()
    (plain,) = torch.autograd.grad(model.criterion_(model.net_(x), only.y, only.index, only.weight), x)
    assert (plain.norm(dim=1) > 0).tolist() == [row == 3 for row in range(16)]


def test_prediction_is_the_plain_networks_and_ignores_other_rows():
    X, y = (getattr(blobs(200, 3, 8, random_state=0), name) for name in ("X", "y"))
    model = BatchFormerClassifier(train=QUICK, random_state=0).fit(X, y)
    with torch.no_grad():
        plain = model.net_.eval()(torch.as_tensor(model.inputs_.transform(X))).numpy()
    assert np.allclose(model.outputs(X), plain, atol=1e-5)
    assert np.allclose(model.outputs(X[:1]), model.outputs(X)[:1], atol=1e-12)
    model.former_ = None
    assert np.allclose(model.outputs(X), plain, atol=1e-5)


@pytest.mark.parametrize("criterion", [ELR(), LDAM()])
def test_any_loss_fits(criterion):
    X, y = (getattr(blobs(120, 3, 8, random_state=0), name) for name in ("X", "y"))
    model = BatchFormerClassifier(criterion=criterion, train=QUICK, random_state=0).fit(X, y, np.full(120, 2.0))
    assert np.isfinite(model.predict_proba(X)).all()


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match="heads"):
        BatchFormer(8, heads=0)
    with pytest.raises(InputError, match="dropout"):
        BatchFormer(8, dropout=1.5)
