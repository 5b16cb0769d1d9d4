"""Large-step logistic regression: the paper's iteration counts, its limits, its bounds, and rows nothing separates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from labelwise.base import InputError
from labelwise.noisy import NormalizedLogisticRegression
from labelwise.noisy.normalized_logistic import separate


def worst(n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """One row of class 1 against n - 1 equal ones, nearly opposite."""
    return np.r_[[[0.5, -1.0]], np.tile([[-0.5, -1.0]], (n - 1, 1))], np.r_[1, np.zeros(n - 1, int)]


def steps(update: str, step: float) -> int:
    X, y = worst()
    model = NormalizedLogisticRegression(step=step, update=update, fit_intercept=False).fit(X, y)
    assert model.score(X, y) == 1
    return int(model.n_iter_[0])


def test_the_papers_counts_in_the_worst_case():
    assert steps("plain", 100.0) == 308
    assert [steps("normalized", step) for step in (100.0, 10.0, 1.0, 0.1)] == [2, 2, 16, 157]
    assert steps("perceptron", 1.0) > 300 > 5 > steps("normalized perceptron", 1.0)


def separable(seed: int, n: int = 60, d: int = 8) -> np.ndarray:
    """Return rows ``y x`` that some weights separate with a margin."""
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, d)), rng.normal(size=d)
    X += 0.3 * np.sign(X @ w)[:, None] * w / np.linalg.norm(w)
    return np.sign(X @ w)[:, None] * X


def slow(Z: np.ndarray, step: float, normalized: bool) -> int:
    """Count the steps of a loop written from the equations."""
    w = np.zeros(Z.shape[1])
    for done in range(1, 10_000):
        s = [1 / (1 + np.exp(min(700.0, float(z @ w)))) for z in Z]
        total = sum(s) if normalized else len(Z)
        w = w + step / total * sum(si * z for si, z in zip(s, Z, strict=True))
        if all(z @ w > 0 for z in Z):
            return done
    raise AssertionError("not separated")


@given(st.integers(0, 1000), st.sampled_from([0.5, 5.0]), st.booleans())
def test_steps_are_those_of_a_slow_loop(seed, step, normalized):
    Z = separable(seed, n=20, d=4)
    _, taken, done = separate(Z, step, "normalized" if normalized else "plain", 10_000)
    assert done and taken == slow(Z, step, normalized)


@given(st.integers(0, 1000))
def test_huge_steps_are_the_batch_perceptron(seed):
    Z = separable(seed)
    for update, limit in (("plain", "perceptron"), ("normalized", "normalized perceptron")):
        ours, taken, _ = separate(Z, 1e9, update, 10_000)
        theirs, expected, _ = separate(Z, 1.0, limit, 10_000)
        assert taken == expected
        assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.999


@given(st.integers(0, 1000))
def test_bounds_of_the_theorems(seed):
    Z = separable(seed)
    n, longest = len(Z), np.linalg.norm(Z, axis=1).max()
    weights = SVC(kernel="linear", C=1e8).fit(np.r_[Z, -Z], np.r_[np.ones(n), -np.ones(n)]).coef_[0]
    margin = (Z @ weights).min() / np.linalg.norm(weights)
    ratio = (longest / margin) ** 2
    for step in (1.0, 100.0):
        bound = ratio + 2 * np.log(2 * n - 1) / (step * margin**2)
        assert separate(Z, step, "normalized", 100_000)[1] <= bound + 1
    assert separate(Z, 1.0, "perceptron", 100_000)[1] <= n * ratio + 1
    assert separate(Z, 1.0, "normalized perceptron", 100_000)[1] <= ratio + 1


def test_small_steps_approach_the_largest_margin_and_large_ones_do_not():
    Z = separable(0)
    found = linprog(np.zeros(Z.shape[1]), A_ub=-Z, b_ub=-np.ones(len(Z)), bounds=(None, None))
    assert found.success  # separable, by an independent solver
    assert all((Z @ separate(Z, step, "normalized", 10_000)[0] > 0).all() for step in (0.1, 1e6))


def test_rows_that_cannot_be_separated_give_the_fewest_errors_seen():
    X, y = load_iris(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    with pytest.warns(ConvergenceWarning, match="fewest errors"):
        model = NormalizedLogisticRegression(max_iter=200).fit(X, y)
    assert model.score(X, y) > 0.8
    assert model.n_iter_[0] < 200 and model.n_iter_[1] == 200  # setosa is separable, versicolor is not
    assert model.coef_.shape == (3, 4)


def test_unlabelled_rows_are_left_out_and_one_class_is_refused():
    X, y = worst(20)
    y = y.astype(float)
    without = NormalizedLogisticRegression().fit(X[:-5], y[:-5])
    codes = y.astype(int)
    codes[-5:] = -1
    np.testing.assert_array_equal(NormalizedLogisticRegression().fit(X, codes).coef_, without.coef_)
    with pytest.raises(InputError, match="only one class"):
        NormalizedLogisticRegression().fit(X, np.zeros(20, int))
