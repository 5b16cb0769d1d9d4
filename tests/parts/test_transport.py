"""Transport against POT, a log-domain solver and a general optimiser; properties; the quadratic term."""

from __future__ import annotations

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog, minimize
from scipy.special import logsumexp, rel_entr

from labelwise.base import InputError
from labelwise.parts.transport import partial_transport, semantic_transport, transport

seeds = st.integers(0, 10_000)


def problem(seed, n=12, k=4):
    rng = np.random.default_rng(seed)
    return rng.exponential(1.0, (n, k)), np.full(n, 1 / n), rng.dirichlet(np.full(k, 2.0))


def objective(plan, cost, wish, epsilon, relax):
    """The relaxed problem's own value: cost, price of the columns, entropy."""
    mass = plan.sum(0)
    price = relax * (rel_entr(mass, wish) - mass + wish).sum()
    return (plan * cost).sum() + price + epsilon * (plan * (np.log(np.maximum(plan, 1e-300)) - 1)).sum()


@given(seeds, st.sampled_from([0.05, 0.2, 1.0]))
@settings(max_examples=25)
def test_exact_columns_are_pots_sinkhorn(seed, epsilon):
    cost, rows, columns = problem(seed)
    found, _ = transport(cost, rows, columns, epsilon, tol=1e-10, iterations=5000)
    expected = ot.sinkhorn(rows, columns, cost, epsilon, method="sinkhorn_log", numItermax=5000, stopThr=1e-12)
    assert np.allclose(found, expected, atol=1e-7)


@given(seeds, st.sampled_from([0.05, 0.2, 1.0]), st.sampled_from([0.1, 1.0, 10.0]))
@settings(max_examples=25)
def test_relaxed_columns_are_pots_semi_relaxed_transport(seed, epsilon, relax):
    cost, rows, columns = problem(seed)
    found, _ = transport(cost, rows, columns, epsilon, relax, tol=1e-11, iterations=5000)
    expected = ot.unbalanced.sinkhorn_unbalanced(
        rows, columns, cost, epsilon, (float("inf"), relax), reg_type="entropy", numItermax=5000, stopThr=1e-13
    )
    assert np.allclose(found, expected, atol=1e-7)


@given(seeds, st.floats(0.2, 1.0))
@settings(max_examples=20)
def test_partial_with_equal_sizes_is_pots_partial_transport(seed, mass):
    """Clusters of exactly mass / k: rows of at most 1 / n, columns of exactly their size, as entropic partial transport."""
    cost, rows, _ = problem(seed)
    found, _ = partial_transport(cost, mass, 0.2, np.inf, tol=1e-11)
    k = cost.shape[1]
    wide = np.concatenate([cost, np.zeros((len(cost), 1))], 1)
    wish = np.append(np.full(k, mass / k), 1 - mass)
    expected = ot.sinkhorn(
        rows, np.maximum(wish, 1e-300), wide, 0.2, method="sinkhorn_log", numItermax=20000, stopThr=1e-13
    )
    assert np.allclose(found, expected[:, :k], atol=1e-6)


@given(seeds)
@settings(max_examples=10)
def test_nearly_without_entropy_it_is_the_linear_programme(seed):
    """Partial transport to clusters of mass / k each, by an LP solver of its own constraints."""
    cost, mass = problem(seed, 8, 3)[0], 0.6
    n, k = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(k)), np.kron(np.ones(n), np.eye(k))
    best = linprog(cost.ravel(), rows, np.full(n, 1 / n), columns, np.full(k, mass / k))
    found, _ = partial_transport(cost, mass, 0.005, np.inf, iterations=20000)
    assert (found * cost).sum() == pytest.approx(best.fun, abs=0.02)


@given(seeds, st.floats(0.05, 1.0), st.sampled_from([0.0, 0.3, 1.0, 30.0]), st.sampled_from([0.02, 0.1, 0.5]))
@settings(max_examples=40)
def test_rows_keep_at_most_their_mass_and_the_total_is_asked_for(seed, mass, relax, epsilon):
    cost = problem(seed, 20, 5)[0]
    plan, _ = partial_transport(cost, mass, epsilon, relax, iterations=20000)
    assert (plan >= 0).all()
    assert (plan.sum(1) <= 1 / 20 + 1e-9).all()
    assert plan.sum() == pytest.approx(mass, rel=1e-3)


def test_the_price_moves_sizes_from_what_rows_want_to_what_is_wished():
    cost = problem(0, 60, 4)[0]
    cost[:, 0] -= cost[:, 0].min() - 0.01
    cost[:45, 0] = 0.01
    gaps = [
        np.abs(partial_transport(cost, 0.8, 0.05, price)[0].sum(0) - 0.2).max() for price in (0, 0.1, 1, 10, np.inf)
    ]
    assert (np.diff(gaps) < 1e-9).all()
    assert gaps[-1] < 1e-6 < 0.1 < gaps[0]
    near = partial_transport(cost, 0.8, 0.05, 1e6)[0]
    assert np.allclose(near, partial_transport(cost, 0.8, 0.05, np.inf)[0], atol=1e-5)


def test_the_relaxed_plan_is_the_least_of_its_objective():
    """Against a general optimiser over softmax-parametrised rows."""
    cost, rows, wish = problem(3, 5, 3)
    found, _ = transport(cost, rows, wish, 0.3, 0.7, tol=1e-12, iterations=20000)

    def value(z):
        scores = z.reshape(cost.shape)
        return objective(
            rows[:, None] * np.exp(scores - logsumexp(scores, axis=1, keepdims=True)), cost, wish, 0.3, 0.7
        )

    best = min(minimize(value, np.random.default_rng(s).normal(size=cost.size), method="BFGS").fun for s in range(3))
    assert objective(found, cost, wish, 0.3, 0.7) == pytest.approx(best, abs=1e-6)


@given(seeds, st.sampled_from([1e-3, 3e-3]), st.sampled_from([0.05, 1.0, np.inf]))
@settings(max_examples=15)
def test_small_epsilon_and_huge_costs_neither_overflow_nor_lose_mass(seed, epsilon, relax):
    cost = 20 * problem(seed, 15, 4)[0]
    plan, ends = partial_transport(cost, 0.7, epsilon, relax, iterations=2000)
    assert np.isfinite(plan).all()
    assert np.isfinite(ends.columns[:-1]).all()
    assert plan.sum(1).max() <= 1 / 15 + 1e-9


def by_logarithms(cost, rows, wish, epsilon, relax, rounds):
    """The same scaling without a kernel: log-sum-exp at every step."""
    f = np.where(np.isinf(relax), 1.0, relax / (np.where(np.isinf(relax), 0, relax) + epsilon))
    log_b = np.zeros(len(wish))
    for _ in range(rounds):
        log_a = np.log(rows) - logsumexp(-cost / epsilon + log_b, axis=1)
        log_b = f * (np.log(wish) - logsumexp(-cost.T / epsilon + log_a, axis=1))
    log_a = np.log(rows) - logsumexp(-cost / epsilon + log_b, axis=1)
    return np.exp(log_a[:, None] - cost / epsilon + log_b)


@pytest.mark.parametrize("epsilon", [0.005, 0.02])
@pytest.mark.parametrize("seed", range(3))
def test_stabilised_scaling_is_the_same_as_logarithms(seed, epsilon):
    """Costs of hundreds of epsilon: the kernel is never the plain one, and the plan is the same."""
    cost = problem(seed, 10, 4)[0] * 3
    price = np.array([0.5, 0.5, 0.5, np.inf])
    wish = np.array([0.2, 0.2, 0.2, 0.4])
    expected = by_logarithms(cost, np.full(10, 0.1), wish, epsilon, price, 1500)
    found, _ = transport(cost, np.full(10, 0.1), wish, epsilon, price, tol=1e-13, iterations=1500)
    assert np.allclose(found, expected, atol=1e-4)


def test_a_start_from_the_solution_stops_at_once_and_agrees():
    cost = problem(1, 50, 5)[0]
    plan, ends = partial_transport(cost, 0.5, 0.1, 1.0, tol=1e-9)
    again, more = partial_transport(cost, 0.5, 0.1, 1.0, start=ends, tol=1e-9)
    assert np.allclose(plan, again, atol=1e-9)
    assert more.iterations <= 3 < ends.iterations


def neighbours(seed, n=30):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return np.exp(-((X[:, None] - X[None]) ** 2).sum(2))  # a Gaussian kernel with its diagonal: no negative eigenvalue


@given(seeds, st.floats(0.01, 0.2))
@settings(max_examples=15)
def test_rounds_lower_the_quadratic_objective(seed, smoothness):
    """With a similarity without negative eigenvalues each plan is no worse than the one before it."""
    n, k, mass = 30, 3, 0.7
    cost, S = np.random.default_rng(seed).exponential(1.0, (n, k)), neighbours(seed)

    def value(plan):
        rest = 1 / n - plan.sum(1)
        waits = (rest * (np.log(np.maximum(rest, 1e-300)) - 1)).sum() * 0.1
        return (
            objective(plan, cost, np.full(k, mass / k), 0.1, 1.0) + waits - smoothness * n * (S * (plan @ plan.T)).sum()
        )

    plans = [semantic_transport(cost, S, mass, smoothness, rounds=r, tol=1e-9)[0] for r in range(1, 8)]
    values = [value(plan) for plan in plans]
    assert (np.diff(values) < 1e-6).all()


def test_similar_rows_go_together_and_none_is_plain_partial_transport():
    rng = np.random.default_rng(0)
    cost = rng.exponential(1.0, (40, 4))
    pairs = np.zeros((40, 40))
    pairs[np.arange(0, 40, 2), np.arange(1, 40, 2)] = 1
    plain, _ = partial_transport(cost, 0.9)
    same = lambda plan: (plan.argmax(1)[::2] == plan.argmax(1)[1::2]).mean()  # noqa: E731
    drawn, _ = semantic_transport(cost, sparse.csr_matrix(pairs), 0.9, 3.0)
    assert np.array_equal(semantic_transport(cost, pairs, 0.9, 0.0)[0], plain)
    assert same(drawn) > same(plain) + 0.3
    dense, _ = semantic_transport(cost, pairs, 0.9, 3.0)
    assert np.allclose(dense, drawn)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cost": [[0.0, np.nan]], "rows": [1.0], "columns": [0.5, 0.5]}, "finite"),
        ({"cost": [[0.0, 1.0]], "rows": [1.0, 1.0], "columns": [0.5, 0.5]}, "shape"),
        ({"cost": [[0.0, 1.0]], "rows": [0.0], "columns": [0.5, 0.5]}, "rows"),
        ({"cost": [[0.0, 1.0]], "rows": [1.0], "columns": [0.5, 0.2]}, "sum"),
        ({"cost": [[0.0, 1.0]], "rows": [1.0], "columns": [0.5, 0.5], "epsilon": 0.0}, "epsilon"),
        ({"cost": [[0.0, 1.0]], "rows": [1.0], "columns": [0.5, 0.5], "relax": -1.0}, "relax"),
    ],
)
def test_bad_input_is_refused(given, told):
    with pytest.raises(InputError, match=told):
        transport(**given)


def test_a_mass_outside_its_range_is_refused():
    for mass in (0.0, 1.5):
        with pytest.raises(InputError, match="mass"):
            partial_transport([[0.0, 1.0]], mass)
