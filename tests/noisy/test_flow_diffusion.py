"""Flow diffusion against the quadratic program it solves, its optimality conditions, and a slow sweep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import minimize

from labelwise.base import InputError
from labelwise.noisy import LabelWeightedDiffusion


def random_graph(seed: int, n: int, weighted: bool = False) -> np.ndarray:
    """Return a connected random graph: a ring with chords."""
    rng = np.random.default_rng(seed)
    A = np.triu(rng.random((n, n)) < 0.25, 1).astype(float)
    A[np.arange(n - 1), np.arange(1, n)] = 1
    A[0, n - 1] = 1
    A *= rng.uniform(0.5, 2, (n, n)) if weighted else 1
    return np.triu(A, 1) + np.triu(A, 1).T


def weighed(A: np.ndarray, labels: np.ndarray, disagree: float) -> np.ndarray:
    """Return the weights as the definition has them."""
    return np.where(labels[:, None] == labels, A, disagree * A)


def slow_optimum(W: np.ndarray, T: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Solve min_{x >= 0} x'Lx / 2 + x'(T - source) by a general solver."""
    L = np.diag(W.sum(1)) - W
    found = minimize(
        lambda x: (x @ L @ x / 2 + x @ (T - source), L @ x + T - source), np.ones(len(T)), jac=True, method="L-BFGS-B",
        bounds=[(0, None)] * len(T), options={"ftol": 1e-16, "gtol": 1e-11, "maxiter": 20_000, "maxfun": 50_000},
    )  # fmt: skip
    return found.x


CASE = {
    "seed": st.integers(0, 10_000), "n": st.integers(5, 16), "disagree": st.sampled_from([0.05, 0.3, 1.0]),
    "share": st.floats(0.1, 0.8), "sink": st.sampled_from(["degree", "unit"]), "weighted": st.booleans(),
}  # fmt: skip


def diffused(seed, n, disagree, share, sink, weighted, tol=1e-10):
    A, labels = random_graph(seed, n, weighted), np.random.default_rng(seed + 1).integers(0, 2, n)
    T = A.sum(1) if sink == "degree" else np.ones(n)
    mass = share * T.sum()
    model = LabelWeightedDiffusion(disagree=disagree, mass=mass, sink=sink, tol=tol).fit(A, labels, seed=0)
    return model, weighed(A, labels, disagree), T, mass


@settings(max_examples=15, deadline=None)
@given(**CASE)
def test_potentials_solve_the_quadratic_program(seed, n, disagree, share, sink, weighted):
    model, W, T, mass = diffused(seed, n, disagree, share, sink, weighted)
    expected = slow_optimum(W, T, mass * np.eye(n)[0])
    np.testing.assert_allclose(model.x_, expected, atol=1e-4 * max(1, expected.max()))


@settings(max_examples=40, deadline=None)
@given(**CASE)
def test_mass_is_kept_and_the_optimality_conditions_hold(seed, n, disagree, share, sink, weighted):
    model, W, T, mass = diffused(seed, n, disagree, share, sink, weighted)
    rest, x = model.mass_at_rest_, model.x_
    assert rest.sum() == pytest.approx(mass)
    np.testing.assert_allclose(rest, mass * np.eye(n)[0] - (np.diag(W.sum(1)) - W) @ x, atol=1e-6 * mass)
    assert (x >= 0).all() and (rest >= 0).all()
    assert (rest <= T * (1 + 1e-9)).all()
    np.testing.assert_allclose(rest[x > 0], T[x > 0], rtol=1e-9)
    assert set(np.flatnonzero(rest)) == set(model.touched_)


@settings(max_examples=40, deadline=None)
@given(**CASE)
def test_cluster_is_the_best_sweep(seed, n, disagree, share, sink, weighted):
    model, W, _, _ = diffused(seed, n, disagree, share, sink, weighted)
    order = np.argsort(-model.x_, kind="stable")[: max(1, int((model.x_ > 0).sum()))]

    def conductance(nodes: np.ndarray) -> float:
        inside = np.isin(np.arange(n), nodes)
        smaller = min(W[inside].sum(), W[~inside].sum())
        return W[inside][:, ~inside].sum() / smaller if smaller > 1e-9 else np.inf

    best = min(conductance(order[:k]) for k in range(1, len(order) + 1))
    assert model.conductance_ == pytest.approx(best)
    assert conductance(model.cluster_) == pytest.approx(best)


def test_a_path_by_hand():
    """Mass 3 on the end of a path with unit sinks: 1 stays on each of three nodes, and 2 and then 1 flow on."""
    path = sparse.diags_array([np.ones(4), np.ones(4)], offsets=[-1, 1], shape=(5, 5))
    model = LabelWeightedDiffusion(mass=3.0, sink="unit", tol=1e-12).fit(path, seed=0)
    np.testing.assert_allclose(model.mass_at_rest_, [1, 1, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(model.x_, [3, 1, 0, 0, 0], atol=1e-6)


def test_disagree_one_and_unknown_labels_ignore_the_labels():
    A, labels = random_graph(0, 12), np.arange(12) % 2
    plain = LabelWeightedDiffusion(mass=10.0).fit(A, seed=3)
    for other in (
        LabelWeightedDiffusion(mass=10.0, disagree=1.0).fit(A, labels, seed=3),
        LabelWeightedDiffusion(mass=10.0).fit(A, np.full(12, -1), seed=3),
        LabelWeightedDiffusion(mass=10.0).fit(A + 5 * np.eye(12), seed=3),
    ):
        np.testing.assert_array_equal(other.x_, plain.x_)


def test_planted_cluster_is_found_with_and_without_a_mass():
    rng = np.random.default_rng(0)
    inside = np.arange(1200) < 60
    A = np.triu(rng.random((1200, 1200)) < np.where(inside[:, None] & inside, 0.3, 0.005), 1)
    A = sparse.csr_array(A | A.T).astype(float)
    labels = np.where(rng.random(1200) < 0.02, ~inside, inside)
    volume = A.sum(1)[inside].sum()
    for mass in (None, 3 * volume):
        found = LabelWeightedDiffusion(mass=mass).fit(A, labels, seed=5).predict().astype(bool)
        assert (found & inside).sum() > 50
        assert (found & ~inside).sum() < 25


def test_only_the_neighbourhood_is_touched_in_a_million_edges():
    n = 500_000
    ring = sparse.diags_array([np.ones(n - 1), np.ones(n - 2)], offsets=[1, 2], shape=(n, n), format="csr")
    ring = (ring + ring.T).tocsr()
    model = LabelWeightedDiffusion(mass=400.0).fit(ring, seed=n // 2)
    assert 90 <= len(model.touched_) <= 120
    assert np.abs(model.touched_ - n // 2).max() < 60


def test_a_seed_in_a_pair_and_trusted_labels():
    A = sparse.block_diag([np.ones((2, 2)) - np.eye(2), random_graph(1, 8)], format="csr")
    assert LabelWeightedDiffusion().fit(A, seed=0).cluster_.tolist() in ([0], [0, 1])
    with pytest.raises(InputError, match="hold only 2"):
        LabelWeightedDiffusion(mass=2.5).fit(A, seed=0)
    with pytest.raises(InputError, match="disagree=0"):
        LabelWeightedDiffusion(mass=2.0, disagree=0.0).fit(A, [0, 1, *[0] * 8], seed=0)
    with pytest.raises(InputError, match="hold only 0"):
        LabelWeightedDiffusion().fit(sparse.csr_array((3, 3)), seed=0)


def spoilt(i: int, j: int, value: float) -> np.ndarray:
    A = random_graph(0, 6)
    A[i, j] = value
    return A


@pytest.mark.parametrize(
    ("graph", "labels", "seed", "told"),
    [
        (spoilt(2, 4, 7.0), None, 0, r"symmetric: edge \(2, 4\) weighs 7"),
        (spoilt(1, 2, -1.0), None, 0, r"Edge \(1, 2\) weighs -1"),
        (spoilt(1, 2, np.nan), None, 0, r"Edge \(1, 2\) weighs nan"),
        (np.ones((3, 4)), None, 0, "square"),
        (np.zeros((0, 0)), None, 0, "square"),
        (np.full((2, 2), "a"), None, 0, "numeric"),
        (random_graph(0, 6), [0, 1], 0, "labels must have one entry a node: 6. Got 2"),
        (random_graph(0, 6), None, 6, "from 0 to 5. Got 6"),
        (random_graph(0, 6), None, -1, "Got -1"),
        (random_graph(0, 6), None, 1.0, "Got 1.0"),
    ],
)
def test_bad_input(graph, labels, seed, told):
    with pytest.raises(InputError, match=told):
        LabelWeightedDiffusion().fit(graph, labels, seed=seed)


def test_too_few_pushes_warn():
    with pytest.warns(UserWarning, match="max_pushes"):
        LabelWeightedDiffusion(mass=30.0, max_pushes=1).fit(random_graph(0, 12), seed=0)


def test_nodes_out_of_range():
    model = LabelWeightedDiffusion().fit(random_graph(0, 6), seed=0)
    with pytest.raises(InputError, match="from 0 to 5"):
        model.predict([7])
