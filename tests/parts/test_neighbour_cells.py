"""Neighbours through cells: in memory and in files, broken off and resumed, with copies, zeros and too little room."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.parts import neighbour_cells, neighbour_near, neighbour_sample, neighbour_scan
from labelwise.parts import neighbours as module
from labelwise.parts.blocks import Local
from labelwise.parts.neighbour_cells import Form, Raw, arranged, grown
from labelwise.parts.neighbours import neighbours
from labelwise.parts.work import Held, Work


@pytest.fixture
def small_parts(monkeypatch):
    """Parts and blocks of so few rows that a small table needs many."""
    monkeypatch.setattr(neighbour_cells, "PART", 500)
    monkeypatch.setattr(module, "EXACT_WORK", 1e5)


def clusters(n=3000, d=40, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * 0.7 ** np.arange(d) + rng.normal(size=(8, d))[rng.integers(0, 8, n)]).astype(
        np.float32
    )


def mapped(X, path, kind=np.float16):
    """Return the table as a memory map of a file."""
    np.save(path, X.astype(kind))
    return np.load(path, mmap_mode="r")


def assert_same(found, other):
    np.testing.assert_array_equal(found.indices, other.indices)
    np.testing.assert_array_equal(found.distances, other.distances)
    assert found.recall == other.recall


class Failing(Local):
    """Break off after some items, and count them."""

    def __init__(self, most):
        super().__init__(1)
        self.left, self.done = most, 0

    def map(self, function, items):
        yield from super().map(functools.partial(self._one, function), items)

    def _one(self, function, item):
        if self.left <= 0:
            raise KeyboardInterrupt
        self.left, self.done = self.left - 1, self.done + 1
        return function(item)


@pytest.mark.parametrize("d", [40, 96])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_file_of_half_precision_gives_what_memory_gives(metric, d, tmp_path, small_parts):
    X = mapped(clusters(d=d), tmp_path / "X.npy")
    held = neighbours(np.asarray(X), 5, metric=metric, exact=False)
    filed = neighbours(X, 5, metric=metric, exact=False, scratch=tmp_path / "scratch", engine=Local(2))
    assert_same(filed, held)
    assert isinstance(filed.indices, np.memmap) and isinstance(filed.distances, np.memmap)
    true = neighbours(np.asarray(X), 5, metric=metric, exact=True)
    reached = (held.distances <= true.distances[:, -1:] * (1 + 1e-6)).mean()
    assert reached >= 0.94 and abs(reached - held.recall) < 0.03


def test_exact_in_files_is_exact_in_memory(tmp_path, small_parts):
    X = mapped(clusters(), tmp_path / "X.npy")
    filed = neighbours(X, 5, exact=True, scratch=tmp_path / "scratch")
    assert_same(filed, neighbours(np.asarray(X), 5, exact=True))
    assert filed.recall == 1.0


@pytest.mark.parametrize("d", [40, 96])
@pytest.mark.parametrize("most", [0, 3, 8, 14, 20])
def test_what_was_broken_off_goes_on_and_ends_the_same(most, d, tmp_path, small_parts):
    X = mapped(clusters(d=d), tmp_path / "X.npy")
    whole = Failing(10**9)
    undisturbed = neighbours(X, 5, exact=False, scratch=tmp_path / "other", engine=whole)
    with pytest.raises(KeyboardInterrupt):
        neighbours(X, 5, exact=False, scratch=tmp_path / "scratch", engine=Failing(most))
    rest = Failing(10**9)
    assert_same(neighbours(X, 5, exact=False, scratch=tmp_path / "scratch", engine=rest), undisturbed)
    assert rest.done <= whole.done
    assert most < 8 or rest.done < whole.done
    never = Failing(0)
    assert_same(neighbours(X, 5, exact=False, scratch=tmp_path / "scratch", engine=never), undisturbed)


def test_other_settings_or_rows_begin_anew(tmp_path, small_parts):
    X = mapped(clusters(), tmp_path / "X.npy")
    neighbours(X, 5, exact=False, scratch=tmp_path / "scratch")
    assert neighbours(X, 4, exact=False, scratch=tmp_path / "scratch").indices.shape == (3000, 4)
    other = mapped(clusters(seed=1), tmp_path / "Y.npy")
    found = neighbours(other, 4, exact=False, scratch=tmp_path / "scratch")
    assert_same(found, neighbours(np.asarray(other), 4, exact=False))


def test_nothing_of_the_size_of_the_features_is_left_behind(tmp_path, small_parts):
    X = mapped(clusters(), tmp_path / "X.npy")
    neighbours(X, 5, exact=False, scratch=tmp_path / "scratch")
    left = sum(path.stat().st_size for path in (tmp_path / "scratch").rglob("*") if path.is_file())
    sampled = 12 * neighbour_sample.QUERIES * (5 + neighbour_sample.TIES)
    assert left < X.nbytes + 12 * 5 * len(X) + sampled


def test_one_thread_or_two_make_no_difference(small_parts):
    X = clusters()
    one, two = (neighbours(X, 5, exact=False, engine=Local(workers)) for workers in (1, 2))
    assert_same(one, two)


def test_rows_scaled_as_they_are_read(tmp_path, small_parts):
    X = (clusters() * np.linspace(0.1, 30, 40) + 5).astype(np.float32)
    mean, factor = X.mean(0), 1 / X.std(0)
    scaled = np.clip((X - mean) * factor, -2, 2)
    told = {"metric": "euclidean", "exact": True}
    expected = neighbours(scaled, 4, **told)
    for place in (None, tmp_path / "scratch"):
        found = neighbours(
            mapped(X, tmp_path / "X.npy", np.float32), 4, prepare=(mean, factor, 2.0), scratch=place, **told
        )
        np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-3, atol=1e-5)
        assert (found.indices == expected.indices).mean() > 0.99


@settings(max_examples=15, deadline=None)
@given(
    st.integers(2, 150), st.integers(1, 20), st.integers(1, 6), st.sampled_from(["same", "two", "few", "zeros", "normal"]),
    st.sampled_from(["cosine", "euclidean"]), st.integers(0, 1000),
)  # fmt: skip
def test_copies_zero_rows_and_few_rows(n, d, k, kind, metric, seed):
    """Whatever the rows: k other rows each, none farther than the k-th truly is where recall is asked to be whole."""
    rng = np.random.default_rng(seed)
    X = {
        "same": np.ones((n, d)), "two": rng.integers(0, 2, (n, 1)) * np.ones((n, d)), "zeros": np.zeros((n, d)),
        "few": rng.integers(-1, 2, (n, d)), "normal": rng.normal(size=(n, d)),
    }[kind].astype(np.float16)  # fmt: skip
    k = min(k, n - 1)
    work, rows = Work(Local(1)), Raw(Held(X.astype(np.float32)), Form(metric == "cosine"))
    asked = neighbour_near.Asked(k, 1.0, False, metric == "cosine", seed)
    cells = arranged(rows, (n, d), 8, seed, work)
    sizes = np.diff(cells.ends, prepend=0)
    assert sizes.min() > 0 and sizes.max() <= 16 and sizes.sum() == n
    assert (np.sort(cells.numbers.open()) == np.arange(n)).all()
    found = neighbour_scan.search(cells, asked, work, module._near_means)
    expected = neighbours(X, k, metric=metric, exact=True)
    indices, numbers = found.indices.open(), np.arange(n)[:, None]
    assert (indices != numbers).all() and all(len(set(row)) == k for row in indices.tolist())
    distances = found.distances.open()
    assert (distances <= expected.distances[:, -1:] * (1 + 1e-5) + 1e-6).all()
    Z = rows.read(0, n).astype(float)
    square = ((Z[:, None] - Z[indices]) ** 2).sum(2)
    np.testing.assert_allclose(distances, square / 2 if metric == "cosine" else np.sqrt(square), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("copies", [1000, 20_000])
def test_a_crowd_of_copies_is_cut_and_the_work_stays_bounded(copies, monkeypatch):
    """So many equal rows that a cell of them would make a square of work."""
    monkeypatch.setattr(neighbour_near, "MOST", 2**10)
    X = np.concatenate([clusters(1000), np.ones((copies, 40), np.float32)])
    found = neighbours(X, 3, metric="euclidean", exact=False, recall=0.9)
    assert (found.distances[1000:] == 0).all()
    assert all(len({row, *found.indices[row]}) == 4 for row in range(1000, len(X), 97))


def test_where_the_most_rows_do_not_suffice_the_recall_says_so(monkeypatch):
    """No structure at all: neighbours are anywhere."""
    X = np.random.default_rng(0).normal(size=(8000, 60)).astype(np.float32)
    monkeypatch.setattr(neighbour_near, "MOST", 1500)
    found = neighbours(X, 5, exact=False)
    true = neighbours(X, 5, exact=True)
    reached = (found.distances <= true.distances[:, -1:] * (1 + 1e-6)).mean()
    assert 0.05 < found.recall < 0.9
    assert abs(found.recall - reached) < 0.06


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_rows_of_few_directions_are_compared_in_these_and_lose_nothing(metric, small_parts, monkeypatch):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(5000, 12)) @ rng.normal(size=(12, 96)) + 0.3 * rng.normal(size=(5000, 96))).astype(np.float32)
    X[:50] = X[50:100]
    thin = neighbour_near.thinned(Raw(Held(X), Form()), X.shape, 0, Work())
    assert thin is not None and thin.open().shape == (5000, 16)
    T, Z = thin.open().astype(float), X.astype(float)
    np.testing.assert_allclose((T**2).sum(1), (Z**2).sum(1), rtol=1e-4)
    found = neighbours(X, 5, metric=metric, exact=False, recall=0.99)
    true = neighbours(X, 5, metric=metric, exact=True)
    reached = (found.distances <= true.distances[:, -1:] * (1 + 1e-6)).mean()
    assert found.recall > 0.98 and abs(reached - found.recall) < 0.01
    assert (found.indices[:50, 0] == np.arange(50, 100)).all() and (found.distances[:50, 0] == 0).all()


def test_rows_that_few_directions_mistake_are_compared_in_all_columns(small_parts, monkeypatch):
    """Pairs that differ in what the directions leave out alone: to compare thin rows would find none of them."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(40, 4)) @ rng.normal(size=(4, 96)), 150, axis=0)
    X = (X + 0.03 * rng.normal(size=X.shape)).astype(np.float32)
    assert neighbour_near.thinned(Raw(Held(X), Form()), X.shape, 0, Work()) is not None
    monkeypatch.setattr(neighbour_near, "MORE", 1)
    found = neighbours(X, 3, metric="euclidean", exact=False)
    true = neighbours(X, 3, metric="euclidean", exact=True)
    reached = (found.distances <= true.distances[:, -1:] * (1 + 1e-5)).mean()
    assert reached > 0.94 and abs(reached - found.recall) < 0.03


def test_leaves_are_bounded_and_hold_every_row_once():
    X = clusters(5000)
    leaves = grown(X, 50, np.random.default_rng(0))
    assert max(len(leaf) for leaf in leaves) <= 100 and len(leaves) < 400
    assert (np.sort(np.concatenate(leaves)) == np.arange(5000)).all()


def line(n=6000, d=6):
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_few_dimensions_go_through_a_graph(metric, monkeypatch):
    called = []
    walk = module.walked
    monkeypatch.setattr(module, "walked", lambda *a: called.append(1) or walk(*a))
    monkeypatch.setattr(module, "GRAPH_ROWS", 5000)
    X = line()
    one, two = (neighbours(X, 5, metric=metric, exact=False, engine=Local(workers)) for workers in (1, 2))
    assert_same(one, two)
    true = neighbours(X, 5, metric=metric, exact=True)
    reached = (one.distances <= true.distances[:, -1:] * (1 + 1e-6)).mean()
    assert len(called) == 2 and reached > 0.94 and abs(reached - one.recall) < 0.03


def test_a_graph_lost_among_copies_gives_way_to_cells(monkeypatch):
    monkeypatch.setattr(module, "GRAPH_ROWS", 1000)
    X = np.repeat(np.random.default_rng(0).integers(0, 3, (5, 4)), 400, axis=0).astype(np.float32)
    found = neighbours(X, 5, metric="euclidean", exact=False)
    assert (found.distances == 0).all()
    assert all(len({row, *found.indices[row]}) == 6 for row in range(0, 2000, 7))


def test_a_row_that_is_not_finite_is_named_in_files_too(tmp_path, small_parts):
    X = clusters()
    X[1234, 7] = np.nan
    for metric in ("cosine", "euclidean"):
        with pytest.raises(InputError, match="Row 1234"):
            neighbours(mapped(X, tmp_path / "X.npy"), 5, metric=metric, exact=False, scratch=tmp_path / metric)


def test_an_engine_of_other_machines_needs_files():
    class Elsewhere(Local):
        name = "ray"

    with pytest.raises(InputError, match="scratch"):
        neighbours(np.ones((5, 2)), 1, engine=Elsewhere())
