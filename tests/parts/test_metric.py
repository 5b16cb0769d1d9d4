from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from labelwise.base import InputError
from labelwise.parts import metric
from labelwise.parts.label_vectors import label_vectors
from labelwise.parts.metric import check_metric


def worst_excess(table, rows):
    """By the definition, over every triple of which two are sources; the third is any label."""
    full = {(int(a), y): table[i, y] for i, a in enumerate(rows) for y in range(table.shape[1])}
    full |= {(y, a): d for (a, y), d in list(full.items())}
    triples = itertools.product(range(table.shape[1]), repeat=3)
    known = [(a, b, c) for a, b, c in triples if {(a, b), (b, c), (a, c)} <= full.keys()]
    return max(full[a, c] - full[a, b] - full[b, c] for a, b, c in known)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 1000), st.integers(1, 40))
def test_detours_by_brute_force(n_rows, n_more, seed, cells):
    rng = np.random.default_rng(seed)
    n = n_rows + n_more
    full = rng.random((n, n))
    full = np.triu(full, 1) + np.triu(full, 1).T
    rows = rng.permutation(n)[:n_rows]
    table = full[rows]
    metric.CELLS, kept = cells, metric.CELLS
    try:
        found = metric._worst_detour(table, rows)
    finally:
        metric.CELLS = kept
    assert found.by == pytest.approx(worst_excess(table, rows))
    assert found.by == pytest.approx(
        full[found.first, found.last] - full[found.first, found.via] - full[found.via, found.last]
    )
    if found.by > 1e-3:
        with pytest.raises(InputError, match="not a metric: from label"):
            check_metric(table, rows)
    else:
        check_metric(table, rows)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 100), st.sampled_from([np.float32, np.float64]))
def test_euclidean_distances_are_a_metric(n, width, seed, dtype):
    rng = np.random.default_rng(seed)
    points = 1000 * rng.normal(size=(n, width))
    rows = rng.permutation(n)[: 1 + n // 2]
    table = cdist(points, points).astype(dtype)
    check_metric(table)
    check_metric(table[rows], rows)


def test_squares_are_told_from_distances():
    line = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
    check_metric(line)
    with pytest.raises(
        InputError, match=r"from label 0 to label 4 it is 16, but over label 2 only 4 [+] 4 = 8, shorter by 8.*square"
    ):
        check_metric(line**2)
    line[0, 4] = line[4, 0] = 400
    with pytest.raises(InputError, match=r"shorter by 396\.$"):
        check_metric(line)


def test_a_million_triples_are_tried_in_part(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(metric, "TRIPLES", 10_000)
    check_metric(cdist(*2 * [rng.normal(size=(100, 3))]))
    table = rng.random((100, 100))
    with pytest.raises(InputError, match="shorter by"):
        check_metric(np.triu(table, 1) + np.triu(table, 1).T)


def test_vectors_by_name_and_by_text():
    vectors, names = label_vectors({"a": "x", "b": "xyz"}, lambda texts: np.array([[len(t), 1] for t in texts]))
    assert vectors.tolist() == [[1, 1], [3, 1]] and names == ["a", "b"]

    class Model:
        def encode(self, texts):
            return [[len(t)] for t in texts]

    assert label_vectors(["a", "bc"], Model())[0].tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("given", "encoder", "message"),
    [
        (["a", "b"], None, "texts: give encoder="),
        (["a", "b"], lambda texts: [[1.0]], "one vector a text. Got 1 for 2"),
        ([[1.0], [np.nan]], None, "Row 1 is not"),
        ({"x": [np.inf]}, None, r"Row 0 \('x'\) is not"),
        ([1.0, 2.0], None, "shape"),
        ([[1.0], [1.0, 2.0]], None, "numbers"),
    ],
)
def test_bad_vectors_are_named(given, encoder, message):
    with pytest.raises(InputError, match=message):
        label_vectors(given, encoder)
