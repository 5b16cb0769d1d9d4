from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import parametrize_with_checks

from labelwise.base import InputError
from labelwise.baselines import AutoProbe, SharedVarianceNB
from labelwise.baselines.auto_probe import LearningCurves, crossing, first_crossing, interleaved


def blobs(n=120, n_classes=3, d=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)])
    return rng.normal(size=(n, d)) * np.arange(1, d + 1) + 2 * rng.normal(size=(n_classes, d))[y], y


def slow_scores(X, y, rows):
    """The definition, feature by feature."""
    classes = sorted(set(y))
    prior = {k: sum(y == k) / len(y) for k in classes}
    mean = {k: [X[y == k, j].sum() / sum(y == k) for j in range(X.shape[1])] for k in classes}
    variance = [
        sum(prior[k] * (((X[y == k, j] - mean[k][j]) ** 2).sum() / sum(y == k) + 1e-9) for k in classes)
        for j in range(X.shape[1])
    ]
    return np.array([
        [np.log(prior[k]) - sum((x[j] - mean[k][j]) ** 2 / variance[j] for j in range(len(x))) / 2 for k in classes]
        for x in rows
    ])  # fmt: skip


@parametrize_with_checks([SharedVarianceNB(), AutoProbe(repeats=1, n_sizes=2)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 4), st.integers(1, 4), st.integers(0, 100))
def test_agrees_with_the_definition(n_classes, d, seed):
    X, y = blobs(40, n_classes, d, seed)
    expected = slow_scores(X, y, X[:10])
    expected = np.exp(expected - expected.max(axis=1, keepdims=True))
    found = SharedVarianceNB().fit(X, y).predict_proba(X[:10])
    assert found == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-9)


def test_equals_linear_discriminant_analysis_with_a_diagonal_covariance():
    class Diagonal:
        def fit(self, X):
            self.covariance_ = np.diag(X.var(axis=0))
            return self

    X, y = blobs(300)
    peer = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Diagonal()).fit(X, y)
    # its covariance is estimated class by class and averaged with the priors, which for a diagonal is the shared variance
    assert SharedVarianceNB().fit(X, y).predict_proba(X) == pytest.approx(peer.predict_proba(X), abs=1e-6)


def test_equals_gaussian_naive_bayes_when_the_variances_are_equal():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(50, 3))
    X, y = np.vstack([half, half + np.array([1.0, 0.5, -1.0])]), np.repeat([0, 1], 50)
    peer = GaussianNB(var_smoothing=1e-12).fit(X, y)
    found = SharedVarianceNB().fit(X, y)
    assert found.var_ == pytest.approx(peer.var_[0])
    assert found.predict_proba(X) == pytest.approx(peer.predict_proba(X), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100), st.lists(st.integers(1, 119), max_size=4))
def test_partial_fit_in_pieces_is_fit(seed, cuts):
    X, y = blobs(seed=seed)
    weight = np.random.default_rng(seed).random(len(y)) + 0.1
    whole, pieces = SharedVarianceNB().fit(X, y, weight), SharedVarianceNB()
    for rows in np.split(np.arange(len(y)), sorted(set(cuts))):
        pieces.partial_fit(X[rows], y[rows], classes=[0, 1, 2], sample_weight=weight[rows])
    for name in ("theta_", "var_", "class_prior_"):
        assert getattr(pieces, name) == pytest.approx(getattr(whole, name))
    assert pieces.predict_proba(X) == pytest.approx(whole.predict_proba(X), abs=1e-7)


def test_weights_count_as_repeats():
    X, y = blobs()
    times = np.random.default_rng(0).integers(0, 3, len(y)) + (np.arange(len(y)) < 3)
    weighted, repeated = (
        SharedVarianceNB().fit(X, y, times),
        SharedVarianceNB().fit(X.repeat(times, 0), y.repeat(times)),
    )
    assert weighted.predict_proba(X) == pytest.approx(repeated.predict_proba(X), abs=1e-9)


def test_large_offsets_lose_no_digits():
    X, y = blobs()
    far, near = SharedVarianceNB().fit(X + 1e6, y), SharedVarianceNB().fit(X, y)
    assert far.predict_proba(X + 1e6) == pytest.approx(near.predict_proba(X), abs=1e-4)


def test_unlabelled_rows_and_constant_features_change_nothing():
    X, y = blobs()
    more = np.vstack([X, X + 50])
    found = SharedVarianceNB().fit(np.c_[more, np.ones(len(more))], np.r_[y, np.full(len(y), -1)])
    assert np.array_equal(found.predict(np.c_[X, np.ones(len(X))]), SharedVarianceNB().fit(X, y).predict(X))


def test_classes_of_partial_fit_are_checked():
    X, y = blobs()
    with pytest.raises(InputError, match="first call"):
        SharedVarianceNB().partial_fit(X, y)
    with pytest.raises(InputError, match="not one of the classes"):
        SharedVarianceNB().partial_fit(X, y, classes=[0, 1])
    with pytest.raises(InputError, match="those of the first call"):
        SharedVarianceNB().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y, classes=[0, 1, 2, 3])
    named = SharedVarianceNB().partial_fit(X, np.array(["b", "c", "d"])[y], classes=["a", "b", "c", "d"])
    assert named.predict_proba(X)[:, 0].max() == 0  # a class without rows


def wide_mixture(n, correlation, d=30, seed=0):
    """Features with a common part in half of them: naive Bayes is wrong in the end, but quick."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    shared = rng.normal(size=(n, 1)) * np.r_[np.ones(d // 2), np.zeros(d - d // 2)]
    return rng.normal(size=(n, d)) + correlation * shared + 0.3 * y[:, None], y


def test_probe_finds_the_two_regimes():
    probe = AutoProbe(repeats=6, random_state=0).fit(*wide_mixture(1200, 0.3))
    curves = probe.learning_curves_
    assert curves.naive_bayes.shape == curves.logistic.shape == (6, len(curves.sizes))
    assert curves.logistic[:, -1].mean() < curves.logistic[:, 0].mean()
    assert curves.sizes[0] < probe.crossing_.value < curves.sizes[-1]
    assert "ahead below about" in probe.advice_


def test_probe_says_so_when_there_is_one_regime():
    X, y = wide_mixture(400, 1.5)
    probe = AutoProbe(repeats=2, n_sizes=3, random_state=0).fit(X, y)
    assert probe.chosen_ == "logistic regression"
    assert np.array_equal(probe.predict(X), probe.model_.predict(X))
    flat = np.full((2, 3), 0.3)
    for gap, ahead in ((0.1, "Naive Bayes is ahead"), (-0.1, "Logistic regression is ahead")):
        probe.crossing_, probe.learning_curves_ = None, LearningCurves(np.array([4, 40, 400]), flat, flat + gap)
        assert probe._advice().startswith(ahead)


def test_errors_are_those_of_the_folds():
    X, y = blobs(60)
    probe = AutoProbe(repeats=1, n_sizes=2, random_state=3).fit(X, y)
    assert 0 <= probe.errors_["naive Bayes"] < 0.7
    assert (probe.errors_["naive Bayes"] * 60) % 1 == pytest.approx(0, abs=1e-9)  # a share of the 60 rows
    again = clone(probe).fit(X, y)
    assert again.errors_ == probe.errors_ and again.advice_ == probe.advice_


def test_crossing_by_hand():
    sizes = np.array([10, 100, 1000])
    assert first_crossing(sizes, np.array([0.3, 0.3, 0.3]), np.array([0.4, 0.2, 0.1])) == pytest.approx(31.6, abs=0.1)
    assert first_crossing(sizes, np.array([0.3, 0.3, 0.3]), np.array([0.2, 0.4, 0.2])) == pytest.approx(316, abs=1)
    assert first_crossing(sizes, np.array([0.3, 0.3, 0.3]), np.array([0.2, 0.2, 0.1])) == 10
    assert first_crossing(sizes, np.array([0.1, 0.1, 0.1]), np.array([0.2, 0.2, 0.2])) == np.inf
    flat = np.full((4, 3), 0.3)
    curves = LearningCurves(sizes, flat, flat + np.array([0.1, -0.1, -0.2]) + 0.05 * np.eye(4, 3))
    found = crossing(curves, 0.9, np.random.default_rng(0))
    assert found.low <= found.value <= found.high
    assert found.low < found.high
    assert crossing(LearningCurves(sizes, flat, flat - 0.1), 0.9, np.random.default_rng(0)) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=4), st.integers(0, 100))
def test_prefixes_keep_the_class_shares(counts, seed):
    codes = np.repeat(np.arange(len(counts)), counts)
    order = interleaved(codes, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(codes)))
    for size in range(1, len(codes) + 1):
        seen = np.bincount(codes[order[:size]], minlength=len(counts))
        assert np.abs(seen - size * np.array(counts) / len(codes)).max() <= len(counts)
