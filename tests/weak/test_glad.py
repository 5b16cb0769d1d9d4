"""GLAD: against plain loops, against a general optimiser, against crowd-kit, and against the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from labelwise.weak import GLAD, OneCoin
from labelwise.weak.answers import read_votes


def crowd(seed, n=60, m=8, n_classes=3, coverage=1.0):
    """Answers by workers of given ability on rows of given easiness."""
    rng = np.random.default_rng(seed)
    truth, ability = rng.integers(0, n_classes, n), rng.normal(1.2, 0.8, m)
    ease = np.exp(rng.normal(0.5, 0.8, n))
    right = rng.random((n, m)) < 1 / (1 + np.exp(-ability * ease[:, None]))
    votes = np.where(right, truth[:, None], (truth[:, None] + rng.integers(1, n_classes, (n, m))) % n_classes)
    votes[rng.random((n, m)) > coverage] = -1
    votes[np.arange(n), rng.integers(0, m, n)] = truth
    votes[:n_classes, 0] = np.arange(n_classes)
    return votes, truth, ability, ease


def slow_glad(votes, n_classes, rounds, steps):
    """Plain loops over rows and workers, on probabilities."""
    n, m = votes.shape
    said = [(i, j, int(votes[i, j])) for i in range(n) for j in range(m) if votes[i, j] >= 0]
    proba = [[sum(votes[i] == k) / sum(votes[i] >= 0) for k in range(n_classes)] for i in range(n)]
    ability, ease = [1.0] * m, [1.0] * n
    for _ in range(rounds):
        weights = [row[:] for row in proba]
        for _ in range(steps):
            for values, position in ((ability, 1), (ease, 0)):
                step = []
                for number, value in enumerate(values):
                    gradient, curvature = -(value - 1), 1.0
                    for answer in said:
                        if answer[position] != number:
                            continue
                        i, j, label = answer
                        s = 1 / (1 + math.exp(-ability[j] * math.exp(ease[i])))
                        slope = math.exp(ease[i]) if position else ability[j] * math.exp(ease[i])
                        gradient += (weights[i][label] - s) * slope
                        curvature += s * (1 - s) * slope**2
                    step.append(min(max(gradient / curvature, -0.5), 0.5))
                values[:] = [value + change for value, change in zip(values, step, strict=True)]
        for i in range(n):
            joint = [1 / n_classes] * n_classes
            for _, j, label in (answer for answer in said if answer[0] == i):
                s = 1 / (1 + math.exp(-ability[j] * math.exp(ease[i])))
                joint = [p * (s if k == label else (1 - s) / (n_classes - 1)) for k, p in enumerate(joint)]
            proba[i] = [p / sum(joint) for p in joint]
    return np.array(ability), np.exp(ease)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.sampled_from([0.5, 1.0]))
def test_slow_loops_agree(seed, n_classes, coverage):
    votes = crowd(seed, 15, 5, n_classes, coverage)[0]
    model = GLAD(prior="even", max_iter=3, tol=0).fit(votes)
    ability, easiness = slow_glad(votes, len(model.classes_), model.n_iter_, model.steps)
    assert np.allclose(model.ability_, ability, atol=1e-8)
    assert np.allclose(model.easiness_, easiness, atol=1e-8)


def penalised(free, votes, n_classes):
    """Minus the log of prior times likelihood of abilities and log easiness, summed over the classes of each row."""
    m = votes.shape[1]
    ability, ease = free[:m], free[m:]
    s = 1 / (1 + np.exp(-ability * np.exp(ease)[:, None]))
    like = np.full((len(votes), n_classes), 1 / n_classes)
    for k in range(n_classes):
        p = np.where(votes == k, s, (1 - s) / (n_classes - 1))
        like[:, k] *= np.where(votes >= 0, p, 1).prod(1)
    return -np.log(like.sum(1)).sum() + 0.5 * ((free - 1) ** 2).sum()


@pytest.mark.parametrize("seed", range(4))
def test_a_general_optimiser_finds_nothing_better(seed):
    votes = crowd(seed, 30, 6)[0]
    model = GLAD(prior="even", max_iter=1000, tol=1e-10).fit(votes)
    ours = np.concatenate([model.ability_, np.log(model.easiness_)])
    theirs = optimize.minimize(penalised, ours, args=(votes, 3), method="L-BFGS-B", options={"maxiter": 300})
    assert penalised(ours, votes, 3) == pytest.approx(theirs.fun, abs=1e-3)


def test_crowdkit_gives_the_same_labels():
    crowdkit = pytest.importorskip("crowdkit.aggregation")
    pd = pytest.importorskip("pandas")
    votes = crowd(0, 200, 12, 3, 0.6)[0]
    task, worker = np.nonzero(votes >= 0)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": votes[task, worker]})
    theirs = crowdkit.GLAD(n_iter=20, tol=1e-5, silent=True).fit_predict(frame).sort_index().to_numpy()
    assert (GLAD(prior="even").fit(votes).predict(votes) == theirs).mean() > 0.97


def test_ability_and_difficulty_are_recovered():
    votes, truth, ability, ease = crowd(1, 1500, 25)
    model = GLAD().fit(votes)
    assert np.corrcoef(model.ability_, ability)[0, 1] > 0.95
    assert np.corrcoef(np.log(model.easiness_), np.log(ease))[0, 1] > 0.4
    assert (model.predict(votes) == truth).mean() >= (OneCoin().fit(votes).predict(votes) == truth).mean()


def test_rows_without_votes_and_known_labels():
    votes, truth, *_ = crowd(2)
    votes[5] = -1
    model = GLAD().fit(votes, np.where(np.arange(60) < 5, truth, -1))
    assert np.array_equal(model.proba_[:5].argmax(1), truth[:5])
    assert np.allclose(model.predict_proba(votes)[5], model.prior_)
    assert np.allclose(model.predict_proba(votes)[6:], model.proba_[6:])
    assert model.easiness_[5] == pytest.approx(math.e)


def test_thousands_of_answers_on_a_row_do_not_overflow():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 20)
    votes = np.where(rng.random((20, 2000)) < 0.6, truth[:, None], 1 - truth[:, None])
    model = GLAD().fit(votes)
    assert np.isfinite(model.proba_).all()
    assert np.array_equal(model.predict(votes), truth)
    assert read_votes(votes).shape == (20, 2000, 2)
