"""Rows sorted into small cells, by one pass that deals them out and one that sorts each part: nothing holds all rows.

A part is what fits well in memory: a coarse k-means, fitted to a sample, tells the part of a row. Within a part a tree of
k-means (at most `BRANCH` ways at a fork) is grown until every leaf, a cell, has at most twice the rows asked for. The cost
is n log n. Rows that k-means cannot tell apart, copies, are cut into cells by number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.disk import write
from labelwise.parts.blocks import Block, spans
from labelwise.parts.neighbour_kernels import half_norms
from labelwise.parts.threads import one_loop
from labelwise.parts.work import Span, Store, Work

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

PART = 2**15
"""Rows of a part in the mean."""
PARTS = 1024
"""Most parts; of more rows the parts grow."""
BRANCH = 256
"""Most branches at a fork of the tree."""
POINTS = 64
"""Rows a centre is fitted to."""
BLOCK = 2048
"""Most rows in one matrix product; the block of scores then stays in the cache."""


class Form(NamedTuple):
    """How a stored row is read: scaled, ``clip((x - centre) * factor, -clip, clip)``, then made a unit vector."""

    unit: bool = False
    centre: Floats | None = None
    factor: Floats | None = None
    clip: float = np.inf

    def __call__(self, raw: NDArray[Any]) -> Floats:
        """Return rows as float32; the argument is not written to, but may be returned."""
        Z: Floats = np.asarray(raw, dtype=np.float32)
        if self.centre is not None:
            Z = Z - self.centre
        if self.factor is not None:
            Z = np.clip(Z * self.factor, -self.clip, self.clip)
        if not self.unit:
            return Z
        norm = np.sqrt(2 * half_norms(Z))
        return np.asarray(Z / np.where(norm > 0, norm, 1)[:, None], dtype=np.float32)


class Raw(NamedTuple):
    """Rows as they are stored, and how they are read."""

    store: Store
    form: Form

    def read(self, start: int, stop: int) -> Floats:
        """Return the rows of a span."""
        return self.form(self.store.open()[start:stop])


class Cells(NamedTuple):
    """Rows cell by cell.

    Attributes
    ----------
    rows
        The rows, sorted.
    numbers
        Which row each of them is, int64 (n,).
    ends
        Where each cell ends, int64 (C,).
    means
        Mean of each cell, float32 (C, d).
    """

    rows: Raw
    numbers: Store
    ends: Indices
    means: Floats


def arranged(rows: Raw, shape: tuple[int, int], size: int, seed: int, work: Work) -> Cells:
    """Sort rows into cells of about `size` rows, at most twice as many.

    In a scratch folder the rows as they were dealt out are deleted when all of them are sorted.

    Raises
    ------
    InputError
        A row that is not finite.
    """
    folder = work.folder("arrays")
    lost = folder is not None and not all((folder / name).exists() for name in ("sorted.npy", "sorted-numbers.npy"))
    ready = rows._replace(store=work.array("sorted", shape, rows.store.open().dtype))
    order = work.array("sorted-numbers", (shape[0],), np.int64)
    if folder is None:
        return Cells(ready, order, *_sorted(rows, shape, size, seed, work, ready.store, order))
    done = folder / "cells.npz"
    if lost or not done.exists():
        ends, means = _sorted(rows, shape, size, seed, work, ready.store, order)
        write(done, lambda path: _save(path, ends, means))
    for name in ("dealt", "dealt-numbers"):
        (folder / f"{name}.npy").unlink(missing_ok=True)
    with np.load(done) as kept:
        return Cells(ready, order, kept["ends"], kept["means"])


def _save(path: Path, ends: Indices, means: Floats) -> None:
    with path.open("wb") as file:  # a path would be given the ending .npz
        np.savez(file, ends=ends, means=means)


def _sorted(
    rows: Raw, shape: tuple[int, int], size: int, seed: int, work: Work, ready: Store, order: Store
) -> tuple[Indices, Floats]:  # fmt: skip
    """Deal rows out to parts and sort each; return where the cells end, and their means."""
    n = shape[0]
    dealt = rows._replace(store=work.array("dealt", shape, rows.store.open().dtype))
    numbers = work.array("dealt-numbers", (n,), np.int64)
    blocks = spans(n, PART)
    centres = work.shared("centres", _centres(rows, n, seed))
    deal = partial(_deal, rows, centres, dealt.store, numbers)
    counts = np.array([block["counts"] for block in work.map("dealt-numbers", deal, blocks)])
    sort = partial(_sort_part, dealt, numbers, ready, order, size, seed)
    found = list(work.map("sorted-numbers", sort, _pieces(counts, blocks)))
    ends = np.concatenate([block["ends"] for block in found])
    return ends, np.concatenate([block["means"] for block in found])


def _centres(rows: Raw, n: int, seed: int) -> Floats:
    """Return the centre of each part, from a sample of rows."""
    parts = min(PARTS, -(-n // PART))
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(n, min(n, POINTS * parts), replace=False, shuffle=False))
    raw = rows.store.open()[some]
    finite = np.isfinite(raw).all(axis=1)
    if not finite.all():
        raise InputError(f"X must be finite. Row {int(some[finite.argmin()])} is not.")
    return k_means(rows.form(raw), parts, seed)


def k_means(Z: Floats, k: int, seed: int) -> Floats:
    """Return k centres fitted to at most `POINTS` rows each, in one thread so that rounding is always the same."""
    if k <= 1:
        return np.asarray(Z.mean(0, keepdims=True), dtype=np.float32)
    means = faiss.Kmeans(
        Z.shape[1], k, niter=6, max_points_per_centroid=POINTS, min_points_per_centroid=1, seed=seed % 2**31
    )
    with one_loop():
        means.train(np.ascontiguousarray(Z))
    return np.asarray(means.centroids, dtype=np.float32)


def nearest_centre(Z: Floats, centres: Floats) -> Indices:
    """Return the number of the nearest centre of each row."""
    half, found = half_norms(centres), np.empty(len(Z), dtype=np.int64)
    for start, stop in spans(len(Z), BLOCK):
        found[start:stop] = (Z[start:stop] @ centres.T - half).argmax(1)
    return found


def _deal(rows: Raw, centres: Store, out: Store, numbers: Store, span: Span) -> Block:
    """Write the rows of a span into its place, sorted by part; return how many are in each part."""
    start, stop = span
    raw = rows.store.open()[start:stop]
    finite = np.isfinite(raw).all(axis=1)
    if not finite.all():
        raise InputError(f"X must be finite. Row {start + int(finite.argmin())} is not.")
    part = nearest_centre(rows.form(raw), centres.open())
    order = np.argsort(part, kind="stable")
    out.open("r+")[start:stop] = raw[order]
    numbers.open("r+")[start:stop] = start + order
    return {"counts": np.bincount(part, minlength=len(centres.open()))}


def _pieces(counts: Indices, blocks: Sequence[Span]) -> list[tuple[int, list[Span]]]:
    """Return for each part where it begins in the end and the spans it is gathered from; large parts are cut."""
    starts = np.array([start for start, _ in blocks])[:, None] + np.cumsum(counts, axis=1) - counts
    limit, place = 2 * int(max(PART, counts.sum() / counts.shape[1])), 0
    pieces: list[tuple[int, list[Span]]] = []
    for part in range(counts.shape[1]):
        held = 0
        some: list[Span] = []
        for start, count in zip(starts[:, part].tolist(), counts[:, part].tolist(), strict=True):
            if held and held + count > limit:
                pieces.append((place, some))
                place, held, some = place + held, 0, []
            if count:
                some.append((start, start + count))
                held += count
        if held:
            pieces.append((place, some))
        place += held
    return pieces


def _sort_part(
    dealt: Raw, numbers: Store, out: Store, order: Store, size: int, seed: int, piece: tuple[int, list[Span]]
) -> Block:  # fmt: skip
    """Gather a part, and write it cell by cell into its place; return where its cells end, and their means."""
    place, some = piece
    raw = np.concatenate([dealt.store.open()[start:stop] for start, stop in some])
    number = np.concatenate([numbers.open()[start:stop] for start, stop in some])
    Z = dealt.form(raw)
    leaves = grown(Z, size, np.random.default_rng([seed, place]))
    sizes = np.array([len(leaf) for leaf in leaves])
    chosen, ends = np.concatenate(leaves), np.cumsum(sizes)
    out.open("r+")[place : place + len(raw)] = raw[chosen]
    order.open("r+")[place : place + len(raw)] = number[chosen]
    means = np.stack([Z[leaf].mean(0, dtype=np.float64) for leaf in leaves]).astype(np.float32)
    return {"ends": place + ends, "means": means}


def grown(Z: Floats, size: int, rng: np.random.Generator) -> list[Indices]:
    """Return the rows of each leaf of a tree of k-means; neighbouring leaves are near each other."""
    leaves, waiting = [], [np.arange(len(Z))]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= 2 * size:
            leaves.append(rows)
            continue
        forks = _forks(len(rows) / size)
        centre = nearest_centre(Z[rows], k_means(Z[rows], forks, int(rng.integers(2**31))))
        order, counts = np.argsort(centre, kind="stable"), np.bincount(centre, minlength=forks)
        if counts.max() == len(rows):
            leaves += [rows[start:stop] for start, stop in spans(len(rows), size)]
        else:
            ends = np.cumsum(counts)[counts > 0]
            waiting += np.split(rows[order], ends[:-1])[::-1]
    return leaves


def _forks(leaves: float) -> int:
    """Return into how many branches a fork divides that is to end in so many leaves.

    >>> _forks(3.5), _forks(256), _forks(1000)
    (4, 256, 32)
    """
    levels = max(1, math.ceil(math.log(leaves) / math.log(BRANCH) - 1e-9))
    return max(2, math.ceil(math.pow(leaves, 1 / levels) - 1e-9))
