"""COMIC's three parts against slow loops, its samplers, and what it recalls."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.data.synthetic import partial_multilabel
from labelwise.learner import Train
from labelwise.multilabel import COMIC
from labelwise.multilabel.comic import core, label_weights, modifier, recall, together
from labelwise.parts.multilabel_measures import average_precision
from labelwise.training import Data

QUICK = Train(epochs=3, batch_size=32, progress=False)


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return rng.random((6, 4)), rng.integers(-1, 2, (6, 4)), rng.random(4) + 1


@given(st.integers(0, 10_000), st.floats(0, 4))
@settings(max_examples=30, deadline=None)
def test_modifier_is_its_equation(seed, gamma):
    s, y, w = drawn(seed)
    rng = np.random.default_rng(seed + 1)
    partners = rng.random((4, 4)) * (rng.random((4, 4)) < 0.5)
    total, gradient = 0.0, np.zeros((6, 4))
    for i in range(6):
        a = sum((partners[c] for c in range(4) if y[i, c] == 1), np.zeros(4))
        a = a / a.sum() if a.sum() else a
        for c in range(4):
            if y[i, c] == 1:
                total -= w[c] * math.log(max(s[i, c] * (1 - a[c]), 1e-8))
                gradient[i, c] = -w[c] / s[i, c] if s[i, c] * (1 - a[c]) > 1e-8 else 0
                continue
            no = min(1 - s[i, c] + 0.05, 1)
            raised = min(1.2 * no, 1) if a[c] > 0 else no
            focus = (1 - raised) ** (gamma + w[c])
            total -= w[c] * focus * math.log(raised)
            gradient[i, c] = w[c] * focus / no if raised < 1 else 0
    scores = torch.tensor(s, requires_grad=True)
    found = modifier(scores, torch.as_tensor(y), torch.as_tensor(partners), torch.as_tensor(w), gamma)
    found.backward()
    assert found.item() == pytest.approx(total / 6, rel=1e-6)
    assert scores.grad is not None
    np.testing.assert_allclose(scores.grad.numpy(), gradient / 6, rtol=1e-6, atol=1e-9)


def test_core_without_weights_and_focus_is_a_cross_entropy():
    s, y, _ = drawn(0)
    p, t = torch.as_tensor(s), torch.as_tensor(y == 1).double()
    expected = torch.nn.functional.binary_cross_entropy(p, t, reduction="none").sum(1).mean()
    weight = torch.zeros(4, dtype=torch.float64)
    torch.testing.assert_close(core(p, 1 - p, t, weight + 1, -1.0), expected)  # gamma + weight = 0: no focus


def test_label_weights_and_partners():
    weights = label_weights(torch.tensor([1000.0, 1000.0, 10.0, 0.0]), 1 / 6)
    assert weights[0] == weights[1] == 1 < weights[2] < weights[3]
    y = torch.tensor([[1, 1, 0], [1, 1, 1], [1, -1, 0]])
    torch.testing.assert_close(together(y), torch.tensor([[0, 2 / 3, 1 / 3], [2 / 3, 0, 1 / 3], [0.5, 0.5, 0]]))


def test_only_unknown_entries_that_stand_out_are_recalled():
    y = torch.tensor([[-1, 0, 1, -1], [-1, -1, -1, -1]])
    p = torch.tensor([[0.9, 0.95, 0.9, 0.9], [0.6, 0.8, 0.99, 0.9]])
    assert recall(p, y, 0.7).tolist() == [[True, False, False, False], [False, False, True, False]]


def test_samplers_draw_labels_alike_and_rare_ones_first():
    rng = np.random.default_rng(0)
    y = (rng.random((600, 3)) < [0.5, 0.1, 0.02]).astype(np.int8)
    model = COMIC(train=Train(epochs=1, batch_size=60, progress=False), random_state=0).fit(
        rng.normal(size=(600, 4)), y
    )
    some = torch.as_tensor(y[np.setdiff1d(np.arange(600), model.calibration_rows_.numpy())])
    rows = Data(torch.zeros(len(some), 4), some, torch.ones(len(some), dtype=torch.bool))
    generator = torch.Generator().manual_seed(0)
    batches = [batch.y.chunk(3) for _ in range(20) for batch in model.batches(rows, generator)]
    natural, rare, alike = (torch.cat([batch[kind] for batch in batches]).float().mean(0) for kind in range(3))
    torch.testing.assert_close(natural, some.float().mean(0))
    assert rare[2] > alike[2] > 3 * natural[2]
    chances = model.chances_[2]
    assert chances.sum().item() == pytest.approx(4, abs=1e-4)  # a share of one for each label, and for none


@pytest.mark.parametrize("balance", ["distill", "mean"])
def test_recalls_missing_positives(balance):
    drawn = partial_multilabel(
        1600, 6, positive_rate=0.2, sharpness=8.0, observed_positive=0.6, observed_negative=0.0, random_state=0
    )  # fmt: skip
    X, y = drawn.X[:1000], drawn.y[:1000].copy()
    y[:, 0] = np.where((y[:, 0] < 0) & (drawn.truth[:1000, 0] == 0), 0, y[:, 0])
    model = COMIC(balance=balance, train=Train(epochs=10, batch_size=64, progress=False), random_state=0).fit(X, y)
    found = model.recalled_.numpy()
    assert not found[y >= 0].any()
    assert found.sum() > 50
    assert drawn.truth[:1000][found].mean() > 3 * drawn.truth[:1000][y < 0].mean()
    told = np.nanmean(average_precision(model.predict_proba(drawn.X[1000:]), drawn.truth[1000:]))
    assert told > drawn.truth.mean() + 0.3


def test_needs_a_representation():
    drawn = partial_multilabel(60, 3, random_state=0)
    with pytest.raises(InputError, match="features"):
        COMIC(net=torch.nn.Linear(16, 3), train=QUICK).fit(drawn.X, drawn.y)
