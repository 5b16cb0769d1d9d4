"""Semi-supervised k-means: pinned rows, frozen centres, and what plain k-means says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from labelwise.base import InputError
from labelwise.parts.semi_kmeans import class_means, nearest_center, seeds, semi_kmeans, squared_distances


def rows_of(seed: int, n: int = 60, d: int = 3, known: int = 2, share: float = 0.5):
    rng = np.random.default_rng(seed)
    truth = np.r_[np.arange(known), rng.integers(0, known + 2, n - known)]
    Z = rng.normal(size=(n, d)) + 3 * rng.normal(size=(known + 2, d))[truth]
    codes = np.where((truth < known) & (rng.random(n) < share), truth, -1)
    codes[:known] = np.arange(known)
    return Z, codes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 4), st.booleans(), st.booleans())
def test_labelled_rows_never_move_and_the_pool_goes_to_the_nearest_allowed_centre(seed, n_new, frozen, only_new):
    Z, codes = rows_of(seed)
    only_new = only_new and n_new > 0
    found = semi_kmeans(Z, codes, n_new, np.random.default_rng(seed), frozen=frozen, only_new=only_new, starts=2)
    labelled = codes >= 0
    assert (found.labels[labelled] == codes[labelled]).all()
    first = 2 if only_new else 0
    slow = [
        first + int(np.argmin([np.linalg.norm(row - centre) for centre in found.centers[first:]]))
        for row in Z[~labelled]
    ]
    assert (found.labels[~labelled] == slow).all()
    if frozen:
        assert np.allclose(found.centers[:2], [Z[codes == c].mean(0) for c in range(2)])
    assert found.inertia == pytest.approx(sum(np.sum((r - found.centers[g]) ** 2) for r, g in zip(Z, found.labels)))  # noqa: B905


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_centres_are_means_of_their_rows(seed):
    Z, codes = rows_of(seed)
    found = semi_kmeans(Z, codes, 2, np.random.default_rng(seed), starts=1, steps=500)
    for group in np.unique(found.labels):
        assert np.allclose(found.centers[group], Z[found.labels == group].mean(0))


def test_without_labels_it_is_as_good_as_plain_k_means():
    Z, _ = rows_of(3, n=200)
    ours = semi_kmeans(Z, np.full(200, -1), 4, np.random.default_rng(0), starts=20).inertia
    theirs = KMeans(4, n_init=20, random_state=0).fit(Z).inertia_
    assert ours == pytest.approx(theirs, rel=0.02)


def test_more_starts_are_never_worse():
    Z, codes = rows_of(5, n=120)
    few, many = (semi_kmeans(Z, codes, 5, np.random.default_rng(1), starts=s).inertia for s in (1, 15))
    assert many <= few


def test_seeds_prefer_far_rows_and_avoid_repeats():
    Z = np.r_[np.zeros((50, 1)), [[100.0]], [[50.0]]]
    drawn = [set(seeds(Z, np.zeros((1, 1)), 2, np.random.default_rng(s)).ravel()) for s in range(20)]
    assert all(values == {100.0, 50.0} for values in drawn)


def test_seeding_power_is_that_of_the_distance():
    Z = np.array([[1.0], [3.0]])
    for power, share in ((1.0, 0.75), (2.0, 0.9)):
        rng = np.random.default_rng(0)
        far = np.mean([seeds(Z, np.zeros((1, 1)), 1, rng, power)[0, 0] == 3 for _ in range(3000)])
        assert far == pytest.approx(share, abs=0.03)


def test_identical_rows_and_single_rows_are_clustered():
    found = semi_kmeans(np.ones((6, 2)), np.array([0, 1, -1, -1, -1, -1]), 2, np.random.default_rng(0))
    assert np.isfinite(found.centers).all() and found.inertia == 0


@pytest.mark.parametrize(("n_new", "only_new"), [(5, False), (0, True)])
def test_refuses_impossible_numbers(n_new, only_new):
    Z, codes = np.zeros((4, 1)), np.array([0, 1, -1, -1])
    with pytest.raises(InputError, match="n_new"):
        semi_kmeans(Z, codes, n_new, np.random.default_rng(0), only_new=only_new)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_distances_and_means_agree_with_loops(seed):
    Z, codes = rows_of(seed, n=20)
    centers = class_means(Z, codes, 2)
    assert np.allclose(squared_distances(Z, centers), [[np.sum((z - c) ** 2) for c in centers] for z in Z], atol=1e-9)
    assert (nearest_center(Z, centers) == squared_distances(Z, centers).argmin(1)).all()
