"""Rows of a file made ready for an audit: cells that are not finite are counted, marked and filled in, block by block."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import labelwise
from labelwise.base import InputError
from labelwise.parts.blocks import Engine
from labelwise.parts.moments import Doubles, medians
from labelwise.parts.work import File, Rows, Span, Store, Work, inner, parts, read
from labelwise.supervision import Targets


class Cells:
    """Which cells of a table were broken, a bit each in a file: ``cells[rows]`` is a bool array (m, d)."""

    def __init__(self, store: Store, width: int) -> None:
        self.store, self.width = store, width

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.unpackbits(self.store.open()[rows], axis=1, count=self.width).astype(bool)


class Prepared(NamedTuple):
    """Finite rows, the number of cells of each that were filled in, which ones (None: none), and the work on blocks."""

    X: Rows
    broken: NDArray[np.int64]
    missing: Cells | None
    work: Work


def key_of(file: File, targets: Targets, *settings: Any) -> str:
    """Return the digest of features, labels and settings that finished blocks belong to."""
    about, digest = Path(file.path).stat(), hashlib.blake2b(digest_size=16)
    told = (labelwise.__version__, about.st_size, about.st_mtime_ns, *file[1:], str(targets.kind), *settings)
    digest.update(repr(told).encode())
    if targets.codes is not None:
        digest.update(np.ascontiguousarray(targets.codes).tobytes())
    return digest.hexdigest()


def prepared(
    X: NDArray[Any], targets: Targets, scratch: str | Path, engine: Engine, seed: int, *settings: Any
) -> Prepared:  # fmt: skip
    """Check a memory map of numbers (n, d) and make its rows ready; what is made lies in `scratch`.

    Raises
    ------
    InputError
        No numbers, not two dimensions, part of a map, or no room in `scratch`.
    """
    if X.ndim != 2 or 0 in X.shape or X.dtype.kind not in "fiu":
        raise InputError(f"X must be numbers of shape (n, d) in a memory map. Got {X.dtype} of shape {X.shape}.")
    file = File.of(X)
    work = Work(engine, scratch, key_of(file, targets, seed, *settings))
    spans = parts(len(X))
    counts = work.filled("broken-cells", (len(X),), np.int32, partial(_count, file), spans)
    broken = counts.open().astype(np.int64)
    if not broken.any():
        return Prepared(Rows(file), broken, None, work)
    middle = medians(X, np.random.default_rng(seed))
    kind = np.float16 if X.dtype == np.float16 else np.float32
    clean = work.filled("features", X.shape, kind, partial(_clean, file, middle), spans)
    marks = work.filled("missing", (len(X), -(-X.shape[1] // 8)), np.uint8, partial(_mark, file), spans)
    return Prepared(Rows(clean), broken, Cells(marks, X.shape[1]), work)


def _count(file: File, out: Store, span: Span) -> None:
    target = out.open("r+")
    for start, stop in inner(span):
        target[start:stop] = (~np.isfinite(read(file, start, stop))).sum(1)


def _clean(file: File, middle: Doubles, out: Store, span: Span) -> None:
    target = out.open("r+")
    for start, stop in inner(span):
        block = read(file, start, stop)
        target[start:stop] = np.where(np.isfinite(block), block, middle)


def _mark(file: File, out: Store, span: Span) -> None:
    target = out.open("r+")
    for start, stop in inner(span):
        target[start:stop] = np.packbits(~np.isfinite(read(file, start, stop)), axis=1)
