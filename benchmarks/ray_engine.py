"""Blocks of rows by two workers of Ray against two threads: the same passes over a file of half-precision rows, in turn.

``python benchmarks/ray_engine.py`` prints Markdown rows: an empty pass (what a map costs by itself), class sums and the
second moments of every block, and products of every block with a sample. ``--rows 100000`` tries it small.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from labelwise.parts.blocks import Engine, Local, spans
from labelwise.parts.ray_engine import Ray

D, CLASSES, BLOCK = 384, 100, 65_536
Span = tuple[int, int]


def nothing(path: str, span: Span) -> int:
    """Return the number of rows."""
    return span[1] - span[0]


def rows_of(path: str, span: Span) -> np.ndarray:
    """Return a block as float32."""
    return np.load(path, mmap_mode="r")[slice(*span)].astype(np.float32)


def moments(path: str, span: Span) -> dict[str, np.ndarray]:
    """Return class sums and second moments."""
    rows = rows_of(path, span)
    first = np.arange(0, len(rows), -(-len(rows) // CLASSES))
    return {"sums": np.add.reduceat(rows, first, axis=0, dtype=np.float64), "gram": rows.T @ rows}


def nearest(path: str, span: Span) -> np.ndarray:
    """Return the best of 1,024 rows for every row."""
    sample = rows_of(path, (0, 1024))
    return (rows_of(path, span) @ sample.T).argmax(1).astype(np.int32)


def write(path: Path, rows: int) -> None:
    """Write normal numbers in half precision, block by block."""
    out = np.lib.format.open_memmap(path, "w+", np.float16, (rows, D))
    for number, (start, stop) in enumerate(spans(rows, BLOCK)):
        out[start:stop] = np.random.default_rng(number).standard_normal((stop - start, D), dtype=np.float32)


def wall(engine: Engine, work: Callable[[Span], object], rows: int) -> tuple[float, list[object]]:
    """Return the seconds of one pass, and what it found."""
    start = time.perf_counter()
    found = list(engine.map(work, spans(rows, BLOCK)))
    return time.perf_counter() - start, found


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print("| pass | rows | local, 2 threads, s | Ray, 2 workers, s | local / Ray | the same result |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, Ray(address="local", workers=2) as ray:
        path = Path(folder) / "rows.npy"
        write(path, options.rows)
        start = time.perf_counter()
        list(ray.map(partial(nothing, str(path)), [(0, 1), (1, 2)]))
        first = time.perf_counter() - start
        for name, function in {"nothing": nothing, "moments": moments, "nearest of a sample": nearest}.items():
            work = partial(function, str(path))
            taken: dict[str, list[float]] = {"local": [], "ray": []}
            for _ in range(options.repeats):
                (here, mine), (there, theirs) = wall(Local(2), work, options.rows), wall(ray, work, options.rows)
                taken["local"].append(here)
                taken["ray"].append(there)
            try:
                np.testing.assert_equal(theirs, mine)
                same = "yes"
            except AssertionError:
                same = "NO"
            a, b = (statistics.median(taken[key]) for key in ("local", "ray"))
            print(f"| {name} | {options.rows:,} | {a:.2f} | {b:.2f} | {a / b:.2f} | {same} |")
        print(f"\nStarting the cluster and its workers took {first:.1f} s, once.")


if __name__ == "__main__":
    main()
