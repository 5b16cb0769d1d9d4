"""What every discovery method promises: names of new classes, given and counted numbers, predictions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import SpectralClustering
from sklearn.datasets import load_iris

from labelwise.base import InputError
from labelwise.discovery import NCDKMeans, NCDSpectral, ProjectionBasedDiscovery, hidden_class_validation
from labelwise.discovery.spectral import spectral_embedding
from labelwise.learner import Train
from labelwise.parts.matching import hungarian_accuracy

METHODS = [
    NCDKMeans(random_state=0),
    NCDSpectral(n_components=4, random_state=0),
    ProjectionBasedDiscovery(train=Train(epochs=15, batch_size=64, progress=False), random_state=0),
]


def blobs(seed: int = 0, classes: int = 5, n: int = 250):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    return 7 * np.eye(8)[truth] + rng.normal(size=(n, 8)), truth


def given_of(truth, known=3):
    return np.where((truth < known) & (np.arange(len(truth)) // 5 % 2 == 0), truth, -1)


@pytest.mark.parametrize("model", METHODS, ids=lambda m: type(m).__name__)
def test_new_integers_follow_the_largest_known_class(model):
    X, truth = blobs()
    given = np.where(given_of(truth) == -1, -1, 2 * given_of(truth))
    model.set_params(n_new_classes=2, unlabelled="mixed").fit(X, given)
    assert model.classes_.tolist() == [0, 2, 4] and model.all_classes_.tolist() == [0, 2, 4, 5, 6]
    assert (model.labels_[given >= 0] == given[given >= 0]).all()
    assert hungarian_accuracy(truth, model.predict(X)) > 0.95
    assert model.n_new_classes_ == 2 and model.n_new_classes_interval_.level == 1
    assert model.predict_proba(X).shape == (250, 5)
    assert np.allclose(model.predict_proba(X).sum(1), 1)
    assert (model.all_classes_[model.predict_proba(X).argmax(1)] == model.predict(X)).all()


@pytest.mark.parametrize("model", METHODS, ids=lambda m: type(m).__name__)
def test_new_texts_are_numbered(model):
    X, truth = blobs()
    names = np.array(["ant", "bee", "new 1", None], dtype=object)[given_of(truth)]
    model.set_params(n_new_classes=2, unlabelled="mixed").fit(X, names)
    assert model.all_classes_.tolist() == ["ant", "bee", "new 1", "new 2", "new 3"]
    assert set(model.predict(X)) <= set(model.all_classes_)


@pytest.mark.parametrize("model", METHODS, ids=lambda m: type(m).__name__)
def test_a_pool_of_new_classes_joins_no_known_one(model):
    X, truth = blobs()
    given = np.where(truth < 3, truth, -1)
    model.set_params(n_new_classes=2, unlabelled="new").fit(X, given)
    assert set(model.labels_[given == -1]) == {3, 4}
    assert hungarian_accuracy(truth[given == -1], model.labels_[given == -1]) > 0.95


@pytest.mark.parametrize("count", ["silhouette", "accuracy"])
def test_the_number_is_counted_with_an_interval(count):
    X, truth = blobs(n=300)
    model = NCDKMeans(count=count, max_new_classes=6, count_draws=3, random_state=1).fit(X, given_of(truth))
    assert abs(model.n_new_classes_ - 2) <= (0 if count == "silhouette" else 2)
    interval = model.n_new_classes_interval_
    assert interval.low <= model.n_new_classes_ <= interval.high and interval.level == 0.9
    assert sorted(model.count_scores_) == list(range(7))


def test_without_a_pool_there_are_no_new_classes():
    X, truth = blobs()
    model = NCDKMeans(random_state=0).fit(X, truth)
    assert model.n_new_classes_ == 0 and (model.predict(X) == truth).mean() > 0.95


def test_contradictions_are_refused():
    X, truth = blobs()
    with pytest.raises(InputError, match="n_new_classes is 0"):
        NCDKMeans(n_new_classes=0, unlabelled="new").fit(X, np.where(truth < 3, truth, -1))
    with pytest.raises(InputError, match="only 2 rows"):
        NCDKMeans(n_new_classes=3).fit(X, np.where(np.arange(250) < 2, -1, truth))
    with pytest.raises(InputError, match="features"):
        ProjectionBasedDiscovery().fit(np.zeros((4, 1, 5)), [0, 0, 1, -1])


def test_the_spectral_embedding_is_that_of_scikit_learn_up_to_sign():
    X = load_iris().data[::5]
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import cdist

    longest = linkage(X, "single")[:, 2].max()
    A = np.exp(-(cdist(X, X) ** 2) / (2 * -(longest**2) / np.log(0.1)))
    np.fill_diagonal(A, 0)
    L = np.eye(len(X)) - A / np.sqrt(np.outer(A.sum(1), A.sum(1)))
    _, vectors = np.linalg.eigh(L)
    ours = spectral_embedding(X, 3, 0.1)
    assert np.allclose(np.abs(ours), np.abs(vectors[:, 1:4]), atol=1e-8)
    groups = SpectralClustering(2, affinity="precomputed", random_state=0).fit_predict(A)
    assert hungarian_accuracy(groups, ours[:, 0] > 0) > 0.95


def test_spectral_predicts_the_class_of_the_nearest_row():
    X, truth = blobs()
    model = NCDSpectral(n_new_classes=2, random_state=0).fit(X, given_of(truth))
    assert (model.predict(X) == model.labels_).all()
    new = X[:20] + 1e-3
    assert (model.predict(new) == model.labels_[:20]).all()


def test_hidden_classes_prefer_the_better_setting():
    X, truth = blobs(classes=8, n=320)
    X = np.c_[X, 30 * np.random.default_rng(1).normal(size=(320, 3))]
    settings = [{"n_components": 1}, {"n_components": 8}]
    found = hidden_class_validation(
        NCDSpectral(n_new_classes=2, random_state=0), X[:, :8], truth, settings, folds=2, random_state=0
    )
    assert found.scores.shape == (2, 2) and found.best == {"n_components": 8}
    assert "best: {'n_components': 8}" in str(found)
    assert found.estimate(1).low <= found.estimate(1).value <= found.estimate(1).high


def test_hidden_class_validation_needs_four_known_classes():
    X, truth = blobs(classes=3)
    with pytest.raises(InputError, match="four"):
        hidden_class_validation(NCDKMeans(), X, truth, [{}])


def test_the_decoder_keeps_what_only_new_classes_need():
    """Known classes differ in column 0 only, new ones in column 1 only: without a decoder column 1 is lost."""
    rng = np.random.default_rng(0)
    truth = np.arange(400) % 4
    X = 0.3 * rng.normal(size=(400, 6))
    X[:, 0] += np.array([-2.0, 2.0, 0, 0])[truth]
    X[:, 1] += np.array([0, 0, -2.0, 2.0])[truth]
    given = np.where(truth < 2, truth, -1)
    fit = {
        "n_new_classes": 2,
        "unlabelled": "new",
        "train": Train(epochs=40, batch_size=64, progress=False),
        "random_state": 0,
    }
    with_decoder = ProjectionBasedDiscovery(weight=0.2, **fit).fit(X, given)
    assert hungarian_accuracy(truth[truth > 1], with_decoder.labels_[truth > 1]) > 0.9
