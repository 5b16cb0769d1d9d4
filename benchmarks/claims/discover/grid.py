"""All discovery methods beside plain k-means on real sets with some classes unknown: the table in docs/claims/discover.md.

    python -m benchmarks.claims.discover.grid [--seeds 5] [--jobs 2] [--only TEXT]

Every method keeps its defaults but for a training of 10 to 30 epochs; nobody is tuned. Each cell draws its own rows and
which classes are unknown; half of the known classes' rows are labelled, and the pool mixes the others with the unknown
ones. Cells already measured are kept: delete `grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims.discover.sets import SETS, draw
from benchmarks.claims.grids import Cell, gain, measure

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


def score(cell: Cell, name: str) -> dict[str, float]:
    """Fit one method in one cell, the number of new classes estimated and given."""
    task, model = draw(cell["data"], cell["seed"], SHARES[cell["share"]], ROWS), methods()[name](cell["seed"])
    model.fit(task.X, task.given)
    found = {"true": task.n_new, "counted": model.n_new_classes_}
    found |= {f"{part} estimated": value for part, value in task.accuracy(model.labels_)._asdict().items()}
    model.set_params(n_new_classes=task.n_new).fit(task.X, task.given)
    return found | {f"{part} given": value for part, value in task.accuracy(model.labels_)._asdict().items()}


def cells(seeds: int) -> Iterator[Cell]:
    """Yield every cell, all of a seed before the next."""
    for seed in range(seeds):
        yield from ({"data": data, "share": share, "seed": seed} for share in SHARES for data in SETS)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.discover.grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    asked = parser.parse_args(arguments)
    wanted = [name for name in methods() if asked.only.lower() in name.lower()]
    measure(RESULTS, cells(asked.seeds), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("discover")


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
    _, clear = gain((by_seed[name] - by_seed[PLAIN]).dropna())
    first = f"{values[0]:.1f}"
    return f"{f'**{first}**' if clear else first} / {values[1]:.1f} / {values[2]:.1f}"


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
