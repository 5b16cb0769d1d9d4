"""PromptRE: against plain loops, types, confidence, shares; and prior matching against sorting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from labelwise.base import InputError
from labelwise.weak import DawidSkene, MajorityVote, PromptRE, match_prior

TYPES = {"a": [1, 2], "b": [2, 3]}


def prompts(seed, n=4000, m=6, none=0.9):
    """Six prompts of accuracy 0.4 to 0.8 that say too many of three relations; rows of two types."""
    rng = np.random.default_rng(seed)
    types = rng.choice(["a", "b"], n)
    truth = np.where(rng.random(n) < none, 0, np.where(types == "a", rng.integers(1, 3, n), rng.integers(2, 4, n)))
    right = rng.random((n, m)) < np.linspace(0.4, 0.8, m)
    return np.where(right, truth[:, None], rng.integers(1, 4, (n, m))), truth, types


def slow(votes, types, n_classes, rounds, prior):
    """EM with dictionaries and loops."""
    n, m = votes.shape
    may = [[k == 0 or k in TYPES[t] for k in range(n_classes)] for t in types]
    proba = []
    for i in range(n):
        row = [sum(votes[i] == k) * may[i][k] for k in range(n_classes)]
        row = [x / sum(row) for x in row] if sum(row) else [x / sum(may[i]) for x in may[i]]
        proba.append(row)
    for _ in range(rounds):
        share = [sum(p[k] for p in proba) / n for k in range(n_classes)] if prior is None else prior
        table = {}
        for j in range(m):
            for k in range(n_classes):
                counts = [0.1 + sum(proba[i][k] for i in range(n) if votes[i, j] == v) for v in range(n_classes)]
                table[j, k] = [c / sum(counts) for c in counts]
        for i in range(n):
            row = []
            for k in range(n_classes):
                value = share[k] * may[i][k]
                for j in range(m):
                    value *= table[j, k][votes[i, j]] if votes[i, j] >= 0 else 1
                row.append(value)
            proba[i] = [x / sum(row) for x in row]
    return np.array(proba)


@pytest.mark.parametrize("prior", [None, [0.7, 0.1, 0.1, 0.1]])
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_slow_loops_agree(prior, seed):
    votes, _, types = prompts(seed, 40, 4)
    votes[:4, 0] = np.arange(4)
    votes[np.random.default_rng(seed).random(votes.shape) < 0.2] = -1
    votes[:4, 0], votes[:, 1] = np.arange(4), np.abs(votes[:, 1])
    model = PromptRE(allowed=TYPES, prior="learned" if prior is None else prior, max_iter=3, tol=0)
    assert np.allclose(model.fit(votes, types=types).proba_, slow(votes, types, 4, model.n_iter_, prior), atol=1e-8)


def test_without_types_it_is_dawid_skene():
    votes = prompts(0, 300)[0]
    assert np.allclose(PromptRE().fit(votes).proba_, DawidSkene(smoothing=0.1).fit(votes).proba_)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_a_type_rules_out_is_never_inferred(seed):
    votes, _, types = prompts(seed, 200)
    model = PromptRE(allowed=TYPES).fit(votes, types=types)
    again = model.predict_proba(votes, types=types)
    for name, banned in (("a", 3), ("b", 1)):
        assert (model.proba_[types == name, banned] == 0).all()
        assert (again[types == name, banned] == 0).all()
    assert np.allclose(again.sum(1), 1)


@pytest.mark.parametrize("seed", range(3))
def test_types_and_shares_help(seed):
    votes, truth, types = prompts(seed)
    known = np.bincount(truth) / len(truth)

    def f1(codes):
        hit = ((codes == truth) & (truth > 0)).sum()
        return 2 * hit / ((codes > 0).sum() + (truth > 0).sum())

    majority = f1(MajorityVote().fit(votes).predict(votes))
    shares = f1(PromptRE(prior=known).fit(votes).proba_.argmax(1))
    typed = f1(PromptRE(prior=known, allowed=TYPES).fit(votes, types=types).proba_.argmax(1))
    assert typed > shares > majority


def test_unsure_answers_are_not_heard():
    votes, _, _ = prompts(1, 500)
    confidence = np.random.default_rng(0).random(votes.shape)
    model = PromptRE(least_confidence=0.3).fit(votes, confidence=confidence)
    expected = PromptRE().fit(np.where(confidence < 0.3, -1, votes))
    assert np.array_equal(model.proba_, expected.proba_)
    assert np.array_equal(model.predict(votes, confidence=confidence), model.classes_[expected.proba_.argmax(1)])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_prior_matching_against_sorting(seed):
    rng = np.random.default_rng(seed)
    proba, prior = rng.dirichlet(np.ones(4), 30), rng.dirichlet(np.ones(4))
    found = match_prior(proba, prior, none=0)
    for k in range(1, 4):
        best = sorted(range(30), key=lambda i: -proba[i, k])[: round(prior[k] * 30)]
        assert sorted(best) == np.flatnonzero(found[:, k]).tolist()
    assert np.array_equal(found[:, 0], ~found[:, 1:].any(1))


def test_bad_input():
    votes, _, types = prompts(0, 50)
    for fields, arguments, told in (
        ({"allowed": TYPES}, {}, "types must name"),
        ({"allowed": {"a": [1]}}, {"types": types}, "types names 'b'"),
        ({"prior": "uniform"}, {}, "PromptRE.prior must be"),
        ({"prior": [0.5, 0.5]}, {}, "prior must be 4 positive shares"),
        ({}, {"confidence": np.ones((3, 3))}, "confidence must have the shape"),
        ({}, {"confidence": np.full(votes.shape, 2)}, "Row 0"),
        ({"least_confidence": 0.9}, {"confidence": np.zeros(votes.shape)}, "no answer"),
        ({"none": 7, "allowed": {"a": [9], "b": [1]}}, {"types": types}, "allows none of the classes"),
    ):
        with pytest.raises(InputError, match=told):
            clone(PromptRE()).set_params(**fields).fit(votes, **arguments)
    with pytest.raises(InputError, match="prior must be 2 shares"):
        match_prior([[0.5, 0.5]], [1.0])
