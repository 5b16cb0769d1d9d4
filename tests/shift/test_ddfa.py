"""DDFA: the pieces against plain numpy, recovery of hidden classes and shares, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, minimize
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import LinearSVC

from labelwise.base import InputError
from labelwise.data.synthetic import prior_shift, topic_shift
from labelwise.parts.matching import hungarian_accuracy
from labelwise.shift import DDFA
from labelwise.shift.latent import class_given_row, corners, directions, factorise, histogram, overlap


def distance(priors, truth):
    """Mean L1 distance of domains' shares under the best matching of classes."""
    cost = np.abs(priors[:, :, None] - truth[:, None, :]).sum(0)
    return cost[linear_sum_assignment(cost)].sum() / len(truth)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_histogram_and_overlap_are_what_loops_count(seed):
    rng = np.random.default_rng(seed)
    cells, domains = rng.integers(4, size=60), np.r_[np.arange(3), rng.integers(3, size=57)]
    table = histogram(cells, domains, 4, 3)
    for cell in range(4):
        for domain in range(3):
            assert table[cell, domain] == pytest.approx(np.mean(cells[domains == domain] == cell))
    shared = overlap(table)
    assert shared[0, 1] == pytest.approx(sum(min(table[c, 0], table[c, 1]) for c in range(4)))
    assert np.allclose(np.diag(shared), 0) and np.allclose(shared, shared.T)


@given(st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_class_given_row_undoes_a_mixture_and_is_the_nearest_otherwise(seed):
    rng = np.random.default_rng(seed)
    spread = rng.dirichlet(np.full(5, 0.3), 3).T  # p(domain | class)
    proba = rng.dirichlet(np.ones(3), 4)
    mixed = proba @ spread.T
    back = class_given_row(mixed, spread, rounds=5000)
    assert back @ spread.T == pytest.approx(mixed, abs=2e-3)
    wild = rng.dirichlet(np.ones(5), 1)

    def cross(logits):
        p = np.exp(logits) / np.exp(logits).sum()
        return -(wild[0] * np.log(np.maximum(spread @ p, 1e-9))).sum()

    found = class_given_row(wild, spread, rounds=2000)[0]
    best = min(minimize(cross, start, method="Nelder-Mead", options={"maxiter": 2000}).fun for start in np.eye(3))
    assert cross(np.log(found + 1e-12)) <= best + 1e-3


def test_corners_are_the_rows_others_are_mixtures_of():
    rng = np.random.default_rng(0)
    pure = rng.dirichlet(np.full(6, 0.5), 3)
    rows = np.vstack([rng.dirichlet(np.ones(3), 20) @ pure, pure])
    assert {tuple(row.round(9)) for row in corners(rows, np.ones(23), 3)} == {tuple(row.round(9)) for row in pure}


def test_factors_of_an_exact_table_with_pure_cells_are_recovered():
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.full(3, 0.5), 8).T
    cells = np.vstack([rng.dirichlet(np.ones(3), 6), 3 * np.eye(3)])
    table = (cells / cells.sum(0)) @ shares
    start = corners(table / table.sum(1, keepdims=True), table.mean(1), 3)
    assert distance(factorise(table, [start], 3, rng).T, shares.T) < 0.05


def test_directions_count_classes_whose_shares_differ():
    rng = np.random.default_rng(0)
    domains = np.repeat(np.arange(6), 400)
    three = rng.dirichlet(np.full(3, 0.5), 6)
    y = np.concatenate([rng.choice(3, 400, p=row) for row in three])
    assert directions(y, domains, 3, 6, rng) == 3
    assert directions(rng.permutation(y), domains, 3, 6, rng) <= 2


def test_recovers_shares_and_topics_of_documents():
    drawn = topic_shift(800, n_classes=4, n_domains=8, mixing=10.0, random_state=0)
    model = DDFA(n_classes=4, n_init=4, random_state=0).fit(drawn.X, domains=drawn.domains)
    assert distance(model.priors_, drawn.priors) < 0.15
    best = (drawn.posterior().argmax(1) == drawn.y).mean()
    assert hungarian_accuracy(drawn.y, model.labels_) > best - 0.1
    assert model.priors_.sum(1) == pytest.approx(np.ones(8)) and model.directions_ >= 4


def test_domains_names_do_not_matter_and_new_rows_are_predicted():
    drawn = prior_shift(300, 3, 4, n_domains=6, concentration=0.3, random_state=0)
    names = np.array(["f", "a", "e", "b", "d", "c"])[drawn.domains]
    model = DDFA(n_classes=3, n_init=2, random_state=0).fit(drawn.X, domains=names)
    assert model.domains_.tolist() == sorted(set(names))
    known, unknown = model.predict(drawn.X, names), model.predict(drawn.X)
    assert hungarian_accuracy(drawn.y, known) >= hungarian_accuracy(drawn.y, unknown) - 0.02 > 0.75
    assert model.predict_proba(drawn.X, names).sum(1) == pytest.approx(np.ones(len(names)))
    with pytest.raises(InputError, match=r"row 1 is of 'z', which was not"):
        model.predict(drawn.X[:2], ["a", "z"])
    with pytest.raises(InputError, match="one entry a row"):
        model.predict(drawn.X[:2], ["a"])


def xor(seed, n=400):
    """Rows of four clusters; the class is whether the two signs differ; six domains."""
    rng = np.random.default_rng(seed)
    priors = np.array([0.05, 0.95, 0.2, 0.8, 0.35, 0.65])
    y = (rng.random((6, n)) < priors[:, None]).ravel().astype(int)
    first = rng.integers(2, size=6 * n)
    X = rng.normal(size=(6 * n, 2)) + 6 * np.c_[first, first ^ y]
    return X, y, np.repeat(np.arange(6), n)


def test_classes_that_are_no_clusters_are_found():
    X, y, domains = xor(0)
    forest = RandomForestClassifier(30, min_samples_leaf=20, random_state=0)
    model = DDFA(n_classes=2, estimator=forest, n_init=2, random_state=0).fit(X, domains=domains)
    assert hungarian_accuracy(y, model.labels_) > 0.9
    assert hungarian_accuracy(y, KMeans(2, n_init=3, random_state=0).fit_predict(X)) < 0.65


@pytest.mark.parametrize(
    ("domains", "fields", "message"),
    [
        (None, {}, "needs domains"),
        (np.zeros(60, int), {}, "one domain only"),
        (np.arange(60) % 3, {"n_classes": 4}, "n_classes is 4, but domains holds 3 domains"),
        (np.arange(60) % 3, {"n_classes": 1}, "DDFA.n_classes"),
        (np.r_[np.zeros(58, int), 1, 1], {}, "has 2 rows, fewer than cv=5"),
        (np.arange(60) % 3, {"estimator": LinearSVC()}, "predict_proba"),
        (np.zeros((60, 2)), {}, "one entry a row"),
    ],
)
def test_what_cannot_work_is_said(domains, fields, message):
    X = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(InputError, match=message):
        DDFA(**fields).fit(X, domains=domains)


def test_domains_without_overlap_are_refused_and_one_apart_is_told():
    rng = np.random.default_rng(0)
    domains = np.repeat([0, 1], 200)
    X = rng.normal(size=(400, 2)) + 20 * domains[:, None]
    with pytest.raises(InputError, match="no two of the 2 domains overlap"):
        DDFA(random_state=0).fit(X, domains=domains)
    drawn = prior_shift(200, 2, 2, n_domains=4, concentration=0.3, random_state=0)
    apart = drawn.X + 30 * (drawn.domains == 3)[:, None]
    with pytest.warns(UserWarning, match=r"\[3\] share no kind of row"):
        DDFA(n_init=1, random_state=0).fit(apart, domains=drawn.domains)


def test_equal_domains_are_told():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2)) + 4 * rng.integers(3, size=600)[:, None]
    with pytest.warns(UserWarning, match="directions beyond chance"):
        DDFA(n_classes=3, n_init=1, random_state=0).fit(X, domains=np.arange(600) % 4)
