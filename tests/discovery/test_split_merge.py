"""The Bayesian score against an independent computation, and what splits and merges do with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import multivariate_t

from labelwise.discovery.split_merge import NormalInverseWishart, SplitMerge, split_score


def sequential(X: np.ndarray, prior: NormalInverseWishart) -> float:
    """Add up the log predictive densities of the rows one by one: multivariate t of the posterior so far."""
    kappa, nu, mean, psi, total = prior.kappa, prior.nu, prior.mean, prior.scale * np.eye(X.shape[1]), 0.0
    for x in X:
        freedom = nu - X.shape[1] + 1
        total += multivariate_t(mean, psi * (kappa + 1) / (kappa * freedom), freedom).logpdf(x)
        psi = psi + kappa / (kappa + 1) * np.outer(x - mean, x - mean)
        mean = (kappa * mean + x) / (kappa + 1)
        kappa, nu = kappa + 1, nu + 1
    return float(total)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 12), st.sampled_from([0.005, 0.5, 3.0]))
def test_the_log_marginal_is_the_sum_of_sequential_predictions(seed, d, n, scale):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + rng.normal(size=d)
    prior = NormalInverseWishart(rng.normal(size=d), scale, kappa=0.3, nu=d + 2.5)
    assert prior.log_marginal(X) == pytest.approx(sequential(X, prior), rel=1e-8, abs=1e-8)


def test_the_order_of_rows_does_not_matter():
    X = np.random.default_rng(0).normal(size=(20, 3))
    prior = NormalInverseWishart.of(X)
    assert prior.log_marginal(X) == pytest.approx(prior.log_marginal(X[::-1]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_split_score_is_a_ratio_of_marginals_and_symmetric(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(9, 2)), rng.normal(size=(14, 2)) + 2
    prior = NormalInverseWishart.of(np.r_[a, b], scale=0.2)
    slow = (
        gammaln(9)
        + gammaln(14)
        - gammaln(23)
        + sequential(a, prior)
        + sequential(b, prior)
        - sequential(np.r_[a, b], prior)
    )
    assert split_score(a, b, prior) == pytest.approx(slow, abs=1e-6) == pytest.approx(split_score(b, a, prior))
    assert split_score(a, b, prior, alpha=3.0) == pytest.approx(slow + np.log(3), abs=1e-6)


def apart(seed: int, classes: int = 6, known: int = 3, gap: float = 8.0):
    rng = np.random.default_rng(seed)
    truth = np.arange(50 * classes) % classes
    Z = (gap * np.eye(classes)[truth] + rng.normal(size=(len(truth), classes))) / 10
    return Z, truth, np.where((truth < known) & (rng.random(len(truth)) < 0.5), truth, -1)


@pytest.mark.parametrize("guess", [1, 3, 10])
def test_the_number_is_found_from_below_and_above(guess):
    Z, truth, codes = apart(guess)
    found = SplitMerge(NormalInverseWishart.of(Z, 0.02)).run(Z, codes, guess, np.random.default_rng(0))
    assert len(found.centers) == 6
    assert (found.labels[codes >= 0] == codes[codes >= 0]).all()
    assert all(len(np.unique(found.labels[truth == c])) <= 2 for c in range(6))


def test_a_pool_of_new_classes_never_joins_a_known_one():
    Z, truth, _ = apart(0)
    codes = np.where(truth < 3, truth, -1)
    found = SplitMerge(NormalInverseWishart.of(Z, 0.02), only_new=True).run(Z, codes, 5, np.random.default_rng(0))
    assert found.labels[codes == -1].min() == 3 and len(found.centers) == 6


def test_a_pool_of_known_classes_alone_has_no_new_ones():
    Z, truth, _ = apart(1, classes=4, known=4)
    codes = np.where(np.arange(len(truth)) // 4 % 2 == 0, truth, -1)
    found = SplitMerge(NormalInverseWishart.of(Z, 0.02)).run(Z, codes, 3, np.random.default_rng(0))
    assert len(found.centers) == 4


def test_small_clusters_are_never_split():
    Z = np.r_[np.zeros((6, 1)), np.ones((5, 1))]
    mover = SplitMerge(NormalInverseWishart.of(Z, 1e-6), chance=1.0, least=5)
    assert mover._halves(Z, np.random.default_rng(0)) is None
    assert mover._halves(np.r_[Z, np.ones((1, 1))], np.random.default_rng(0)) is not None
