"""Losses of several labels a row: value and gradient against slow loops, and what an unknown entry may do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labelwise import catalogue
from labelwise.base import InputError
from labelwise.losses import MLCD, PUMLC, AssumeNegative, AsymmetricLoss, LargeLoss, MaskedBCE

SEEDS = st.integers(0, 10_000)
MULTI_LABEL = [e.cls for e in catalogue.methods() if e.kind == "loss" and "multilabel" in e.supervision]


def drawn(seed: int, n: int = 7, k: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(n, k, generator=generator, dtype=torch.float64)
    return z.requires_grad_(), torch.randint(-1, 2, (n, k), generator=generator)


def slope(value: float, up, z: Tensor, step: float = 1e-6) -> np.ndarray:
    """Gradient of a slow function of the scores, by central differences."""
    at, out = z.detach().numpy().copy(), np.zeros(z.shape)
    for place in np.ndindex(*at.shape):
        for sign in (1, -1):
            at[place] += sign * step
            out[place] += sign * up(at) / (2 * step)
            at[place] -= sign * step
    return out


def p_of(v: float) -> float:
    return 1 / (1 + math.exp(-v))


@given(SEEDS, st.floats(0, 3), st.floats(0, 4), st.floats(0, 0.3), st.sampled_from(["left out", "negative"]))
@settings(max_examples=40, deadline=None)
def test_asymmetric_value_and_gradient(seed, positive, negative, margin, unknown):
    z, y = drawn(seed)

    def slow(scores: np.ndarray, focus: np.ndarray | None = None) -> float:
        rows = []
        for i in range(len(scores)):
            entries = []
            for c in range(4):
                if int(y[i, c]) < 0 and unknown == "left out":
                    continue
                p = p_of(scores[i, c])
                q = max(p - margin, 0.0)
                f = p_of(float(z.detach()[i, c])) if focus is not None else p
                if int(y[i, c]) == 1:
                    entries.append(-((1 - f) ** positive) * math.log(p))
                else:
                    entries.append(-(max(f - margin, 0.0) ** negative) * math.log(1 - q))
            rows.append(sum(entries) / max(1, len(entries)))
        return sum(rows) / len(rows)

    value = AsymmetricLoss(positive, negative, margin, unknown)(z, y)
    assert value.item() == pytest.approx(slow(z.detach().numpy()), abs=1e-9)
    value.backward()
    assert z.grad is not None
    expected = slope(0, lambda s: slow(s, focus=np.ones(1)), z)  # the factor stays where the scores were
    np.testing.assert_allclose(z.grad.numpy(), expected, atol=1e-6)


def test_asymmetric_without_focus_is_binary_cross_entropy():
    z, y = drawn(0)
    torch.testing.assert_close(AsymmetricLoss(0, 0, 0)(z, y), MaskedBCE()(z, y))


@given(SEEDS, st.sampled_from([None, 0.0, 0.4, 1.0]), st.floats(0, 0.5))
@settings(max_examples=40, deadline=None)
def test_assume_negative_value_and_gradient(seed, weight, smoothing):
    z, y = drawn(seed)

    def slow(scores: np.ndarray) -> float:
        total = 0.0
        for i, c in np.ndindex(*scores.shape):
            t = 1 - smoothing / 2 if int(y[i, c]) == 1 else smoothing / 2
            w = (1 / 3 if weight is None else weight) if int(y[i, c]) < 0 else 1
            p = p_of(scores[i, c])
            total -= w * (t * math.log(p) + (1 - t) * math.log(1 - p))
        return total / scores.size

    value = AssumeNegative(weight, smoothing)(z, y)
    value.backward()
    assert z.grad is not None
    assert value.item() == pytest.approx(slow(z.detach().numpy()), abs=1e-9)
    np.testing.assert_allclose(z.grad.numpy(), slope(0, slow, z), atol=1e-6)


@given(SEEDS, st.sampled_from(["reject", "correct", "keep"]), st.floats(0, 0.9), st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=60, deadline=None)
def test_large_loss_value_and_gradient(seed, mode, share, passed):
    z, y = drawn(seed)
    loss = LargeLoss(mode, share).bind(7, 4)
    loss.advance(passed)
    s = z.detach().numpy()
    assumed = [(math.log1p(math.exp(s[i, c])), i, c) for i, c in np.ndindex(*s.shape) if int(y[i, c]) < 0]
    count = int(float(torch.tensor(passed)) * share * s.size) if mode != "keep" else int(share * s.size) * (passed > 0)
    large = {(i, c) for _, i, c in sorted(assumed, reverse=True)[:count]}
    value, gradient = 0.0, np.zeros(s.shape)
    for i, c in np.ndindex(*s.shape):
        t = int(y[i, c]) == 1
        if (i, c) in large:
            if mode == "reject":
                continue
            t = True
        value -= math.log(p_of(s[i, c]) if t else 1 - p_of(s[i, c])) / s.size
        gradient[i, c] = (p_of(s[i, c]) - t) / s.size
    found = loss(z, y, torch.arange(7))
    found.backward()
    assert z.grad is not None
    assert found.item() == pytest.approx(value, abs=1e-9)
    np.testing.assert_allclose(z.grad.numpy(), gradient, atol=1e-9)


def test_what_large_loss_keeps_stays_positive_and_is_remembered_by_row():
    z = torch.tensor([[3.0, -3.0], [-3.0, -3.0]], requires_grad=True)
    y, rows = torch.tensor([[-1, -1], [0, 1]]), torch.tensor([5, 2])
    loss = LargeLoss("keep", share=0.25).bind(6, 2)
    loss(z, y, rows)
    assert not loss.corrected.any()  # the first epoch believes everything
    loss.advance(0.1)
    loss(z, y, rows)
    assert loss.corrected.nonzero().tolist() == [[5, 0]]
    with torch.no_grad():
        loss(z, y, torch.tensor([3, 4]))
    assert loss.corrected.sum() == 1  # judging changes nothing
    turned = LargeLoss("keep", share=0.0).bind(6, 2)
    turned.corrected[5, 0] = True
    assert turned(z, y, rows).item() == pytest.approx(
        MaskedBCE()(z, torch.tensor([[1, 0], [0, 1]])).item()
    )  # fmt: skip


@given(SEEDS, st.floats(0.3, 3), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_pu_mlc_value_and_gradient(seed, alpha, gamma):
    z, y = drawn(seed)
    s = z.detach().numpy()
    spread = np.clip(alpha * s.std(0), 1e-2, 1)
    balance = (1 / (1 + np.exp(-s / spread))).mean(0) ** gamma

    def slow(scores: np.ndarray) -> float:
        total = 0.0
        for c in range(4):
            p = [p_of(v / spread[c]) for v in scores[:, c]]
            mine = [math.log(p[i]) for i in range(7) if int(y[i, c]) == 1]
            total += balance[c] * math.log(sum(p) / 7) - (sum(mine) / len(mine) if mine else 0)
        return total / 4

    value = PUMLC(alpha, gamma)(z, y)
    value.backward()
    assert z.grad is not None
    assert value.item() == pytest.approx(slow(s), abs=1e-8)
    np.testing.assert_allclose(z.grad.numpy(), slope(0, slow, z), atol=1e-6)
    assert PUMLC(alpha, gamma).pointwise(z, y).mean().item() == pytest.approx(value.item(), abs=1e-12)


def test_pu_mlc_finds_the_probability_up_to_a_factor_though_positives_are_missing():
    """Two kinds of rows, positive with 0.8 and 0.2; a third of the positives is stated: the ratio of p is found."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.arange(4000) % 2
    true = torch.rand(4000, generator=generator) < torch.where(kind == 0, 0.8, 0.2)
    stated = true & (torch.rand(4000, generator=generator) < 1 / 3)
    y = torch.where(stated, 1, -1)[:, None]
    score = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([score], lr=0.05)
    loss = PUMLC(alpha=1e6, gamma=0.0)
    for _ in range(600):
        optimizer.zero_grad()
        loss(score[kind][:, None], y).backward()
        optimizer.step()
    high, low = score.detach().sigmoid().tolist()
    assert low / high == pytest.approx(float(stated[kind == 1].sum() / stated[kind == 0].sum()), rel=0.05)


@given(SEEDS, st.floats(0.1, 5))
@settings(max_examples=40, deadline=None)
def test_mlcd_value_gradient_and_factorisation(seed, scale):
    z, y = drawn(seed)

    def slow(scores: np.ndarray, joint: bool = False) -> float:
        rows = []
        for i in range(7):
            P = sum(math.exp(-scale * scores[i, c]) for c in range(4) if int(y[i, c]) == 1)
            N = sum(math.exp(scale * scores[i, c]) for c in range(4) if int(y[i, c]) == 0)
            rows.append(math.log(1 + P * N) if joint else math.log(1 + P + N + P * N))
        return sum(rows) / 7

    for joint in (False, True):
        z.grad = None
        value = MLCD(scale, joint)(z, y)
        value.backward()
        assert z.grad is not None
        assert value.item() == pytest.approx(slow(z.detach().numpy(), joint), rel=1e-9, abs=1e-12)
        expected = slope(0, lambda s, joint=joint: slow(s, joint), z)
        np.testing.assert_allclose(z.grad.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", MULTI_LABEL, ids=lambda cls: cls.__name__)
def test_unknown_entries_do_what_the_loss_says(cls):
    """The mask property: left out moves nothing; negative is as if it were 0; used counts, but not as a negative."""
    z, y = drawn(3, n=12)
    y[:, 0] = torch.tensor([1, 0, -1] * 4)
    rows, hidden = torch.arange(12), y < 0
    loss = cls()
    loss.bind(12, 4).count(y)
    (gradient,) = torch.autograd.grad(loss(z, y, rows), z)
    other = torch.where(hidden, z + 5, z)
    same = loss(other, y, rows).item() == pytest.approx(loss(z, y, rows).item(), abs=1e-9)
    twin = cls()
    twin.bind(12, 4).count(y)
    as_no = twin(z, y.clamp_min(0), rows).item() == pytest.approx(cls().bind(12, 4).count(y)(z, y, rows).item())
    assert loss.unknown in ("left out", "negative", "used")
    if loss.unknown == "left out":
        assert same
        assert (gradient[hidden] == 0).all()
        assert not as_no
    else:
        assert not same
        assert as_no == (loss.unknown == "negative" or cls is PUMLC)  # PUMLC: a stated no is unlabelled too


def test_losses_that_take_unknown_as_negative_say_so():
    takers = {cls.__name__: cls.__doc__ for cls in MULTI_LABEL if cls().unknown == "negative"}
    assert {"AssumeNegative", "LargeLoss"} <= takers.keys()
    assert all("unknown" in doc and "as negative" in doc for doc in takers.values())


@pytest.mark.parametrize(
    "make",
    [
        lambda: AsymmetricLoss(gamma_negative=-1), lambda: AsymmetricLoss(margin=1), lambda: AsymmetricLoss(unknown="no"),
        lambda: AssumeNegative(weight=2), lambda: AssumeNegative(smoothing=1), lambda: LargeLoss("drop"),
        lambda: LargeLoss(share=1), lambda: PUMLC(alpha=0), lambda: PUMLC(gamma=-1), lambda: MLCD(scale=0),
    ],
)  # fmt: skip
def test_bad_arguments(make):
    with pytest.raises(InputError):
        make()
