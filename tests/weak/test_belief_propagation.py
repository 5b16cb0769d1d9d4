"""Labels of two classes from counts of bags: pseudo-labels, embeddings, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.weak.bag_splits import random_bags
from labelwise.weak.belief_propagation import BagEmbedding, BeliefPropagation, standardised

SHORT = Train(epochs=8, batch_size=64, progress=False)


def moons(n=600, size=8, seed=0):
    """Two clouds in five dimensions, bags at random, and the share of class 1 in each."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 5)) + 3.0 * truth[:, None] * [1, 0, 0, 0, 1]
    bags = random_bags(n, size, seed)
    return X, truth, bags, np.bincount(bags, truth) / np.bincount(bags)


@pytest.mark.parametrize("rounds", [0, 1])
@pytest.mark.parametrize("size", [8, 64])
def test_rows_are_told_apart_from_counts(rounds, size):
    X, truth, bags, shares = moons(size=size)
    model = BeliefPropagation(rounds=rounds, train=SHORT, random_state=0).fit(X, shares, bags=bags)
    assert model.score(X, truth) > 0.9
    assert len(model.n_iter_) == rounds + 1


def test_any_classifier_learns_the_pseudo_labels():
    X, truth, bags, shares = moons()
    both = np.c_[1 - shares, shares]
    model = BeliefPropagation(estimator=LogisticRegression()).fit(X, both, bags=bags)
    assert isinstance(model.estimator_, LogisticRegression)
    assert model.score(X, truth) > 0.9


def test_bags_of_one_row_are_labels():
    X, truth, _, _ = moons(200)
    model = BeliefPropagation(smoothness=0.0, train=SHORT, random_state=0).fit(
        X, truth.astype(float), bags=np.arange(200)
    )
    np.testing.assert_array_equal(model.marginals_ > 0.5, truth == 1)


def test_without_smoothness_a_row_gets_its_bags_share():
    X, _, bags, shares = moons()
    model = BeliefPropagation(smoothness=0.0, bag_weight=100.0, train=SHORT, random_state=0).fit(X, shares, bags=bags)
    np.testing.assert_allclose(model.marginals_, shares[bags], atol=2e-3)


def test_what_is_behind_an_unknown_share_changes_no_marginal():
    X, _, bags, shares = moons()
    shares[4] = np.nan
    model = BeliefPropagation(train=SHORT, random_state=0).fit(X, shares, bags=bags)
    apart = bags.copy()
    apart[np.flatnonzero(bags == 4)[1:]] = bags.max() + 1 + np.arange((bags == 4).sum() - 1)
    more = np.r_[shares, np.full((bags == 4).sum() - 1, np.nan)]
    again = BeliefPropagation(train=SHORT, random_state=0).fit(X, more, bags=apart)
    np.testing.assert_allclose(model.marginals_, again.marginals_, atol=1e-12)


def test_a_network_of_ones_own_makes_the_embeddings():
    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.head = torch.nn.Linear(5, 3), torch.nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.features(x))

    X, truth, bags, shares = moons()
    train = Train(epochs=20, batch_size=32, lr=1e-2, progress=False)
    model = BeliefPropagation(rounds=1, net=Small(), train=train, random_state=0).fit(X, shares, bags=bags)
    assert isinstance(model.estimator_.net_, Small)
    assert model.score(X, truth) > 0.9


def test_early_stopping_goes_by_bags_held_out():
    X, truth, bags, shares = moons()
    shares[:3] = np.nan
    net = BagEmbedding(train=Train(epochs=6, validation=0.3, patience=2, progress=False), random_state=0)
    net.fit(X, truth, shares, bags)
    assert all(np.isfinite(row["validation"]) and row["validation"] < 0 for row in net.history_)


def test_columns_of_zero_and_one_keep_their_scale():
    X = np.array([[0, 10.0, 5], [1, 20, 5], [0, 30, 5]], dtype=np.float32)
    Z = standardised(X)
    assert np.ptp(Z[:, 0]) == 1
    assert Z[:, 1].std() == pytest.approx(1)
    assert (Z[:, 2] == 0).all()


@pytest.mark.parametrize(
    ("y", "told"),
    [
        ([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]], "y has 3 classes. BagClassifier takes any number"),
        ([0.5, 1.2], "bag 1 holds 1.2"),
        ([0.5, 0.5, 0.5], "no row is in bag 2"),
    ],
)
def test_what_does_not_fit_is_refused(y, told):
    with pytest.raises(InputError, match=told):
        BeliefPropagation().fit(np.zeros((4, 2)), y, bags=[0, 0, 1, 1])
