from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from labelwise.base import InputError
from labelwise.calibration import RankMixup
from labelwise.calibration.rank_mixup import certainty, margin_ranking, ndcg_ranking
from labelwise.learner import Classifier, Train
from labelwise.parts.mixers import mixup

SEEDS = st.integers(0, 10_000)


def batch(seed: int, classes: int = 4, mixtures: int = 3, rows: int = 7):
    generator = torch.Generator().manual_seed(seed)
    raw = 3 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    mixed = 3 * torch.randn(mixtures, rows, classes, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (rows,), generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        mixes = [mixup(rows, 2.0) for _ in range(mixtures)]
    return raw, mixed, y, mixes


def soft_target(mix, y, row: int, classes: int) -> list[float]:
    target = [0.0] * classes
    for partner, share in zip(mix.partners[:, row].tolist(), mix.shares[:, row].tolist(), strict=True):
        target[int(y[partner])] += share
    return [round(entry, 6) for entry in target]  # two shares of one class make exactly 1


def softmax(logits) -> list[float]:
    powers = [math.exp(float(z)) for z in logits]
    return [p / sum(powers) for p in powers]


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_certainty_is_the_largest_entry_of_the_mixed_target(seed: int) -> None:
    _, _, y, mixes = batch(seed)
    for mix in mixes:
        for row, value in enumerate(certainty(mix, y).tolist()):
            assert value == pytest.approx(max(soft_target(mix, y, row, 4)), abs=1e-6)


@given(SEEDS, st.floats(0, 5))
@settings(max_examples=30, deadline=None)
def test_margin_ranking_is_its_equation(seed: int, margin: float) -> None:
    raw, mixed, y, mixes = batch(seed, mixtures=1)
    values = margin_ranking(raw, mixed[0], certainty(mixes[0], y), margin)
    for row in range(len(y)):
        same = y[mixes[0].partners[1, row]] == y[row]
        expected = 0.0 if same else max(0.0, float(max(mixed[0, row]) - max(raw[row])) + margin)
        assert float(values[row]) == pytest.approx(expected)


@given(SEEDS, st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_ndcg_ranking_is_its_equation(seed: int, mixtures: int) -> None:
    raw, mixed, y, mixes = batch(seed, mixtures=mixtures)
    values = ndcg_ranking(raw, mixed, torch.stack([certainty(mix, y) for mix in mixes]))
    for row in range(len(y)):
        pairs = [(max(soft_target(mix, y, row, 4)), max(softmax(mixed[m, row]))) for m, mix in enumerate(mixes)]
        pairs = [(1.0, max(softmax(raw[row]))), *sorted(pairs, key=lambda pair: -pair[0])]
        dcg = sum(confidence / math.log2(place + 2) for place, (_, confidence) in enumerate(pairs))
        idcg = sum(target / math.log2(place + 2) for place, (target, _) in enumerate(pairs))
        ratio = dcg / idcg if idcg > dcg else idcg / dcg
        assert float(values[row]) == pytest.approx(1 - ratio, abs=1e-6)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_ndcg_lies_between_zero_and_one_and_confidence_as_certain_as_its_target_costs_nothing(seed: int) -> None:
    raw, mixed, y, mixes = batch(seed)
    known = torch.stack([certainty(mix, y) for mix in mixes])
    assert bool(((ndcg_ranking(raw, mixed, known) >= 0) & (ndcg_ranking(raw, mixed, known) < 1)).all())
    shares = torch.stack([known, 1 - known], 2).double().clamp_min(1e-12)
    certain = torch.tensor([[40.0, 0.0]]).expand(len(y), 2)
    assert float(ndcg_ranking(certain.double(), shares.log(), known).max()) < 1e-6


def test_a_batch_of_one_class_has_no_margin_loss_and_no_gradient() -> None:
    raw, mixed, _, mixes = batch(0, mixtures=1)
    raw.requires_grad_()
    same = torch.zeros(len(raw), dtype=torch.long)
    value = margin_ranking(raw, mixed[0], certainty(mixes[0], same), 2.0).sum()
    value.backward()
    assert value == 0
    assert not raw.grad.any()


@pytest.mark.parametrize("ranking", ["ndcg", "margin"])
def test_both_losses_reach_raw_and_mixed_logits(ranking: str) -> None:
    raw, mixed, y, mixes = batch(3)
    raw.requires_grad_(), mixed.requires_grad_()
    known = torch.stack([certainty(mix, y) for mix in mixes])
    RankMixup(ranking=ranking, margin=10.0).rank(raw, mixed, known).sum().backward()
    assert raw.grad.abs().sum() > 0
    assert mixed.grad.abs().sum() > 0


def test_the_logits_of_a_mixture_are_those_of_the_mixed_row() -> None:
    X, y = load_digits(return_X_y=True)
    model = RankMixup(train=Train(epochs=1), random_state=0).fit(X[:100], y[:100])
    x = torch.as_tensor(model.inputs_.transform(X[:5]))
    mix = mixup(5, 2.0)
    by_hand = torch.stack(
        [
            model.net_((s[0] * x[a] + s[1] * x[b])[None])[0]
            for (a, b), s in zip(mix.partners.T.tolist(), mix.shares.T, strict=True)
        ]
    )
    assert torch.allclose(model.mixed_logits(x, [mix])[0], by_hand, atol=1e-5)


def test_without_weight_it_is_the_plain_classifier() -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[:200], y[:200]
    train = Train(epochs=3, batch_size=200)
    plain = Classifier(train=train, random_state=0).fit(X, y)
    ranked = RankMixup(weight=0.0, train=train, random_state=0).fit(X, y)
    assert np.allclose(plain.outputs(X), ranked.outputs(X), atol=1e-4)


def test_texts_are_refused() -> None:
    with pytest.raises(InputError, match="texts cannot be mixed"):
        RankMixup(random_state=0).fit(["one", "two", "three", "four"], [0, 1, 0, 1])


@pytest.mark.parametrize("ranking", ["ndcg", "margin"])
def test_pictures_are_mixed_as_well(ranking: str) -> None:
    X, y = load_digits(return_X_y=True)
    pictures = (X[:300] * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
    model = RankMixup(ranking=ranking, train=Train(epochs=2), random_state=0).fit(pictures, y[:300])
    assert {"plain", "ranking"} <= set(model.history_[-1])
    assert np.isfinite(model.predict_proba(pictures[:20])).all()
