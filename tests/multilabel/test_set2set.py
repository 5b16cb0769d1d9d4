"""Predicting label sets: labels that exclude each other, sets as rows, saving, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.multilabel import SetPredictor
from labelwise.nets import Joined
from labelwise.persistence import load, save

SHORT = Train(epochs=15, batch_size=32, lr=5e-3, progress=False)


def symbols(n=300, seed=0):
    """Sets of up to four symbols, padded with zeros; the labels say which are there."""
    there = np.random.default_rng(seed).random((n, 4)) < 0.5
    return np.eye(4) * there[:, None], there.astype(np.int8)


@pytest.fixture(scope="module")
def fitted():
    X, y = symbols()
    return SetPredictor(train=SHORT, random_state=0).fit(X, y)


@pytest.mark.slow
def test_reads_sets_in_any_order(fitted):
    X, y = symbols(seed=1)
    shuffled = X[:, :, [2, 0, 3, 1]]
    wider = np.concatenate([X, np.zeros((len(X), 4, 0))], axis=2)
    assert (fitted.predict(X) == y).all(axis=1).mean() > 0.9
    assert np.allclose(fitted.predict_proba(X), fitted.predict_proba(shuffled), atol=0.05)
    assert np.array_equal(fitted.predict(X), fitted.predict(wider))


def test_sequences_name_the_labels_of_the_set(fitted):
    X, y = symbols(seed=2)
    told = fitted.sequence(X)
    right = [set(row[row >= 0]) == set(np.flatnonzero(truth)) for row, truth in zip(told, y, strict=True)]
    assert np.mean(right) > 0.9
    assert all(len(row[row >= 0]) == len(set(row[row >= 0])) for row in told)


def test_saved_and_loaded(fitted, tmp_path):
    X, _ = symbols(20)
    again = load(save(fitted, tmp_path / "model"))
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("net", ["auto", Joined(nn.Sequential(nn.Linear(2, 16), nn.Tanh()))], ids=["auto", "own"])
def test_draws_one_of_two_labels_that_exclude_each_other(net):
    """Where the row says nothing, single scores would say both or neither; the sets it draws hold exactly one."""
    rng = np.random.default_rng(0)
    X, first = rng.normal(size=(400, 2)), rng.random(400) < 0.5
    y = np.c_[first, ~first].astype(np.int8)
    model = SetPredictor(net=net, train=SHORT, random_state=0).fit(X, y)
    p = model.predict_proba(X)
    assert np.abs(p.sum(1) - 1).mean() < 0.1
    assert np.abs(p[:, 0] - 0.5).mean() < 0.25


def test_unknown_labels_and_single_classes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = (X > 0).astype(np.int8)
    hidden = np.where(rng.random(y.shape) < 0.3, -1, y).astype(np.int8)
    model = SetPredictor(train=SHORT, random_state=0).fit(X, hidden)
    assert (model.predict(X) == y).mean() > 0.85
    codes = X.argmax(1)
    single = SetPredictor(train=SHORT, random_state=0).fit(X, codes)
    assert (single.predict(X) == codes).mean() > 0.85
    assert np.allclose(single.predict_proba(X).sum(1), 1)


def test_refuses_a_network_without_features():
    with pytest.raises(InputError, match="Joined"):
        SetPredictor(net=nn.Linear(2, 3)).fit(np.ones((6, 2)), np.eye(6, 3, dtype=int))
