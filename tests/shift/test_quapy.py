"""The same scores give the same shares in QuaPy: maximum likelihood, and confusion matrices solved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from labelwise.parts.priors import bbse_prior, confusion, em_prior, predicted_shares

quapy = pytest.importorskip("quapy", reason="QuaPy is not installed: pip install quapy")
aggregative = pytest.importorskip("quapy.method.aggregative", reason="this QuaPy has no aggregative methods")

TARGETS = [(0.2, 0.3, 0.5), (0.6, 0.3, 0.1), (0.34, 0.33, 0.33)]


def scores(target, seed):
    """Held-out probabilities and codes of 900 source rows, and probabilities of 700 target rows."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, 900, p=[0.5, 0.3, 0.2])
    aimed = rng.choice(3, 700, p=target)
    x = [rng.normal(size=(len(y), 3)) + 1.5 * np.eye(3)[y] for y in (codes, aimed)]
    return softmax(1.5 * x[0], axis=1), codes, softmax(1.5 * x[1], axis=1)


@pytest.mark.parametrize("target", TARGETS)
def test_maximum_likelihood_agrees(target):
    _, codes, proba = scores(target, 0)
    prior = np.bincount(codes) / len(codes)
    theirs, posterior = aggregative.EMQ.EM(prior.copy(), proba.copy(), epsilon=1e-8)
    ours = em_prior(proba, prior, tol=1e-8)
    assert ours == pytest.approx(theirs, abs=1e-5)
    again = proba * ours / prior
    assert again / again.sum(1, keepdims=True) == pytest.approx(posterior, abs=1e-4)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_confusion_solved_agrees(target, soft):
    seen, codes, proba = scores(target, 1)
    method, given = (aggregative.PACC, seen) if soft else (aggregative.ACC, seen.argmax(1))
    rates = method.getPteCondEstim(np.arange(3), codes, given)
    counted = predicted_shares(proba, soft=soft)
    theirs = aggregative.ACC.solve_adjustment(rates, counted, method="inversion", solver="exact-raise")
    assert (np.asarray(theirs) > 0).all()  # no share at the border, where the two clip differently
    assert bbse_prior(confusion(seen, codes, soft=soft), counted) == pytest.approx(theirs, abs=1e-8)
