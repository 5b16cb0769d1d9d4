"""Dawid-Skene and one coin: against crowd-kit, against a slow loop, and against the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.weak import DawidSkene, MajorityVote, OneCoin, from_answers


def random_votes(seed, n, m, n_classes, coverage):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n)
    right = rng.random((n, m)) < rng.uniform(0.4, 0.95, m)
    votes = np.where(right, truth[:, None], rng.integers(0, n_classes, (n, m)))
    votes[rng.random((n, m)) > coverage] = -1
    votes[np.arange(n), rng.integers(0, m, n)] = truth  # nobody without an answer
    votes[:n_classes, 0] = np.arange(n_classes)
    return votes


problems = st.builds(
    random_votes,
    st.integers(0, 2**32 - 1),
    st.integers(10, 60),
    st.integers(2, 6),
    st.integers(2, 4),
    st.sampled_from([0.4, 1.0]),
)


def slow_em(votes, n_classes, n_iter, smoothing, kind):
    """Plain loops over rows, workers and classes, on probabilities instead of logarithms."""
    n, m = len(votes), len(votes[0])
    classes, workers = range(n_classes), range(m)
    said = [{w: int(votes[i][w]) for w in workers if votes[i][w] >= 0} for i in range(n)]
    proba = [[sum(v == k for v in row.values()) / len(row) for k in classes] for row in said]
    for _ in range(n_iter):
        mass = [sum(p[k] for p in proba) for k in classes]
        prior = [mass[k] / n for k in classes]
        confusion, silence = {}, {}
        for w in workers:
            counts = [[sum(proba[i][k] for i in range(n) if said[i].get(w) == v) for v in classes] for k in classes]
            if kind == "coin":
                total = sum(map(sum, counts))
                s = sum(counts[k][k] for k in classes) / total if total else None
                confusion[w] = [[s if k == v else (1 - s) / (n_classes - 1) for v in classes] for k in classes]
                continue
            for k in classes:
                row = [max(c + smoothing, 1e-10) for c in counts[k]]
                confusion.setdefault(w, []).append([c / sum(row) for c in row])
                quiet = mass[k] - sum(counts[k]) + smoothing
                silence[w, k] = quiet / (quiet + sum(row))
        for i in range(n):
            joint = []
            for k in classes:
                p = prior[k] * math.prod(confusion[w][k][v] for w, v in said[i].items())
                if kind == "silence":
                    p *= math.prod(1 - silence[w, k] if w in said[i] else silence[w, k] for w in workers)
                joint.append(p)
            proba[i] = [p / sum(joint) for p in joint]
    return np.array(proba)


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("full", DawidSkene(smoothing=0.1, max_iter=4, tol=0)),
        ("silence", DawidSkene(smoothing=0.1, abstentions="model", max_iter=4, tol=0)),
        ("coin", OneCoin(max_iter=4, tol=0)),
    ],
)
@settings(max_examples=15, deadline=None)
@given(problems)
def test_slow_loops_agree(kind, model, votes):
    found = model.fit(votes)
    expected = slow_em(votes.tolist(), len(found.classes_), found.n_iter_, 0.1, kind)
    assert np.allclose(found.proba_, expected, atol=1e-8)


@pytest.mark.parametrize("name", ["DawidSkene", "OneCoinDawidSkene"])
@pytest.mark.parametrize("seed", range(3))
def test_crowdkit_agrees(name, seed):
    crowdkit = pytest.importorskip("crowdkit.aggregation")
    pd = pytest.importorskip("pandas")
    votes = random_votes(seed, 300, 12, 3, 0.5)
    task, worker = np.nonzero(votes >= 0)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": votes[task, worker]})
    theirs = getattr(crowdkit, name)(n_iter=10, tol=-np.inf).fit(frame).probas_.sort_index()[[0, 1, 2]].to_numpy()
    ours = DawidSkene(smoothing=0, max_iter=10, tol=0) if name == "DawidSkene" else OneCoin(max_iter=10, tol=0)
    proba = ours.fit(votes).proba_
    assert np.abs(proba - theirs).max() < 1e-3
    assert np.array_equal(proba.argmax(1), theirs.argmax(1))


@settings(max_examples=20, deadline=None)
@given(problems)
def test_the_likelihood_never_falls(votes):
    likelihood = [DawidSkene(smoothing=0, max_iter=i, tol=0).fit(votes).log_likelihood_ for i in range(1, 6)]
    assert np.all(np.diff(likelihood) > -1e-9)


@pytest.mark.parametrize("model", [DawidSkene(), DawidSkene(abstentions="model"), OneCoin(), MajorityVote()])
@settings(max_examples=10, deadline=None)
@given(problems, st.integers(0, 100))
def test_order_and_names_do_not_matter(model, votes, seed):
    proba = model.fit(votes).proba_
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(votes.shape[0]), rng.permutation(votes.shape[1])
    assert np.allclose(model.fit(votes[rows][:, columns]).proba_, proba[rows], atol=1e-8)
    names = np.array(["a", "b", "c", "d", None], dtype=object)
    assert np.allclose(model.fit(names[votes]).proba_, proba, atol=1e-8)
    task, worker = np.nonzero(votes >= 0)
    assert np.allclose(model.fit(from_answers(task, worker, votes[task, worker])).proba_, proba, atol=1e-8)


@pytest.mark.parametrize("model", [DawidSkene(), DawidSkene(abstentions="model"), OneCoin(), MajorityVote()])
def test_predictions_are_those_of_fit(model, make_votes):
    votes, _ = make_votes(0, 200, 3, [(0.8, 0.5), (0.6, 1.0), (0.7, 0.7)])
    found = model.fit(votes)
    assert np.allclose(found.predict_proba(votes), found.proba_)
    assert np.allclose(found.proba_.sum(1), 1)
    nobody = found.predict_proba(np.full((1, 3), -1))
    assert np.allclose(nobody.sum(), 1)


def test_confusion_and_prior_are_recovered():
    rng = np.random.default_rng(0)
    confusion = np.array([rng.dirichlet(np.ones(3) + 12 * np.eye(3)[k], 8) for k in range(3)]).transpose(1, 0, 2)
    truth = rng.choice(3, 4000, p=[0.6, 0.3, 0.1])
    votes = np.array([[rng.choice(3, p=confusion[w, k]) for w in range(8)] for k in truth])
    model = DawidSkene().fit(votes)
    assert model.converged_
    assert np.abs(model.confusion_ - confusion).max() < 0.08
    assert np.abs(model.prior_ - [0.6, 0.3, 0.1]).max() < 0.03


@pytest.mark.parametrize("model", [DawidSkene(), OneCoin()])
def test_quality_intervals_hold_the_accuracy(model, make_votes):
    accuracy = np.linspace(0.55, 0.95, 15)
    inside = []
    for seed in range(6):
        votes, _ = make_votes(seed, 300, 3, [(a, 0.4) for a in accuracy])
        inside += [q.low <= a <= q.high for q, a in zip(model.fit(votes).worker_quality_, accuracy, strict=True)]
    assert np.mean(inside) > 0.8  # 90 % intervals, which take the model for granted


def test_known_labels_are_kept_and_help(make_votes):
    votes, truth = make_votes(3, 400, 2, [(0.9, 1.0), (0.35, 1.0), (0.35, 1.0), (0.4, 1.0)])
    alone = DawidSkene().fit(votes)
    gold = np.where(np.arange(400) < 60, truth, -1)
    helped = DawidSkene().fit(votes, gold)
    assert np.array_equal(helped.proba_[:60].argmax(1), truth[:60])
    assert (alone.predict(votes) == truth).mean() < 0.5 < 0.85 < (helped.predict(votes) == truth)[60:].mean()


def test_a_class_that_only_gold_knows():
    model = DawidSkene().fit([[0, 0], [1, 1], [0, 1]], gold=[2, -1, -1])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.proba_.shape == (3, 3)
    assert np.isfinite(model.proba_).all()


def test_hundreds_of_answers_on_a_row_do_not_underflow():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 30)
    votes = np.where(rng.random((30, 3000)) < 0.6, truth[:, None], 1 - truth[:, None])
    for model in (DawidSkene(), OneCoin()):
        assert np.array_equal(model.fit(votes).predict(votes), truth)


def test_learning_in_parts_comes_close(make_votes):
    votes, _ = make_votes(0, 3000, 3, [(0.8, 0.6)] * 3 + [(0.5, 0.6)] * 3)
    parts = DawidSkene().partial_fit(votes[:1000])
    for start in (1000, 2000):
        parts.partial_fit(votes[start : start + 1000])
    whole = DawidSkene().fit(votes)
    assert np.abs(parts.confusion_ - whole.confusion_).max() < 0.09
    assert parts.tally_.rows.sum() == pytest.approx((votes >= 0).any(1).sum())


def test_fit_after_partial_fit_starts_afresh(make_votes):
    votes, _ = make_votes(0, 300, 3, [(0.8, 0.6)] * 4)
    model = DawidSkene().partial_fit(votes).fit(votes[:100])
    assert np.array_equal(model.proba_, DawidSkene().fit(votes[:100]).proba_)


@pytest.mark.parametrize(
    ("votes", "gold", "message"),
    [
        ([0, 1, 1], None, "votes must have shape"),
        ([[-1, -1]], None, "no answer"),
        ([[0, -7]], None, "-7"),
        ([[0, 1], [1, 1]], [0], "gold must have one label"),
    ],
)
def test_bad_votes(votes, gold, message):
    with pytest.raises(InputError, match=message):
        DawidSkene().fit(votes, gold)


def test_bad_votes_at_prediction():
    model = DawidSkene().fit([[0, 1], [1, 1]])
    with pytest.raises(InputError, match="2 columns"):
        model.predict([[0, 1, 1]])
    with pytest.raises(InputError, match="name class 5"):
        model.predict([[0, 5]])
    with pytest.raises(InputError, match="one length"):
        from_answers([1, 2], [1], [0, 1])
    with pytest.raises(InputError, match="Entry 1"):
        from_answers([1, 2], [1, 1], [0, -1])
    with pytest.raises(InputError, match="from worker 9"):
        model.predict(from_answers([0], [9], [1]))
