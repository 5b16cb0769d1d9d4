"""Proto-Triplet, ICNN and UNPG against loops; gradients; extreme input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from labelwise.base import InputError
from labelwise.discovery import NeighbourSeparation
from labelwise.losses import ICNN, UNPG, ProtoTriplet, icnn_score, prototypes_of
from labelwise.losses.unpg import between_whiskers, negative_pairs


def rows(seed: int, n: int = 14, d: int = 3, classes: int = 4):
    generator = torch.Generator().manual_seed(seed)
    y = torch.cat([torch.arange(classes), torch.randint(classes, (n - classes,), generator=generator)])
    return torch.randn(n, d, generator=generator, dtype=torch.float64), y


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.5, 2.0]))
def test_proto_triplet_is_the_loop(seed, margin):
    z, y = rows(seed)
    prototypes = prototypes_of(z, y, 4)
    values = []
    for row, c in zip(z, y, strict=True):
        d = [float(torch.linalg.norm(row - p)) for p in prototypes]
        values.append(max(0.0, d[c] - min(d[k] for k in range(4) if k != c) + margin))
    assert math.isclose(float(ProtoTriplet(margin)(z, y, prototypes)), float(np.mean(values)), abs_tol=1e-9)
    assert torch.allclose(prototypes, torch.stack([z[y == c].mean(0) for c in range(4)]))


def slow_icnn(z, y, k):
    """Follow the formulas row by row, with the neighbours among the other rows of the set."""
    z, y = z.numpy(), y.numpy()
    n = len(z)
    near = min(n - 1, max(k + 1, np.bincount(y).max()))
    same_means, firsts, other_lists, purity = [], [], [], []
    for i in range(n):
        order = sorted((float(np.linalg.norm(z[i] - z[j])), j) for j in range(n) if j != i)[:near]
        impostors = [d for d, j in order if y[j] != y[i]]
        unit = impostors[0] if impostors else order[-1][0]
        first = order[: min(k, near)]
        scale = max(1.0, max(d / unit for d, _ in first))
        same = [d / unit / scale for d, j in first if y[j] == y[i]]
        same_means += [np.mean(same)] if same else []
        firsts += [d for d, _ in first]
        other_lists.append([d for d, j in first if y[j] != y[i]])
        purity.append(np.mean([y[j] == y[i] for _, j in first]))
    different = np.mean([np.mean(v) / max(firsts) for v in other_lists if v]) if any(other_lists) else 1.0
    same = 1 - (np.mean(same_means) if same_means else 1.0)
    return ((same + different) / 2 + np.mean(purity)) / 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_icnn_score_is_the_loop_and_lies_between_zero_and_one(seed, k):
    z, y = rows(seed)
    score = float(icnn_score(z, y, k).score)
    assert math.isclose(score, slow_icnn(z, y, k), abs_tol=1e-9) and 0 <= score <= 1
    assert math.isclose(score, float(icnn_score(37 * z + 5, y, k).score), abs_tol=1e-9)


def test_the_icnn_score_looks_in_the_reference_set():
    z, y = rows(0)
    support, support_y = rows(1)
    order = torch.randperm(14)
    a = icnn_score(z, y, 4, support, support_y).score
    assert torch.isclose(a, icnn_score(z, y, 4, support[order], support_y[order]).score)
    perfect = icnn_score(support, support_y, 1, support, support_y)
    assert float(perfect.purity) == 1


def test_descending_the_icnn_loss_separates_classes():
    z, y = rows(0, n=24, d=2, classes=3)
    z = z.clone().requires_grad_()
    before = float(icnn_score(z, y).score.detach())
    optimizer = torch.optim.Adam([z], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        ICNN()(z, y).backward()
        optimizer.step()
    assert float(icnn_score(z, y).score.detach()) > before + 0.1


@pytest.mark.parametrize("loss", [ICNN(), lambda z, y: ProtoTriplet()(z, y, torch.eye(3, z.shape[1], dtype=z.dtype))])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_gradients_stay_finite(loss, scale):
    for dtype in (torch.float32, torch.float64):
        z = (scale * torch.randn(9, 4, dtype=dtype)).requires_grad_()
        value = loss(z, torch.arange(9) % 3)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(z.grad).all() and value.dtype == dtype


@pytest.mark.parametrize("whisker", [None, 0.0, 1.5])
@pytest.mark.parametrize("head", ["cosface", "arcface"])
def test_unpg_is_the_cross_entropy_with_pairs_as_further_columns(head, whisker):
    z, y = rows(3)
    W = torch.randn(4, 3, dtype=torch.float64)
    s, m = 8.0, 0.3
    cosine = (z / z.norm(dim=1, keepdim=True)) @ (W / W.norm(dim=1, keepdim=True)).T
    logits = cosine.clone()
    for i, c in enumerate(y):
        u = cosine[i, c]
        logits[i, c] = u - m if head == "cosface" else torch.cos(torch.acos(u) + m)
        if head == "arcface" and torch.acos(u) + m > math.pi:
            logits[i, c] = u - m * math.sin(m)
    unit = z / z.norm(dim=1, keepdim=True)
    pairs = np.array([float(unit[i] @ unit[j]) for i in range(14) for j in range(i + 1, 14) if y[i] != y[j]])
    if whisker is not None:
        low, high = np.percentile(pairs, [25, 75])
        pairs = pairs[(pairs >= low - whisker * (high - low)) & (pairs <= high + whisker * (high - low))]
    wide = torch.cat([logits, torch.tensor(pairs).expand(14, -1)], 1)
    ours = UNPG(head, s, m, whisker)(z, W, y)
    assert torch.isclose(ours, cross_entropy(s * wide, y))
    assert torch.isclose(UNPG(head, s, m, pairs=False)(z, W, y), cross_entropy(s * logits, y))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(0, 3))
def test_whiskers_are_those_of_the_box_plot(values, whisker):
    low, high = np.percentile(values, [25, 75])
    reach = whisker * (high - low)
    kept = between_whiskers(torch.tensor(values, dtype=torch.float64), whisker).tolist()
    sure = [v for v in values if low - reach + 1e-9 < v < high + reach - 1e-9]
    assert set(sure) <= set(kept) and all(low - reach - 1e-9 <= v <= high + reach + 1e-9 for v in kept)


def test_unpg_of_one_class_has_no_pairs_and_extremes_are_finite():
    z, W = torch.randn(5, 3, requires_grad=True), torch.randn(2, 3)
    y = torch.zeros(5, dtype=torch.long)
    assert len(negative_pairs(z, y)) == 0
    assert torch.isclose(UNPG()(z, W, y), UNPG(pairs=False)(z, W, y))
    for head in ("cosface", "arcface"):
        same = torch.ones(6, 3, requires_grad=True)
        value = UNPG(head)(same, torch.ones(2, 3), torch.arange(6) % 2)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(same.grad).all()
    assert torch.isfinite(UNPG()(torch.randn(6, 3).half(), torch.randn(2, 3).half(), torch.arange(6) % 2))


def test_arcface_falls_with_the_angle_everywhere():
    angles = torch.linspace(0.01, math.pi - 0.01, 200, dtype=torch.float64)
    z, W = torch.stack([angles.cos(), angles.sin()], 1), torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    margin = UNPG("arcface", margin=0.5)._with_margin((z @ W.T)[:, 0])
    assert (margin.diff() < 0).all()


def test_bad_arguments_are_refused():
    z, y = torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)
    for call in (
        lambda: ProtoTriplet(0.0), lambda: ICNN(0), lambda: UNPG("softmax"), lambda: UNPG(scale=0), lambda: UNPG(margin=2),
        lambda: UNPG(whisker=-1), lambda: ProtoTriplet()(z, y, torch.zeros(1, 2)), lambda: ProtoTriplet()(z, y, z[:, :1]),
        lambda: icnn_score(z, y[:2]), lambda: icnn_score(z[:1], y[:1]), lambda: UNPG()(z, z[:, :1], y),
    ):  # fmt: skip
        with pytest.raises(InputError):
            call()


def test_the_diagnostic_ranks_embeddings_and_knows_chance():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 4
    noise = rng.normal(size=(200, 6))
    scores = [NeighbourSeparation(random_state=0).measure(noise + t * np.eye(6)[y], y) for t in (0.0, 2.0, 6.0)]
    assert scores[0].score.high < scores[1].score.low and scores[1].score.high < scores[2].score.low
    assert "tell classes" in str(scores[2]) and "no classes" in str(scores[0])
    with pytest.raises(InputError, match="Z must"):
        NeighbourSeparation().measure(noise[:5], y)


@pytest.mark.parametrize("code", [-1, 4])
@pytest.mark.parametrize("head", ["cosface", "arcface"])
def test_unpg_refuses_codes_of_no_class(head, code):
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        UNPG(head)(torch.randn(3, 5), torch.randn(4, 5), torch.tensor([0, code, 1]))
