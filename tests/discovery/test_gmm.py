"""GPC: the number of classes is found on given features and while training; widths of prototypes; SupCon."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labelwise.base import InputError
from labelwise.discovery import GaussianMixturePrototypes
from labelwise.discovery.gmm import prototype_widths
from labelwise.learner import Train
from labelwise.losses.sup_con import sup_con
from labelwise.parts.matching import hungarian_accuracy
from labelwise.parts.semi_kmeans import Clustering


def blobs(classes: int = 6, n: int = 360):
    rng = np.random.default_rng(0)
    truth = np.arange(n) % classes
    X = 7 * np.eye(8)[truth] + rng.normal(size=(n, 8))
    return X, truth, np.where((truth < 3) & (np.arange(n) // classes % 2 == 0), truth, -1)


@pytest.mark.parametrize("guess", [1, 8])
def test_the_number_of_classes_is_found_on_given_features(guess):
    X, truth, given = blobs()
    model = GaussianMixturePrototypes(guess=guess, frozen=True, count_draws=3, random_state=0).fit(X, given)
    assert model.n_new_classes_ == 3 and hungarian_accuracy(truth, model.predict(X)) > 0.95
    interval = model.n_new_classes_interval_
    assert interval.low <= 3 <= interval.high and interval.level == 0.9
    assert (model.predict(X)[given == -1] == model.labels_[given == -1]).mean() > 0.99


def test_training_ends_with_prototypes_and_names():
    X, truth, given = blobs(n=240)
    train = Train(epochs=6, batch_size=32, progress=False)
    model = GaussianMixturePrototypes(train=train, warm_up=2, count_draws=0, random_state=0).fit(X, given)
    assert hungarian_accuracy(truth, model.labels_) > 0.7
    assert "prototypes" not in model.history_[0] and "prototypes" in model.history_[-1]
    assert all(np.isfinite(row["loss"]) for row in model.history_)


def test_other_counts_work_too():
    X, _, given = blobs(n=240)
    model = GaussianMixturePrototypes(count="silhouette", max_new_classes=6, count_draws=0, frozen=True, random_state=0)
    assert model.fit(X, given).n_new_classes_ == 3


def test_widths_follow_the_formula():
    rng = np.random.default_rng(0)
    Z, centers = rng.normal(size=(60, 2)), rng.normal(size=(5, 2))
    labels = np.arange(60) % 5
    phi = np.array([np.mean([np.linalg.norm(z - centers[k]) for z in Z[labels == k]]) / np.log(22) for k in range(5)])
    phi = np.clip(phi, *np.percentile(phi, [10, 90]))
    assert np.allclose(prototype_widths(Z, Clustering(centers, labels, 0.0), 0.2), 0.2 * phi / phi.mean())


def test_widths_of_single_and_identical_rows_are_positive():
    found = Clustering(np.zeros((2, 1)), np.array([0, 0, 1]), 0.0)
    assert (prototype_widths(np.zeros((3, 1)), found, 0.1) == 0.1).all()


def test_sup_con_against_loops():
    torch.manual_seed(0)
    z, y, t = torch.randn(9, 4, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 1, 2, 0, 3, 3]), 0.3
    unit = z / z.norm(dim=1, keepdim=True)
    values = []
    for i in range(9):
        positives = [p for p in range(9) if p != i and y[p] == y[i]]
        below = sum(torch.exp(unit[i] @ unit[k] / t) for k in range(9) if k != i)
        if positives:
            values.append(-sum(torch.log(torch.exp(unit[i] @ unit[p] / t) / below) for p in positives) / len(positives))
    assert torch.isclose(sup_con(z, y, t), torch.stack(values).mean())


def test_sup_con_without_any_pair_is_zero_and_bad_shapes_are_refused():
    z = torch.randn(3, 2, requires_grad=True)
    value = sup_con(z, torch.arange(3))
    value.backward()
    assert value == 0 and torch.isfinite(z.grad).all()
    assert torch.isfinite(sup_con(1e4 * torch.ones(4, 2, dtype=torch.float16), torch.zeros(4, dtype=torch.long)))
    with pytest.raises(InputError, match="z must be"):
        sup_con(z, torch.arange(2))
    with pytest.raises(InputError, match="temperature"):
        sup_con(z, torch.arange(3), 0.0)
