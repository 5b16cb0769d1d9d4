"""Nearest neighbours of all rows: ours beside faiss IVF and faiss HNSW at equal recall.

``python benchmarks/neighbours.py [--rows N] [--features D] [--directions R] [--repeats R]`` draws clusters in a few
directions among many features, with a little noise in all, and prints Markdown rows. Each contender must find 0.95 of the
true neighbours of 500 rows: ours finds out by itself how far to search, in the time that is measured; for faiss the number
of probes (or candidates) is found before, and is not counted. One after the other, A B C A B C, each in a process forked for
it; medians.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import Cost, measure
from labelwise.parts.neighbours import neighbours

K = 10
RECALL = 0.95
QUERIES = 500
BLOCK = 20_000
PROBES = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 4096)
CANDIDATES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024)


def draw(n: int, d: int, directions: int, seed: int = 0) -> np.ndarray:
    """Return unit rows (n, d), float32: ten clusters."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(directions, d)).astype(np.float32) / np.sqrt(d).astype(np.float32)
    centres = 0.8 * rng.standard_normal((10, directions), dtype=np.float32)
    X = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, BLOCK):
        rows = X[start : start + BLOCK]
        inner = rng.standard_normal((len(rows), directions), dtype=np.float32)
        rows[:] = (inner + centres[rng.integers(0, 10, len(rows))]) @ axes
        rows += 0.02 * rng.standard_normal(rows.shape, dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1)[:, None]
    return X


def bars(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the cosine of the K-th nearest other row of some rows, a rounding error less."""
    best = np.full((len(rows), K + 1), -np.inf, dtype=np.float32)
    for start in range(0, len(X), BLOCK):
        scores = np.concatenate([best, X[rows] @ X[start : start + BLOCK].T], axis=1)
        best = -np.partition(-scores, K, axis=1)[:, : K + 1]
    return np.asarray(best.min(1) - np.float32(2e-6))


def recall(X: np.ndarray, rows: np.ndarray, found: np.ndarray, bar: np.ndarray) -> float:
    """Return the share of true neighbours of `rows` among those found (themselves left out)."""
    near = np.einsum("ij,ikj->ik", X[rows], X[np.maximum(found, 0)]) >= bar[:, None]
    return float((near & (found >= 0) & (found != rows[:, None])).sum(1).clip(max=K).mean() / K)


def inverted_file(X: np.ndarray) -> Any:
    """Return faiss's cells of all rows."""
    import faiss

    cells = int(4 * np.sqrt(len(X)))
    index = faiss.index_factory(X.shape[1], f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(X[:: max(1, len(X) // (64 * cells))])
    index.add(X)
    return index


def small_world(X: np.ndarray) -> Any:
    """Return faiss's graph of all rows."""
    import faiss

    index = faiss.IndexHNSWFlat(X.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 80
    index.add(X)
    return index


def set_to(index: Any, effort: int) -> Any:
    """Set the number of probes or candidates."""
    if hasattr(index, "hnsw"):
        index.hnsw.efSearch = effort
    else:
        index.nprobe = effort
    return index


def tuned(make: Callable[..., Any], efforts: tuple[int, ...], X: np.ndarray, rows: np.ndarray, bar: np.ndarray) -> int:
    """Return the least effort that finds enough of the true neighbours, the greatest where none does."""
    index = make(X)
    for effort in efforts:
        if recall(X, rows, set_to(index, effort).search(X[rows], K + 1)[1], bar) >= RECALL:
            return effort
    return efforts[-1]


def theirs(make: Callable[..., Any], effort: int, X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Make the index, search for all rows, and return what was found for some."""
    return np.asarray(set_to(make(X), effort).search(X, K + 1)[1][rows])


def ours(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Search for all rows and return what was found for some."""
    return np.asarray(neighbours(X, K, exact=False, recall=RECALL).indices[rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"rows": 100_000, "features": 384, "directions": 32, "repeats": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    measure(partial(ours, draw(3000, 8, 4), np.arange(9)), 1)  # compiles
    X = draw(asked.rows, asked.features, asked.directions)
    rows = np.sort(np.random.default_rng(1).choice(len(X), QUERIES, replace=False))
    bar = bars(X, rows)
    calls: dict[str, Callable[[], np.ndarray]] = {"labelwise": partial(ours, X, rows)}
    for name, make, efforts in (("IVF", inverted_file, PROBES), ("HNSW", small_world, CANDIDATES)):
        effort = measure(partial(tuned, make, efforts, X, rows, bar), 1).result
        calls[f"faiss {name}, {effort}"] = partial(theirs, make, effort, X, rows)
    costs: dict[str, list[Cost]] = {name: [] for name in calls}
    for _ in range(asked.repeats):
        for name, call in calls.items():
            costs[name].append(measure(call, 1))
    print(f"{asked.rows:,} rows of {asked.features} features, {asked.directions} directions, {K} neighbours.\n")
    print("| search | wall / CPU, memory | recall | times our wall |\n|---|---|---|---|")
    wall = {name: statistics.median(cost.wall for cost in found) for name, found in costs.items()}
    for name, found in costs.items():
        middle = found[0]._replace(wall=wall[name], cpu=statistics.median(cost.cpu for cost in found))
        print(
            f"| {name} | {middle} | {recall(X, rows, middle.result, bar):.3f} | {wall[name] / wall['labelwise']:.2f} |"
        )


if __name__ == "__main__":
    main()
