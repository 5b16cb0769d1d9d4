from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch.nn.functional import cross_entropy

from labelwise.base import InputError
from labelwise.calibration import DMixup
from labelwise.learner import Classifier, Train
from labelwise.losses import ELR, GCE
from labelwise.training import Batch

X, Y = load_iris(return_X_y=True)
SHORT = Train(epochs=3, batch_size=32)


def batch_of(weight=None):
    x = torch.as_tensor(X[::3], dtype=torch.float32)
    return Batch(x, torch.as_tensor(Y[::3]), torch.arange(len(x)), weight)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_loss_is_the_paper_s_sum(d):
    model = DMixup(d=d, train=SHORT, random_state=0).fit(X, Y)
    model.net_.eval()
    batch = batch_of()
    torch.manual_seed(7)
    found = model.loss(batch)
    torch.manual_seed(7)
    shares = torch.distributions.Dirichlet(torch.ones(d)).sample() if d > 1 else torch.ones(1)
    partners = [torch.arange(len(batch))] + [torch.randperm(len(batch)) for _ in range(d - 1)]
    mixed = sum(s * batch.x[p] for s, p in zip(shares, partners, strict=True))
    logits = model.net_(mixed)
    slow = sum(s * cross_entropy(logits, batch.y[p]) for s, p in zip(shares, partners, strict=True))
    assert float(found.detach()) == pytest.approx(float(slow.detach()), rel=1e-5)


def test_one_part_is_plain_training():
    mixed = DMixup(d=1, train=SHORT, random_state=0).fit(X, Y)
    plain = Classifier(train=SHORT, random_state=0).fit(X, Y)
    assert np.allclose(mixed.predict_proba(X), plain.predict_proba(X))


def test_more_parts_are_less_confident():
    train = Train(epochs=40, batch_size=16)
    confidence = [DMixup(d=d, train=train, random_state=0).fit(X, Y).predict_proba(X).max(1).mean() for d in (1, 2, 5)]
    assert confidence[0] > confidence[1] > confidence[2]


@pytest.mark.parametrize("criterion", [GCE(), ELR()])
def test_takes_any_criterion(criterion):
    model = DMixup(criterion=criterion, train=Train(epochs=20, batch_size=16), random_state=0).fit(X, Y)
    assert model.score(X, Y) > 0.6


def test_weights_go_with_their_rows():
    model = DMixup(train=SHORT, random_state=0).fit(X, Y, sample_weight=np.ones(len(X)))
    model.net_.eval()
    results = []
    for weight in (None, torch.ones(50), torch.full((50,), 3.0)):
        torch.manual_seed(1)
        results.append(float(model.loss(batch_of(weight)).detach()))
    assert results[1] == pytest.approx(results[0], rel=1e-5)
    assert results[2] == pytest.approx(results[0], rel=1e-5)


def test_texts_cannot_be_mixed():
    with pytest.raises(InputError, match="texts"):
        DMixup(train=SHORT).fit(["good film", "bad film", "good", "bad"] * 5, [0, 1, 0, 1] * 5)
