from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.shift import DRM
from labelwise.training import Batch

FAST = Train(epochs=15, batch_size=32, lr=5e-3)


def domains(seed=0, n=900):
    """Three domains; in the last one the label of a feature's sign is turned around, and another feature says so."""
    rng = np.random.default_rng(seed)
    where = np.arange(n) % 3
    X = rng.normal(size=(n, 4))
    X[:, 3] += 4 * (where == 2)
    return X, ((X[:, 0] > 0) ^ (where == 2)).astype(int), where


def test_the_loss_agrees_with_numpy():
    X, y, where = domains(n=30)
    method = DRM(train=FAST, random_state=0).fit(X, y, domains=where)
    x = torch.as_tensor(method.inputs_.transform(X))
    found = method.loss(Batch(x, torch.as_tensor(y), torch.arange(30), domain=torch.as_tensor(where)))
    logs = log_softmax(method.net_(x).detach().numpy().reshape(30, 4, 2), axis=2)
    own = -logs[np.arange(30), where, y]
    common = -logs[np.arange(30), 3, y]
    mean = np.mean([(own[where == k].mean() + common[where == k].mean()) / 2 for k in range(3)])
    assert sum(float(part.detach()) for part in found.values()) == pytest.approx(mean, abs=1e-5)
    absent = where != 1  # a domain that a batch does not hold
    rows = torch.as_tensor(np.flatnonzero(absent))
    found = method.loss(Batch(x[rows], torch.as_tensor(y)[rows], rows, domain=torch.as_tensor(where)[rows]))
    mean = np.mean([(own[where == k].mean() + common[where == k].mean()) / 2 for k in (0, 2)])
    assert sum(float(part.detach()) for part in found.values()) == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 5.0])
def test_steering_agrees_with_numpy(gamma):
    X, y, where = domains()
    soft = DRM(gamma=gamma, train=Train(epochs=3), random_state=0).fit(X, y, domains=where)
    p = softmax(soft.net_.eval()(torch.as_tensor(soft.inputs_.transform(X))).detach().numpy().reshape(-1, 4, 2), axis=2)
    entropy = -(p * np.log(p)).sum(2) + 1e-6
    weight = entropy[:, :3] ** -gamma
    assert soft.predict_proba(X) == pytest.approx(
        (weight[:, :, None] * p[:, :3]).sum(1) / weight.sum(1)[:, None], abs=1e-4
    )
    hard = soft.set_params(steering="hard").predict_proba(X)
    assert hard == pytest.approx(p[np.arange(len(X)), entropy.argmin(1)], abs=1e-4)


def test_heads_of_their_own_learn_what_one_head_cannot():
    X, y, where = domains()
    X_test, y_test, there = domains(1)
    method = DRM(net="linear", train=FAST, random_state=0).fit(X, y, domains=np.array(["a", "b", "c"])[where])
    assert method.domains_.tolist() == ["a", "b", "c"]
    scores = method.net_(torch.as_tensor(method.inputs_.transform(X_test))).detach().numpy().reshape(-1, 4, 2)
    right = scores[np.arange(900), there].argmax(1) == y_test
    common = scores[:, 3].argmax(1) == y_test
    assert right.mean() > 0.9 > 0.8 > common.mean()


def test_unlabelled_rows_and_their_domains_change_nothing():
    X, y, where = domains(n=90)
    known, names = np.arange(90) % 4 > 0, np.array(["a", "b", "c"], dtype=object)[where]
    other = np.where(known, names, "elsewhere")
    fits = [DRM(train=FAST, random_state=0).fit(X, np.where(known, y, -1), domains=d) for d in (names, other)]
    assert np.array_equal(fits[0].predict_proba(X), fits[1].predict_proba(X))


def test_the_update_moves_the_heads_only_and_is_carried_on():
    X, y, where = domains(n=300)
    method = DRM(train=FAST, random_state=0).fit(X, y, domains=where)
    features = [weight.clone() for weight in method.net_.features.parameters()]
    before = method.predict_proba(X)
    once = method.adapt(X[:100]).predict_proba(X)
    twice = method.adapt(X[:100]).predict_proba(X)
    assert not np.array_equal(before, once) and not np.array_equal(once, twice)
    assert all(torch.equal(a, b) for a, b in zip(features, method.net_.features.parameters(), strict=True))
    never = DRM(train=FAST, confidence=1.1, random_state=0).fit(X, y, domains=where)
    assert np.array_equal(never.adapt(X).predict_proba(X), before)


def test_bad_input():
    X, y, where = domains(n=30)
    with pytest.raises(InputError, match="one entry a row"):
        DRM().fit(X, y, domains=where[1:])
    assert DRM(train=FAST, random_state=0).fit(X, y).domains_.tolist() == [0]
