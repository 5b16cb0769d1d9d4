"""SP2OT: similarities, growth of the mass, targets of a step, the memory, and clusters of unequal sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.data.synthetic import blobs
from labelwise.imbalanced import SP2OT
from labelwise.imbalanced.sp2ot import _newest, neighbour_similarity, progress
from labelwise.learner import Train
from labelwise.parts.matching import hungarian_accuracy
from labelwise.parts.memory import Queue


def test_similarities_are_of_the_nearest_others():
    F = np.random.default_rng(0).normal(size=(20, 3))
    found = neighbour_similarity(F, 4).toarray()
    gap = ((F[:, None] - F[None]) ** 2).sum(2)
    for i in range(20):
        near = [j for j in np.argsort(gap[i]) if j != i][:4]
        expected = np.zeros(20)
        expected[near] = np.exp(-gap[i, near] / (2 * 2**2 * 3))
        assert np.allclose(found[i], expected)
    assert neighbour_similarity(F[:3], 10).nnz == 6
    assert neighbour_similarity(F[:1], 10).nnz == 0


@given(st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_mass_grows_to_one(first, a, b):
    assert first <= progress(min(a, b), first) <= progress(max(a, b), first) <= 1
    assert progress(1.0, first) == 1


@given(st.integers(1, 7), st.lists(st.integers(1, 4), max_size=8), st.integers(0, 9))
def test_the_newest_rows_come_in_order(size, pushes, count):
    queue, told = Queue(size, 1), []
    for n in pushes:
        rows = torch.arange(len(told), len(told) + n).float()[:, None]
        queue.push(rows)
        told += rows[:, 0].tolist()
    kept = told[-size:] if told else []
    assert _newest(queue, count)[:, 0].tolist() == (kept[-count:] if count else [])


@pytest.fixture(scope="module")
def unequal():
    made = blobs(320, 3, 6, prior=[0.75, 0.17, 0.08], separation=8.0, random_state=0)
    model = SP2OT(n_clusters=3, train=Train(epochs=12, batch_size=64, progress=False), random_state=0).fit(made.X)
    return made, model


def test_unequal_groups_are_found(unequal):
    made, model = unequal
    assert hungarian_accuracy(made.y, model.labels_) > 0.7
    assert np.array_equal(model.predict(made.X), model.labels_)
    assert set(model.labels_) == set(range(len(model.clusters_)))


def test_y_is_not_read(unequal):
    made, model = unequal
    train = Train(epochs=12, batch_size=64, progress=False)
    again = SP2OT(n_clusters=3, train=train, random_state=0).fit(made.X, made.y[::-1])
    assert np.array_equal(again.labels_, model.labels_)


def test_targets_move_the_mass_asked_for_and_weigh_each_row_at_most_once():
    X = torch.randn(40, 5)
    model = SP2OT(n_clusters=4, memory=30, smoothness=0.0)
    model.passed_, model._ends = torch.tensor(0.3), [None, None]
    model._similar = neighbour_similarity(X.numpy(), 5)
    model.memory_ = torch.nn.ModuleList(Queue(30, 4) for _ in range(2))
    model.remembered_ = Queue(30, 1)
    for start in (0, 10, 20, 30):
        index = torch.arange(start, start + 10)[:, None].double()
        found = model.targets(0, torch.randn(10, 4).log_softmax(1), index)
        model.remembered_.push(index)
        assert (found >= 0).all()
        assert (found.sum(1) <= 1 + 1e-5).all()
    alone = SP2OT(n_clusters=4, memory=10, smoothness=0.0, first_mass=0.2)
    alone.passed_, alone._ends, alone._similar = torch.tensor(0.5), [None, None], model._similar
    alone.memory_ = torch.nn.ModuleList(Queue(10, 4) for _ in range(2))
    alone.remembered_ = Queue(10, 1)
    found = alone.targets(1, torch.randn(10, 4).log_softmax(1), torch.arange(10)[:, None].double())
    assert float(found.sum() / 10) == pytest.approx(progress(0.5, 0.2), abs=0.01)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="n_clusters"):
        SP2OT(n_clusters=5, random_state=0).fit(np.random.default_rng(0).normal(size=(3, 2)))
    with pytest.raises(InputError, match="validation"):
        SP2OT(train=Train(validation=0.2)).fit(np.zeros((20, 2)))
