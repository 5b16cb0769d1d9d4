"""FACILE: which rows a step draws, what its objective is, and few-shot classes finer than those of the sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labelwise.base import InputError
from labelwise.batch import Data
from labelwise.persistence import load, save
from labelwise.training import Train
from labelwise.weak import FACILE


def planted(n_sets=120, seed=0):
    """Four groups of rows; a set's class says whether most of its rows are of groups 0 and 1."""
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, 4, (n_sets, 6))
    X = 2.5 * np.eye(4)[fine.ravel()] @ rng.normal(size=(4, 10)) + rng.normal(size=(6 * n_sets, 10))
    return X, np.repeat(np.arange(n_sets), 6), ((fine < 2).sum(1) > 3).astype(int), fine.ravel()


def test_a_step_draws_some_rows_of_each_set_and_sets_of_every_class():
    learner = FACILE(draw=3)
    learner.train_ = Train(batch_size=90)
    sizes = torch.tensor([2, 5, 9] * 40)
    bag = torch.arange(120).repeat_interleave(sizes)
    y = (torch.arange(120) < 12).long()[bag]  # a tenth of the sets is of class 1
    data = Data(torch.zeros(len(bag), 1), y, torch.ones(len(bag), dtype=torch.bool), domain=bag)
    batches = list(learner.batches(data, torch.Generator().manual_seed(0)))
    assert len(batches) == learner.steps(data)
    classes = []
    for batch in batches:
        for number in batch.domain.unique():
            rows = batch.index[batch.domain == number]
            assert len(bag[rows].unique()) == 1
            assert len(rows) == len(rows.unique()) == min(3, int(sizes[bag[rows[0]]]))
            classes.append(int(y[rows[0]]))
    assert len(classes) == 120
    assert 0.3 < np.mean(classes) < 0.7


@pytest.mark.parametrize("objective", ["classes", "contrastive"])
def test_rows_are_told_finer_than_sets(objective, tmp_path):
    X, bags, y, fine = planted()
    train = Train(epochs=15, batch_size=128, lr=3e-3)
    model = FACILE(objective=objective, train=train, random_state=0).fit(X, y, bags=bags)
    assert set(model.predict_instances(X)) <= {0, 1}
    assert model.score(X, y, bags=bags) > 0.7
    few = np.concatenate([np.flatnonzero(fine == k)[:8] for k in range(4)])
    names = np.array(["a", "b", "c", "d"])[fine]
    for classifier in ("centroid", "logistic"):
        model.fit_instances(X[few], names[few], classifier=classifier)
        assert (model.predict_instances(X) == names).mean() > 0.6
    save(model, tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict_instances(X), model.predict_instances(X))


def test_bad_few_shots_are_refused():
    X, bags, y, fine = planted(20)
    model = FACILE(train=Train(epochs=1), random_state=0).fit(X, y, bags=bags)
    with pytest.raises(InputError, match="give one a row"):
        model.fit_instances(X[:5], fine[:4])
    with pytest.raises(InputError, match="classifier must be"):
        model.fit_instances(X[:9], fine[:9], classifier="tree")
