"""What the tables over all methods of a room share: real sets, cells measured once and kept, gains with their intervals.

A grid is a list of cells (dictionaries that name data, setting and seed) and a function that measures one method in one
cell. What is measured goes to a CSV file at once, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.datasets import load_digits

from benchmarks.claims.harness import MissingData, data_path

Cell = Mapping[str, Any]


def digits() -> tuple[Any, Any]:
    """Return scikit-learn's digits, 64 features, ten classes."""
    X, y = load_digits(return_X_y=True)
    return X, y


def digit_pictures() -> tuple[Any, Any]:
    """Return scikit-learn's digits as pictures ``(n, 8, 8, 1)`` in [0, 1]."""
    X, y = digits()
    return (X / 16).astype(np.float32).reshape(-1, 8, 8, 1), y


def satimage() -> tuple[Any, Any]:
    """Return Landsat pixels, 36 features, six classes."""
    file = np.load(data_path("satimage", "data.npz"), allow_pickle=False)
    return file["X"].reshape(len(file["X"]), -1), file["y"]


def banking() -> tuple[Any, Any]:
    """Return sentence embeddings of the twenty most frequent intents of banking77."""
    frame = pd.read_parquet(data_path("banking77", "data.parquet"))
    label = next(name for name in ("label", "intent", "category", "y") if name in frame)
    codes, _ = pd.factorize(frame[label])
    file = np.load(data_path("banking77", "minilm.npz"))
    Z = next(file[name] for name in file.files if file[name].ndim == 2 and len(file[name]) == len(codes))
    frequent = np.argsort(-np.bincount(codes), kind="stable")[:20]
    some = np.isin(codes, frequent)
    return Z[some].astype(np.float32), np.searchsorted(np.sort(frequent), codes[some])


def vowels() -> tuple[Any, Any]:
    """Return Japanese vowels: series ``(640, 12, 29)`` of nine speakers; the padding is 0, the mean of its channel."""
    file = np.load(data_path("time_series", "japanese_vowels.npz"), allow_pickle=False)
    X = np.asarray(file["X"], dtype=np.float64)
    mean, spread = (measure(X, axis=(0, 2), keepdims=True) for measure in (np.nanmean, np.nanstd))
    return np.nan_to_num((X - mean) / spread).astype(np.float32), np.unique(file["y"], return_inverse=True)[1]


def standardised(X: Any, train: Any) -> Any:
    """Return features scaled by the training rows' mean and spread; pictures and series as they are."""
    if X.ndim > 2:
        return X
    mean, spread = X[train].mean(0), X[train].std(0)
    return ((X - mean) / np.where(spread > 1e-6, spread, 1)).astype(np.float32)


def measure(
    results: Path, cells: Iterable[Cell], names: Callable[[Cell], Sequence[str]], score: Callable[[Cell, str], Any],
    jobs: int,
) -> None:  # fmt: skip
    """Measure what is missing in `results`.

    Parameters
    ----------
    results
        CSV file: the cell's columns, ``method``, ``seconds``, and the scores.
    cells
        Cells, all with the same keys.
    names
        Methods to measure in a cell.
    score
        ``score(cell, name)`` returns scores by name, or several such rows; one that fails is told, and left out.
    jobs
        Processes.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    cells = list(cells)
    keys = [*cells[0], "method"]
    found: list[dict[str, Any]] = pd.read_csv(results).to_dict("records") if results.exists() else []
    known = {tuple(str(row[key]) for key in keys) for row in found}
    missing = [(cell, [n for n in names(cell) if (*map(str, cell.values()), n) not in known]) for cell in cells]
    with ProcessPoolExecutor(jobs) as pool:
        work = {pool.submit(_measure_cell, cell, wanted, score): cell for cell, wanted in missing if wanted}
        for done, job in enumerate(as_completed(work), start=1):
            found += job.result()
            print(f"{done}/{len(work)} {work[job]}", flush=True)
            pd.DataFrame(found).sort_values(keys).to_csv(results, index=False, float_format="%.5g")


def _measure_cell(cell: Cell, names: Sequence[str], score: Callable[[Cell, str], Any]) -> list[dict[str, Any]]:
    warnings.simplefilter("ignore")
    found = []
    for name in names:
        started = time.perf_counter()
        try:
            scores = score(cell, name)
        except MissingData as missing:
            print(f"{cell}: skipped, {missing}", flush=True)
            return []
        except Exception:
            print(f"{name} in {cell}:", flush=True)
            traceback.print_exc()
            continue
        rows = scores if isinstance(scores, list) else [scores]
        seconds = round((time.perf_counter() - started) / len(rows), 2)
        found += [{**cell, "method": name, **row, "seconds": seconds} for row in rows]
    return found


def gain(values: Any) -> tuple[float, bool]:
    """Return the mean of paired differences in points, and whether its 95 % t interval is clear of zero."""
    points = 100 * np.asarray(values, dtype=np.float64)
    points = points[np.isfinite(points)]
    if not len(points):
        return float("nan"), False
    half = stats.t.ppf(0.975, len(points) - 1) * stats.sem(points) if len(points) > 1 else np.inf
    return float(points.mean()), bool(abs(points.mean()) > half)


def told(points: float, clear: bool) -> str:
    """Return a gain as a cell of a table, in bold where it is clear of zero."""
    if not np.isfinite(points):
        return "–"
    return f"**{points:+.1f}**" if clear else f"{points:+.1f}"
