"""The margin loss of several labels against its equation, what it must not read, and what it must refuse."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.learner import MultiLabelClassifier, Train
from labelwise.losses import LabelMargin, MaskedBCE


def drawn(seed, rows=7, labels=4):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, labels, generator=generator, dtype=torch.float64) * 3
    y = torch.randint(-1, 2, (rows, labels), generator=generator)
    return z.requires_grad_(), y


@given(st.integers(0, 10_000), st.floats(0, 5), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_value_and_gradient_are_those_of_a_loop(seed, margin, power):
    z, y = drawn(seed)
    counts = [max(1, int((y[:, label] == 1).sum())) for label in range(4)]
    values, slopes = [], np.zeros((7, 4))
    for row in range(7):
        known = [label for label in range(4) if y[row, label] >= 0]
        total = 0.0
        for label in known:
            yes = int(y[row, label])
            score = float(z[row, label].detach()) - yes * margin / counts[label] ** power
            p = 1 / (1 + math.exp(-score))
            total += -math.log(p) if yes else -math.log(1 - p)
            slopes[row, label] = (p - yes) / len(known)
        values.append(total / len(known) if known else 0.0)
    found = LabelMargin(margin, power).count(y).pointwise(z, y)
    np.testing.assert_allclose(found.detach(), values, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(torch.autograd.grad(found.sum(), z)[0], slopes, rtol=1e-6, atol=1e-7)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_without_a_margin_it_is_masked_cross_entropy(seed):
    z, y = drawn(seed)
    torch.testing.assert_close(LabelMargin(margin=0).count(y)(z, y), MaskedBCE()(z, y))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_scores_behind_unknown_labels_change_nothing_and_get_no_gradient(seed):
    z, y = drawn(seed)
    loss = LabelMargin().count(y)
    other = torch.where(y < 0, torch.full_like(z, 50.0), z)
    torch.testing.assert_close(loss.pointwise(other, y), loss.pointwise(z, y))
    assert (torch.autograd.grad(loss(z, y), z)[0][y < 0] == 0).all()


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_permuting_labels_changes_nothing(seed):
    z, y = drawn(seed)
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    here = LabelMargin().count(y)(z, y)
    torch.testing.assert_close(LabelMargin().count(y[:, order])(z[:, order], y[:, order]), here)


def test_margins_fall_with_frequency_and_unknown_entries_are_not_counted():
    y = torch.tensor([[1, 1, 0, -1]] + [[1, 0, 0, -1]] * 15)
    margins = LabelMargin(margin=2.0).count(y).margins()
    torch.testing.assert_close(margins, torch.tensor([1.0, 2.0, 2.0, 2.0]))
    hidden = y.clone()
    hidden[3, 1] = -1
    torch.testing.assert_close(LabelMargin(margin=2.0).count(hidden).margins(), margins)


def test_the_learner_tells_it_all_training_labels():
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = (X > [0, 1, 1.5]).astype(int)
    model = MultiLabelClassifier(criterion=LabelMargin(), train=Train(epochs=1), random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.criterion_.positives, y.sum(0))
    assert model.criterion.positives is None


@pytest.mark.parametrize("wrong", [{"margin": -1.0}, {"power": -0.5}, {"margin": float("nan")}])
def test_bad_arguments(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        LabelMargin(**wrong)


def test_other_labels_than_counted():
    with pytest.raises(InputError, match="were counted"):
        LabelMargin().count(torch.ones(3, 2))(torch.zeros(2, 3), torch.ones(2, 3))
