"""The contrastive core and its cases against slow loops written from the equations, in value and gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.losses import con_r, draw_mixtures, sup_con, sup_re_mix
from labelwise.losses.con_r import target_distances
from labelwise.losses.pair_contrast import cosines, others, pair_contrast
from labelwise.multilabel.hybrid_multilabel import weighted_contrast


def drawn(seed: int, n: int = 7, d: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, targets on a coarse grid (so that some are equal), predictions, all in double precision."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, d, generator=g, dtype=torch.float64)
    y = torch.randint(0, 6, (n,), generator=g).double() / 2
    return z, y, y + torch.randn(n, generator=g, dtype=torch.float64)


def slope(value_of, z: np.ndarray) -> np.ndarray:
    """Central differences of a function of z."""
    found = np.zeros_like(z)
    for at in np.ndindex(*z.shape):
        step = np.zeros_like(z)
        step[at] = 1e-6
        found[at] = (value_of(z + step) - value_of(z - step)) / 2e-6
    return found


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_core_is_its_equation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s, c, w = rng.normal(size=(5, 6)), rng.random((5, 6)) * (rng.random((5, 6)) < 0.4), rng.random((5, 6)) * 3
    w[rng.random((5, 6)) < 0.2] = 0
    w[:, 0] = 1
    expected = []
    for i in range(5):
        total = sum(w[i, a] * math.exp(s[i, a]) for a in range(6))
        mass = sum(c[i])
        expected.append(-sum(c[i, p] * (s[i, p] - math.log(total)) for p in range(6)) / mass if mass else 0.0)
    with np.errstate(divide="ignore"):
        found = pair_contrast(torch.as_tensor(s), torch.as_tensor(c), torch.as_tensor(np.log(w)))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@given(st.integers(0, 10_000), st.floats(0.05, 2))
@settings(max_examples=30, deadline=None)
def test_the_supervised_contrastive_loss_and_the_multi_label_one_are_cases_of_it(seed: int, t: float) -> None:
    z, y, _ = drawn(seed)
    s = cosines(z, z, t)
    off = others(len(z), s)
    same = (y[:, None] == y) & (off == 0)
    has = same.any(1).sum().clamp_min(1)
    torch.testing.assert_close(pair_contrast(s, same, off).sum() / has, sup_con(z, (2 * y).long(), t))
    weight = (y[:, None] - y).abs() * (off == 0)
    has = (weight.sum(1) > 0).sum().clamp_min(1)
    torch.testing.assert_close(pair_contrast(s, weight, off).sum() / has, weighted_contrast(z, weight, t))


def test_an_anchor_without_positives_or_candidates_is_zero_with_a_finite_gradient() -> None:
    s = torch.randn(3, 4, requires_grad=True)
    positive = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    nothing = torch.full((3, 4), -math.inf)
    nothing[1] = 0
    value = pair_contrast(s, positive, nothing)
    value.sum().backward()
    assert value[0] == value[2] == 0
    assert s.grad is not None
    assert s.grad.isfinite().all()
    assert (s.grad[[0, 2]] == 0).all()


def con_r_loop(z, y, guess, w, window, eta, t, as_released=False) -> float:
    """Mean over rows of the equation, one term at a time, in numpy."""
    n = len(z)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    values = []
    for i in range(n):
        P = [j for j in range(n) if j != i and abs(y[i] - y[j]) <= window]
        N = [j for j in range(n) if abs(y[i] - y[j]) > window and abs(guess[i] - guess[j]) <= window]
        if not P or not N:
            values.append(0.0)
            continue
        below = sum(math.exp(unit[i] @ unit[p] / t) for p in P)
        below += sum(w[i] * math.exp(eta * abs(y[i] - y[k])) * math.exp(unit[i] @ unit[k] / t) for k in N)
        if as_released:
            below += n - len(P)  # exp(0) for every entry that is no positive
        values.append(w[i] * sum(-(unit[i] @ unit[p] / t - math.log(below)) for p in P) / len(P))
    return sum(values) / n


@given(st.integers(0, 10_000), st.floats(0.2, 1.5), st.floats(0, 0.5), st.booleans())
@settings(max_examples=25, deadline=None)
def test_con_r_is_its_equation_in_value_and_gradient(seed: int, window: float, eta: float, released: bool) -> None:
    z, y, guess = drawn(seed)
    w = torch.rand(len(z), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.2
    z.requires_grad_(True)
    value = con_r(z, y, guess, w, window=window, eta=eta, temperature=0.3, as_released=released).mean()
    parts = (y.numpy(), guess.numpy(), w.numpy(), window, eta, 0.3, released)
    at = z.detach().numpy()
    assert float(value.detach()) == pytest.approx(con_r_loop(at, *parts), abs=1e-10)
    value.backward()
    np.testing.assert_allclose(z.grad.numpy(), slope(lambda here: con_r_loop(here, *parts), at), atol=1e-6)


def test_con_r_sends_no_gradient_through_predictions_and_takes_several_targets() -> None:
    z, y, guess = drawn(0)
    guess.requires_grad_(True)
    z.requires_grad_(True)
    con_r(z, y, guess, window=0.6).sum().backward()
    assert guess.grad is None
    both = torch.stack([y, y], 1)
    twice = con_r(z, both, torch.stack([guess, guess], 1), window=0.6)
    torch.testing.assert_close(twice, con_r(z, y, guess, window=0.6))  # the root mean square of equal differences


def test_con_r_leaves_unknown_targets_out() -> None:
    z, y, guess = drawn(3)
    y[2] = torch.nan
    keep = torch.arange(len(y)) != 2
    full = con_r(z, y, guess, window=0.6, eta=0.0)
    torch.testing.assert_close(full[keep], con_r(z[keep], y[keep], guess[keep], window=0.6))
    assert full[2] == 0


def test_fewer_confused_rows_mean_less_loss() -> None:
    z, y, _ = drawn(1)
    assert con_r(z, y, torch.zeros_like(y), window=0.4).sum() > 0
    assert con_r(z, y, 100 * y, window=0.4).sum() == 0  # nobody is confused


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_distances_of_several_targets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(5, 3))
    y[rng.random((5, 3)) < 0.4] = np.nan
    found = target_distances(torch.as_tensor(y))
    for i in range(5):
        for j in range(5):
            both = ~np.isnan(y[i] + y[j])
            expected = np.sqrt(((y[i] - y[j])[both] ** 2).mean()) if both.any() else np.inf
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-6)


def sup_re_mix_loop(z, fixed, y, mixtures, t, push, tolerance) -> float:
    """Mean over rows; every mixture is made, of embeddings `fixed` that do not move with z."""
    n = len(z)
    unit, still = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (z, fixed))
    share, below, above, valid = (part.numpy() for part in mixtures)
    values = []
    for i in range(n):
        candidates = []  # similarity, weight, is it a positive
        for a in range(n):
            if a != i:
                gap = abs(y[i] - y[a])
                candidates.append((unit[i] @ unit[a] / t, 1 + push * gap, gap <= tolerance))
        for k in range(n):
            if abs(y[i] - y[k]) > tolerance:
                mixed = share[i, k] * still[i] + (1 - share[i, k]) * still[k]
                label = share[i, k] * y[i] + (1 - share[i, k]) * y[k]
                candidates.append((unit[i] @ mixed / t, 1 + push * abs(y[i] - label), False))
        for j, k, real in zip(below[i], above[i], valid[i], strict=True):
            if real:
                a = (y[k] - y[i]) / (y[k] - y[j])
                assert 0 < a < 1
                assert a * y[j] + (1 - a) * y[k] == pytest.approx(y[i])
                candidates.append((unit[i] @ (a * still[j] + (1 - a) * still[k]) / t, 1.0, True))
        total = sum(w * math.exp(s) for s, w, _ in candidates)
        P = [s for s, _, positive in candidates if positive]
        values.append(-sum(s - math.log(total) for s in P) / (len(P) + 1))
    return sum(values) / n


@given(st.integers(0, 10_000), st.floats(0, 3), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_sup_re_mix_is_its_equation_in_value_and_gradient(seed: int, push: float, pairs: int) -> None:
    z, y, _ = drawn(seed)
    torch.manual_seed(seed)
    mixtures = draw_mixtures(y, 1.2, pairs)
    z.requires_grad_(True)
    value = sup_re_mix(z, y, mixtures, temperature=0.4, push=push).mean()
    at, told = z.detach().numpy(), (y.numpy(), mixtures, 0.4, push, 0.0)
    assert float(value.detach()) == pytest.approx(sup_re_mix_loop(at, at, *told), abs=1e-10)
    value.backward()
    numeric = slope(lambda here: sup_re_mix_loop(here, at, *told), at)
    np.testing.assert_allclose(z.grad.numpy(), numeric, atol=1e-6)


@given(st.integers(0, 10_000), st.floats(0.5, 3), st.floats(0, 0.4))
@settings(max_examples=25, deadline=None)
def test_hard_positives_lie_on_both_sides_within_the_window(seed: int, window: float, tolerance: float) -> None:
    _, y, _ = drawn(seed, n=12)
    torch.manual_seed(seed)
    mixtures = draw_mixtures(y, window, 4, tolerance=tolerance)
    low, high = y[mixtures.below], y[mixtures.above]
    inside = (low < y[:, None] - tolerance) & (high > y[:, None] + tolerance)
    inside &= (y[:, None] - low <= window) & (high - y[:, None] <= window)
    assert inside[mixtures.valid].all()
    for i in range(12):
        there = [(y < y[i] - tolerance) & (y >= y[i] - window), (y > y[i] + tolerance) & (y <= y[i] + window)]
        assert bool(mixtures.valid[i].all()) == all(bool(side.any()) for side in there)
    assert ((mixtures.share >= 0) & (mixtures.share <= 1)).all()


def test_half_precision_is_finite() -> None:
    z, y, guess = (part.to(torch.float16) for part in drawn(0))
    z.requires_grad_(True)
    torch.manual_seed(0)
    value = con_r(z, y, guess, window=0.6).sum() + sup_re_mix(z, y, draw_mixtures(y.float(), 1.2, 3)).sum()
    value.backward()
    assert value.isfinite()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_bad_arguments() -> None:
    z, y, guess = drawn(0)
    with pytest.raises(InputError, match="window"):
        con_r(z, y, guess, window=-1)
    with pytest.raises(InputError, match="one shape"):
        con_r(z, y, guess[:-1], window=1)
    with pytest.raises(InputError, match="temperature"):
        con_r(z, y, guess, window=1, temperature=0)
    mixtures = draw_mixtures(y, 1.0, 2)
    with pytest.raises(InputError, match="mixtures"):
        sup_re_mix(z[:-1], y[:-1], mixtures)
    with pytest.raises(InputError, match="push"):
        sup_re_mix(z, y, mixtures, push=-1)
    with pytest.raises(InputError, match="anchors"):
        cosines(z, z[:, :1], 1.0)
