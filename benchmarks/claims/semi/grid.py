"""All methods for few labels beside the labelled rows alone and scikit-learn's: the tables in docs/claims/semi.md.

    python -m benchmarks.claims.semi.grid [--seeds 5] [--jobs 2] [--only TEXT] [--open]

Every method keeps its defaults; nobody is tuned, as with so few labels there is nothing to tune on. Every network takes
about `STEPS` optimiser steps; further stages (pre-training, fine-tuning) have the lengths of their defaults. Each cell
draws its own labels, pool, test rows and initial weights. Cells already measured are kept: delete `grid.csv`
(`open_grid.csv`) to start afresh.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims.grids import Cell, banking, digit_pictures, gain, measure, satimage, standardised, told, vowels
from labelwise import catalogue
from labelwise.base import UNLABELED
from labelwise.parts.open_set import auroc, closed_accuracy, open_set_balanced_accuracy

CLOSED, OPEN = (Path(__file__).with_name(name) for name in ("grid.csv", "open_grid.csv"))
SETS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "digits (image)": digit_pictures, "banking (text)": banking, "satimage (table)": satimage, "vowels (series)": vowels,
}  # fmt: skip
LABELS = (4, 10, 25)
UNKNOWN = (0.25, 0.5)
POOL_ROWS, TEST_ROWS, STEPS, BATCH = 600, 500, 100, 16
FAST = 1e-2
"""Learning rate of the narrow convolutional networks: best of four for the labelled rows alone, on draws not used here."""
ALONE = "labelled rows alone"
REFERENCES = ("FixMatch", "MeanTeacher", "MixMatch", "UDA")
PEERS = ("logistic regression", "sklearn self-training", "sklearn label spreading")


@dataclass(frozen=True)
class Rows:
    """A cell's rows: few labels and a pool (-1), and test rows; codes from `n_known` on are unknown classes."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any
    n_known: int


def draw(data: str, labels: int, seed: int, unknown: float = 0.0) -> Rows:
    """Draw `labels` rows a known class, a pool, and test rows of all classes.

    With `unknown` > 0 that share of the classes, drawn anew for each seed, has no label anywhere.
    """
    X, y = SETS[data]()
    n_classes = int(y.max()) + 1
    rng = np.random.default_rng([seed, labels, round(100 * unknown)])
    known = rng.permutation(n_classes)[: n_classes - round(unknown * n_classes)]
    codes = np.full(n_classes, len(known))
    codes[known] = np.arange(len(known))
    y = codes[y]
    order = rng.permutation(len(X))
    few = np.concatenate([order[y[order] == c][:labels] for c in range(len(known))])
    rest = order[~np.isin(order, few)]
    n_pool = min(POOL_ROWS, int(0.6 * len(X)) - len(few))
    train, test = np.r_[few, rest[:n_pool]], rest[n_pool : n_pool + TEST_ROWS]
    given = np.r_[y[few], np.full(n_pool, UNLABELED)]
    Z = standardised(X, train)
    return Rows(Z[train], given, Z[test], y[test], len(known))


def methods() -> dict[str, type[Any]]:
    """Return every classifier of the catalogue that takes rows without a label, by name."""
    found = catalogue.methods(room="semi_supervised", task="classification")
    return {
        entry.name: entry.cls for entry in found if entry.race and "classes" in entry.supervision and not entry.needs
    }


def make(name: str, rows: Rows, seed: int) -> Any:
    """Return a classifier, its epochs set so that it takes about `STEPS` steps."""
    from labelwise.learner import Classifier, SemiSupervised, Train

    labelled = int((rows.y != UNLABELED).sum())
    batch = min(BATCH, labelled)
    cls: type[Any] = Classifier if name == ALONE else methods()[name]
    names = cls().get_params(deep=False)
    per_epoch = len(rows.y) / (batch * cls().ratio) if issubclass(cls, SemiSupervised) else labelled / batch
    lr = Train().lr if rows.X.ndim == 2 else FAST
    train = Train(epochs=max(1, round(STEPS / math.ceil(per_epoch))), batch_size=BATCH, lr=lr, progress=False)
    given = {"train": train} if "train" in names else {}
    if rows.X.ndim > 2 and "net" in names:
        given["net"] = small_network(rows.X, rows.n_known, seed)
    return cls(**given, **({"random_state": seed} if "random_state" in names else {}))


def small_network(X: Any, n_classes: int, seed: int) -> Any:
    """Return a narrow convolutional network for pictures or series, with first weights of its own for each seed."""
    import torch

    from labelwise.nets import ConvNet, SeriesConv

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvNet(X.shape[-1], n_classes, width=8) if X.ndim == 4 else SeriesConv(X.shape[1], n_classes, width=16)


def peer(name: str, rows: Rows) -> Any:
    """Return a classifier of scikit-learn, on flat features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

    plain = LogisticRegression(max_iter=1000)
    if name == "sklearn label spreading":
        return LabelSpreading(kernel="knn", n_neighbors=7)
    return SelfTrainingClassifier(plain) if name == "sklearn self-training" else plain


def score(cell: Cell, name: str) -> dict[str, float]:
    """Fit one method in one cell and score it on the test rows."""
    rows = draw(cell["data"], cell["labels"], cell["seed"], cell.get("unknown", 0.0))
    flat = [part.reshape(len(part), -1) for part in (rows.X, rows.X_test)]
    if name in PEERS:
        some = rows.y != UNLABELED if name == PEERS[0] else slice(None)
        X, X_test, model = flat[0][some], flat[1], peer(name, rows)
        model.fit(X, rows.y[some])
    else:
        X_test, model = rows.X_test, make(name, rows, cell["seed"])
        model.fit(rows.X, rows.y)
    guess = model.predict(X_test)
    unknown = rows.y_test >= rows.n_known
    found = {"accuracy": closed_accuracy(rows.y_test, guess, unknown)}
    if unknown.any():
        found |= open_scores(model, X_test, rows, guess, unknown)
    return found


def open_scores(model: Any, X: Any, rows: Rows, guess: Any, unknown: Any) -> dict[str, float]:
    """Return AUROC and balanced open-set accuracy: of the model's own outlier score, else of its largest probability.

    Without an outlier score of its own a model refuses the rows below the confidence that 95 % of its labelled rows reach.
    """
    if hasattr(model, "outlier_score"):
        outlier = model.outlier_score(X)
        refused = outlier >= model.open_threshold
    else:
        outlier = 1 - model.predict_proba(X).max(1)
        own = rows.X if rows.X.ndim == X.ndim else rows.X.reshape(len(rows.X), -1)
        refused = outlier > np.quantile(1 - model.predict_proba(own[rows.y != UNLABELED]).max(1), 0.95)
    opened = np.where(refused, rows.n_known, guess)
    return {"auroc": auroc(outlier, unknown), "balanced": open_set_balanced_accuracy(rows.y_test, opened, rows.n_known)}


def names(only: str = "", opened: bool = False) -> list[str]:
    """Return the rows of a table: the labelled rows alone, scikit-learn's, and every method.

    In the open-set table: the methods that give an outlier score, and the references they improve on. WAD, which is slow
    and made for open pools, is in that table only.
    """
    found = methods()
    if opened:
        found = {name: cls for name, cls in found.items() if hasattr(cls, "outlier_score") or name in REFERENCES}
    else:
        found.pop("WAD")
    return [name for name in (ALONE, *PEERS, *found) if only.lower() in name.lower()]


def closed_cells(seeds: int) -> Iterator[Cell]:
    """Yield the cells of the closed-set table, all of a seed before the next."""
    for seed in range(seeds):
        for labels in LABELS:
            yield from ({"data": data, "labels": labels, "seed": seed} for data in SETS)


def open_cells(seeds: int) -> Iterator[Cell]:
    """Yield the cells of the open-set table, ten labels a class."""
    for seed in range(seeds):
        for unknown in UNKNOWN:
            yield from ({"data": data, "labels": 10, "unknown": unknown, "seed": seed} for data in SETS)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.semi.grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    parser.add_argument("--open", action="store_true", help="the open-set table instead")
    asked = parser.parse_args(arguments)
    wanted = names(asked.only, asked.open)
    if asked.open:
        measure(OPEN, open_cells(asked.seeds), lambda cell: wanted, score, asked.jobs)
    else:
        measure(CLOSED, closed_cells(asked.seeds), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("semi")


def section() -> list[str]:
    """Return both tables as lines of Markdown, empty where nothing was measured."""
    return [*(_closed() if CLOSED.exists() else []), *(_open() if OPEN.exists() else [])]


def _closed() -> list[str]:
    frame = pd.read_csv(CLOSED)
    score_of = frame.set_index(["method", "data", "labels", "seed"]).accuracy.sort_index()
    columns = [
        (data, labels) for data in SETS for labels in LABELS if (ALONE, data, labels) in score_of.index.droplevel(3)
    ]
    alone = {column: score_of.loc[(ALONE, *column)] for column in columns}
    lines = [
        "## Every method on four real sets", "",
        f"Test accuracy in points above the same network on the {ALONE} (its own accuracy in the first line), at 4, 10",
        f"and 25 labels a class; {frame.seed.nunique()} seeds, a pool of up to {POOL_ROWS} rows, about {STEPS} steps,",
        "nobody tuned. **Bold**: the 95 % t interval over seeds is clear of zero. –: does not take such rows, or failed.",
        "Seconds: mean of a fit on one core. `python -m benchmarks.claims.semi.grid`.", "",
        "| method | " + " | ".join(f"{data.split()[0]} {labels}" for data, labels in columns) + " | mean | seconds |",
        "|---" * (len(columns) + 3) + "|",
    ]  # fmt: skip
    seconds = frame.groupby("method").seconds.mean()
    means = [alone[column].mean() for column in columns]
    first = " | ".join(f"{mean:.1%}" for mean in means)
    lines.append(f"| {ALONE} (accuracy) | {first} | {np.mean(means):.1%} | {seconds[ALONE]:.1f} |")
    rows = {}
    for name in frame.method.unique():
        if name != ALONE:
            rows[name] = [_gain(score_of, alone[column], (name, *column)) for column in columns]
    for name in sorted(
        rows, key=lambda name: -float(np.nan_to_num(np.mean([points for points, _ in rows[name]]), nan=-1e3))
    ):
        mean = np.mean([points for points, _ in rows[name]])
        cells = " | ".join(told(*item) for item in rows[name])
        lines.append(f"| {name} | {cells} | {told(float(mean), False)} | {seconds[name]:.1f} |")
    return [*lines, ""]


def _gain(score_of: Any, alone: Any, key: tuple[Any, ...]) -> tuple[float, bool]:
    if key not in score_of.index.droplevel(-1):
        return float("nan"), False
    return gain((score_of.loc[key] - alone).dropna())


def _open() -> list[str]:
    frame = pd.read_csv(OPEN)
    heads = [f"{what}, {share:.0%} unknown" for share in UNKNOWN for what in ("accuracy", "AUROC", "balanced")]
    lines = [
        "## With unknown classes in the pool", "",
        "A quarter or half of the classes, drawn anew for each seed, have no label but are in the pool and among the",
        "test rows; ten labels for each other class. Mean over the four sets and the seeds: closed-set accuracy on known",
        f"rows (in points above the same network on the {ALONE}), AUROC of the outlier score (of 1 - largest probability",
        "where a method has none), and balanced accuracy over the known classes and \"unknown\" (a method without a rule of",
        "its own refuses below the confidence that 95 % of its labelled rows reach).",
        "`python -m benchmarks.claims.semi.grid --open`.", "",
        "| method | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]  # fmt: skip
    keyed = frame.set_index(["method", "unknown", "data", "seed"]).sort_index()
    rows, every = {}, int((frame.method == ALONE).sum())
    for name in frame.method.unique():
        cells, order = [], 0.0
        for share in UNKNOWN:
            mine = keyed.loc[(name, share)] if (name, share) in keyed.index.droplevel([2, 3]) else None
            if mine is None:
                cells += ["–"] * 3
                continue
            difference = (mine.accuracy - keyed.loc[(ALONE, share)].accuracy).dropna().groupby("seed").mean()
            accuracy = f"{mine.accuracy.mean():.1%}" if name == ALONE else told(*gain(difference))
            cells += [accuracy, f"{mine.auroc.mean():.3f}", f"{mine.balanced.mean():.1%}"]
            order += float(mine.auroc.mean())
        rows[name] = (order, cells)
    ranked = sorted(rows, key=lambda name: (name != ALONE, -rows[name][0]))
    failed = {name: every - int((frame.method == name).sum()) for name in ranked}
    shown = {
        name: f"{name} (without {n} of {every} cells, where it failed)" if n else name for name, n in failed.items()
    }
    return [*lines, *(f"| {shown[name]} | " + " | ".join(rows[name][1]) + " |" for name in ranked), ""]


if __name__ == "__main__":
    main()
