"""RCAL: each step against an independent computation, and limits in which it is something known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labelwise.base import InputError
from labelwise.data.synthetic import blobs
from labelwise.noisy import RCAL
from labelwise.noisy.rcal import REFERENCE, class_gaussians, draw, outlier_factor, outliers

SIZES = (120, 60, 20, 8)


@pytest.fixture(scope="module")
def tailed():
    """Four round classes in ten dimensions, 120 to 8 rows."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), SIZES)
    means = rng.normal(size=(4, 10)) * 2
    return means[y] + rng.normal(size=(len(y), 10)), y


def test_without_imbalance_noise_or_outliers_it_is_logistic_regression():
    sample = blobs(200, 4, 6, random_state=0)
    y = np.arange(200) % 4
    X = sample.mixture.sample(y, np.random.default_rng(1))
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(X, y)
    model = RCAL(contamination=0.0, C=0.1).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), plain.predict_proba(X), atol=1e-6)


def test_statistics_are_those_of_the_formula(tailed):
    X, y = tailed
    model = RCAL(borrow=0.3, heads=2, ridge=0.02, contamination=0.1, random_state=0).fit(X, y)
    inside = [X[model.inliers_ & (y == k)] for k in range(4)]
    size = np.array([len(rows) for rows in inside])
    assert size.tolist() == [108, 54, 18, 8]
    assert model.heads_.tolist() == [True, True, False, False]
    floor = 0.02 * X.var(0).mean() * np.eye(10)
    heads = [inside[0].mean(0), inside[1].mean(0)]
    share = size[:2] / size[:2].sum()
    np.testing.assert_allclose(model.means_[0], heads[0])
    np.testing.assert_allclose(model.means_[3], 0.3 * (share @ np.array(heads)) + 0.7 * inside[3].mean(0))
    lent = share[0] * np.cov(inside[0].T) + share[1] * np.cov(inside[1].T)
    own = LedoitWolf().fit(inside[3]).covariance_
    np.testing.assert_allclose(model.covariances_[3], 0.3 * lent + 0.7 * own + floor)
    np.testing.assert_allclose(model.covariances_[1], np.cov(inside[1].T) + floor)


def test_tail_borrows_only_from_the_nearest_heads():
    rng = np.random.default_rng(3)
    centres = np.array([[0.0, 0.0], [30.0, 0.0], [2.0, 1.0]])
    y = np.repeat([0, 1, 2], [50, 50, 6])
    X = centres[y] + rng.normal(size=(len(y), 2))
    model = RCAL(borrow=0.5, heads=1, contamination=0.0).fit(X, y)
    np.testing.assert_allclose(model.means_[2], (X[y == 0].mean(0) + X[y == 2].mean(0)) / 2)


def test_outliers_of_a_class_are_rows_of_another():
    sample = blobs(600, 3, 16, separation=8.0, random_state=0)
    y = sample.y.copy()
    wrong = np.random.default_rng(1).random(600) < 0.2
    y[wrong] = (y[wrong] + 1) % 3
    model = RCAL(random_state=0).fit(sample.X, y)
    assert (~model.inliers_[wrong]).mean() > 0.9
    assert model.inliers_[~wrong].mean() > 0.9
    polluted = np.array([sample.X[y == k].mean(0) for k in range(3)])
    truth = sample.mixture.means
    assert np.linalg.norm(model.means_ - truth) < 0.5 * np.linalg.norm(polluted - truth)


def test_factor_of_a_small_class_is_scikit_learns(tailed):
    X, y = tailed
    rows = X[y == 0]
    expected = -LocalOutlierFactor(n_neighbors=60).fit(rows).negative_outlier_factor_
    np.testing.assert_allclose(outlier_factor(rows, 0.5, np.random.default_rng(0)), expected)


def test_factor_of_a_large_class_still_finds_what_is_far():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(REFERENCE + 300, 4))
    X[::100] += 12
    factor = outlier_factor(X, 0.1, rng)
    far = np.arange(len(X)) % 100 == 0
    assert factor[far].min() > factor[~far].max()


def test_a_class_of_one_row_takes_the_others_covariance():
    X = np.random.default_rng(0).normal(size=(41, 3))
    y = np.r_[np.zeros(20, int), np.ones(20, int), 2]
    _, covariances = class_gaussians(X, y, 3)
    np.testing.assert_allclose(covariances[2], covariances[:2].mean(0))
    assert set(RCAL().fit(X, y).predict(X)) <= {0, 1, 2}


@settings(max_examples=40, deadline=None)
@given(
    factor=st.lists(st.floats(0.5, 50), min_size=1, max_size=60),
    share=st.one_of(st.just("auto"), st.floats(0, 0.95)),
)
def test_at_most_the_share_and_only_the_largest_are_dropped(factor, share):
    values = np.array(factor)
    flagged = outliers(values, share)
    assert not flagged.all()
    if flagged.any():
        assert values[flagged].min() >= values[~flagged].max() - 1e-12
    if share != "auto":
        assert flagged.sum() == min(int(share * len(values)), len(values) - 1)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), rank=st.integers(1, 4))
def test_draws_have_the_mean_and_covariance_also_when_singular(seed, rank):
    rng = np.random.default_rng(seed)
    A, mean = rng.normal(size=(4, rank)), rng.normal(size=4)
    rows = draw(mean, A @ A.T, 20_000, rng)
    scale = np.trace(A @ A.T)
    assert np.abs(rows.mean(0) - mean).max() < 0.05 * np.sqrt(scale)
    assert np.abs(np.cov(rows.T) - A @ A.T).max() < 0.08 * scale


def test_shifting_and_scaling_the_features_changes_nothing(tailed):
    X, y = tailed
    a = RCAL(random_state=0).fit(X, y)
    b = RCAL(random_state=0).fit(10 * X + 3, y)
    assert np.array_equal(a.inliers_, b.inliers_)
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(10 * X + 3), atol=1e-4)


def test_unlabelled_rows_do_not_matter(tailed):
    X, y = tailed
    more = RCAL(random_state=0).fit(np.r_[X, X + 50], np.r_[y, np.full(len(y), -1)])
    assert not more.inliers_[len(y) :].any()
    np.testing.assert_array_equal(more.means_, RCAL(random_state=0).fit(X, y).means_)


@pytest.mark.parametrize(
    "field", [{"contamination": 1.0}, {"borrow": 1.5}, {"heads": 0}, {"C": 0.0}, {"neighbours": 2}]
)
def test_fields_out_of_range(tailed, field):
    with pytest.raises(InputError, match=next(iter(field))):
        RCAL(**field).fit(*tailed)
