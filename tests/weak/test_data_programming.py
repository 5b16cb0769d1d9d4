"""Data programming: its gradient, its moments, what it recovers, and copies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from labelwise.base import InputError
from labelwise.weak import DataProgramming, DawidSkene, MajorityVote
from labelwise.weak.answers import read_votes
from labelwise.weak.data_programming import misfit, moments, rules, said, softmax

RULES = [(0.9, 1.0), (0.8, 1.0), (0.7, 1.0), (0.65, 1.0), (0.55, 1.0)]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_moments_against_loops(seed, silence):
    rng = np.random.default_rng(seed)
    votes = rng.integers(-1, 2, (30, 4))
    votes[:2, 0] = [0, 1]
    found = moments(said(read_votes(votes), silence), np.array([0, 1, 1, 2]))
    s = 3 if silence else 2
    spoken = np.where(votes < 0, 2, votes) if silence else votes
    for i in range(4):
        for j in range(4):
            both = (spoken[:, i] >= 0) & (spoken[:, j] >= 0)
            for a in range(s):
                for b in range(s):
                    share = ((spoken[both, i] == a) & (spoken[both, j] == b)).mean() if both.any() else 0
                    assert found.together[i * s + a, j * s + b] == pytest.approx(share)
                    same = i == j or {i, j} == {1, 2}
                    assert (found.weight[i * s + a, j * s + b] > 0) == (both.any() and not same)
    assert found.weight.sum() == pytest.approx(1)


def test_gradient_of_the_misfit():
    rng = np.random.default_rng(0)
    votes = rng.integers(-1, 3, (50, 4))
    seen = moments(said(read_votes(votes), True), np.arange(4))
    prior = np.array([0.5, 0.3, 0.2])
    shape = (4, 3, 4)
    error = check_grad(
        lambda x: misfit(x.reshape(shape), seen, prior)[0], lambda x: misfit(x.reshape(shape), seen, prior)[1].ravel(),
        softmax(rng.normal(size=shape)).ravel(),
    )  # fmt: skip
    assert error < 1e-6


def test_exact_agreement_is_fitted_exactly():
    """With the moments of a known model, the fit ends at that model."""
    rng = np.random.default_rng(1)
    table = softmax(rng.normal(size=(6, 2, 2)) + 2 * np.eye(2))
    prior = np.array([0.7, 0.3])
    flat = table.transpose(0, 2, 1).reshape(12, 2)
    votes = np.array([[0] * 6, [1] * 6])
    seen = moments(said(read_votes(votes), False), np.arange(6))
    seen = seen._replace(together=(flat * prior) @ flat.T, alone=flat @ prior)
    model = DataProgramming(pull=0, max_iter=2000)
    model.prior_ = prior
    found = model._solve(seen, softmax(2 * np.eye(2) + np.zeros((6, 1, 1))))
    assert np.abs(found - table).max() < 0.01
    assert model.misfit_ < 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_accuracies_are_recovered(seed, make_votes):
    votes, truth = make_votes(seed, 5000, 2, RULES)
    model = DataProgramming(class_balance=[0.5, 0.5]).fit(votes)
    assert np.abs(model.confusion_[:, 0, 0] - [a for a, _ in RULES]).max() < 0.06
    ours, majority = ((m.fit(votes).predict(votes) == truth).mean() for m in (model, MajorityVote()))
    assert ours > majority


@pytest.mark.parametrize("seed", range(3))
def test_copies_count_once(seed, make_votes):
    votes, truth = make_votes(seed, 2000, 2, [(a, 1.0) for a in np.linspace(0.6, 0.85, 12)], copies=8)
    accuracy = {m: (m.fit(votes).predict(votes) == truth).mean() for m in (DataProgramming(), DawidSkene())}
    once, each = accuracy.values()
    assert once > 0.9 > 0.7 > each
    assert np.allclose(DataProgramming().fit(votes).voice_, [1] * 12 + [1 / 8] * 8)


def test_silence_of_rules_tells_the_class():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    sign = rng.random((2000, 6)) < np.where(truth[:, None] == 1, 0.4, 0.05)
    votes = np.where(sign, 1, -1)
    votes[:, 5] = np.where(rng.random(2000) < 0.2, truth, -1)
    assert rules(read_votes(votes))
    model = DataProgramming(class_balance=[0.5, 0.5]).fit(votes)
    assert (model.predict(votes) == truth).mean() > 0.8
    assert (model.silence_[:5, 0] > model.silence_[:5, 1] + 0.2).all()
    assert not rules(read_votes(rng.integers(-1, 2, (50, 3))))


def test_bad_input():
    votes = [[0, 1], [1, 1]]
    for given_, said_ in (([0.5, 0.6], "sum to 1"), ([1.0], "2 positive shares"), ("even", "class_balance must be")):
        with pytest.raises(InputError, match=said_):
            DataProgramming(class_balance=given_).fit(votes)
    with pytest.raises(InputError, match="at most 6000"):
        DataProgramming().fit(np.tile([[0, 1]], (3, 2000)))
    model = DataProgramming().fit([[0, 1, -1], [1, 1, -1], [0, 0, -1], [-1, -1, -1]])
    assert np.allclose(model.proba_[3], model.prior_)
