"""Patterns that protect pictures: within the bound, one a cluster, and towards the next centre."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.unlearning.unlearnable import NoiseMaker, UnlearnableClusters


@pytest.fixture(scope="module")
def pictures():
    return (load_digits().data[:150] / 16).astype(np.float32).reshape(-1, 8, 8, 1)


@pytest.fixture(scope="module")
def protect(pictures):
    how = Train(epochs=3, progress=False)
    return UnlearnableClusters(clusters=4, bound=0.1, steps=60, train=how, random_state=0).fit(pictures)


def test_no_value_moves_beyond_the_bound_or_out_of_range(protect, pictures):
    moved = protect.transform(pictures)
    assert np.abs(moved - pictures).max() <= 0.1 + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    in_bytes = np.round(255 * pictures).astype(np.uint8)
    change = protect.transform(in_bytes).astype(int) - in_bytes
    assert protect.transform(in_bytes).dtype == np.uint8
    assert 0 < np.abs(change).max() <= 255 * 0.1


def test_all_pictures_of_a_cluster_get_one_pattern(protect, pictures):
    cluster = protect.cluster_of(pictures)
    grey = np.full_like(pictures, 0.5)
    assert len(np.unique(cluster)) > 1
    assert protect.patterns_.shape == (4, 8, 8, 1)
    inside = (pictures > 0.1) & (pictures < 0.9)
    change = protect.transform(pictures) - pictures
    np.testing.assert_allclose(change[inside], protect.patterns_[cluster][inside], atol=1e-6)
    assert len(np.unique(protect.cluster_of(grey))) == 1


def test_patterns_carry_pictures_towards_the_next_centre(protect, pictures):
    def softmax(z):
        e = np.exp(z - z.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def divergence(x, target):
        q = softmax(protect.surrogate_.features(x))
        return float((target * (np.log(target) - np.log(q))).sum(1).mean())

    better = []
    for k in range(4):
        target = softmax(protect.centres_[(k + 1) % 4])
        moved = (pictures + protect.patterns_[k]).clip(0, 1)
        better.append(divergence(moved, target) < divergence(pictures, target))
    assert sum(better) >= 3


@given(st.floats(0.01, 1.0), st.integers(0, 1000))
def test_a_generator_cannot_leave_its_bound(bound, seed):
    torch.manual_seed(seed)
    maker = NoiseMaker((1, 5, 5), bound)
    for weight in maker.parameters():
        torch.nn.init.normal_(weight, std=10.0)
    assert maker().abs().max().item() <= bound * (1 + 1e-6)


def test_the_global_generator_is_left_alone(pictures):
    before = torch.get_rng_state()
    UnlearnableClusters(clusters=2, steps=2, train=Train(epochs=1, progress=False), random_state=0).fit(pictures[:20])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("X", "told"),
    [
        (np.zeros((5, 8)), "shape"),
        (np.full((5, 4, 4, 1), 2.0), "Divide by 255"),
        (np.zeros((5, 4, 4, 1)), "10 clusters need at least as many"),
    ],
)
def test_what_is_no_set_of_pictures_is_refused(X, told):
    with pytest.raises(InputError, match=told):
        UnlearnableClusters().fit(X)


def test_pictures_of_another_size_are_refused(protect):
    with pytest.raises(InputError, match="were fitted"):
        protect.transform(np.zeros((2, 9, 9, 1)))
