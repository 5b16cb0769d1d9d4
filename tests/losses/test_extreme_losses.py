"""The losses of [41] against the formula in numpy, their gradients against finite differences, and what masks hide."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit

from labelwise.base import InputError
from labelwise.losses import DecoupledSoftmax, SoftTopK, aggressive_triplet
from labelwise.losses.decoupled_softmax import drawn
from labelwise.losses.soft_top_k import log_soft_top_k


def slow_decoupled(s, pos, neg):
    rows = []
    for i in range(len(s)):
        if pos[i].any():
            false = np.exp(s[i][neg[i]]).sum()
            rows.append(np.mean([-np.log(np.exp(s[i, p]) / (np.exp(s[i, p]) + false)) for p in np.flatnonzero(pos[i])]))
    return np.mean(rows) if rows else 0.0


def slow_top_k(s, pos, neg, k, alpha):
    """The root by scipy, per row; k below the number of labels."""
    rows = []
    for i in range(len(s)):
        if pos[i].any():
            part = np.flatnonzero(pos[i] | neg[i])
            wanted = min(pos[i].sum() if k == "positives" else k, len(part) - 1)
            t = brentq(lambda t, x=s[i, part], w=wanted: expit(alpha * (x + t)).sum() - w, -60, 60, xtol=1e-13)
            rows.append(np.mean([-np.log(expit(alpha * (s[i, p] + t))) for p in np.flatnonzero(pos[i])]))
    return np.mean(rows) if rows else 0.0


def finite_differences(f, s, eps=1e-5):
    gradient = np.zeros_like(s)
    for place in np.ndindex(s.shape):
        step = np.zeros_like(s)
        step[place] = eps
        gradient[place] = (f(s + step) - f(s - step)) / (2 * eps)
    return gradient


def batch(seed, b=4, m=7):
    rng = np.random.default_rng(seed)
    s = rng.normal(size=(b, m)) * 2
    kind = rng.integers(-1, 2, size=(b, m))  # 1 yes, 0 no, -1 unknown
    kind[:, 0], kind[:, 1], kind[:, 2] = 1, 0, 0
    kind[-1] = np.where(kind[-1] == 1, 0, kind[-1])  # a row without any positive
    return s, kind == 1, kind == 0


def value_and_gradient(loss, s, pos, neg):
    scores = torch.tensor(s, requires_grad=True)
    value = loss(scores, torch.tensor(pos), torch.tensor(neg))
    value.backward()
    return value.item(), scores.grad.numpy()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_decoupled_softmax_is_its_formula(seed):
    s, pos, neg = batch(seed)
    value, gradient = value_and_gradient(DecoupledSoftmax(), s, pos, neg)
    assert value == pytest.approx(slow_decoupled(s, pos, neg))
    assert gradient == pytest.approx(finite_differences(lambda x: slow_decoupled(x, pos, neg), s), abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([5, "positives"]), st.sampled_from([0.7, 2.0]))
def test_soft_top_k_is_its_formula(seed, k, alpha):
    s, pos, neg = batch(seed, b=3)  # at most five positives a row, so that none is drawn
    pos[:, 5:] = False
    value, gradient = value_and_gradient(SoftTopK(k=k, alpha=alpha), s, pos, neg)
    assert value == pytest.approx(slow_top_k(s, pos, neg, k, alpha), abs=1e-6)
    expected = finite_differences(lambda x: slow_top_k(x, pos, neg, k, alpha), s)
    assert gradient == pytest.approx(expected, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.floats(0.5, 4))
def test_chances_add_up_to_k_and_keep_the_order(seed, k, alpha):
    s = torch.tensor(np.random.default_rng(seed).normal(size=(5, 9)))
    p = log_soft_top_k(s, k, alpha, steps=64).exp()
    assert p.sum(1).tolist() == pytest.approx([k] * 5)
    assert torch.equal(p.argsort(1), s.argsort(1))


def test_backward_of_soft_top_k_by_gradcheck():
    s = torch.tensor(np.random.default_rng(0).normal(size=(3, 6)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: log_soft_top_k(x, 2, 1.5, steps=64), (s,))
    part = torch.ones(3, 6, dtype=torch.bool)
    part[:, 4] = False
    assert torch.autograd.gradcheck(lambda x: log_soft_top_k(x, 2, 1.5, part, 64)[:, :4], (s,))


@pytest.mark.parametrize("loss", [DecoupledSoftmax(), SoftTopK(k=2), SoftTopK(k="positives")], ids=repr)
def test_what_is_in_neither_mask_changes_nothing(loss):
    s, pos, neg = batch(3)
    hidden = ~pos & ~neg
    assert hidden.any()
    other = np.where(hidden, 50.0, s)
    torch.manual_seed(0)
    value, gradient = value_and_gradient(loss, s, pos, neg)
    torch.manual_seed(0)
    assert value_and_gradient(loss, other, pos, neg)[0] == value
    assert (gradient[hidden] == 0).all()


@pytest.mark.parametrize("loss", [DecoupledSoftmax(), SoftTopK(k=3)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_scores_and_empty_rows_stay_finite(loss, dtype):
    for scale in (0, 1, 1e3, 3e4):
        s = (
            (torch.randn(4, 6, generator=torch.Generator().manual_seed(1)).clamp(-2, 2) * scale)
            .to(dtype)
            .requires_grad_()
        )
        pos = torch.tensor([[1, 0, 0, 0, 1, 0], [0] * 6, [1] * 6, [0, 1, 0, 0, 0, 0]]).bool()
        value = loss(s, pos)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(s.grad).all()
    assert loss(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0


def test_decoupled_leaves_an_easy_positive_alone_where_softmax_pulls_it_down():
    s = torch.tensor([[8.0, 1.0, 0.0, -1.0]], requires_grad=True)
    pos = torch.tensor([[True, True, False, False]])
    DecoupledSoftmax()(s, pos).backward()
    assert s.grad[0, 0] <= 0
    plain = torch.tensor(s.tolist(), requires_grad=True)
    (-plain.log_softmax(1)[pos].mean()).backward()
    assert plain.grad[0, 0] > 0.4


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_drawn_positives_are_positives_and_each_has_its_turn(seed, count):
    pos = torch.tensor(np.random.default_rng(seed).random((6, 5)) < 0.5)
    taken = drawn(pos, count, torch.Generator().manual_seed(seed))
    assert not (taken & ~pos).any()
    assert taken.sum(1).tolist() == pos.sum(1).clamp(max=count).tolist()


def test_sampled_positives_estimate_the_loss_of_all():
    s, pos, neg = batch(5, b=30)
    s, pos, neg = torch.tensor(s), torch.tensor(pos), torch.tensor(neg)
    generator = torch.Generator().manual_seed(0)
    one = np.mean([DecoupledSoftmax(sampled=1)(s, pos, neg, generator).item() for _ in range(400)])
    assert one == pytest.approx(DecoupledSoftmax()(s, pos, neg).item(), rel=0.02)


def slow_triplet(s, s_pos, neg, k, margin, tau):
    total = []
    for i in range(len(s)):
        hardest = np.sort(np.where(neg[i], s[i], -10.0))[::-1][:k]
        gap = np.maximum(0, hardest - s_pos[i] + margin)
        weight = np.exp(hardest / tau * (gap > 0))
        total.append(gap * weight / weight.sum())
    return np.mean(total)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_aggressive_triplet_is_its_formula(seed, k):
    rng = np.random.default_rng(seed)
    s, s_pos, neg = rng.uniform(-1, 1, (4, 6)), rng.uniform(-1, 1, 4), rng.random((4, 6)) < 0.7
    scores, positive = torch.tensor(s, requires_grad=True), torch.tensor(s_pos, requires_grad=True)
    value = aggressive_triplet(scores, positive, torch.tensor(neg), k, 0.3, 0.1)
    value.backward()
    assert value.item() == pytest.approx(slow_triplet(s, s_pos, neg, k, 0.3, 0.1))
    by_hand = finite_differences(lambda x: slow_triplet(x, s_pos, neg, k, 0.3, 0.1), s, 1e-6)
    assert scores.grad.numpy() == pytest.approx(by_hand, abs=1e-5)
    by_hand = finite_differences(lambda x: slow_triplet(s, x, neg, k, 0.3, 0.1), s_pos, 1e-6)
    assert positive.grad.numpy() == pytest.approx(by_hand, abs=1e-5)
    changed = np.where(neg, s, 0.99)
    assert aggressive_triplet(torch.tensor(changed), positive, torch.tensor(neg), k).item() == value.item()


def test_bad_masks_and_arguments_are_named():
    s, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(InputError, match="one shape"):
        DecoupledSoftmax()(s, mask[:, :2])
    with pytest.raises(InputError, match="label 0 of row 0 is in pos_mask and in neg_mask"):
        DecoupledSoftmax()(s, mask, mask)
    with pytest.raises(InputError, match="sampled"):
        DecoupledSoftmax(sampled=0)
    with pytest.raises(InputError, match="k must be"):
        SoftTopK(k=0)
    with pytest.raises(InputError, match="alpha"):
        SoftTopK(alpha=0)
