from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from labelwise.base import InputError
from labelwise.data.synthetic import labelled_stream
from labelwise.learner import Classifier, Train
from labelwise.shift import SHOT, FewShotTuning, few_labels_better
from labelwise.training import Batch, Data


@cache
def places(kind="moved", seed=0):
    """A source model, and rows of another place with their classes."""
    stream = labelled_stream(kind, random_state=seed)
    model = Classifier(train=Train(epochs=20, batch_size=32), random_state=seed)
    return model.fit(stream.X_source, stream.y_source), stream.X, stream.y


def few(y, k, seed=0):
    """Labels of k rows a class, -1 for the others."""
    rng, out = np.random.default_rng(seed), np.full(len(y), -1)
    for c in np.unique(y):
        rows = rng.choice(np.flatnonzero(y == c), k, replace=False)
        out[rows] = c
    return out


def same(a, b):
    return all(torch.equal(x, z) for x, z in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("order", ["head first", "all", "head"])
@pytest.mark.parametrize("sam", [0.0, 0.05])
def test_a_few_labels_are_enough_where_the_inputs_moved(order, sam):
    model, X, y = places()
    known = few(y, 10)
    tuned = FewShotTuning(estimator=model, order=order, sam=sam, random_state=0).fit(X, known)
    rest = known == -1
    assert tuned.score(X[rest], y[rest]) > model.score(X[rest], y[rest]) + 0.05
    if order != "head first":  # its best weights may be those of the head alone
        assert same(tuned.net_.features, model.net_.features) == (order == "head")


def test_rows_without_a_label_change_nothing():
    model, X, y = places()
    known = few(y, 5)
    other = X.copy()
    other[known == -1] += 7
    fits = [FewShotTuning(estimator=model, tune_steps=20, random_state=0).fit(rows, known) for rows in (X, other)]
    assert np.array_equal(fits[0].predict_proba(X), fits[1].predict_proba(X))
    alone = FewShotTuning(estimator=model, tune_steps=20, random_state=0).fit(X[known >= 0], known[known >= 0])
    assert alone.predict_proba(X).shape == (1000, 4)


def test_the_source_model_stays_and_reads_the_rows_as_before():
    model, X, y = places()
    before = model.predict_proba(X)
    tuned = FewShotTuning(estimator=model, order="head", probe_steps=20, lr=1e-12, random_state=0).fit(X, few(y, 3))
    assert np.array_equal(model.predict_proba(X), before)
    assert tuned.predict_proba(X) == pytest.approx(before, abs=1e-4)  # the other place's scale was not learned


def test_the_gradient_of_sam_is_that_at_the_worst_weights_nearby():
    torch.manual_seed(0)
    net, x, y = nn.Linear(3, 2), torch.randn(8, 3), torch.randint(2, (8,))
    method = FewShotTuning(sam=0.3)
    method.net_ = net
    mine = torch.autograd.grad(method.loss(Batch(x, y, torch.arange(8))), list(net.parameters()))
    slopes = torch.autograd.grad(nn.functional.cross_entropy(net(x), y), list(net.parameters()))
    length = float(np.sqrt(sum(float((g**2).sum()) for g in slopes)))
    with torch.no_grad():
        for weight, slope in zip(net.parameters(), slopes, strict=True):
            weight += 0.3 * slope / length
    there = torch.autograd.grad(nn.functional.cross_entropy(net(x), y), list(net.parameters()))
    for a, b in zip(mine, there, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_one_row_of_each_class_is_held_out_if_there_are_two():
    model, X, y = places()
    method = FewShotTuning(estimator=model, random_state=0)
    method.seed_ = 0
    codes = few(y, 3)
    data, held = method._hold_out(Data(torch.as_tensor(X), torch.as_tensor(codes), torch.as_tensor(codes >= 0)))
    assert sorted(held.y.tolist()) == [0, 1, 2, 3] and int(data.labelled.sum()) == 8
    once = few(y, 1)
    assert method._hold_out(Data(torch.as_tensor(X), torch.as_tensor(once), torch.as_tensor(once >= 0)))[1] is None


def test_statistics_of_batch_normalisation_stay_or_follow():
    _, X, y = places()
    net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    model = Classifier(net=net, train=Train(epochs=3), random_state=0).fit(X, y)
    for statistics in ("frozen", "adapted"):
        tuned = FewShotTuning(estimator=model, order="all", tune_steps=20, statistics=statistics, random_state=0)
        tuned.fit(X + 3, few(y, 5))
        kept = torch.equal(tuned.net_[1].running_mean, model.net_[1].running_mean)
        assert kept == (statistics == "frozen")


def test_shot_adapts_without_labels_and_does_not_read_them():
    model, X, y = places()
    adapted = SHOT(estimator=model, random_state=0).fit(X, None)
    assert adapted.score(X, y) > model.score(X, y) + 0.05
    assert same(adapted.net_.head, model.net_.head)
    told = SHOT(estimator=model, random_state=0).fit(X, np.roll(y, 1))
    assert np.array_equal(told.predict_proba(X), adapted.predict_proba(X))


def test_shot_harms_where_the_shares_are_lopsided_and_a_few_labels_do_not():
    lost = {"shot": [], "few": []}
    for seed in range(2):
        model, X, y = places("i.i.d.", seed)
        rng = np.random.default_rng(seed)
        rows = np.flatnonzero((y == 0) | (rng.random(len(y)) < 0.06))
        X, y = X[rows], y[rows]
        known = np.where(np.isin(np.arange(len(y)), np.flatnonzero(y == 0)[:3]), 0, -1)
        for c in range(1, 4):
            known[np.flatnonzero(y == c)[:3]] = c
        rest = known == -1
        plain = model.score(X[rest], y[rest])
        lost["shot"].append(
            plain - SHOT(estimator=model, epochs=30, random_state=0).fit(X, None).score(X[rest], y[rest])
        )
        lost["few"].append(plain - FewShotTuning(estimator=model, random_state=0).fit(X, known).score(X[rest], y[rest]))
    assert np.mean(lost["shot"]) > 0.04 > np.mean(lost["few"])


def test_pseudo_labels_agree_with_numpy():
    model, X, _ = places()
    adapted = SHOT(estimator=model, epochs=1, lr=1e-9, random_state=0).fit(X, None)
    z, p = model.features(X), model.predict_proba(X)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    for _ in range(2):
        centres = (p.T @ z) / p.sum(0)[:, None]
        nearest = (z @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T).argmax(1)
        p = np.eye(4)[nearest]
    assert (adapted.pseudo_.numpy() == nearest).mean() > 0.995


def test_bad_input():
    model, X, y = places()
    with pytest.raises(InputError, match="class 4, which the estimator does not know"):
        FewShotTuning(estimator=model).fit(X[:10], np.arange(10) % 5)
    linear = Classifier(net="linear", train=Train(epochs=1)).fit(X, y)
    with pytest.raises(InputError, match="no weights to adapt"):
        SHOT(estimator=linear).fit(X, None)
    with pytest.raises(InputError, match="more than per_class=3"):
        few_labels_better(model, X[:12], np.repeat([0, 1, 2, 3], 3))


def test_the_better_buy_is_told_in_plain_words():
    model, X, y = places()
    short = {"repeats": 3, "random_state": 0, "tuner": FewShotTuning(probe_steps=100, tune_steps=60)}
    told = few_labels_better(model, X, few(y, 30), per_class=5, **short)
    assert told.better is True and told.gain.low > 0
    assert "Label these few rows" in told.text and "5 labels of each class (20 in all)" in told.text
    same_place, X, y = places("i.i.d.")
    told = few_labels_better(same_place, X, few(y, 40), without=same_place, per_class=1, **short)
    assert told.better is not True and "adapting without labels" in told.text
    assert told.with_labels.low <= told.with_labels.value <= told.with_labels.high <= 1
