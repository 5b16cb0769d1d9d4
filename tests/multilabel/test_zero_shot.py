from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.svm import LinearSVC

from labelwise.base import InputError
from labelwise.multilabel import GaussianGeneration, GraphPropagation, RidgeMapping, harmonic_mean
from labelwise.multilabel.zero_shot import Held, best_offset, regressed_means
from labelwise.persistence import load, save

METHODS = [RidgeMapping(), RidgeMapping(to="classes"), GaussianGeneration(), GraphPropagation(neighbours=8)]
NAMES = ["features", "classes", "gaussian", "graph"]


def animals(seed=0, n_classes=30, n_unseen=6, rows=30, noise=0.5):
    """Classes with 12 binary attributes; features are a linear picture of them with noise."""
    rng = np.random.default_rng(seed)
    attributes = rng.integers(0, 2, (n_classes, 12)).astype(float)
    y = np.repeat(np.arange(n_classes), rows)
    X = attributes[y] @ rng.normal(size=(12, 20)) + noise * rng.normal(size=(len(y), 20))
    train = (np.arange(len(y)) % 2 == 0) & (y >= n_unseen)
    return attributes, X, y, train, y < n_unseen


def slow_regression(means, counts, spread, V, strength):
    """By loops: each class left out in turn, twice."""
    seen = np.flatnonzero(counts)
    unit = np.mean([V[c] @ V[c] for c in seen])
    penalty = dict.fromkeys(seen, strength * unit)
    centre = np.mean([means[c] for c in seen], axis=0)

    def told(c, among):
        K = np.array([[V[a] @ V[b] + (a == b) * penalty[a] for b in among] for a in among])
        k = np.array([V[c] @ V[a] for a in among])
        return centre + k @ np.linalg.solve(K, np.array([means[a] - centre for a in among]))

    for _ in range(2):
        fitted = [told(c, seen) for c in range(len(V))]
        misses = [((told(c, [a for a in seen if a != c]) - means[c]) ** 2).sum() - spread / counts[c] for c in seen]
        error = max(np.mean(misses), 1e-12 * spread, 1e-12)
        penalty = {c: strength * unit * (1 + spread / counts[c] / error) for c in seen}
    share = [n / (n + spread / error) if n else 0.0 for n in counts]
    return np.array([w * m + (1 - w) * f for w, m, f in zip(share, means, fitted, strict=True)])


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 7), st.integers(1, 3), st.floats(0.05, 5), st.floats(0.01, 10), st.integers(0, 1000))
def test_regressed_means_by_leaving_each_class_out(n_seen, n_unseen, spread, strength, seed):
    rng = np.random.default_rng(seed)
    n = n_seen + n_unseen
    V, counts = rng.normal(size=(n, 3)), np.r_[rng.integers(1, 20, n_seen), np.zeros(n_unseen)].astype(float)
    means = np.where(counts[:, None] > 0, rng.normal(size=(n, 4)), 0.0)
    found = regressed_means(means, counts, spread, V, strength)
    assert found == pytest.approx(slow_regression(means, counts, spread, V, strength), rel=1e-6, abs=1e-8)


def test_a_class_of_many_rows_is_its_mean_and_one_of_few_lies_between():
    rng = np.random.default_rng(0)
    V = rng.normal(size=(12, 3))
    means = V @ rng.normal(size=(3, 5)) + 0.3 * rng.normal(size=(12, 5))
    told = regressed_means(means, np.r_[0.0, np.full(11, 50.0)], 1.0, V, 0.1)[0]
    for n, share in ((1.0, 0.9), (1e6, 1e-3)):
        found = regressed_means(means, np.r_[n, np.full(11, 50.0)], 1.0, V, 0.1)[0]
        assert np.linalg.norm(found - means[0]) < share * np.linalg.norm(told - means[0])


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 4), st.integers(5, 15), st.integers(0, 1000))
def test_best_offset_by_trying_all(n_classes, n_rows, seed):
    rng = np.random.default_rng(seed)
    column = np.r_[np.arange(n_classes), rng.integers(n_classes, size=n_rows)]
    hidden = np.arange(n_classes) == 0
    scores = rng.normal(size=(len(column), n_classes)) + 2 * np.eye(n_classes)[column]
    offset, value = best_offset([Held(scores, column, hidden)])

    gaps = np.sort((scores[:, 1:] - scores[:, :1]).ravel())
    tried = np.r_[gaps[0] - 1, (gaps[1:] + gaps[:-1]) / 2, gaps[-1] + 1]

    def mean(at):
        return harmonic_mean(column, (scores - at * ~hidden).argmax(1), seen=np.arange(1, n_classes))

    assert value == pytest.approx(mean(offset)) == pytest.approx(max(map(mean, tried)))


def test_mapping_to_classes_is_scikit_learns_ridge():
    attributes, X, y, train, _ = animals()
    model = RidgeMapping(class_vectors=attributes, to="classes", strength=0.1, offset=0.0).fit(X[train], y[train])
    weight = 1 / np.bincount(y[train], minlength=30)[y[train]]
    centre, middle = X[train].mean(0), attributes[6:].mean(0)  # all classes have equally many rows
    gram = (X[train] - centre).T @ ((X[train] - centre) * weight[:, None])
    ridge = Ridge(alpha=0.1 * np.trace(gram) / 20, fit_intercept=False)
    ridge.fit(X[train] - centre, attributes[y[train]] - middle, sample_weight=weight)
    expected = cosine_similarity(ridge.predict(X[:50] - centre), attributes - middle)
    assert model.decision_function(X[:50]) == pytest.approx(expected, abs=1e-6)


def test_in_the_same_space_a_strong_penalty_ends_at_the_nearest_class_vector():
    rng = np.random.default_rng(0)
    V = rng.normal(size=(20, 8))
    y = np.repeat(np.arange(20), 20)
    X = V[y] + 0.5 * rng.normal(size=(400, 8))
    train = y >= 5
    model = RidgeMapping(class_vectors=V, same_space=True, strength=1e9, offset=np.inf).fit(X[train], y[train])
    nearest = cosine_similarity(X[~train] - V[5:].mean(0), V[:5] - V[5:].mean(0)).argmax(1)
    assert (model.predict(X[~train]) == nearest).mean() > 0.9
    assert (model.predict(X[~train]) == y[~train]).mean() > 0.8


def test_gaussian_scores_are_log_densities():
    attributes, X, y, train, _ = animals()
    model = GaussianGeneration(class_vectors=attributes, strength=0.1, offset=0.0).fit(X[train], y[train])
    scores = model.decision_function(X[:20])
    dense = np.array([multivariate_normal(m, model.covariance_).logpdf(X[:20]) for m in model.means_]).T
    assert scores - scores[:, :1] == pytest.approx(dense - dense[:, :1], abs=1e-6)


def test_endless_drawn_rows_are_the_closed_form():
    attributes, X, y, train, unseen = animals(noise=1.0)
    closed = GaussianGeneration(class_vectors=attributes, strength=0.1, offset=np.inf).fit(X[train], y[train])
    drawn = GaussianGeneration(
        class_vectors=attributes, strength=0.1, offset=np.inf, classifier=LogisticRegression(max_iter=300),
        n_samples=100, random_state=0,
    ).fit(X[train], y[train])  # fmt: skip
    assert (closed.predict(X[unseen]) == drawn.predict(X[unseen])).mean() > 0.8


def test_propagation_smooths_by_the_normalised_adjacency():
    rng = np.random.default_rng(0)
    A = np.triu(rng.integers(0, 2, (7, 7)), 1)
    A = A + A.T
    A[0, 1:] = A[1:, 0] = 1  # connected
    F = rng.normal(size=(7, 3))
    y = np.repeat([0, 1, 3], 10)
    X = rng.normal(size=(30, 4)) + 3 * np.eye(4)[y]
    pairs = [(i, j) for i in range(7) for j in range(i) if A[i, j]]
    model = GraphPropagation(graph=pairs, labels=range(5), node_features=F, hops=2, strength=0.5, relearn=True)
    model.set_params(offset=0.0).fit(X, y)
    S = A + np.eye(7)
    S = S / np.sqrt(S.sum(0))[:, None] / np.sqrt(S.sum(0))
    G = S @ S @ F
    G = G - G[[0, 1, 3]].mean(0)
    inner = LogisticRegression(max_iter=200).fit(X, y)
    W = np.c_[inner.coef_, inner.intercept_]
    K = G[[0, 1, 3]] @ G[[0, 1, 3]].T
    alpha = np.linalg.solve(K + 0.5 * np.trace(K) / 3 * np.eye(3), W - W.mean(0))
    expected = W.mean(0) + G[:5] @ G[[0, 1, 3]].T @ alpha
    assert model.weights_ == pytest.approx(expected, abs=1e-6)
    assert model.classes_.tolist() == [0, 1, 2, 3, 4]
    kept = model.set_params(relearn=False).fit(X, y)
    assert kept.weights_[[0, 1, 3]] == pytest.approx(W) and kept.weights_[[2, 4]] == pytest.approx(expected[[2, 4]])


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_unseen_classes_are_predicted_far_above_chance(method):
    attributes, X, y, train, unseen = animals(n_classes=60, rows=20)
    model = method.set_params(class_vectors=attributes, random_state=0, offset="auto").fit(X[train], y[train])
    test = ~train
    assert (model.predict(X[unseen]) == y[unseen]).mean() > 0.3 > 5 / 60
    assert harmonic_mean(y[test], model.predict(X[test]), np.arange(6, 60)) > 0.3
    only = method.set_params(offset=np.inf).fit(X[train], y[train]).predict(X[unseen])
    assert set(only) <= set(range(6)) and (only == y[unseen]).mean() > 0.5


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_the_offset_opens_the_door_to_unseen_classes(method):
    attributes, X, y, train, unseen = animals(n_classes=60, rows=20, noise=1.0)
    method.set_params(class_vectors=attributes, random_state=0, strength=0.1)
    closed = method.set_params(offset=0.0).fit(X[train], y[train]).predict(X[unseen])
    tuned = method.set_params(offset="auto").fit(X[train], y[train])
    assert tuned.offset_ > 0
    assert (tuned.predict(X[unseen]) == y[unseen]).mean() >= (closed == y[unseen]).mean()
    method.set_params(strength="auto")


def test_a_few_rows_help_a_class_known_by_its_vector():
    shares = {0: [], 3: []}
    for seed in range(5):
        attributes, X, y, train, unseen = animals(seed, noise=1.0)
        X = X + np.random.default_rng(seed).normal(size=(30, 20))[y]  # part of a class its attributes do not tell
        few = np.isin(np.arange(len(y)) % 30, [0, 1, 2]) & unseen
        for n, rows in ((0, train), (3, train | few)):
            model = GaussianGeneration(class_vectors=attributes, strength=0.1, offset=0.0).fit(X[rows], y[rows])
            rest = unseen & ~few
            shares[n].append((model.scores(X[rest])[:, :6].argmax(1) == y[rest]).mean())
    assert np.mean(shares[3]) > np.mean(shares[0]) + 0.05


def test_texts_and_names_describe_classes():
    words = {"red ball": [0, 0], "red box": [0, 1], "blue ball": [1, 0], "blue box": [1, 1]}
    rng = np.random.default_rng(0)
    y = np.repeat(["red ball", "red box", "blue ball"], 30)
    X = np.array([words[label] for label in y]) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(90, 6))
    rng = np.random.default_rng(0)
    new = np.array([[1, 1]]) @ rng.normal(size=(2, 6))

    def encode(texts):
        return [["blue" in text, "box" in text] for text in texts]

    for vectors, encoder, labels in (
        (words, None, None), (dict(zip(words, words, strict=True)), encode, None), (list(words), encode, list(words)),
    ):  # fmt: skip
        model = RidgeMapping(class_vectors=vectors, encoder=encoder, labels=labels, strength=0.1, offset=0.0).fit(X, y)
        assert model.predict(new).tolist() == ["blue box"]
        assert model.seen_.tolist() == [True, True, True, False]


def test_rows_without_a_label_change_nothing():
    attributes, X, y, train, _ = animals()
    for method in METHODS:
        method.set_params(class_vectors=attributes, strength=0.1, offset="auto", random_state=0)
        alone = method.fit(X[train], y[train]).decision_function(X)
        hidden = method.fit(X, np.where(train, y, -1)).decision_function(X)
        assert alone == pytest.approx(hidden)


def test_saved_with_its_classes(tmp_path):
    attributes, X, y, train, _ = animals()
    for number, method in enumerate([*METHODS, GraphPropagation(graph=[(k, k + 1) for k in range(29)])]):
        vectors = None if number == 4 else attributes
        model = method.set_params(class_vectors=vectors, strength=0.1, random_state=0).fit(X[train], y[train])
        save(model, tmp_path / str(number))
        assert np.array_equal(load(tmp_path / str(number)).predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (RidgeMapping(class_vectors=np.eye(5)), "y holds 6, for which class_vectors has no row"),
        (RidgeMapping(class_vectors=np.eye(12), labels=["a"]), "12 different names.* Got 1"),
        (RidgeMapping(class_vectors=["a", "b"]), "encoder="),
        (RidgeMapping(class_vectors=np.full((30, 2), np.nan)), "Row 0 is not"),
        (RidgeMapping(class_vectors=np.eye(30), same_space=True), "class vectors of 20 columns"),
        (RidgeMapping(class_vectors=np.ones((30, 20)), same_space=True, to="classes"), "to='classes'"),
        (RidgeMapping(offset=np.inf), "every class has a training row"),
        (RidgeMapping(strength=0.0), "RidgeMapping.strength"),
        (GaussianGeneration(class_vectors=np.eye(30), classifier=object()), "predict_proba or decision"),
        (GraphPropagation(graph=[(0, 1), (1, 2)]), "y holds 6|first nodes"),
        (GraphPropagation(graph=np.eye(30)), "at 1 from itself|first nodes"),
        (GraphPropagation(graph=[1, 2, 0, *range(27)]), "0 -> 1 -> 2 -> 0"),
        (GraphPropagation(class_vectors=np.eye(30), node_features=np.ones((3, 2))), r"finite \(30, p\)"),
    ],
)
def test_bad_input_is_named(model, message):
    _, X, y, train, _ = animals()
    with pytest.raises((InputError, TypeError), match=message):
        model.fit(X[train], y[train])


def test_one_class_and_one_side_are_refused():
    _, X, y, _, _ = animals()
    with pytest.raises(InputError, match="one class"):
        RidgeMapping(class_vectors=np.eye(30)).fit(X[y == 3], y[y == 3])
    with pytest.raises(InputError, match="seen and of unseen"):
        harmonic_mean([1, 2], [1, 2], seen=[1, 2])
    attributes, X, y, train, unseen = animals()
    svm = GaussianGeneration(
        class_vectors=attributes, classifier=LinearSVC(), strength=0.1, random_state=0, offset=np.inf
    )
    assert (svm.fit(X[train], y[train]).predict(X[unseen]) == y[unseen]).mean() > 0.5
