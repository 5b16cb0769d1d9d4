"""Messages over bags and similar rows, against enumeration, against a pairwise model, and against slow messages."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.weak import bag_propagation
from labelwise.weak.bag_propagation import joined, pair_distances, propagate, similar_rows

SEEDS = st.integers(0, 10**6)


def states(n):
    return np.array(list(itertools.product([0, 1], repeat=n)))


def energies(y, bags, counts, weight, edges, strength):
    """Return -log P of every state (up to a constant), straight from the definition."""
    known = np.flatnonzero(np.isfinite(counts))
    sums = np.stack([y[:, bags == b].sum(1) for b in known], 1) if len(known) else np.zeros((len(y), 0))
    total = weight * ((sums - counts[known]) ** 2).sum(1)
    for (i, j), s in zip(edges, strength, strict=True):
        total = total + s * (y[:, i] != y[:, j])
    return total


def pairwise_energies(y, bags, counts, weight, edges, strength):
    """Return the same of the model with one term a row and one a pair, as factor-graph libraries take it."""
    n = y.shape[1]
    unary = -weight * (1 - 2 * counts[bags])
    pair = np.where(bags[:, None] == bags, -2.0 * weight, 0.0)
    for (i, j), s in zip(edges, strength, strict=True):
        unary[i] -= s
        unary[j] -= s
        pair[i, j] += 2 * s
        pair[j, i] += 2 * s
    upper = np.triu(pair, 1)
    return -(y @ unary + np.einsum("si,ij,sj->s", y, upper, y)) if n else 0.0


def marginals(energy, y):
    p = np.exp(energy.min() - energy)
    return (p[:, None] * y).sum(0) / p.sum()


def drawn(seed, n, n_bags, edges, unknown=False):
    """Return bags with counts, and strengths of the edges."""
    rng = np.random.default_rng(seed)
    bags = rng.permutation(np.r_[np.arange(n_bags), rng.integers(0, n_bags, n - n_bags)])
    counts = np.array([rng.integers(0, (bags == b).sum() + 1) for b in range(n_bags)], dtype=float)
    if unknown:
        counts[-1] = np.nan
    return bags, counts, rng.exponential(1.0, len(edges))


def graph_of(n, edges, strength):
    a, b = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    return joined(n, a, b, np.asarray(strength, float))


@given(SEEDS, st.sampled_from([0.1, 1.0, 10.0]))
def test_the_model_is_the_pairwise_model(seed, weight):
    edges = [(0, 1), (1, 4), (2, 5), (3, 4)]
    bags, counts, strength = drawn(seed, 6, 2, edges)
    y = states(6)
    ours = energies(y, bags, counts, weight, edges, strength)
    theirs = pairwise_energies(y, bags, counts, weight, edges, strength)
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], atol=1e-9)


@settings(max_examples=30)
@given(SEEDS, st.sampled_from([0.1, 1.0, 10.0, 100.0]), st.floats(-0.5, 0.5))
def test_marginals_of_trees_are_those_of_enumeration(seed, weight, off):
    """One bag, and a tree that hangs on each of its rows: no loop, so sum-product is exact; counts need not be whole."""
    edges = [(0, 4), (4, 5), (1, 6), (2, 7), (7, 8)]
    rng = np.random.default_rng(seed)
    strength, count = rng.exponential(1.5, len(edges)), rng.integers(0, 5) + off
    bags = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
    bags, counts = np.r_[bags, 2], np.array([count, np.nan, 1.0])  # row 9 is a bag of its own, said to be 1
    edges, strength = [*edges, (3, 9)], np.r_[strength, 0.7]
    found = propagate(graph_of(10, edges, strength), bags, counts, weight, damping=0.2, iterations=400, tol=0)
    y = states(10)
    expected = marginals(energies(y, bags, counts, weight, edges, strength), y)
    np.testing.assert_allclose(found.proba, expected, atol=1e-6)


@settings(max_examples=15)
@given(SEEDS)
def test_messages_are_those_of_a_slow_loop_over_a_loopy_graph(seed):
    """The same number of damped passes, with every factor summed over all states of its rows."""
    n, weight, damping, passes = 7, 0.8, 0.3, 5
    edges = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 6), (0, 6)]
    bags, counts, strength = drawn(seed, n, 2, edges)
    found = propagate(graph_of(n, edges, strength), bags, counts, weight, damping=damping, iterations=passes, tol=0)
    np.testing.assert_allclose(found.proba, slow(n, bags, counts, weight, edges, strength, damping, passes), atol=1e-9)


def slow(n, bags, counts, weight, edges, strength, damping, passes):
    """Flood messages by enumeration: from bags first, then along edges."""
    neighbours = {i: [] for i in range(n)}
    for (i, j), s in zip(edges, strength, strict=True):
        neighbours[i].append((j, s))
        neighbours[j].append((i, s))
    edge = {(j, i): 0.0 for i in range(n) for j, _ in neighbours[i]}
    bag = np.zeros(n)
    for _ in range(passes):
        from_edges = np.array([sum(edge[j, i] for j, _ in neighbours[i]) for i in range(n)])
        told = np.array([bag_message(i, from_edges, bags, counts, weight) for i in range(n)])
        bag = damping * bag + (1 - damping) * told
        new = {}
        for j, i in edge:
            s = dict(neighbours[j])[i]
            h = from_edges[j] + bag[j] - edge[i, j]
            ratio = (np.exp(h) + np.exp(-s)) / (np.exp(h - s) + 1)
            new[j, i] = damping * edge[j, i] + (1 - damping) * np.log(ratio)
        edge = new
    total = bag + np.array([sum(edge[j, i] for j, _ in neighbours[i]) for i in range(n)])
    return 1 / (1 + np.exp(-total))


def bag_message(i, h, bags, counts, weight):
    others = [j for j in range(len(h)) if bags[j] == bags[i] and j != i]
    y = states(len(others))
    log_p = y @ h[others]
    gap = [weight * (y.sum(1) + mine - counts[bags[i]]) ** 2 for mine in (0, 1)]
    return np.log(np.exp(log_p - gap[1]).sum() / np.exp(log_p - gap[0]).sum())


@pytest.mark.parametrize("weight", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("count", [0.0, 3.0, 250.0, 300.0])
def test_messages_of_a_large_bag_are_those_of_the_full_convolution_in_logs(weight, count):
    """A bag of 300 rows whose beliefs disagree with its count: worked out in log space, without a window."""
    rng = np.random.default_rng(0)
    leaf = 300 + np.arange(300)  # each row has a neighbour outside the bag, which believes as its own bag says
    sure = rng.integers(0, 2, 300).astype(float)
    bags = np.r_[np.zeros(300, int), 1 + np.arange(300)]
    strength = rng.exponential(2.0, 300)
    graph = graph_of(600, np.c_[np.arange(300), leaf], strength)
    found = propagate(graph, bags, np.r_[count, sure], weight, damping=0.0, iterations=6, tol=0)
    h = 2 * np.arctanh(np.tanh(weight * (2 * sure - 1) / 2) * np.tanh(strength / 2))
    for i in (0, 7, 299):
        log_q = np.full(301, -np.inf)
        log_q[0] = 0.0
        for j in np.delete(np.arange(300), i):
            moved = np.r_[-np.inf, log_q[:-1] + h[j]]
            log_q = np.logaddexp(log_q, moved)
        s = np.arange(301)
        told = [np.logaddexp.reduce(log_q - weight * (s + mine - count) ** 2) for mine in (0, 1)]
        expected = 1 / (1 + np.exp(-h[i] - np.clip(told[1] - told[0], -40, 40)))
        assert found.proba[i] == pytest.approx(expected, abs=1e-9, rel=1e-6)


def test_counts_are_kept_and_similar_rows_agree():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 600)
    Z = np.c_[3 * truth - 1.5, 3 - 2 * truth] + 0.6 * rng.normal(size=(600, 2))
    bags = np.arange(600) // 6
    counts = np.bincount(bags, truth).astype(float)
    found = propagate(similar_rows(Z, 5, 1.0), bags, counts, 10.0)
    assert ((found.proba > 0.5) == truth).mean() > 0.97
    assert np.abs(np.bincount(bags, found.proba) - counts).max() < 0.2
    assert found.change < 1e-4


def test_an_edge_stands_once_and_the_reverse_of_the_reverse_is_itself():
    Z = np.random.default_rng(0).normal(size=(50, 3))
    graph = similar_rows(Z, 4, 2.0)
    rows = np.repeat(np.arange(50), np.diff(graph.start))
    assert (graph.reverse[graph.reverse] == np.arange(len(graph.other))).all()
    assert (graph.other[graph.reverse] == rows).all()
    assert len(set(zip(rows, graph.other, strict=True))) == len(graph.other)
    np.testing.assert_allclose(graph.coupling, graph.coupling[graph.reverse])
    distance = pair_distances(Z, rows, graph.other.astype(int))
    expected = np.tanh(np.exp(-distance / np.median(distance[rows < graph.other])))
    np.testing.assert_allclose(graph.coupling, expected)


def test_rows_that_no_neighbour_is_near_enough_to_stand_alone():
    graph = similar_rows(np.array([[1.0, 0], [1, 0.01], [0, 1], [-1, 0]]), 2, 1.0, max_distance=0.1)
    assert graph.n_edges == 1
    assert np.diff(graph.start).tolist() == [1, 1, 0, 0]


def test_equal_rows_are_joined_with_full_strength():
    graph = similar_rows(np.ones((6, 2)), 2, 3.0)
    np.testing.assert_allclose(graph.coupling, np.tanh(1.5))


@pytest.mark.parametrize("limit", ["SHORT", "PAIR_ROWS"])
def test_numbers_too_long_for_their_type_take_a_longer_one(limit, monkeypatch):
    Z = np.random.default_rng(0).normal(size=(60, 2))
    short = similar_rows(Z, 4, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(bag_propagation, limit, 10)
        long = similar_rows(Z, 4, 1.0)
    assert short.other.dtype == np.int32 and long.other.dtype == (np.int64 if limit == "SHORT" else np.int32)
    np.testing.assert_equal(tuple(long), tuple(short))


def test_rows_numbered_by_nearness_are_told_the_same(monkeypatch):
    """Many rows are renumbered so that near ones lie together; nobody outside sees it."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 700)
    Z = np.c_[3 * truth - 1.5, 3 - 2 * truth] + rng.normal(size=(700, 2))
    bags = rng.permutation(700) // 7
    counts = np.bincount(bags, truth).astype(float)
    plain = propagate(similar_rows(Z, 5, 1.0), bags, counts, 10.0, iterations=20, tol=0)
    monkeypatch.setattr("labelwise.weak.bag_propagation.MANY", 500)
    graph = similar_rows(Z, 5, 1.0)
    assert graph.rows is not None and (np.sort(graph.rows) == np.arange(700)).all()
    sorted_ = propagate(graph, bags, counts, 10.0, iterations=20, tol=0)
    np.testing.assert_allclose(sorted_.proba, plain.proba, atol=1e-9)
