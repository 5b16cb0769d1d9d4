"""Soft labels over levels and the fidelity of pairs against slow versions; the middle of the scale; bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from labelwise.base import InputError
from labelwise.losses import fidelity, from_ratings, soft_levels, two_hot
from labelwise.losses.score_distribution import moments


def slow_label(m: float, s: float, levels: int, shape: str) -> np.ndarray:
    """The rule of the specification, one row, with sums over k instead of k minus the middle."""
    k = np.arange(1, levels + 1)
    hot = np.array([max(0.0, 1 - abs(m - c)) for c in k])
    if s < 0.2:
        return hot
    p = np.array(
        [norm.pdf(c, m, s) if shape == "density" else norm.cdf(c + 0.5, m, s) - norm.cdf(c - 0.5, m, s) for c in k]
    )
    middle = (levels + 1) / 2
    below = (k * p).sum() - middle * p.sum()
    if abs(below) < 1e-2:
        q = p / p.sum()
    else:
        a = (m - middle) / below
        q = np.maximum(a * p + (1 - a * p.sum()) / levels, 0)
        q = q / q.sum()
    return hot if abs((k * q).sum() - m) > 0.1 else q


@given(st.floats(1, 5), st.floats(0, 3), st.sampled_from([2, 3, 5, 9]), st.sampled_from(["density", "mass"]))
@settings(max_examples=150, deadline=None)
def test_soft_labels_follow_the_rule(m: float, s: float, levels: int, shape: str) -> None:
    m = 1 + (m - 1) * (levels - 1) / 4
    found = soft_levels([m], [s], levels, shape)[0]  # type: ignore[arg-type]
    np.testing.assert_allclose(found, slow_label(m, s, levels, shape), atol=1e-9)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert abs(found @ np.arange(1, levels + 1) - m) <= 0.1 + 1e-9


@given(st.floats(1, 5), st.floats(0.2, 3))
@settings(max_examples=100, deadline=None)
def test_mass_and_mean_are_exact_where_nothing_is_cut_off(m: float, s: float) -> None:
    p = soft_levels([m], [s])[0]
    if (p > 1e-6).all() and abs(m - 3) > 0.2 and np.abs(p - two_hot([m])[0]).max() > 1e-6:
        assert p @ np.arange(1, 6) == pytest.approx(m, abs=1e-6)


@pytest.mark.parametrize("s", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("shape", ["density", "mass"])
def test_in_the_middle_the_spread_still_matters(s: float, shape: str) -> None:
    for m in (3 - 1e-9, 3.0, 3 + 1e-9):
        p = soft_levels([m], [s], shape=shape)[0]  # type: ignore[arg-type]
        expected = norm.pdf(np.arange(1, 6), 3, s)
        if shape == "mass":
            expected = norm.cdf(np.arange(1, 6) + 0.5, 3, s) - norm.cdf(np.arange(1, 6) - 0.5, 3, s)
        np.testing.assert_allclose(p, expected / expected.sum(), atol=1e-6)  # dividing 0 by 0 would make it even
        assert p @ np.arange(1, 6) == pytest.approx(3)
    assert soft_levels([3.0], [0.5])[0].max() > soft_levels([3.0], [1.5])[0].max() + 0.1


@given(st.lists(st.floats(1, 5), min_size=1, max_size=6))
def test_two_hot_has_the_mean_and_at_most_two_levels(m: list[float]) -> None:
    p = two_hot(m)
    np.testing.assert_allclose(p @ np.arange(1, 6), m)
    np.testing.assert_allclose(p.sum(1), 1)
    assert ((p > 0).sum(1) <= 2).all()


def test_an_unknown_spread_gives_two_levels() -> None:
    np.testing.assert_allclose(soft_levels([2.3, 2.3], [np.nan, 0.1]), two_hot([2.3, 2.3]))


def slow_fidelity(m, v, gm, gv, source) -> list[float]:
    values = []
    for i in range(len(m)):
        terms = []
        for j in range(len(m)):
            if i == j or (source is not None and source[i] != source[j]):
                continue
            if math.isnan(gv[i]) or math.isnan(gv[j]):
                P = norm.cdf((m[i] - m[j]) / math.sqrt(2))
                G = 1.0 if gm[i] > gm[j] else 0.0 if gm[i] < gm[j] else 0.5
            else:
                P = norm.cdf((m[i] - m[j]) / math.sqrt(v[i] + v[j] + 1e-8))
                G = norm.cdf((gm[i] - gm[j]) / math.sqrt(gv[i] + gv[j] + 1e-8))
            terms.append(1 - math.sqrt(P * G + 1e-8) - math.sqrt((1 - P) * (1 - G) + 1e-8))
        values.append(sum(terms) / len(terms) if terms else 0.0)
    return values


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=30, deadline=None)
def test_fidelity_is_its_equation_in_value_and_gradient(seed: int, sources: bool) -> None:
    rng = np.random.default_rng(seed)
    logits, gm, gv = rng.normal(size=(6, 5)), rng.uniform(1, 5, 6).round(), rng.uniform(0.1, 2, 6)
    gv[rng.random(6) < 0.3] = np.nan
    source = rng.integers(0, 3, 6) if sources else None

    def at(x: np.ndarray) -> float:
        p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
        m = p @ np.arange(1, 6)
        v = (p * (np.arange(1, 6) - m[:, None]) ** 2).sum(1)
        return float(np.mean(slow_fidelity(m, v, gm, gv, source)))

    x = torch.tensor(logits, requires_grad=True)
    value = fidelity(
        *moments(x.softmax(1)),
        torch.as_tensor(gm),
        torch.as_tensor(gv),
        None if source is None else torch.as_tensor(source),
    ).mean()
    assert float(value.detach()) == pytest.approx(at(logits), abs=1e-9)
    value.backward()
    numeric = np.zeros_like(logits)
    for place in np.ndindex(*logits.shape):
        step = np.zeros_like(logits)
        step[place] = 1e-6
        numeric[place] = (at(logits + step) - at(logits - step)) / 2e-6
    np.testing.assert_allclose(x.grad.numpy(), numeric, atol=1e-6)


def test_fidelity_ignores_the_scale_of_a_source() -> None:
    m, v = torch.tensor([1.5, 2.5, 4.0]), torch.full((3,), 0.5)
    same = fidelity(m, v, m, v)
    assert (same.abs() < 1e-3).all()
    assert (fidelity(m.flip(0), v, m, v) > 0.2).all()


def test_extreme_scores_have_finite_gradients() -> None:
    for scale in (0.0, 1e2, 1e4):
        x = (scale * torch.randn(5, 5, generator=torch.Generator().manual_seed(0))).requires_grad_(True)
        fidelity(*moments(x.softmax(1)), torch.arange(5.0), torch.full((5,), 0.3)).sum().backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_ratings_have_the_mean_and_spread_of_those_given(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ratings = rng.normal(size=(6, 4))
    ratings[rng.random((6, 4)) < 0.5] = np.nan
    mean, spread = from_ratings(ratings)
    for i in range(6):
        known = ratings[i][np.isfinite(ratings[i])]
        assert mean[i] == pytest.approx(known.mean() if len(known) else np.nan, nan_ok=True)
        assert spread[i] == pytest.approx(known.std(ddof=1) if len(known) > 1 else np.nan, nan_ok=True)


def test_bad_labels() -> None:
    with pytest.raises(InputError, match=r"mean must lie in \[1, 5\].*5.5 in row 1"):
        soft_levels([2.0, 5.5], [0.5, 0.5])
    with pytest.raises(InputError, match="negative"):
        soft_levels([2.0], [-0.5])
    with pytest.raises(InputError, match="levels"):
        soft_levels([1.0], [0.5], levels=1)
    with pytest.raises(InputError, match="both"):
        soft_levels([1.0], [0.5, 0.5])
