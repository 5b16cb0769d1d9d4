"""Cr-KD: the relation loss against loops, its gradients, and discovery of new digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from labelwise.discovery import ClassRelationDistillation, relation_loss
from labelwise.learner import Train
from labelwise.parts.matching import matched_accuracy

TRAIN = Train(epochs=12, batch_size=64, progress=False)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([1.0, 4.0]))
def test_the_relation_loss_is_the_loop(seed, adaptive, t):
    generator = torch.Generator().manual_seed(seed)
    scores, teacher = (torch.randn(6, k, generator=generator, dtype=torch.float64) for k in (5, 3))
    values, shares = [], []
    for mine, theirs in zip(scores, teacher, strict=True):
        p, q = torch.softmax(theirs / t, 0), torch.softmax(mine[:3] / t, 0)
        values.append(-(p * q.log()).sum())
        shares.append(torch.softmax(mine / t, 0)[:3].sum())
    eta = torch.stack(shares) / torch.stack(shares).mean() if adaptive else torch.ones(6, dtype=torch.float64)
    assert torch.isclose(
        relation_loss(scores, teacher, t, adaptive=adaptive), t**2 * (eta * torch.stack(values)).mean()
    )


def test_detaching_keeps_the_value_and_the_new_scores_without_gradient():
    teacher = torch.randn(4, 2)
    values, gradients = [], []
    for detach in (True, False):
        scores = torch.arange(20.0).reshape(4, 5).sin().requires_grad_()
        value = relation_loss(scores, teacher, detach=detach)
        value.backward()
        values.append(float(value.detach()))
        gradients.append(scores.grad[:, 2:].abs().sum())
    assert values[0] == pytest.approx(values[1]) and gradients[0] == 0 < gradients[1]


@pytest.fixture(scope="module")
def fitted():
    X, y = load_digits(n_class=6, return_X_y=True)
    X, y = X[:500], y[:500]
    given = np.where(y < 3, y, -1)
    model = ClassRelationDistillation(n_new_classes=3, unlabelled="new", pretraining=10, train=TRAIN, random_state=0)
    return model.fit(X, given), X, y, given


def test_new_digits_are_found_and_known_ones_kept(fitted):
    model, X, y, given = fitted
    assert set(model.labels_[given == -1]) <= {3, 4, 5} and (model.labels_[given >= 0] == given[given >= 0]).all()
    found = matched_accuracy(y, model.predict(X), [0, 1, 2])
    assert found.old > 0.9 and found.new > 0.7
    assert np.allclose(model.predict_proba(X).sum(1), 1) and model.predict_proba(X).shape == (500, 6)


def test_targets_are_labels_or_balanced_over_new_classes(fitted):
    model, X, _, given = fitted
    y, scores = torch.as_tensor(given[:120]), torch.as_tensor(model._scores(X[:120])).float()
    target = model.targets(scores, y)
    pool = y == -1
    assert torch.allclose(target.sum(1), torch.ones(120), atol=1e-5)
    assert (target[~pool].argmax(1) == y[~pool]).all() and (target[pool, :3] == 0).all()
    assert not target.requires_grad and (target[pool, 3:].mean(0) > 0.1).all()


def test_the_teacher_does_not_move(fitted):
    model = fitted[0]
    for mine, theirs in zip(model.teacher_.parameters(), model.pretrained_.net_.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_mixed_pool_with_a_counted_number():
    X, y = load_digits(n_class=5, return_X_y=True)
    X, y = X[:300], y[:300]
    given = np.where((y < 3) & (np.arange(300) % 2 == 0), y, -1)
    short = Train(epochs=3, batch_size=64, progress=False)
    model = ClassRelationDistillation(pretraining=5, train=short, max_new_classes=4, count_draws=0, random_state=0)
    model.fit(X, given)
    assert 0 <= model.n_new_classes_ <= 4 and len(model.all_classes_) == 3 + model.n_new_classes_
