"""Kernel ridge regression: leaving a row out in closed form is the same as fitting without it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.parts.kernel_ridge import PENALTIES, Ridge, best_features, kernel_features, squared_distances


def refitted(phi, Y, weight, row, choice):
    """Return the prediction of a row by a fit without it, solved anew."""
    w = weight.astype(float).copy()
    w[row] = 0
    gram = (phi * w[:, None]).T @ phi + PENALTIES[choice] * np.eye(phi.shape[1])
    return phi[row] @ np.linalg.solve(gram, (phi * w[:, None]).T @ Y)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 25), st.integers(1, 6), st.integers(0, len(PENALTIES) - 1))
def test_leaving_out_is_refitting(seed, n, d, choice):
    rng = np.random.default_rng(seed)
    phi, Y = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(n, 2)).astype(np.float32)
    weight = rng.choice([0.0, 0.5, 1.0, 2.0], n)
    scores = Ridge(phi, weight).scores(Y, choice)
    for row in range(n):
        again = Ridge(phi, np.where(np.arange(n) == row, 0, weight)).fitted(Y, choice)[row]
        np.testing.assert_allclose(again, refitted(phi.astype(float), Y, weight, row, choice), rtol=1e-2, atol=1e-2)
        if Ridge(phi, weight).leverage(choice)[row] < 0.95:  # beyond, single precision divides by next to nothing
            np.testing.assert_allclose(scores[row], again, rtol=2e-2, atol=2e-2)


def test_features_span_the_kernel():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(40, 3)).astype(np.float32)
    distances = squared_distances(Z, Z)
    np.testing.assert_allclose(distances, ((Z[:, None] - Z) ** 2).sum(2), atol=1e-4)
    phi = kernel_features(distances, distances, 1.5)[:, :-1]
    np.testing.assert_allclose(phi @ phi.T, np.exp(-distances / (2 * 1.5**2)), atol=5e-3)


@pytest.mark.parametrize("judged", [None, "first half"])
def test_it_learns_what_a_line_cannot(judged):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(400, 2)).astype(np.float32)
    y = (Z[:, 0] * Z[:, 1] > 0).astype(int)
    mask = None if judged is None else np.arange(400) < 200
    choice = best_features(Z, np.eye(2, dtype=np.float32)[y], rng, judged=mask)
    right = Ridge(choice.phi).scores(np.eye(2)[y], choice.penalty).argmax(1) == y
    assert right.mean() > 0.9


def test_equal_rows_are_no_obstacle():
    choice = best_features(
        np.zeros((30, 2), np.float32), np.eye(2, dtype=np.float32)[np.arange(30) % 2], np.random.default_rng(0)
    )
    assert np.isfinite(Ridge(choice.phi).scores(np.eye(2)[np.arange(30) % 2], choice.penalty)).all()
