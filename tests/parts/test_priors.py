from __future__ import annotations

import warnings

import numpy as np
import pytest
import quapy.method.aggregative as quapy_methods
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning

from labelwise.base import InputError
from labelwise.parts.priors import bbse_prior, confusion, correct, em_prior, predicted_shares


def mixture(n, prior, strength=2.0, seed=0, source=None):
    """Rows of a Gaussian mixture with class shares `prior`, and their exact posteriors under shares `source`."""
    rng = np.random.default_rng(seed)
    prior = np.asarray(prior)
    source = np.full(len(prior), 1 / len(prior)) if source is None else np.asarray(source)
    codes = rng.choice(len(prior), n, p=prior)
    x = rng.normal(size=(n, len(prior))) + strength * np.eye(len(prior))[codes]
    return softmax(strength * x + np.log(source), axis=1), codes


def slow_em(proba, source, steps):
    prior = np.array(source, dtype=float)
    for _ in range(steps):
        posterior = proba * prior / source
        prior = (posterior / posterior.sum(axis=1, keepdims=True)).mean(axis=0)
    return prior


def directly_likeliest(proba, source):
    def loss(z):
        return -np.log(proba @ (softmax(z) / source)).mean()

    return softmax(minimize(loss, np.log(source), method="BFGS", options={"gtol": 1e-9}).x)


priors = st.lists(st.floats(0.05, 1), min_size=2, max_size=6).map(lambda v: np.array(v) / np.sum(v))


@settings(max_examples=25, deadline=None)
@given(priors, st.integers(0, 1000))
def test_em_is_the_maximum_of_the_likelihood(prior, seed):
    source = np.roll(prior, 1)
    proba, _ = mixture(300, prior, seed=seed, source=source)
    found = em_prior(proba, source, tol=1e-10, max_iter=100_000)
    gradient = (proba / source / (proba @ (found / source))[:, None]).mean(axis=0)
    assert gradient.max() < 1 + 1e-4  # the duality gap: no prior has a mean log-likelihood higher by more
    assert found.sum() == pytest.approx(1)


def test_em_agrees_with_direct_maximisation():
    source = np.array([0.5, 0.3, 0.2])
    proba, _ = mixture(2000, [0.2, 0.2, 0.6], source=source)
    assert em_prior(proba, source, tol=1e-12) == pytest.approx(directly_likeliest(proba, source), abs=1e-5)


def test_em_agrees_with_plain_em():
    source = np.array([0.5, 0.3, 0.2])
    proba, _ = mixture(500, [0.2, 0.2, 0.6], source=source)
    assert em_prior(proba, source, tol=1e-10) == pytest.approx(slow_em(proba, source, 2000), abs=1e-8)


def test_em_agrees_with_quapy():
    source = np.array([0.4, 0.3, 0.2, 0.1])
    proba, _ = mixture(3000, [0.1, 0.2, 0.3, 0.4], source=source)
    peer, _ = quapy_methods.EMQ.EM(source, proba, epsilon=1e-9)
    assert em_prior(proba, source, tol=1e-9) == pytest.approx(peer, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(priors, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_em_follows_a_permutation_of_the_classes(prior, seed, random):
    proba, _ = mixture(200, prior, seed=seed)
    source = np.full(len(prior), 1 / len(prior))
    order = list(range(len(prior)))
    random.shuffle(order)
    direct = em_prior(proba, source, tol=1e-9, max_iter=100_000)
    assert em_prior(proba[:, order], source, tol=1e-9, max_iter=100_000) == pytest.approx(direct[order], abs=1e-5)


def test_em_in_float32_equals_float64():
    proba, _ = mixture(20_000, np.arange(1, 11) / 55)
    source = np.full(10, 0.1)
    assert em_prior(proba.astype(np.float32), source) == pytest.approx(em_prior(proba, source), abs=1e-5)


def test_em_weights_count_as_repeats():
    proba, _ = mixture(200, [0.3, 0.7])
    weight = np.random.default_rng(1).integers(0, 4, 200)
    repeated = em_prior(np.repeat(proba, weight, axis=0), [0.5, 0.5], tol=1e-10)
    assert em_prior(proba, [0.5, 0.5], sample_weight=weight, tol=1e-10) == pytest.approx(repeated, abs=1e-8)


def test_em_recovers_a_class_that_is_absent():
    proba, _ = mixture(5000, [0.6, 0.4, 0.0])
    assert em_prior(proba, np.full(3, 1 / 3), tol=1e-9)[2] < 0.005


def test_em_warns_when_stopped_early():
    proba, _ = mixture(500, [0.1, 0.9], strength=0.5)
    with pytest.warns(ConvergenceWarning, match="within 2 passes"):
        em_prior(proba, [0.5, 0.5], max_iter=2, tol=1e-12)


def test_em_leaves_its_input_alone_and_reads_views():
    proba, _ = mixture(400, [0.3, 0.7])
    kept = proba.copy()
    proba.flags.writeable = False
    strided = em_prior(proba[::2], [0.5, 0.5])
    assert strided == pytest.approx(em_prior(np.asfortranarray(proba[::2]), [0.5, 0.5]))
    assert np.array_equal(proba, kept)


@pytest.mark.parametrize(
    ("proba", "source", "message"),
    [
        ([[0.5, 0.5], [np.nan, 0.5]], [0.5, 0.5], "row 1"),
        ([[0.5, 0.5], [-0.1, 1.1]], [0.5, 0.5], "row 1"),
        ([[0.5, 0.5], [0.0, 0.0]], [0.5, 0.5], "row 1"),
        ([[0.5, np.inf]], [0.5, 0.5], "row 0"),
        ([0.5, 0.5], [0.5, 0.5], "shape"),
        (np.empty((0, 2)), [0.5, 0.5], "shape"),
        ([[0.5, 0.5]], [1.0, 0.0], "class 1"),
        ([[0.5, 0.5]], [1.0], "shape"),
    ],
)
def test_bad_input_is_named(proba, source, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(InputError, match=message):
            em_prior(proba, source)


@pytest.mark.parametrize("soft", [False, True])
def test_confusion_and_shares_by_loop(soft):
    proba, codes = mixture(60, [0.2, 0.3, 0.5])
    joint, shares = np.zeros((3, 3)), np.zeros(3)
    for p, k in zip(proba, codes, strict=True):
        vote = p if soft else np.eye(3)[p.argmax()]
        joint[:, k] += vote / 60
        shares += vote / 60
    assert confusion(proba, codes, soft=soft) == pytest.approx(joint)
    assert predicted_shares(proba, soft=soft) == pytest.approx(shares)


@settings(max_examples=50, deadline=None)
@given(priors, priors, st.integers(0, 1000))
def test_bbse_is_exact_on_exact_shares(prior, source, seed):
    n = min(len(prior), len(source))
    prior, source = prior[:n] / prior[:n].sum(), source[:n] / source[:n].sum()
    given_truth = 0.7 * np.eye(n) + 0.3 * np.random.default_rng(seed).dirichlet(np.ones(n), size=n).T
    assert bbse_prior(given_truth * source, given_truth @ prior) == pytest.approx(prior, abs=1e-9)


def test_bbse_never_leaves_the_simplex():
    found = bbse_prior([[0.3, 0.2], [0.2, 0.3]], [1.0, 0.0])
    assert found.tolist() == [1.0, 0.0]


@settings(max_examples=50, deadline=None)
@given(priors, st.integers(0, 1000))
def test_correct_is_bayes_rule_and_can_be_undone(prior, seed):
    proba, _ = mixture(30, prior, seed=seed)
    uniform = np.full(len(prior), 1 / len(prior))
    there = correct(proba, uniform, prior)
    expected = np.array([[p * b for p, b in zip(row, prior, strict=True)] for row in proba])
    assert there == pytest.approx(expected / expected.sum(axis=1, keepdims=True))
    assert correct(there, prior, uniform) == pytest.approx(proba)
    assert np.array_equal(there.argmax(axis=1), log_softmax(np.log(proba) + np.log(prior), axis=1).argmax(axis=1))


def test_correct_keeps_float32_and_handles_impossible_rows():
    found = correct(np.array([[1, 0], [0.5, 0.5]], dtype=np.float32), [0.5, 0.5], [0.0, 1.0])
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1], [0, 1]]
