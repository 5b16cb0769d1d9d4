"""The k nearest neighbours of every row, exactly or with a measured recall, without an n by n matrix.

*Exact*: one matrix product a pair of blocks of rows, read in both directions, so half of the products of a plain blocked
search. *Approximate*: rows are sorted into small cells, and a row is compared with those of the near cells; how many is
read off a sample of rows whose true neighbours are known. Rows that lie near a few directions are compared in these. The
cost is n log n, and nothing needs all rows in memory: with a scratch folder, features, cells and results are files. In few
dimensions, in memory, a graph is faster than cells.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import labelwise
from labelwise.base import InputError
from labelwise.disk import write
from labelwise.parts.blocks import Engine, Local
from labelwise.parts.neighbour_cells import BLOCK, Form, Raw, arranged
from labelwise.parts.neighbour_graph import walked
from labelwise.parts.neighbour_near import SLACK, Asked
from labelwise.parts.neighbour_sample import truth
from labelwise.parts.neighbour_scan import Found, all_pairs, search, settled
from labelwise.parts.work import File, Held, Work, as_store

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Metric = Literal["cosine", "euclidean"]
Prepare = tuple[Floats, Floats, float]

EXACT_WORK = 4e11
"""``exact="auto"`` means exact up to this many multiplications, n * n * d: a few seconds on two cores."""
THIN = 64
"""Dimensions that a product costs at least: below, the time goes into looking at scores."""
CELL, SMALL_CELL = 256, 64
"""Rows of a cell in many and in few dimensions: small products waste the processor, large cells waste comparisons."""
FEW = 32
"""Most dimensions that count as few."""
GRAPH_ROWS = 50_000
"""Least rows for which a graph is made."""
SAMPLE = 2**16
"""Rows, about, whose mean is taken off."""
MEANS = 2**16
"""Most cells whose near cells are found exactly."""


class Neighbours(NamedTuple):
    """Neighbours of every row, the nearest first, the row itself left out.

    Attributes
    ----------
    distances
        float32 (n, k), ascending.
    indices
        int64 (n, k).
    recall
        Share of the true neighbours found, measured on a sample; 1.0 when exact.
    """

    distances: Floats
    indices: Indices
    recall: float


def neighbours(
    X: ArrayLike,
    k: int,
    *,
    metric: Metric = "cosine",
    exact: bool | Literal["auto"] = "auto",
    recall: float = 0.95,
    block: int = BLOCK,
    rng: np.random.Generator | None = None,
    engine: Engine | None = None,
    scratch: str | Path | None = None,
    prepare: Prepare | None = None,
) -> Neighbours:
    """Return the `k` nearest other rows of every row.

    Distances are recomputed in double precision from differences of rows, so identical rows are at distance exactly 0,
    and results do not depend on `block`, on the number of threads or on the engine. Equally distant neighbours come by row
    number; which of them are kept is arbitrary only where more than k + 8 rows are equally far up to rounding.

    Parameters
    ----------
    X
        Finite numbers (n, d), n > k. With `scratch` a memory map of a file is not read into memory.
    k
        Neighbours a row, at least 1.
    metric
        ``cosine``: 1 - cosine similarity, in [0, 2] (a zero row is at distance 0.5 of every other); ``euclidean``.
    exact
        ``"auto"``: exact while n * n * max(d, 64) is at most `EXACT_WORK`. An exact search holds all rows in memory.
    recall
        What an approximate search must reach: more cells are searched until the lower end of the 90 % interval of
        the sampled recall is at least this, in (0, 1]. It stops at about 65,000 rows and 8 million products a row, so that
        the cost is n log n: what was reached by then is told.
    block
        Most rows in one matrix product of the exact search: a matter of memory and speed only.
    rng
        Chooses the rows that k-means is fitted to, and those that measure the recall.
    engine
        An engine of `labelwise.parts.blocks` that works through blocks of rows; one of several machines needs `scratch`.
        None: all cores of this machine.
    scratch
        A folder for features that do not fit in memory (a float16 or float32 memory map): what has the size of the rows
        lies in files there, the result too, as memory maps. It takes twice the bytes of X, and 28 + 12 k bytes a row.
        Finished blocks are kept: the same call goes on where it was broken off, and one that was finished is read.
    prepare
        Standardise rows when they are read: ``(mean, factor, clip)`` with mean and factor of the columns (d,), float32:
        ``clip((x - mean) * factor, -clip, clip)``. Spares the caller a scaled copy.

    Returns
    -------
    Neighbours
        ``distances``, ``indices`` and ``recall``.

    Examples
    --------
    >>> found = neighbours([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0]], 1, metric="cosine")
    >>> found.indices.ravel(), found.distances.ravel()
    (array([1, 0, 0]), array([0., 0., 1.], dtype=float32))
    """
    rows = np.asarray(X, dtype=np.float32) if scratch is None else np.asanyarray(X)
    _check(rows, k, metric, engine, scratch)
    seed = int((rng or np.random.default_rng(0)).integers(2**31))
    asked = Asked(k, recall, _is_exact(rows.shape, k, exact), metric == "cosine", seed)
    form = _form(rows, asked.unit, prepare)
    if scratch is None:
        return _in_memory(_read(rows, form), asked, block, engine or Local())
    return _on_disk(rows, form, asked, engine, Path(scratch))


def _check(X: NDArray[Any], k: int, metric: str, engine: Engine | None, scratch: str | Path | None) -> None:
    if X.ndim != 2 or len(X) < 2 or X.dtype.kind not in "fiu":
        raise InputError(f"X must be numbers of shape (n, d) with at least 2 rows. Got {X.dtype} of shape {X.shape}.")
    if not 1 <= k < len(X):
        raise InputError(f"k must be from 1 to {len(X) - 1}, the number of other rows. Got {k}.")
    if metric not in ("cosine", "euclidean"):
        raise InputError(f"metric must be 'cosine' or 'euclidean'. Got {metric!r}.")
    if engine is not None and engine.name != "local" and scratch is None:
        raise InputError(f"engine {engine.name!r} needs scratch: name a folder that all its machines see.")


def _is_exact(shape: tuple[int, ...], k: int, exact: bool | Literal["auto"]) -> bool:
    n, d = shape
    return exact is True or (exact == "auto" and n * n * max(d, THIN) <= EXACT_WORK) or n <= 4 * (k + SLACK)


def _form(X: NDArray[Any], unit: bool, prepare: Prepare | None) -> Form:
    """Return how rows are read; for euclidean they are centred, which keeps products small."""
    if unit or prepare is not None:
        return Form(unit, *(prepare or ()))
    some = np.asarray(X[:: max(1, len(X) // SAMPLE)], dtype=np.float32)
    some = some[np.isfinite(some).all(axis=1)]
    centre = some.mean(0, dtype=np.float64) if len(some) else np.zeros(X.shape[1])
    return Form(unit, centre.astype(np.float32))


def _read(X: NDArray[Any], form: Form) -> Floats:
    """Return all rows."""
    finite = np.isfinite(X).all(axis=1)
    if not finite.all():
        raise InputError(f"X must be finite. Row {int(finite.argmin())} is not.")
    return form(X)


def _in_memory(Z: Floats, asked: Asked, block: int, engine: Engine) -> Neighbours:
    n, d = Z.shape
    if asked.whole:
        return _settled(Z, all_pairs(Z, min(asked.k + SLACK, n - 1), block, engine), asked, engine, 1.0)
    rows = Raw(Held(Z), Form())
    if d <= FEW and n >= GRAPH_ROWS:
        known = truth(rows, n, asked.k, asked.seed, Work(engine))
        found = walked(Z, asked, known.places, known.bar, engine)
        if found is not None:
            return _settled(Z, found[0], asked, engine, found[1])
    told = _by_cells(rows, (n, d), asked, Work(engine))
    return Neighbours(told.distances.open(), told.indices.open(), told.recall)


def _settled(Z: Floats, candidates: Indices, asked: Asked, engine: Engine, recall: float) -> Neighbours:
    distances, indices = settled(Z, candidates, None, asked.unit, engine)
    return Neighbours(distances[:, : asked.k].copy(), indices[:, : asked.k].copy(), recall)


def _by_cells(rows: Raw, shape: tuple[int, int], asked: Asked, work: Work) -> Found:
    cells = arranged(rows, shape, SMALL_CELL if shape[1] <= FEW else CELL, asked.seed, work)
    return search(cells, asked, work, _near_means)


def _near_means(means: Floats, k: int) -> Indices:
    return neighbours(means, k, metric="euclidean", exact=True if len(means) <= MEANS else "auto").indices


def _on_disk(X: NDArray[Any], form: Form, asked: Asked, engine: Engine | None, scratch: Path) -> Neighbours:
    """Search the rows of a file; the result is files too."""
    work = Work(engine, scratch, _key(X, form, asked))
    arrays = work.folder("arrays") or scratch
    done = arrays / "recall.txt"
    if not done.exists():
        write(done, repr(_into_files(X, form, asked, work)))
    for name in ("dealt", "dealt-numbers", "sorted", "sorted-numbers", "thin", "rows", "near"):
        (arrays / f"{name}.npy").unlink(missing_ok=True)
    distances, indices = (File.at(arrays / f"{name}.npy").open() for name in ("distances", "indices"))
    return Neighbours(distances, indices, float(done.read_text("utf-8")))


def _into_files(X: NDArray[Any], form: Form, asked: Asked, work: Work) -> float:
    """Fill the files of distances and indices; return the recall. An exact search holds all rows."""
    n, d = X.shape
    if asked.whole:
        found = _in_memory(_read(X, form), asked, BLOCK, Local())
        work.shared("distances", found.distances)
        work.shared("indices", found.indices)
        return found.recall
    store = as_store(X)
    rows = work.shared("rows", X) if isinstance(store, Held) else store
    return _by_cells(Raw(rows, form), (n, d), asked, work).recall


def _key(X: NDArray[Any], form: Form, asked: Asked) -> str:
    """Return what finished blocks belong to: the file or the numbers, and the settings."""
    digest, store = hashlib.blake2b(digest_size=16), as_store(X)
    if isinstance(store, File):
        about = Path(store.path).stat()
        digest.update(repr((about.st_size, about.st_mtime_ns, store.offset)).encode())
    else:
        digest.update(np.ascontiguousarray(X).tobytes())
    for array in (form.centre, form.factor):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    digest.update(repr((labelwise.__version__, X.shape, X.dtype.str, form.clip, asked)).encode())
    return digest.hexdigest()
