"""Learners of sets: whole bags in batches, what a bag's class teaches about its rows, and bad bags."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from labelwise.base import InputError
from labelwise.batch import Data
from labelwise.data.synthetic import set_bags
from labelwise.training import Train
from labelwise.weak import MultipleInstance

TRAIN = Train(epochs=40, batch_size=64, lr=3e-3)


@pytest.fixture(scope="module")
def drawn():
    return set_bags(120, (4, 12), separation=6.0, random_state=0)


@pytest.fixture(scope="module")
def model(drawn):
    rows = drawn.bags < 80
    return MultipleInstance(train=TRAIN, random_state=0).fit(drawn.X[rows], drawn.y[:80], bags=drawn.bags[rows])


def test_bags_are_classified_and_attention_finds_the_witnesses(model, drawn):
    rest = drawn.bags >= 80
    assert model.score(drawn.X[rest], drawn.y[80:], bags=drawn.bags[rest] - 80) > 0.85
    inside = drawn.y[drawn.bags] == 1
    share = model.attention(drawn.X, drawn.bags)
    np.testing.assert_allclose(np.bincount(drawn.bags, share), 1)
    assert roc_auc_score(drawn.is_positive[inside], share[inside]) > 0.9
    assert (model.predict_instances(drawn.X) == drawn.is_positive).mean() > 0.8


def test_rows_may_lie_in_any_order_and_bags_do_not_know_each_other(model, drawn):
    expected = model.predict_proba(drawn.X, bags=drawn.bags)
    order = np.random.default_rng(0).permutation(len(drawn.X))
    np.testing.assert_allclose(model.predict_proba(drawn.X[order], bags=drawn.bags[order]), expected)
    few = drawn.bags < 7
    np.testing.assert_allclose(model.predict_proba(drawn.X[few], bags=drawn.bags[few]), expected[:7])


def test_batches_never_split_a_bag_and_hold_every_labelled_one_once():
    learner = MultipleInstance()
    learner.train_ = Train(batch_size=10)
    bag = torch.tensor(np.random.default_rng(0).integers(0, 30, 200))
    labelled = bag % 3 != 0
    data = Data(torch.zeros(200, 1), torch.zeros(200, dtype=torch.long), labelled, domain=bag)
    batches = list(learner.batches(data, torch.Generator().manual_seed(0)))
    assert len(batches) == learner.steps(data) > 5
    held = [set(batch.domain.tolist()) for batch in batches]
    assert sum(map(len, held)) == len(set().union(*held)) == 20
    assert sum(map(len, batches)) == int(labelled.sum())


def test_changing_the_rows_of_an_unlabelled_bag_changes_only_how_columns_are_scaled(drawn):
    y = np.where(np.arange(120) % 4 == 0, -1, drawn.y)
    hidden = y[drawn.bags] == -1
    other = drawn.X.copy()
    other[hidden] = other[hidden][::-1]  # the same numbers in other rows: mean and spread of columns stay
    short = MultipleInstance(train=Train(epochs=3), random_state=0)
    known = ~hidden
    first, second = (short.fit(X, y, bags=drawn.bags).outputs(drawn.X[known]) for X in (drawn.X, other))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_early_stopping_holds_out_whole_bags(drawn):
    train = Train(epochs=8, validation=0.25, batch_size=64)
    model = MultipleInstance(train=train, random_state=0).fit(drawn.X, drawn.y, bags=drawn.bags)
    assert all("validation" in row for row in model.history_)
    assert model.score(drawn.X, drawn.y, bags=drawn.bags) > 0.7


@pytest.mark.parametrize("pooling", ["attention", "mean", "max", "max score", "deep sets", "set transformer"])
def test_every_pooling_learns_bags_of_many_witnesses(pooling):
    many = set_bags(60, 6, witness_rate=0.8, separation=6.0, random_state=1)
    train = Train(epochs=10, batch_size=64, lr=3e-3)
    model = MultipleInstance(pooling=pooling, train=train, random_state=0).fit(many.X, many.y, bags=many.bags)
    assert model.score(many.X, many.y, bags=many.bags) > 0.9


def test_bad_bags_are_refused(drawn):
    model = MultipleInstance()
    with pytest.raises(InputError, match="bags labels 5 rows, but X has 6"):
        model.fit(np.zeros((6, 2)), [0, 1], bags=[0, 0, 0, 1, 1])
    with pytest.raises(InputError, match="y has 2 entries, but bags numbers 3 bags"):
        model.fit(np.zeros((3, 2)), [0, 1], bags=[0, 1, 2])
    with pytest.raises(InputError, match="no row is in bag 1"):
        model.fit(np.zeros((3, 2)), [0, 1, 1], bags=[0, 0, 2])
    with pytest.raises(InputError, match="one class"):
        model.fit(np.zeros((3, 2)), [1, 1, 1], bags=[0, 1, 2])
