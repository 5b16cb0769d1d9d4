"""HAST and its predecessors: which rows get pseudo-labels and with what weight, against slow readings of the papers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from labelwise.active import HAST, UST, VERIPS, AcTune, NeST
from labelwise.active.hast import class_factor
from labelwise.active.self_training import View, stratified_bootstrap
from labelwise.base import InputError
from labelwise.data.synthetic import blobs

EVERY = [HAST, UST, AcTune, VERIPS, NeST]


class Fixed(ClassifierMixin, BaseEstimator):
    """Says of a row what stands in its first columns; notes the weights it was fitted with."""

    fits: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []

    def fit(self, X, y, sample_weight=None):
        self.fits.append((X, y, sample_weight))
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.asarray(X)[:, : len(self.classes_)]

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


def view_of(proba, seed=0, labelled=6, **told):
    """A view whose pool predicts `proba`; the columns behind are places."""
    rng = np.random.default_rng(seed)
    n, k = proba.shape
    X = np.c_[proba, rng.normal(size=(n, 3))]
    codes = np.arange(labelled) % k
    model = Fixed()
    model.classes_ = np.arange(k)
    L = np.c_[rng.dirichlet(np.ones(k), labelled), rng.normal(size=(labelled, 3))]
    return View(model, L, codes, X, k, told.get("number", 1), told.get("rounds", 1), rng)


@given(st.integers(0, 500))
@settings(max_examples=25, deadline=None)
def test_hast_is_the_vote_of_the_neighbours(seed):
    proba = np.random.default_rng(seed).dirichlet(np.full(3, 0.4), 40)
    view = view_of(proba, seed)
    chosen = HAST(k=6).choose(view)
    Z = view.pool / np.linalg.norm(view.pool, axis=1, keepdims=True)
    label, expected = proba.argmax(1), []
    for i in range(40):
        near = [j for j in np.argsort(-(Z @ Z[i]), kind="stable") if j != i][:5]
        votes = np.bincount(label[near], minlength=3)
        if votes.argmax() == label[i] and votes.max() / 5 > 0.5 and proba[i].max() > 0.5:
            expected.append(i)
    assert chosen.rows.tolist() == expected
    np.testing.assert_array_equal(chosen.labels, label[expected])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_rare_classes_weigh_more_within_the_stated_bounds(labels):
    labels = np.array(labels)
    factor = class_factor(labels, 4)
    assert ((factor > 2.68) & (factor < 10)).all()
    counts = np.bincount(labels, minlength=4)[labels]
    assert (np.diff(factor[np.argsort(counts, kind="stable")]) <= 1e-12).all()
    assert (factor[counts == len(labels) // 4] == 5).all()


def test_weights_reach_the_estimator_at_mean_one(monkeypatch):
    monkeypatch.setattr(Fixed, "fits", [])
    rng = np.random.default_rng(0)
    X = np.r_[np.c_[np.eye(2)[np.arange(60) % 2] * 0.8 + 0.1, np.eye(2)[np.arange(60) % 2]]]
    X[:, 2:] += rng.normal(scale=0.01, size=(60, 2))
    y = np.where(np.arange(60) < 10, np.arange(60) % 2, -1)
    model = HAST(estimator=Fixed(), weight=3.0, random_state=0).fit(X, y)
    assert len(Fixed.fits) == 2
    assert Fixed.fits[0][2] is None
    _, labels, weight = Fixed.fits[1]
    assert len(model.pseudo_labels_) == len(labels) - 10 == 50
    np.testing.assert_allclose(weight, np.r_[np.ones(10), np.full(50, 3.0)] * 60 / 160)
    np.testing.assert_array_equal(model.pseudo_labels_.rows, np.arange(10, 60))


def test_nothing_kept_is_the_estimator_alone():
    X, y = blobs(60, 3, 4, random_state=0).X, np.where(np.arange(60) < 12, np.arange(60) % 3, -1)
    model = HAST(least=1.0).fit(X, y)
    alone = HAST().fit(X[:12], y[:12])
    assert len(model.pseudo_labels_) == len(alone.pseudo_labels_) == 0
    np.testing.assert_allclose(model.predict_proba(X), alone.predict_proba(X))


@given(st.integers(0, 300))
@settings(max_examples=20, deadline=None)
def test_verips_keeps_sure_rows_only(seed):
    proba = np.random.default_rng(seed).dirichlet(np.full(3, 0.2), 50)
    top = np.sort(proba, 1)
    rows = VERIPS(slack=0.3, estimator=Fixed()).choose(view_of(proba, seed)).rows
    assert (
        rows.tolist() == np.flatnonzero(top[:, -1] - top[:, -2] >= 0.7).tolist()
    )  # the second model says the same here
    by_entropy = VERIPS(doubt="entropy", slack=0.3, estimator=Fixed()).choose(view_of(proba, seed)).rows
    doubt = -(proba * np.log(np.maximum(proba, 1e-300))).sum(1) / np.log(3)
    assert by_entropy.tolist() == np.flatnonzero(doubt <= 0.3).tolist()


def test_verips_drops_what_the_second_model_contradicts():
    X = blobs(300, 2, 2, separation=1.0, random_state=0).X
    y = np.where(np.arange(300) < 8, np.arange(300) % 2, -1)
    model = LogisticRegression().fit(X[:8], y[:8])
    view = View(model, X[:8], y[:8], X[8:], 2, 1, 1, np.random.default_rng(0))
    chosen = VERIPS(slack=1.0, estimator=LogisticRegression()).choose(view)
    assert 0 < len(chosen) < 292


@given(st.integers(0, 300))
@settings(max_examples=15, deadline=None)
def test_nest_divergence_by_loops(seed):
    proba = np.random.default_rng(seed).dirichlet(np.ones(3), 20)
    view = view_of(proba, seed, labelled=9)
    method = NeST(k=3, beta=0.5)
    got = method._divergence(view.model, view, view.pool)
    given = view.X[:, :3]
    P, L = view.places(view.pool), view.places(view.X)

    def kl(p, q):
        return float((p * np.log(p / q)).sum())

    for i in range(20):
        near = np.argsort(((L - P[i]) ** 2).sum(1), kind="stable")[:3]
        own = np.mean([kl(proba[i], given[j]) for j in near])
        mutual = np.mean([kl(given[near[a]], given[near[b]]) for a in range(3) for b in range(a + 1, 3)])
        assert got[i] == pytest.approx(own + 0.5 * mutual, rel=1e-5)
    method._remembered = None
    chosen = NeST(k=3, threshold=0.4, times=1, beta=0.5)
    chosen._remembered = None
    rows = chosen.choose(view).rows
    sure = np.flatnonzero(proba.max(1) > 0.4)
    assert set(rows) == set(sure[np.argsort(chosen._divergence(view.model, view, view.pool)[sure])[:9]])


def test_actune_takes_the_surest_rows_of_the_surest_regions():
    rng = np.random.default_rng(0)
    place = np.repeat(np.eye(4) * 5, 25, axis=0) + rng.normal(scale=0.01, size=(100, 4))
    top = np.repeat([0.99, 0.95, 0.9, 0.65], 25) - rng.uniform(0, 0.03, 100)
    X = np.c_[top, 1 - top, place]
    model = Fixed()
    model.classes_ = np.arange(2)
    view = View(model, X[:4], np.array([0, 1, 0, 1]), X, 2, 1, 1, rng)
    method = AcTune(clusters=4, regions=2, per_region=6, threshold=0.6)
    method._remembered = None
    chosen = method.choose(view)
    assert len(chosen) == 12
    assert (chosen.rows < 50).sum() == 12  # the two surest of the four
    for region in (chosen.rows[chosen.rows < 25], chosen.rows[chosen.rows >= 25]):
        own = np.arange(25) + (25 if region[0] >= 25 else 0)
        assert set(region) == set(own[np.argsort(-top[own])[:6]])
    assert chosen.weights.sum() == pytest.approx(4)  # as much as the four labels


def test_ust_draws_equally_and_weighs_by_agreement():
    X, y = blobs(400, 3, 4, separation=5.0, random_state=0).X, None
    truth = blobs(400, 3, 4, separation=5.0, random_state=0).y
    y = np.where(np.arange(400) < 30, truth, -1)
    model = UST(per_class=20, random_state=0).fit(X, y)
    assert np.bincount(model.pseudo_labels_.labels).tolist() == [20, 20, 20]
    assert ((model.pseudo_labels_.weights <= 1) & (model.pseudo_labels_.weights > 0)).all()
    forest = UST(estimator=RandomForestClassifier(8, random_state=0), random_state=0).fit(X, y)
    assert forest.score(X[30:], truth[30:]) > 0.9


@pytest.mark.parametrize("cls", EVERY)
def test_every_way_helps_or_does_no_harm_on_easy_data(cls):
    drawn = blobs(400, 4, 10, separation=4.0, random_state=1)
    y = np.where(np.arange(400) < 16, drawn.y, -1)
    if len(np.unique(y)) < 5:
        pytest.skip("a class has no label")
    alone = HAST(least=1.0).fit(drawn.X, y).score(drawn.X[16:], drawn.y[16:])
    one, two = (cls(random_state=3).fit(drawn.X, y) for _ in range(2))
    assert one.score(drawn.X[16:], drawn.y[16:]) > alone - 0.03
    np.testing.assert_array_equal(one.pseudo_labels_.rows, two.pseudo_labels_.rows)
    sparse = cls(random_state=3).fit(sp.csr_array(drawn.X), y)
    assert sparse.predict_proba(sp.csr_array(drawn.X)).shape == (400, 4)
    assert cls(subsample=50, random_state=0).fit(drawn.X, y).pseudo_labels_.rows.size <= 50


def test_estimators_without_weights_are_used_without():
    drawn = blobs(100, 2, 3, separation=4.0, random_state=0)
    y = np.where(np.arange(100) < 20, drawn.y, -1)
    assert HAST(estimator=KNeighborsClassifier(3), balanced=True).fit(drawn.X, y).score(drawn.X, drawn.y) > 0.9


def test_bootstraps_keep_every_class():
    codes = np.array([0, 0, 0, 1, 2, 2])
    rows = stratified_bootstrap(codes, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(codes[rows]), np.sort(codes))


def test_bad_input():
    X = np.ones((6, 2))
    with pytest.raises(InputError, match="one class"):
        HAST().fit(X, [0, 0, -1, -1, -1, -1])
    with pytest.raises(ValueError, match="inconsistent"):
        HAST().fit(X, [0, 1])
