from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from labelwise.base import InputError
from labelwise.multilabel import Loki, frechet_logits, frechet_mean, locus, next_class
from labelwise.multilabel.frechet import sharpened
from labelwise.parts.label_space import Euclidean, edges, taxonomy
from labelwise.persistence import load, save


@parametrize_with_checks([Loki()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def slow_scores(proba, distances):
    """Expected squared distance by the definition."""
    return np.array([
        [sum(p * d**2 for p, d in zip(row, column, strict=True)) for column in distances.T] for row in proba
    ])  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 20), st.integers(0, 1000))
def test_frechet_mean_by_brute_force(n_classes, n_labels, block, seed):
    rng = np.random.default_rng(seed)
    proba, distances = rng.dirichlet(np.ones(n_classes), 6), rng.random((n_classes, n_labels))
    scores = slow_scores(proba, distances)
    assert np.array_equal(frechet_mean(proba, distances, block=block), scores.argmin(axis=1))
    assert frechet_logits(proba, distances) == pytest.approx(-scores)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(0, 1000), st.sampled_from([np.float32, np.float64]))
def test_distance_one_is_argmax(n_classes, seed, dtype):
    proba = np.random.default_rng(seed).dirichlet(np.ones(n_classes), 50)
    distances = (1 - np.eye(n_classes)).astype(dtype)
    assert np.array_equal(frechet_mean(proba, distances), proba.argmax(axis=1))


def test_more_rows_than_a_block():
    rng = np.random.default_rng(0)
    proba, distances = rng.dirichlet(np.ones(4), 2500), rng.random((4, 9))
    assert np.array_equal(frechet_mean(proba, distances, block=2), (proba @ distances**2).argmin(axis=1))


def test_logits_are_differentiable():
    proba = torch.tensor([[0.2, 0.8]], dtype=torch.float64, requires_grad=True)
    distances = torch.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: frechet_logits(p, distances), (proba,))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.floats(0.1, 10), st.integers(0, 100))
def test_sharpened_is_a_softmax_of_scaled_logits(n_classes, temperature, seed):
    logits = np.random.default_rng(seed).normal(size=(5, n_classes))
    assert sharpened(softmax(logits, axis=1), temperature) == pytest.approx(softmax(logits / temperature, axis=1))
    assert sharpened(np.eye(n_classes), temperature).tolist() == np.eye(n_classes).tolist()


def test_tree_locus_by_enumeration():
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 1, 41)
    for seed in range(10):
        n = 9
        order = np.random.default_rng(seed).permutation(n)
        parents = np.full(n, -1)
        for i in range(1, n):
            parents[order[i]] = order[rng.integers(i)]
        space, observed = taxonomy(parents), rng.choice(n, 3, replace=False)
        shares = np.array([s for s in itertools.product(grid, repeat=3) if abs(sum(s) - 1) < 1e-9])
        reached = set(frechet_mean(shares, space.distances(observed)))
        assert reached == set(np.flatnonzero(locus(space, observed)))


def test_all_leaves_reach_every_node():
    rng = np.random.default_rng(1)
    parents = np.array([-1, *(int(rng.integers(i)) for i in range(1, 60))])
    leaves = np.setdiff1d(np.arange(60), parents)
    inner_root = np.bincount(parents[1:], minlength=60)[0] > 1
    reached = locus(taxonomy(parents), leaves)
    assert reached[1:].all() and reached[0] == inner_root


def test_sampled_locus_is_part_of_the_truth_and_holds_the_observed():
    cycle = edges([(k, (k + 1) % 8) for k in range(8)])
    found = set(np.flatnonzero(locus(cycle, [0, 3], rng=np.random.default_rng(0))))
    assert found == {0, 1, 2, 3}
    line = Euclidean(np.arange(11.0)[:, None])
    assert np.flatnonzero(locus(line, [2, 8])).tolist() == [2, 3, 4, 5, 6, 7, 8]


def test_next_class_is_the_farthest_from_the_locus():
    rng = np.random.default_rng(2)
    parents = np.array([-1, *(int(rng.integers(i)) for i in range(1, 40))])
    space, observed = taxonomy(parents), [3, 5]
    reached = np.flatnonzero(locus(space, observed))
    gap = space.distances(np.arange(40))[reached].min(axis=0)
    first = next_class(space, observed)[0]
    assert gap[first] == gap.max() > 0
    planned = next_class(space, observed, 40)
    sizes = [locus(space, [*observed, *planned[:k]]).sum() for k in range(len(planned) + 1)]
    assert (np.diff(sizes) > 0).all() and sizes[-1] == 40  # stops when every label can be predicted


def test_active_choice_grows_the_locus_faster_than_chance():
    rng = np.random.default_rng(0)
    parents = np.array([-1, *(int(rng.integers(max(0, i - 6), i)) for i in range(1, 120))])
    space, gain = taxonomy(parents), []
    for _ in range(20):
        start = rng.choice(120, 3, replace=False)
        active = locus(space, [*start, *next_class(space, start, 5)]).sum()
        chance = locus(space, [*start, *rng.choice(120, 5, replace=False)]).sum()
        gain.append(active - chance)
    assert np.mean(gain) > 10


def ring(n=600, n_labels=12, noise=0.05, seed=0):
    """Points round a circle, labelled by the sector they are in."""
    rng = np.random.default_rng(seed)
    angle = rng.random(n) * 2 * np.pi
    X = np.c_[np.cos(angle), np.sin(angle)] + noise * rng.normal(size=(n, 2))
    return X, (angle * n_labels / (2 * np.pi)).astype(int)


def test_predicts_labels_never_seen_and_errs_by_less():
    X, y = ring()
    seen = y % 3 == 0
    cycle = [(k, (k + 1) % 12) for k in range(12)]
    model = Loki(distances=cycle, temperature=1.0).fit(X[seen], y[seen])
    steps = edges(cycle).distances(np.arange(12))
    plain = model.classes_[model.predict_proba(X).argmax(axis=1)]
    assert not np.isin(plain[~seen], y[~seen]).any()
    assert (model.predict(X[~seen]) == y[~seen]).mean() > 0.4
    assert (steps[y, model.predict(X)] ** 2).mean() < 0.6 * (steps[y, plain] ** 2).mean()
    assert set(model.locus()) == set(range(12))


def test_temperature_is_the_best_of_those_tried():
    X, y = load_digits(return_X_y=True)
    line = np.abs(np.subtract.outer(np.arange(10.0), np.arange(10.0)))
    inner = FrozenEstimator(LogisticRegression(max_iter=300).fit(X[:600], y[:600]))
    model = Loki(estimator=inner, distances=line).fit(X[600:1200], y[600:1200])
    assert model.validation_[model.temperature_] == min(model.validation_.values())
    for temperature, value in model.validation_.items():
        label = frechet_mean(sharpened(inner.predict_proba(X[600:1200]), temperature), line)
        assert value == pytest.approx(((label - y[600:1200]) ** 2).mean())  # every label is observed
    assert Loki(distances=line, temperature=2.0).fit(X[:600], y[:600]).temperature_ == 2.0


def test_temperature_is_chosen_with_unseen_labels_in_mind():
    rng = np.random.default_rng(0)
    parents = np.array([-1, *((np.arange(1, 121) - 1) // 3)])  # three children each, four levels
    centre = np.zeros((121, 12))
    for k in range(1, 121):
        centre[k] = centre[parents[k]] + rng.normal(size=12)
    y = np.repeat(np.arange(121), 10)
    X = centre[y] + rng.normal(size=(1210, 12))
    seen = np.isin(y, rng.choice(121, 40, replace=False))
    steps = taxonomy(parents).distances(np.arange(121))

    def error(temperature):
        model = Loki(distances=parents, temperature=temperature, random_state=0).fit(X[seen], y[seen])
        return (steps[y, model.predict(X)] ** 2).mean(), model.temperature_

    by_temperature = {t: error(t)[0] for t in (0.125, 0.5, 2.0, 8.0)}
    chosen, temperature = error("auto")
    assert chosen < 1.1 * min(by_temperature.values()) < 0.9 * by_temperature[0.125], temperature


def test_without_distances_it_is_the_classifier():
    X, y = ring()
    inner = LogisticRegression().fit(X, y)
    model = Loki(estimator=FrozenEstimator(inner)).fit(X, y)
    assert np.array_equal(model.predict(X), inner.predict(X))
    assert model.predict_proba(X) == pytest.approx(inner.predict_proba(X))
    assert model.next_classes().size == 0
    assert np.array_equal(model.locus(), model.classes_)


def test_all_ways_to_give_the_space_agree():
    X, y = ring(300)
    seen = np.isin(y, [0, 4, 8])
    line = [(k, k + 1) for k in range(11)]
    full = np.abs(np.subtract.outer(np.arange(12.0), np.arange(12.0)))
    ways = [
        Loki(distances=line),
        Loki(distances=full),
        Loki(distances=full[[0, 4, 8]]),
        Loki(distances=np.arange(12) - 1),
        Loki(distances=edges(line).graph),
        Loki(embeddings=np.arange(12)[:, None]),
        Loki(embeddings=["k" * k for k in range(12)], encoder=lambda texts: [[len(text)] for text in texts]),
        Loki(distances=full, metric=False),
    ]
    found = [way.set_params(random_state=0).fit(X[seen], y[seen]).predict(X) for way in ways]
    assert all(np.array_equal(one, found[0]) for one in found)


def test_labels_may_be_names_and_rows_unlabelled():
    X, y = ring(300)
    names = np.array([f"sector {k:02d}" for k in range(12)])
    cycle = [(k, (k + 1) % 12) for k in range(12)]
    target = np.where(y % 3 == 0, names[y], None)
    by_name = Loki(distances=cycle, labels=names, random_state=0).fit(X, target)
    seen = y % 3 == 0
    by_number = Loki(distances=cycle, random_state=0).fit(X[seen], y[seen])
    assert np.array_equal(by_name.predict(X), names[by_number.predict(X)])
    assert by_name.next_classes().dtype.kind == "U"


@pytest.mark.parametrize(
    "space",
    [
        {"distances": [(0, 1), (1, 2), (2, 3, 0.5)]},
        {"distances": [-1, 0, 1, 1]},
        {"distances": np.array([-1, 0, 1, 1])},
        {"distances": np.abs(np.subtract.outer(np.arange(3.0), np.arange(4.0)))},
        {"embeddings": np.eye(4)},
    ],
)
def test_is_saved_and_loaded_with_its_space(space, tmp_path):
    X, y = ring(120, n_labels=3)
    model = Loki(random_state=0, **space).fit(X, y)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.array_equal(again.predict(X), model.predict(X))
    assert np.array_equal(again.locus(), model.locus())
    assert np.array_equal(again.next_classes(), model.next_classes())


def test_input_is_left_alone():
    X, y = ring(200)
    table = np.abs(np.subtract.outer(np.arange(12.0), np.arange(12.0)))
    kept = table.copy()
    Loki(distances=table).fit(X, y).predict(X)
    assert np.array_equal(table, kept)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Loki(temperature=0), "Loki.temperature"),
        (Loki(distances=np.ones((5, 7))), "5 rows for 12 observed classes|not a label"),
        (Loki(distances=np.ones((5, 20))), "5 rows for 12 observed classes"),
        (Loki(distances=[-1, 0, 0]), "y holds 3, which is not a label"),
        (Loki(distances=np.arange(12) - 1, labels=["a"]), "12 different names"),
        (Loki(distances=np.arange(12) - 1, embeddings=np.eye(12)), "not both"),
        (Loki(distances=np.ones((12, 12))), "label 0 is at 1 from itself"),
        (Loki(distances=np.subtract.outer(np.arange(12.0), np.arange(12.0)) ** 2), "squared distances"),
        (Loki(distances=np.r_[[np.r_[-1, np.zeros(11)]], np.zeros((11, 12))]), r"Got -1.0 at \(0, 0\)"),
        (Loki(distances=[1, 2, 0, *range(9)]), "0 -> 1 -> 2 -> 0"),
        (Loki(distances=[(0, 1), (2, 3)]), "2 parts"),
        (Loki(embeddings=["a", "b"]), "encoder="),
        (Loki(estimator=LinearSVC()), "predict_proba"),
        (Loki(estimator=FrozenEstimator(LogisticRegression().fit([[0], [1]], [0, 1]))), "same classes"),
    ],
)
def test_bad_input_is_named(model, message):
    with pytest.raises(InputError, match=message):
        model.fit(*ring(200))


def test_costs_of_mistakes_are_accepted_on_demand():
    X, y = ring(300, n_labels=3)
    costs = np.array([[0, 1, 9], [1, 0, 9], [1, 1, 0.0]])  # label 2 must not be given lightly
    with pytest.raises(InputError, match="from label 0 to label 2 it is 9, back 1"):
        Loki(distances=costs).fit(X, y)
    model = Loki(distances=costs, metric=False, temperature=1.0).fit(X, y)
    assert np.array_equal(model.predict(X), (model.predict_proba(X) @ costs**2).argmin(axis=1))


@pytest.mark.slow
def test_a_hundred_thousand_labels():
    rng = np.random.default_rng(0)
    n_labels, n_classes, n_rows = 100_000, 200, 3000
    parents = np.array([-1, *rng.integers(np.maximum(0, np.arange(1, n_labels) - 5000), np.arange(1, n_labels))])
    space, observed = taxonomy(parents), np.sort(rng.choice(n_labels, n_classes, replace=False))
    distances = space.distances(observed)
    assert distances.shape == (n_classes, n_labels) and distances.dtype == np.float32
    proba = rng.dirichlet(np.full(n_classes, 0.05), n_rows).astype(np.float32)
    tracemalloc.start()
    found = frechet_mean(proba, distances)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20 < 4 * n_rows * n_labels / 10  # a tenth of the n x N matrix would already be more
    few = slice(0, 20)
    exact = proba[few].astype(float) @ distances.astype(float) ** 2
    reached = np.take_along_axis(exact, found[few, None], axis=1)[:, 0]
    assert reached == pytest.approx(exact.min(axis=1), rel=1e-5)
    assert locus(space, observed)[found].all()
    assert not locus(space, observed)[next_class(space, observed)].any()
