"""Cluster labels against slow search, random negatives, the softmax limit, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from labelwise.base import InputError
from labelwise.batch import Batch
from labelwise.learner import Train
from labelwise.losses import MLCD
from labelwise.multilabel import MLCDPretraining
from labelwise.multilabel.mlcd import nearest_clusters

QUICK = Train(epochs=2, batch_size=64, progress=False)


def test_labels_are_the_nearest_centres():
    Z = np.random.default_rng(0).normal(size=(80, 5))
    labels = nearest_clusters(Z, clusters=10, positives=3, seed=4)
    unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    centres = KMeans(10, n_init=1, random_state=4).fit(unit).cluster_centers_
    for row, own in zip(unit, labels, strict=True):
        cosines = [row @ c / np.linalg.norm(c) for c in centres]
        assert set(np.flatnonzero(own)) == set(np.argsort(cosines)[-3:])


def test_one_positive_in_the_joint_form_is_the_softmax():
    scores = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    codes = torch.arange(6) % 5
    y = torch.nn.functional.one_hot(codes, 5)
    expected = torch.nn.functional.cross_entropy(16 * scores, codes)
    torch.testing.assert_close(MLCD(scale=16.0, joint=True)(scores, y), expected)


def test_a_share_of_the_negatives_and_all_positives_are_seen():
    seen = []

    class Spy(MLCD):
        def pointwise(self, logits, y, index=None):
            seen.append(y)
            return super().pointwise(logits, y, index)

    model = MLCDPretraining(negatives=0.3)
    model.net_, model.criterion_ = torch.nn.Identity(), Spy()
    y = (torch.rand(400, 50, generator=torch.Generator().manual_seed(0)) < 0.1).to(torch.int8)
    torch.manual_seed(1)
    model.loss(Batch(torch.zeros(400, 50), y, torch.arange(400)))
    assert (seen[0][y == 1] == 1).all()
    assert (seen[0][y == 0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_transform_gives_directions_that_know_the_clusters():
    X, digit = load_digits(return_X_y=True)
    X, digit = X[:800], digit[:800]
    Z = np.eye(10)[digit] + 0.3 * np.random.default_rng(0).normal(size=(800, 10))  # embeddings that know more than X
    train = Train(epochs=15, batch_size=64, progress=False)
    model = MLCDPretraining(clusters=20, positives=2, negatives=0.5, train=train, random_state=0).fit(X, embeddings=Z)
    out = model.transform(X)
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, atol=1e-6)
    same = digit[:, None] == digit[None]
    cosine = out @ out.T
    assert cosine[same].mean() > cosine[~same].mean() + 0.2
    assert model.labels_.sum(1).tolist() == [2] * 800


def test_pictures_are_clustered_flat():
    X = load_digits().images[:200].astype(np.float32)[..., None]
    assert len(MLCDPretraining(positives=2, train=QUICK, random_state=0).fit(X).transform(X)) == 200


@pytest.mark.parametrize(
    ("fields", "given", "told"),
    [
        ({"positives": 5, "clusters": 5}, {}, "positives < clusters"),
        ({"clusters": 100}, {}, "fewer"),
        ({"negatives": 0.0}, {}, "negatives"),
        ({}, {"embeddings": np.zeros((3, 2))}, "3 rows"),
        ({}, {"embeddings": np.full((60, 2), np.nan)}, "NaN"),
    ],
)
def test_bad_input(fields, given, told):
    X = np.random.default_rng(0).normal(size=(60, 4))
    with pytest.raises((InputError, ValueError), match=told):
        MLCDPretraining(**fields, train=QUICK).fit(X, **given)
