from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from labelwise.base import InputError
from labelwise.diagnostics import NeighbourOutliers, OpenSetShare
from labelwise.diagnostics.outliers import dimension, rejected
from labelwise.parts.neighbours import neighbours


@pytest.mark.parametrize("d", [3, 30, 200])
def test_planted_outliers_are_found_first(d):
    rng = np.random.default_rng(d)
    Z = rng.normal(size=(1500, d))
    Z[:15] = 3 * np.sqrt(d) * (u := rng.normal(size=(15, d))) / np.linalg.norm(u, axis=1, keepdims=True)
    rows = NeighbourOutliers().measure(Z).rows
    assert set(range(15)) <= set(rows[:18])
    assert len(rows) < 24


@pytest.mark.parametrize("draw", ["normal", "clusters", "heavy tails"])
def test_few_alarms_on_ordinary_data(draw):
    alarms = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        cluster = rng.integers(0, 4, 1000)
        Z = {
            "normal": rng.normal(size=(1000, 8)),
            "clusters": rng.normal(size=(1000, 8)) * (0.3 + cluster[:, None]) + 9 * rng.normal(size=(4, 8))[cluster],
            "heavy tails": rng.standard_t(5, size=(1000, 8)),
        }[draw]
        alarms.append(len(NeighbourOutliers().measure(Z).rows))
    assert np.mean(alarms) < 3


def test_a_sparse_cluster_is_no_outlier():
    rng = np.random.default_rng(0)
    Z = np.vstack([0.1 * rng.normal(size=(900, 5)), 20 + 5 * rng.normal(size=(100, 5))])
    assert (NeighbourOutliers().measure(Z).rows >= 900).sum() < 3


def test_graph_and_rows_give_the_same():
    Z = np.random.default_rng(0).normal(size=(300, 4))
    graph = neighbours(Z, 10, metric="euclidean")
    np.testing.assert_array_equal(
        NeighbourOutliers().measure(Z).score, NeighbourOutliers().measure(None, graph=graph).score
    )


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.01, 0.5))
def test_rejections_are_those_of_scipy(p_values, rate):
    p = np.array(p_values)
    adjusted = false_discovery_control(p, method="bh")
    clear = np.abs(adjusted - rate) > 1e-9
    assert (rejected(p, rate) == (adjusted <= rate))[clear].all()


@pytest.mark.parametrize("d", [2, 5, 10])
def test_dimension_of_a_cube(d):
    Z = np.random.default_rng(0).random((4000, d)) @ np.linalg.qr(np.random.default_rng(1).normal(size=(20, 20)))[0][:d]
    assert dimension(neighbours(Z, 10, metric="euclidean").distances) == pytest.approx(d, rel=0.25)


def test_rows_that_all_coincide():
    with pytest.raises(InputError, match="coincide"):
        NeighbourOutliers().measure(np.ones((100, 3)))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_open_set_share_is_covered(share):
    rng = np.random.default_rng(0)
    labelled, n_new = rng.normal(size=(500, 6)), int(800 * share)
    pool = np.vstack([rng.normal(size=(800 - n_new, 6)), rng.normal(10, 1, size=(n_new, 6))])
    found = OpenSetShare(random_state=0).measure(labelled, pool)
    assert found.low <= share <= found.high + 0.02
    assert abs(found.value - share) < 0.04


def test_an_unfilled_list_of_neighbours_spoils_nothing():
    """An approximate search marks neighbours it did not find by -1, infinitely far."""
    Z = np.random.default_rng(0).normal(size=(500, 6))
    Z[0] = 30
    graph = neighbours(Z, 10, metric="euclidean")
    usual = dimension(graph.distances)
    graph.distances[0, -1], graph.indices[0, -1] = np.inf, -1
    assert dimension(graph.distances) == pytest.approx(usual, rel=0.02)
    found = NeighbourOutliers().measure(Z, graph=graph)
    assert np.isfinite(found.score).all()
    assert 0 in found.rows
