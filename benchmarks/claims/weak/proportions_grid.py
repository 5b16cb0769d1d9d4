"""Rows told apart from class proportions of bags, on three real tables: the table in docs/claims/weak.md.

    python -m benchmarks.claims.weak.proportions_grid [--seeds 5] [--jobs 2] [--only TEXT]

Every method keeps its defaults and gets the same training; nobody is tuned, and no label of a row is used but by "every
label". Each cell draws its own rows, bags and initial weights. Cells already measured are kept: delete
`proportions_grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.claims.grids import Cell, gain, measure, told
from benchmarks.claims.harness import data_path

RESULTS = Path(__file__).with_name("proportions_grid.csv")
SIZES = (8, 32, 128, 512)
TRAIN_ROWS, TEST_ROWS = 4096, 1300
EPOCHS, BATCH = 20, 128
BAG, INSTANCE, BETWEEN, BP, ROUND, ORACLE = (
    "bag loss (rho = 0)", "instance loss (rho = 1)", "rho by bags held out", "belief propagation",
    "belief propagation, one round of embeddings", "every label",
)  # fmt: skip
METHODS = (BAG, INSTANCE, BETWEEN, BP, ROUND, ORACLE)


class Problem(NamedTuple):
    """Training rows with their bags, the bags' shares of class 1, and test rows."""

    X: Any
    y: Any
    bags: Any
    shares: Any
    X_test: Any
    y_test: Any


def phoneme() -> tuple[Any, Any]:
    """Return five features of nasal and oral vowels."""
    frame = pd.read_parquet(data_path("tabular_small", "phoneme.parquet"))
    return frame.drop(columns="target").to_numpy(np.float32), pd.factorize(frame["target"], sort=True)[0]


def adult() -> tuple[Any, Any]:
    """Return the census as numbers and indicators; the class is an income above 50,000."""
    frame = pd.read_parquet(data_path("tabular_small", "adult.parquet")).drop(columns="split", errors="ignore")
    y = pd.factorize(frame.pop("target"), sort=True)[0]
    return pd.get_dummies(frame, dtype=np.float32).fillna(0).to_numpy(np.float32), y


def letter() -> tuple[Any, Any]:
    """Return sixteen features of printed letters; the class is the second half of the alphabet."""
    frame = pd.read_parquet(data_path("tabular_small", "letter.parquet"))
    y = (pd.factorize(frame.pop("target"), sort=True)[0] >= 13).astype(np.int64)
    return frame.to_numpy(np.float32), y


SETS: dict[str, Callable[[], tuple[Any, Any]]] = {"phoneme": phoneme, "adult": adult, "letter": letter}


def draw(data: str, size: int, seed: int) -> Problem:
    """Draw training and test rows, and put the training rows into bags at random."""
    from labelwise.weak import random_bags

    X, y = SETS[data]()
    order = np.random.default_rng([seed, size]).permutation(len(y))[: TRAIN_ROWS + TEST_ROWS]
    test, train = order[:TEST_ROWS], order[TEST_ROWS:]
    X = scaled(X, train)
    bags = random_bags(len(train), size, seed)
    shares = np.bincount(bags, y[train]) / np.bincount(bags)
    return Problem(X[train], y[train], bags, shares, X[test], y[test])


def scaled(X: Any, train: Any) -> Any:
    """Return columns scaled by the training rows; indicators stay 0 and 1."""
    kept = ((X == 0) | (X == 1)).all(0)
    mean, spread = X[train].mean(0), X[train].std(0)
    return np.where(kept, X, (X - mean) / np.where(spread > 1e-6, spread, 1)).astype(np.float32)


def fitted(name: str, task: Problem, seed: int) -> Any:
    """Return a fitted entry of the table."""
    from labelwise.learner import Classifier, Train
    from labelwise.weak import BagClassifier, BeliefPropagation

    common: dict[str, Any] = {"train": Train(epochs=EPOCHS, batch_size=BATCH, progress=False), "random_state": seed}
    if name == ORACLE:
        return Classifier(**common).fit(task.X, task.y)
    made: dict[str, Callable[[], Any]] = {
        BAG: lambda: BagClassifier(rho=0.0, **common), INSTANCE: lambda: BagClassifier(rho=1.0, **common),
        BETWEEN: lambda: BagClassifier(**common), BP: lambda: BeliefPropagation(**common),
        ROUND: lambda: BeliefPropagation(rounds=1, **common),
    }  # fmt: skip
    return made[name]().fit(task.X, task.shares, bags=task.bags)


def score(cell: Cell, name: str) -> dict[str, float]:
    """Return accuracy and AUC on test rows, one by one, not in bags."""
    from sklearn.metrics import roc_auc_score

    task = draw(cell["data"], cell["size"], cell["seed"])
    model = fitted(name, task, cell["seed"])
    accuracy = float((model.predict(task.X_test) == task.y_test).mean())
    return {
        "accuracy": accuracy, "AUC": float(roc_auc_score(task.y_test, model.predict_proba(task.X_test)[:, 1])),
        "majority": float(max(task.y_test.mean(), 1 - task.y_test.mean())),
    }  # fmt: skip


def cells(seeds: int) -> Iterator[Cell]:
    """Yield the cells, all of a seed before the next."""
    for seed in range(seeds):
        for data in SETS:
            yield from ({"data": data, "size": size, "seed": seed} for size in SIZES)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.weak.proportions_grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    asked = parser.parse_args(arguments)
    wanted = [name for name in METHODS if asked.only.lower() in name.lower()]
    measure(RESULTS, cells(asked.seeds), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("weak")


# -- the table


def section() -> list[str]:
    """Return the table as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS)
    keyed = frame.set_index(["method", "data", "size", "seed"]).sort_index()
    columns = [(data, size) for data in SETS for size in SIZES if (BAG, data, size) in keyed.index.droplevel(3)]
    heads = [*(f"{data} {size}" for data, size in columns), "mean", "mean AUC", "seconds"]
    return [
        "## Rows told apart from class proportions of bags, on three real tables", "",
        "Accuracy on test rows, one by one, in points above the bag-level loss (its own accuracy in the first line), by",
        f"table and rows in a bag; {frame.seed.nunique()} seeds, {TRAIN_ROWS:,} training rows in random bags, nobody tuned.",
        "**Bold**: the 95 % t interval over seeds is clear of zero. Always naming the larger class:",
        f"{_majority(frame)}. Seconds: mean of a fit on one shared core.",
        "`python -m benchmarks.claims.weak.proportions_grid`.", "",
        "| method | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|", _first(keyed, columns),
        *(_line(keyed, name, columns) for name in METHODS if name != BAG and name in set(frame.method)), "",
    ]  # fmt: skip


def _majority(frame: pd.DataFrame) -> str:
    return ", ".join(
        f"{data} {frame[frame.data == data].majority.mean():.1%}" for data in SETS if data in set(frame.data)
    )


def _first(keyed: Any, columns: list[tuple[str, int]]) -> str:
    own = keyed.loc[BAG]
    each = [f"{own.loc[column].accuracy.mean():.1%}" for column in columns]
    rest = [f"{own.accuracy.mean():.1%}", f"{own.AUC.mean():.3f}", f"{own.seconds.mean():.1f}"]
    return f"| {BAG}, itself | " + " | ".join([*each, *rest]) + " |"


def _line(keyed: Any, name: str, columns: list[tuple[str, int]]) -> str:
    own, base = keyed.loc[name], keyed.loc[BAG]
    each = []
    for column in columns:
        there = column in own.index.droplevel(2)
        each.append(told(*gain((own.loc[column].accuracy - base.loc[column].accuracy).dropna())) if there else "–")
    mean = told(*gain((own.accuracy - base.accuracy).dropna().groupby("seed").mean()))
    return f"| {name} | " + " | ".join([*each, mean, f"{own.AUC.mean():.3f}", f"{own.seconds.mean():.1f}"]) + " |"


if __name__ == "__main__":
    main()
