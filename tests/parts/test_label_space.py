from __future__ import annotations

import itertools

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import cdist

from labelwise.base import InputError
from labelwise.parts import label_space as spaces
from labelwise.parts.label_space import Euclidean, Graph, Matrix, edges, label_space, taxonomy


def random_parents(n, seed, n_roots=1):
    """Parents of a random forest whose labels are in no particular order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    parents = np.full(n, -1)
    for i in range(min(n_roots, n), n):
        parents[order[i]] = order[rng.integers(i)]
    return parents


def as_networkx(parents):
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(parents)))
    roots = [k for k, above in enumerate(parents) if above < 0]
    graph.add_edges_from((k, above) for k, above in enumerate(parents) if above >= 0)
    if len(roots) > 1:
        graph.add_edges_from((k, "top") for k in roots)
    return graph


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 25), st.integers(0, 1000), st.integers(1, 3))
def test_steps_in_a_taxonomy_are_those_of_networkx(n, seed, n_roots):
    parents = random_parents(n, seed, n_roots)
    sources = np.random.default_rng(seed).choice(n, min(n, 4), replace=False)
    graph = as_networkx(parents)
    found = taxonomy(parents).distances(sources)
    assert found.dtype == np.float32
    for source, row in zip(sources, found, strict=True):
        steps = networkx.single_source_shortest_path_length(graph, source)
        assert row.tolist() == [steps[k] for k in range(n)]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 15), st.integers(0, 20), st.integers(0, 1000))
def test_weighted_paths_and_nearest_are_those_of_networkx(n, n_more, seed):
    rng = np.random.default_rng(seed)
    pairs = [(int(k), int(above)) for k, above in enumerate(random_parents(n, seed)) if above >= 0]
    pairs += [(int(a), int(b)) for a, b in rng.integers(n, size=(n_more, 2)) if a != b]
    pairs = list({tuple(sorted(pair)): None for pair in pairs})
    lengths = rng.integers(1, 9, len(pairs)).tolist()
    graph = networkx.Graph()
    graph.add_weighted_edges_from((a, b, w) for (a, b), w in zip(pairs, lengths, strict=True))
    space = edges([(a, b, w) for (a, b), w in zip(pairs, lengths, strict=True)])
    expected = dict(networkx.all_pairs_dijkstra_path_length(graph))
    sources = np.arange(n)[:5]
    table = np.array([[expected[s][k] for k in range(n)] for s in sources])
    assert space.distances(sources).tolist() == table.tolist()
    assert space.nearest(sources).tolist() == table.min(axis=0).tolist()


def test_deep_trees_are_searched_with_the_same_result(monkeypatch):
    parents = random_parents(200, 0)
    by_levels = taxonomy(parents).distances(np.arange(100))
    monkeypatch.setattr(spaces, "DEEP", 0)
    assert np.array_equal(taxonomy(parents).distances(np.arange(100)), by_levels)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(0, 1000), st.integers(1, 3), st.integers(1, 5))
def test_between_is_the_union_of_paths(n, seed, n_roots, n_sources):
    parents = random_parents(n, seed, n_roots)
    sources = np.random.default_rng(seed).choice(n, min(n, n_sources), replace=False)
    graph = as_networkx(parents)
    expected = {k for a in sources for b in sources for k in networkx.shortest_path(graph, a, b)} - {"top"}
    assert set(np.flatnonzero(taxonomy(parents).between(sources))) == expected


def test_euclidean_in_chunks(monkeypatch):
    monkeypatch.setattr(spaces, "CHUNK", 3)
    points = np.random.default_rng(0).normal(size=(20, 3))
    sources = np.array([4, 1, 7, 9, 3, 0, 2])
    space = Euclidean(points)
    assert space.distances(sources) == pytest.approx(cdist(points[sources], points), rel=1e-6)
    assert space.nearest(sources) == pytest.approx(cdist(points[sources], points).min(axis=0))


def test_matrix_rows_belong_to_their_sources():
    table = np.arange(12.0).reshape(3, 4)
    space = Matrix(table, sources=[3, 0, 2])
    assert space.distances(np.array([0, 3])).tolist() == [table[1].tolist(), table[0].tolist()]
    assert space.nearest(np.array([1, 2])).tolist() == table[2].tolist()
    with pytest.raises(InputError, match="no row for label 1"):
        space.distances(np.array([1]))


def test_what_is_given_says_what_it_is():
    assert isinstance(label_space(np.zeros((2, 3))), Matrix)
    assert isinstance(label_space([[0, 1], [1, 0]]), Matrix)
    assert isinstance(label_space([(0, 1), (1, 2)]), Graph)
    assert isinstance(label_space([-1, 0, 0]), Graph)
    assert isinstance(label_space(sparse.csr_matrix([[0, 1], [0, 0]])), Graph)
    space = taxonomy([-1, 0])
    assert label_space(space) is space


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[0, -1]], "not negative"),
        ([[0, np.nan]], "finite"),
        (np.zeros((0, 3)), "shape"),
        ([-1, 5], "below 2"),
        ([-1, -2], "-1 or below"),
        ([-1, 2, 1], "these 2 labels are a cycle, each the child of the next: 1 -> 2 -> 1"),
        ([(0, 1), (2, 3)], r"2 parts: label 2 cannot .* label 0 \(with 1 more\), label 2 \(with 1 more\)"),
        ([(0, 1, -2.0)], "positive"),
        ([(0,)], "an edge must be"),
        ([0.5, 1.0], "whole numbers"),
        (sparse.csr_array(np.ones((2, 3))), "square"),
        (sparse.csr_array(np.array([[0, -1.0], [0, 0]])), "positive, finite.* Got -1 between labels 0 and 1"),
        ([1, 0], "2 labels are a cycle"),  # without any root
        ([2, 0, 1], "0 -> 2 -> 1 -> 0"),
        ([0, 0], "label 0 is its own parent"),
    ],
)
def test_bad_spaces_are_named(given, message):
    with pytest.raises(InputError, match=message):
        label_space(given)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_a_cycle_is_named_exactly_where_networkx_finds_one(n, seed):
    rng = np.random.default_rng(seed)
    parents = rng.integers(-1, n, n)
    graph = networkx.DiGraph([(k, int(above)) for k, above in enumerate(parents) if above >= 0])
    cycles = list(networkx.simple_cycles(graph))
    if not cycles:
        assert taxonomy(parents).n_labels == n
        return
    with pytest.raises(InputError, match=r"its own parent|cycle") as found:
        taxonomy(parents)
    if "cycle" in str(found.value):
        way = str(found.value).split("next: ")[1].split(". ")[0].split(" -> ")
        if "..." not in way:
            assert {int(k) for k in way} in [set(cycle) for cycle in cycles]
            assert all(parents[int(a)] == int(b) for a, b in itertools.pairwise(way))


def test_a_matrix_that_is_no_metric_is_refused_unless_it_is_meant():
    costs = np.array([[0, 1, 1], [5, 0, 1], [1, 1, 0.0]])
    with pytest.raises(InputError, match=r"from label 0 to label 1 it is 1, back 5, a difference of 4\..*metric=False"):
        label_space(costs)
    assert isinstance(label_space(costs, metric=False), Matrix)
    label_space(np.arange(12.0).reshape(3, 4))  # whose rows these are is not known here
    with pytest.raises(InputError, match="label 3 is at 3 from itself"):
        Matrix([[3, 2, 1, 3]], sources=[3]).check()
