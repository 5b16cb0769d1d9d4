"""All discovery methods beside plain k-means on real sets with some classes unknown: the table in docs/claims/discover.md.

    python -m benchmarks.claims.discover.grid [--seeds 5] [--jobs 2] [--only TEXT]

Every method keeps its defaults but for a training of 10 to 30 epochs; nobody is tuned. Each cell draws its own rows and
which classes are unknown; half of the known classes' rows are labelled, and the pool mixes the others with the unknown
ones. Cells already measured are kept: delete `grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.claims.discover.sets import FOLDERS, SETS, Task, draw
from benchmarks.claims.harness import MissingData, data_path

RESULTS = Path(__file__).with_name("grid.csv")
ROWS, MOST = 600, 15
PLAIN = "plain k-means"
SHARES = {"25 % unknown": 0.25, "50 % unknown": 0.5}


class PlainKMeans:
    """k-means of all rows, labels ignored; the number of clusters is known, or that of the best silhouette of the pool."""

    def __init__(self, seed: int) -> None:
        self.seed, self.n_new_classes = seed, "auto"

    def set_params(self, n_new_classes: Any) -> PlainKMeans:
        """Set the number of new classes."""
        self.n_new_classes = n_new_classes
        return self

    def fit(self, X: Any, y: Any) -> PlainKMeans:
        """Cluster all rows."""
        from sklearn.cluster import KMeans
        from sklearn.metrics import silhouette_score

        known, pool = len(np.unique(y[y >= 0])), y == -1
        tried = range(MOST + 1) if self.n_new_classes == "auto" else [self.n_new_classes]
        groups = {m: KMeans(known + m, n_init=5, random_state=self.seed).fit_predict(X) for m in tried}
        best = max(tried, key=lambda m: silhouette_score(X[pool], groups[m][pool])) if len(tried) > 1 else tried[0]
        self.labels_, self.n_new_classes_ = groups[best], best
        return self


def methods() -> dict[str, Callable[[int], Any]]:
    """Return a maker of every discovery method by its name."""
    from labelwise.discovery import (
        ClassRelationDistillation,
        GaussianMixturePrototypes,
        NCDKMeans,
        NCDSpectral,
        ProjectionBasedDiscovery,
    )
    from labelwise.learner import Train

    def made(cls: Any, **settings: Any) -> Callable[[int], Any]:
        return lambda seed: cls(count_draws=0, max_new_classes=MOST, random_state=seed, **settings)

    train = Train(epochs=30, batch_size=64, progress=False)
    return {
        PLAIN: PlainKMeans,
        "NCDKMeans": made(NCDKMeans),
        "NCDSpectral": made(NCDSpectral),
        "ProjectionBasedDiscovery": made(ProjectionBasedDiscovery, train=train),
        "GaussianMixturePrototypes (frozen)": made(GaussianMixturePrototypes, frozen=True),
        "GaussianMixturePrototypes": made(
            GaussianMixturePrototypes, train=Train(epochs=10, batch_size=32, progress=False)
        ),
        "ClassRelationDistillation": made(ClassRelationDistillation, train=Train(epochs=20, progress=False)),
    }  # fmt: skip


def run_cell(data: str, share: str, seed: int, names: list[str]) -> list[dict[str, Any]]:
    """Fit the named methods on one cell, the number of new classes estimated and given; a failure is told and left out."""
    warnings.simplefilter("ignore")
    task, makers, found = draw(data, seed, SHARES[share], ROWS), methods(), []
    for name in names:
        started = time.perf_counter()
        try:
            told = _measured(task, makers[name](seed))
        except Exception:
            traceback.print_exc()
            continue
        seconds = round(time.perf_counter() - started, 2)
        found.append({"data": data, "share": share, "seed": seed, "method": name, **told, "seconds": seconds})
    return found


def _measured(task: Task, model: Any) -> dict[str, float]:
    model.fit(task.X, task.given)
    told = {"true": task.n_new, "counted": model.n_new_classes_}
    told |= {f"{part} estimated": value for part, value in task.accuracy(model.labels_)._asdict().items()}
    model.set_params(n_new_classes=task.n_new).fit(task.X, task.given)
    return told | {f"{part} given": value for part, value in task.accuracy(model.labels_)._asdict().items()}


def cells(seeds: int) -> Iterator[tuple[str, str, int]]:
    """Yield every cell, all of a seed before the next."""
    for seed in range(seeds):
        yield from ((data, share, seed) for share in SHARES for data in SETS)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.discover.grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    asked = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    found: list[dict[str, Any]] = pd.read_csv(RESULTS).to_dict("records") if RESULTS.exists() else []
    wanted = [name for name in methods() if asked.only.lower() in name.lower()]
    known = {(row["data"], row["share"], row["seed"], row["method"]) for row in found}
    missing = [(c, [name for name in wanted if (*c, name) not in known]) for c in cells(asked.seeds)]
    with ProcessPoolExecutor(asked.jobs) as pool:
        jobs = {pool.submit(run_cell, *c, names): c for c, names in missing if names and _there(c[0])}
        for done, job in enumerate(as_completed(jobs), start=1):
            found += job.result()
            print(f"{done}/{len(jobs)} {jobs[job]}", flush=True)
            pd.DataFrame(sorted(found, key=_order)).to_csv(RESULTS, index=False, float_format="%.5g")
    from benchmarks.claims import store

    store.rewrite("discover")


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["data"], row["share"], row["seed"], row["method"]


def _there(data: str) -> bool:
    try:
        return data not in FOLDERS or data_path(FOLDERS[data]).exists()
    except MissingData as missing:
        print(f"{data}: skipped, {missing}")
        return False


def section() -> list[str]:
    """Return the tables as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS)
    lines = [
        "## Every method beside plain k-means", "",
        f"Rows without a label of {', '.join(frame.data.unique())} ({ROWS} rows drawn, {frame.seed.nunique()} seeds; which",
        "classes are unknown is drawn too; half of the known classes' rows are labelled; nobody is tuned). Accuracy in per",
        "cent under the best one-to-one matching: all rows / rows of known / of unknown classes, with the number of new",
        f"classes estimated (up to {MOST}; plain k-means by the silhouette) and given. **Bold**: the accuracy on all rows",
        f"differs from that of {PLAIN}, the 95 % t interval over seeds clear of zero. *Counted*: the mean estimate and",
        "its mean absolute error. Seconds: both fits on one core, beside other work.",
        "`python -m benchmarks.claims.discover.grid`.", "",
    ]  # fmt: skip
    for share in SHARES:
        part = frame[frame.share == share]
        lines += _table(share, part) if len(part) else []
    return [*lines, *_by_set(frame)]


def _table(share: str, frame: pd.DataFrame) -> list[str]:
    lines = [f"### {share}", "", "| method | estimated | given | counted | seconds |", "|---|---|---|---|---|"]
    order = frame.groupby("method")["all given"].mean().sort_values(ascending=False).index
    for name in order:
        mine = frame[frame.method == name]
        error = (mine.counted - mine.true).abs().mean()
        counted = f"{mine.counted.mean():.1f} of {mine.true.mean():.1f} ({error:.1f})"
        scores = " | ".join(_scores(frame, name, number) for number in ("estimated", "given"))
        lines.append(f"| {name} | {scores} | {counted} | {mine.seconds.mean():.1f} |")
    return [*lines, ""]


def _scores(frame: pd.DataFrame, name: str, number: str) -> str:
    mine = frame[frame.method == name]
    values = [100 * mine[f"{part} {number}"].mean() for part in ("all", "old", "new")]
    by_seed = frame.groupby(["method", "seed"])[f"all {number}"].mean()
    gain = (by_seed[name] - by_seed[PLAIN]).dropna().to_numpy()
    half = stats.t.ppf(0.975, len(gain) - 1) * stats.sem(gain) if len(gain) > 1 else np.inf
    first = f"{values[0]:.1f}"
    return f"{f'**{first}**' if abs(gain.mean()) > half else first} / {values[1]:.1f} / {values[2]:.1f}"


def _by_set(frame: pd.DataFrame) -> list[str]:
    """Return the accuracy on new classes set by set, their number given, over both shares."""
    table = 100 * frame.pivot_table(index="method", columns="data", values="new given", sort=False)
    lines = [
        "Accuracy on rows of unknown classes, their number given, by set:", "",
        "| method | " + " | ".join(table.columns) + " |", "|---" * (len(table.columns) + 1) + "|",
    ]  # fmt: skip
    lines += [f"| {name} | " + " | ".join(f"{value:.1f}" for value in row) + " |" for name, row in table.iterrows()]
    return [*lines, ""]


if __name__ == "__main__":
    main()
