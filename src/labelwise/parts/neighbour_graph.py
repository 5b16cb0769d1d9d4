"""Neighbours in few dimensions through a graph of small worlds (faiss HNSW): a walk of a few dozen rows finds them.

In ten dimensions a row's neighbours are spread over so many cells that thousands of rows would be scored for each; the
walk scores a few hundred. It jumps about in memory, which costs more and more the longer a row is, and holds all rows.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from labelwise.parts.blocks import Engine, Local, spans
from labelwise.parts.neighbour_cells import grown
from labelwise.parts.neighbour_near import Asked

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

LINKS = 8
"""Links a row at a level of the graph, twice as many at the lowest."""
EFFORT = 24
"""Candidates held while a row is put into its place."""
EFFORTS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
"""Candidates held in a search that are tried, in turn."""
BLOCK = 4096
LEAF = 64


def walked(
    Z: Floats, asked: Asked, places: Indices, bar: Floats, engine: Engine
) -> tuple[Indices, float] | None:  # fmt: skip
    """Return the nearest other rows of every row and the recall on sampled rows, or None where it stays too low.

    Parameters
    ----------
    Z
        Rows (n, d).
    asked
        What is searched for.
    places, bar
        Sampled rows, and the score ``x . z - |z|^2 / 2`` that a true neighbour of each reaches.
    engine
        Threads that search; the graph is made by one, as it depends on the order of the rows.
    """
    order = np.concatenate(grown(Z, LEAF, np.random.default_rng(asked.seed)))  # rows met together lie together
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    Z, places, k = Z[order], place[places], asked.k
    [graph] = Local(1).map(_graph, [Z])
    for effort in EFFORTS:
        look = partial(_others, graph, Z, k, max(effort, k + 1))
        hits = _hits(Z, look(places), places, bar)
        if asked.enough(hits[:, None])[0]:
            blocks = [np.arange(*span) for span in spans(len(Z), BLOCK)]
            found = np.concatenate(list(engine.map(look, blocks)))
            return (order[found][place], float(hits.mean())) if found.min() >= 0 else None
    return None


def _hits(Z: Floats, found: Indices, places: Indices, bar: Floats) -> NDArray[np.float64]:
    """Return the share of true neighbours among what was found for each sampled row."""
    near = Z[np.maximum(found, 0)]
    scores = np.einsum("ij,ikj->ik", Z[places], near) - np.einsum("ikj,ikj->ik", near, near) / 2
    return np.asarray(((scores >= bar[:, None]) & (found >= 0)).mean(1))


def _graph(Z: Floats) -> Any:
    graph = faiss.IndexHNSWFlat(Z.shape[1], LINKS)
    graph.hnsw.efConstruction = EFFORT
    graph.add(Z)
    return graph


def _others(graph: Any, Z: Floats, k: int, effort: int, rows: Indices) -> Indices:
    """Return the k nearest rows found for some rows, themselves left out, -1 where there are too few."""
    settings = faiss.SearchParametersHNSW(efSearch=effort)  # type: ignore[attr-defined]
    _, found = graph.search(np.ascontiguousarray(Z[rows]), k + 1, params=settings)
    own = found == rows[:, None]
    own[~own.any(1), -1] = True  # among many copies of itself a row may not turn up
    return np.asarray(found[~own].reshape(len(rows), k), dtype=np.int64)
