"""WAD: its similarities and weights against loops, its rounds, and what the weights say of unknown rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labelwise.data.synthetic import open_pool
from labelwise.learner import Train
from labelwise.parts.open_set import auroc, closed_accuracy
from labelwise.parts.views import Views
from labelwise.semi_supervised import WAD
from labelwise.semi_supervised.wad import class_similarity, margin
from labelwise.training import Batch

PLAIN = Views(nn.Identity(), nn.Identity())


@given(st.integers(2, 5), st.integers(0, 2**31 - 1))
def test_labels_and_weights_are_those_of_loops_over_labelled_rows(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(6, 4))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    anchors = rng.normal(size=(3 * k, 4))
    anchors /= np.linalg.norm(anchors, axis=1, keepdims=True)
    classes = rng.permutation(np.arange(3 * k) % k)
    label, weight = margin(class_similarity(*map(torch.as_tensor, (z, anchors, classes)), k))
    for i in range(6):
        s = [max(float(z[i] @ anchors[j]) for j in range(3 * k) if classes[j] == c) for c in range(k)]
        first, second = sorted(s)[::-1][:2]
        assert int(label[i]) == int(np.argmax(s))
        assert float(weight[i]) == pytest.approx(first * (1 - second / first), abs=1e-9)


@pytest.fixture(scope="module")
def sample():
    return open_pool(30, 300, 3, 2, unknown_share=0.5, separation=6.0, random_state=0)


@pytest.fixture(scope="module")
def fitted(sample) -> WAD:
    return WAD(encoder="none", train=Train(epochs=18, batch_size=30), random_state=0).fit(sample.X, sample.y)


def test_weights_tell_rows_of_no_class(sample, fitted: WAD) -> None:
    pool = sample.y < 0
    weight = fitted.weight_.numpy()[pool]
    unknown = sample.is_unknown[pool]
    assert weight[~unknown].mean() > 2 * weight[unknown].mean()
    right = (fitted.label_.numpy() == sample.truth)[pool][~unknown]
    assert right.mean() > 0.95
    score = fitted.outlier_score(sample.X)
    assert ((score >= 0) & (score <= 1)).all()
    assert auroc(score[pool], unknown) > 0.75
    assert closed_accuracy(sample.truth, fitted.predict(sample.X), sample.is_unknown) > 0.9
    np.testing.assert_array_equal(fitted.predict_open(sample.X) == -1, score >= 0.5)


def test_given_labels_stay_and_the_shares_of_the_rounds_join(sample, fitted: WAD) -> None:
    target = fitted.target_.numpy()
    np.testing.assert_array_equal(target[sample.y >= 0], sample.y[sample.y >= 0])
    free = 300
    for t in range(1, 6):
        free -= int(0.1 * (1 - t / 5) ** 2 * free)
    assert int((target == -1).sum()) == free
    joined = (sample.y < 0) & (target >= 0)
    assert (target == sample.truth)[joined].mean() > 0.9


def test_the_loss_is_its_formula(sample, fitted: WAD) -> None:
    """Labelled rows by their targets, pool rows by weight times cross-entropy; rows that joined weigh nothing."""
    x = torch.as_tensor(fitted.inputs_.transform(sample.X))
    rows, others = torch.arange(10), torch.arange(40, 90)
    y = torch.as_tensor(sample.y)
    pool = Batch(x[others], y[others], others, views=PLAIN)
    with torch.no_grad():
        got = fitted.loss(Batch(x[rows], y[rows], rows, views=PLAIN, unlabelled=pool))
        logits = fitted.net_.float()(x)
    expected = 0.0
    for i in others.tolist():
        if fitted.target_[i] < 0:
            expected += float(fitted.weight_[i]) * float(-F.log_softmax(logits[i], 0)[fitted.label_[i]])
    assert float(got["distilled"]) == pytest.approx(expected / 50, rel=1e-4)
    assert float(got["supervised"]) == pytest.approx(float(F.cross_entropy(logits[rows], y[rows])), rel=1e-4)


def test_an_encoder_of_its_own_brings_views_of_a_row_together(sample) -> None:
    train = Train(epochs=6, batch_size=30)
    model = WAD(pretrain_epochs=15, train=train, random_state=0).fit(sample.X, sample.y)
    assert model.history_[14]["loss"] < model.history_[0]["loss"]
    assert [row["phase"] for row in model.history_[15:]] == [1, 2, 3, 4, 5, 6]
    pool = sample.y < 0
    known = ~sample.is_unknown[pool]
    assert (model.label_.numpy() == sample.truth)[pool][known].mean() > 0.8


def test_a_given_encoder_is_used_and_not_changed(sample) -> None:
    encoder = nn.Linear(8, 4)
    before = encoder.weight.detach().clone()
    model = WAD(encoder=encoder, rounds=0, train=Train(epochs=2, batch_size=30), random_state=0)
    model.fit(sample.X, sample.y)
    torch.testing.assert_close(model.encoder_.weight, before)
    assert model.anchors_.shape == (30, 4)
    assert model.encoder_ is not encoder
