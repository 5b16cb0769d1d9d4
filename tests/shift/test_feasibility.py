"""W2PGNN: graphons, distances and gradients against plain numpy, and the family that is nearest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

pytest.importorskip("ot", reason="POT is not installed: pip install 'labelwise[graphs]'")

from labelwise.base import InputError
from labelwise.shift import W2PGNN
from labelwise.shift.feasibility import graphon, topology


def graph(p, rng):
    """Draw a graph from edge probabilities (n, n)."""
    upper = np.triu(rng.random(p.shape) < p, 1)
    return (upper + upper.T).astype(float)


def families(rng, n=48):
    """Edge probabilities of three kinds of graphs that differ in degrees."""
    u = (np.arange(n) + 0.5) / n
    few = u < 0.25
    return {
        "random": np.full((n, n), 0.2),
        "core": np.where(np.logical_and.outer(few, few), 0.9, np.where(np.logical_or.outer(few, few), 0.4, 0.02)),
        "hubs": np.minimum(1, 1.8 * np.multiply.outer((1 - u) ** 2, (1 - u) ** 2)),
    }


def drawn(name, count, rng):
    return [graph(families(rng)[name], rng) for _ in range(count)]


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 9), st.integers(1, 12), st.integers(0, 1000))
def test_a_graphon_is_the_mean_over_steps(n, size, seed):
    rng = np.random.default_rng(seed)
    one = graph(np.full((n, n), 0.5), rng)
    order = np.argsort(-one.sum(0), kind="stable")
    fine = np.repeat(np.repeat(one[np.ix_(order, order)], size, 0), size, 1)  # n * size points, exact for both
    by_hand = fine.reshape(size, n, size, n).mean((1, 3))
    assert graphon([one], size) == pytest.approx(by_hand)
    assert graphon([one, 1 - np.eye(n)], size) == pytest.approx((by_hand + graphon([1 - np.eye(n)], size)) / 2)


def test_statistics_of_known_graphs():
    complete, star = 1 - np.eye(5), np.zeros((5, 5))
    star[0, 1:] = star[1:, 0] = 1
    assert topology(complete) == pytest.approx([4, 0, 1, 1, 1, 0])
    assert topology(star) == pytest.approx([1.6, 1.2, 0.4, 0, 0, -1])


def test_the_distance_ignores_order_and_its_slope_is_right():
    rng = np.random.default_rng(0)
    model = W2PGNN(size=6, epsilon=0.02)
    a, b = (np.add.outer(v, v) for v in rng.random((2, 6)))
    value, slope, plan = model._distance(a, b)
    even = plan.sum(1), plan.sum(0)
    by_hand = sum(
        (a[i, j] - b[k, m]) ** 2 * plan[i, k] * plan[j, m]
        for i in range(6)
        for j in range(6)
        for k in range(6)
        for m in range(6)
    )
    assert value == pytest.approx(by_hand, rel=1e-3, abs=1e-6) and even[0] == pytest.approx(np.full(6, 1 / 6), abs=1e-3)
    step = 1e-4 * (lambda d: d + d.T)(rng.normal(size=(6, 6)))

    def at(first):  # at the same plan, whose change does not count where it is best
        return even[0] @ first**2 @ even[0] + even[1] @ b**2 @ even[1] - 2 * (first * (plan @ b @ plan.T)).sum()

    assert at(a + step) - at(a - step) == pytest.approx(2 * (slope * step).sum(), rel=1e-4)


@pytest.mark.parametrize("name", ["random", "core", "hubs"])
def test_graphs_of_the_same_family_are_nearest(name):
    rng = np.random.default_rng(3)
    sets = {family: drawn(family, 3, rng) for family in families(rng)}
    found = W2PGNN(size=12, steps=4, draws=2, random_state=0).measure(sets, drawn(name, 3, rng))
    assert min(found.distances, key=found.distances.get) == name
    assert found.feasibility.low <= found.feasibility.value <= found.feasibility.high <= 0
    assert found.feasibility.value >= found.even - 1e-9
    assert sum(found.weights.values()) == pytest.approx(1)


def test_bases_and_sparse_graphs():
    rng = np.random.default_rng(0)
    sets = {"a": drawn("random", 3, rng), "b": [sparse.csr_array(g) for g in drawn("hubs", 3, rng)]}
    for basis, count in (("integrated", 1), ("topology", 2), ("domain", 2)):
        model = W2PGNN(basis=basis, clusters=2, size=8, steps=3, draws=2, random_state=0)
        assert len(model.measure(sets, drawn("random", 2, rng)).weights) == count


@pytest.mark.parametrize(
    ("sets", "aims", "message"),
    [
        ({}, [1 - np.eye(3)], "pretraining is empty"),
        ({"a": []}, [1 - np.eye(3)], r"pretraining\['a'\] holds no graph"),
        ({"a": [1 - np.eye(3)]}, [], "downstream holds no graph"),
        ({"a": [np.ones((2, 3))]}, [1 - np.eye(3)], "square adjacency"),
    ],
)
def test_what_cannot_work_is_said(sets, aims, message):
    with pytest.raises(InputError, match=message):
        W2PGNN(size=4).measure(sets, aims)
