"""The spherical family: values and gradients against formulas written out in numpy, invariances, several targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.losses import OneHotError, SphericalSoftmax, TaylorSoftmax, ZLoss
from labelwise.losses.spherical import shares

FAMILY = [ZLoss(0.7, 1.5), OneHotError(), SphericalSoftmax(0.1), TaylorSoftmax()]
each_loss = pytest.mark.parametrize("loss", FAMILY, ids=lambda loss: type(loss).__name__)


def written_out(loss, o, c):
    """Loss and gradient of one row, from the definitions, class by class."""
    D, eye = len(o), np.eye(len(o))[c]
    if isinstance(loss, ZLoss):
        mean, std = o.mean(), o.std()
        z = (o - mean) / std
        at = loss.a * (loss.b - z[c])
        slope = -1 / (1 + np.exp(-at))
        return np.log1p(np.exp(at)) / loss.a, slope * (eye - 1 / D - z[c] * z / D) / std
    if isinstance(loss, OneHotError):
        return ((o - eye) ** 2).sum(), 2 * (o - eye)
    if isinstance(loss, SphericalSoftmax):
        p = (o**2 + loss.eps) / (o**2 + loss.eps).sum()
        return -np.log(p[c]), 2 * o / (o**2 + loss.eps).sum() - eye * 2 * o / (o**2 + loss.eps)
    t = 1 + o + o**2 / 2
    return -np.log(t[c] / t.sum()), (1 + o) / t.sum() - eye * (1 + o) / t


@each_loss
@settings(deadline=None, max_examples=25)
@given(st.integers(3, 40), st.floats(0.1, 10), st.floats(-5, 5), st.integers(0, 2**31))
def test_value_and_gradient_are_those_written_out(loss, D, scale, shift, seed):
    rng = np.random.default_rng(seed)
    o, y = shift + scale * rng.normal(size=(6, D)), rng.integers(D, size=6)
    scores = torch.tensor(o, requires_grad=True)
    values = loss.pointwise(scores, torch.tensor(y))
    (gradient,) = torch.autograd.grad(values.sum(), scores)
    expected = [written_out(loss, *row) for row in zip(o, y, strict=True)]
    assert np.allclose(values.detach(), [value for value, _ in expected], rtol=1e-8, atol=1e-10)
    assert np.allclose(gradient, np.stack([slope for _, slope in expected]), rtol=1e-7, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.01, 1e4), st.floats(-1e3, 1e3), st.integers(0, 2**31))
def test_the_z_loss_is_blind_to_shift_and_scale(scale, shift, seed):
    rng = np.random.default_rng(seed)
    o, y = torch.tensor(rng.normal(size=(4, 9))), torch.tensor(rng.integers(9, size=4))
    assert torch.allclose(ZLoss(2.0, 1.0).pointwise(o, y), ZLoss(2.0, 1.0).pointwise(scale * o + shift, y), rtol=1e-6)


def test_the_z_loss_in_single_precision_survives_a_shift_far_above_the_spread():
    """The variance as mean of squares minus square of the mean would cancel to nothing here."""
    o, y = torch.randn(5, 50, generator=torch.Generator().manual_seed(0)), torch.arange(5)
    assert torch.allclose(ZLoss()(o, y), ZLoss()((o * 64 + 8192), y), rtol=1e-3)


@each_loss
def test_several_targets_count_by_their_mean(loss):
    o = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    both = loss.pointwise(o, torch.tensor([[0, 3], [5, -1]]))
    apart = [loss.pointwise(o, torch.tensor(y)) for y in ([0, 5], [3, 5])]
    assert torch.allclose(both, (apart[0] + apart[1]) / 2)
    assert loss.pointwise(o, torch.full((2, 2), -1)).tolist() == [0, 0]


def test_shares_of_padded_targets():
    index, share = shares(torch.tensor([[4, 2, -1], [-1, -1, -1]]))
    assert index.tolist() == [[4, 2, 0], [0, 0, 0]]
    assert share.tolist() == [[0.5, 0.5, 0], [0, 0, 0]]


def test_rows_at_the_floor_are_counted():
    o = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    q, s = o.square().sum(1, keepdim=True), o.sum(1, keepdim=True)
    assert int(ZLoss(eps=1e-6).floored(q, s, 3)) == 1
    assert int(TaylorSoftmax().floored(q, s, 3)) == 0


def test_ranking_of_the_spherical_softmax_is_by_squares():
    scores = torch.tensor([[-3.0, 2.0]])
    assert SphericalSoftmax().ranking(scores).argmax() == 0
    assert ZLoss().ranking(scores).argmax() == 1


@pytest.mark.parametrize("made", [lambda: ZLoss(a=0), lambda: ZLoss(b=float("inf")), lambda: ZLoss(eps=0)])
def test_bad_parameters_of_the_z_loss(made):
    with pytest.raises(InputError, match="ZLoss needs a > 0"):
        made()


def test_bad_eps_of_the_spherical_softmax():
    with pytest.raises(InputError, match="eps > 0"):
        SphericalSoftmax(eps=0)
