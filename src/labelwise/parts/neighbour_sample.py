"""Sampled rows whose true neighbours are known from one pass over everything: how far to search to find enough of them."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelwise.parts.blocks import Block
from labelwise.parts.neighbour_cells import BLOCK, Raw
from labelwise.parts.neighbour_kernels import half_norms, keep_scores
from labelwise.parts.neighbour_near import Asked, Near, asking, candidates, most_rows, ranks_of
from labelwise.parts.work import Span, Work, inner, parts

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

QUERIES = 500
"""Rows whose exact neighbours are found to measure the recall."""
TIES = 32
"""Rows beyond the k-th that are known; where more are equally far, the cells themselves are looked through."""
MORE_CELLS = 1.25
"""Times as many cells are tried next."""
PARTS = 16
"""Tasks that sampled rows are divided into."""


class Truth(NamedTuple):
    """The best rows of sampled ones.

    Attributes
    ----------
    places
        The sampled rows (q,).
    bar
        Score ``x . z - |z|^2 / 2`` that a true neighbour of each reaches: that of the k-th, a rounding error below (q,).
    best
        Their nearest other rows, the nearest first, -1 where there are too few (q, k + TIES).
    true
        Which of these reach the bar (q, k + TIES).
    """

    places: Indices
    bar: Floats
    best: Indices
    true: NDArray[np.bool_]


def truth(rows: Raw, n: int, k: int, seed: int, work: Work) -> Truth:
    """Draw rows and find their true neighbours among all of them."""
    rng = np.random.default_rng([seed, 1])
    places = np.sort(rng.choice(n, min(QUERIES, n), replace=False, shuffle=False))
    queries = rows.form(rows.store.open()[places])
    found = list(work.map("truth", partial(_best, rows, places, queries, min(k + TIES, n - 1)), parts(n)))
    scores, best = (np.concatenate([block[name] for block in found], axis=1) for name in ("scores", "best"))
    order = np.argsort(-scores, axis=1, kind="stable")[:, : k + TIES]
    scores, best = np.take_along_axis(scores, order, 1), np.take_along_axis(best, order, 1)
    kth = scores[:, k - 1]
    bar = np.asarray(kth - np.float32(1e-5) * (np.abs(kth) + half_norms(queries)), dtype=np.float32)
    return Truth(places, bar, best, (scores >= bar[:, None]) & (best >= 0))


def _best(rows: Raw, places: Indices, queries: Floats, m: int, span: Span) -> Block:
    """Return the `m` best scores of the queries among the rows of a span, and which rows they are, themselves left out."""
    scores = np.full((len(queries), m), -np.inf, dtype=np.float32)
    best = np.full((len(queries), m), -1, dtype=np.int64)
    for first, last in inner(span, BLOCK):
        Z = rows.read(first, last)
        product = queries @ Z.T - half_norms(Z)
        own = np.flatnonzero((places >= first) & (places < last))
        product[own, places[own] - first] = -np.inf
        keep_scores(product, first, scores, best)
    return {"scores": scores, "best": best}


def reach(near: Near, asked: Asked, work: Work) -> tuple[Near, int, float]:
    """Return the cells, without thin rows where these find less, how many to search, and the sampled recall."""
    rows, columns = near.rows.store.open().shape
    known = truth(near.rows, rows, asked.k, asked.seed, work)
    share = np.minimum(_hits(near, known, work).cumsum(1), asked.k) / asked.k
    least = 1 + int((np.diff(near.ends, prepend=0)[near.near.open()].cumsum(1).min(0) <= asked.k).sum())
    limit = max(least, ranks_of(most_rows(columns), near.ends))
    width = _width(share[:, :limit], least, asked)
    recall = float(share[:, width - 1].mean())
    if near.thin is not None:
        wider, few = _in_few(near, known, _width(share, least, asked), asked, work)
        if asked.enough(few[:, None])[0] or few.mean() >= recall:
            return near, wider, float(few.mean())
    return near._replace(thin=None), width, recall


def _width(share: Doubles, least: int, asked: Asked) -> int:
    """Return the first number of cells with enough of the true neighbours, all of them where there is none."""
    sure = asked.enough(share)
    sure[: min(least, len(sure)) - 1] = False
    return 1 + int(sure.argmax()) if sure.any() else share.shape[1]


def _hits(near: Near, known: Truth, work: Work) -> Doubles:
    """Return how many true neighbours of each sampled row lie in each of the cells to search."""
    ranks = near.near.open()[near.cell(known.places)]
    cells = np.where(known.true, near.cell(np.maximum(known.best, 0)), -1)
    counts = np.stack([(row[:, None] == own).sum(1) for row, own in zip(ranks, cells, strict=True)]).astype(np.float64)
    tied = np.flatnonzero(known.true.all(1))
    if len(tied):
        parts_of = np.array_split(tied, min(PARTS, len(tied)))
        counts[tied] = np.concatenate(list(work.engine.map(partial(_tied, near, known, ranks), parts_of)))
    return counts


def _tied(near: Near, known: Truth, ranks: NDArray[np.int32], queries: Indices) -> Doubles:
    """Count rows that reach the bar: more are equally far than are known."""
    near, counts = near.opened(), np.zeros((len(queries), ranks.shape[1]))
    for i, query in enumerate(queries):
        place, around = int(known.places[query]), ranks[query]
        Z = near.read(around)
        scores = Z @ near.rows.read(place, place + 1)[0] - half_norms(Z)
        hit = (scores >= known.bar[query]) & (near.places(around) != place)
        sizes = [stop - start for start, stop in (near.span(int(cell)) for cell in around)]
        counts[i] = np.bincount(np.repeat(np.arange(len(around)), sizes), hit, minlength=len(around))
    return counts


def _in_few(near: Near, known: Truth, width: int, asked: Asked, work: Work) -> tuple[int, Doubles]:
    """Return how many cells to search where thin rows are compared, and the share of true neighbours of each sampled row.

    A few neighbours are no candidates there, which some more cells make up for.
    """
    queries, most = np.array_split(np.arange(len(known.places)), PARTS), near.near.open().shape[1]
    while True:
        found = np.concatenate(list(work.engine.map(partial(_among_candidates, near, known, width, asked.k), queries)))
        if width == most or asked.enough(found[:, None])[0]:
            return width, found
        width = min(most, math.ceil(MORE_CELLS * width))


def _among_candidates(near: Near, known: Truth, width: int, k: int, queries: Indices) -> Doubles:
    near, ranks = near.opened(), near.near.open()
    assert near.thin is not None  # for the types: only asked where there are thin rows
    shares = np.zeros(len(queries))
    for i, query in enumerate(queries):
        place = int(known.places[query])
        around = ranks[int(near.cell(known.places[query])), :width]
        T, places = near.gathered(near.thin, around), near.places(around)
        scores = T @ asking(near.thin.open()[place : place + 1])[0] - half_norms(T)
        scores[places == place] = -np.inf
        some = places[np.argpartition(-scores, min(candidates(k), len(T) - 1) - 1)[: candidates(k)]]
        Z = near.rows.form(near.rows.store.open()[some])
        exact = Z @ near.rows.read(place, place + 1)[0] - half_norms(Z)
        shares[i] = min(k, ((exact >= known.bar[query]) & (some != place)).sum()) / k
    return shares
