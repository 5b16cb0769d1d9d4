"""One protocol for adapting with unlabelled rows: the table in docs/claims/shift.md.

    python -m benchmarks.claims.shift.protocol_grid [--seeds 5] [--jobs 2] [--only TEXT]

Every method sees the same labelled source rows, the same target rows without labels, the same network and about the same
number of steps, and tries four settings. Which of them counts is chosen in five ways: by held-out source rows, by three
scores that see the target's rows but no label, and by an oracle that sees the labels of the target rows adapted to. Scores
are of other target rows. Cells already measured are kept: delete `protocol_grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from benchmarks.claims.grids import Cell, gain, measure, told
from benchmarks.claims.shift.choosing import Tried, attempts, held_out, settings
from benchmarks.claims.shift.places import TASKS, Place
from labelwise.learner import Classifier
from labelwise.semi_supervised import FixMatch
from labelwise.shift import (
    DANN,
    DeepCORAL,
    DomainPseudoLabel,
    EMPrior,
    ImportanceWeighting,
    NoisyStudent,
    scores_without_labels,
)
from labelwise.training import Batch

RESULTS = Path(__file__).with_name("protocol_grid.csv")
PLAIN, EPOCHS = "source only", 15
RATES = (5e-4, 1e-3, 3e-3, 1e-2)
WAYS = ("source", "weighted", "confidence", "information", "oracle")


class Augmented(Classifier):
    """Plain training on strong views."""

    def loss(self, batch: Batch) -> Tensor:
        """Return the criterion of the batch's strong views."""
        value: Tensor = self.criterion_(self.net_(batch.strong), batch.y, batch.index, batch.weight)
        return value


def methods() -> dict[str, Callable[[int], list[Any]]]:
    """Return makers of four settings each, by the name of the row."""
    return {
        PLAIN: lambda seed: settings(Classifier(random_state=seed), RATES, EPOCHS),
        "source only, strong views": lambda seed: settings(Augmented(random_state=seed), RATES, EPOCHS),
        "DeepCORAL": lambda seed: settings(DeepCORAL(random_state=seed), epochs=EPOCHS, weight=(10.0, 1000.0)),
        "DANN": lambda seed: settings(DANN(random_state=seed), epochs=EPOCHS, weight=(0.1, 1.0)),
        "DANN, estimated prior": lambda seed: settings(
            DANN(prior="estimated", random_state=seed), epochs=EPOCHS, weight=(0.1, 1.0)
        ),
        "DomainPseudoLabel": lambda seed: settings(
            DomainPseudoLabel(random_state=seed), epochs=EPOCHS, threshold=(0.9, 0.99)
        ),
        "FixMatch": lambda seed: settings(FixMatch(ratio=1, random_state=seed), epochs=EPOCHS, threshold=(0.8, 0.95)),
        "NoisyStudent": lambda seed: settings(
            NoisyStudent(rounds=1, random_state=seed), epochs=EPOCHS, labels=("soft", "hard")
        ),
        "ImportanceWeighting": lambda seed: [
            ImportanceWeighting(estimator=model, random_state=seed)
            for model in settings(Classifier(random_state=seed), RATES, EPOCHS)
        ],
        "EMPrior": lambda seed: [
            EMPrior(estimator=model, cv=2, n_resamples=20, random_state=seed)
            for model in settings(Classifier(random_state=seed), RATES, EPOCHS)
        ],
    }


def names(only: str = "") -> list[str]:
    """Return the rows of the table whose name contains `only`."""
    return [name for name in methods() if only.lower() in name.lower()]


def score(cell: Cell, name: str) -> dict[str, float]:
    """Fit a method's settings in one cell; its accuracy on target test rows by every way of choosing, and by domain."""
    place, seed = TASKS[cell["data"]](cell["seed"]), cell["seed"]
    tried = attempts(methods()[name](seed), place, seed)
    chosen = picks(tried, place, seed)
    there = {way: float(model.score(place.X_test, place.y_test)) for way, model in chosen.items()}
    each = [*of_sources(chosen["source"], place, seed), there["source"]]
    return {**there, "mean": float(np.mean(each)), "worst": float(np.min(each))}


def picks(tried: list[Tried], place: Place, seed: int) -> dict[str, Any]:
    """Return the model each way of choosing takes; the first of equals."""
    held = held_out(place, seed)[1]
    seen = [scores_without_labels(one.model, place.X[held], place.y[held], place.X_target) for one in tried]
    table = {way: [getattr(scores, way) for scores in seen] for way in WAYS[:-1]}
    table["oracle"] = [one.oracle for one in tried]
    return {way: tried[int(np.argmax(values))].model for way, values in table.items()}


def of_sources(model: Any, place: Place, seed: int) -> list[float]:
    """Return the accuracy on the held-out rows of every source domain."""
    held = held_out(place, seed)[1]
    right = model.predict(place.X[held]) == place.y[held]
    return [float(right[place.where[held] == name].mean()) for name in np.unique(place.where[held])]


def cells(seeds: int) -> Iterator[Cell]:
    """Yield the cells, all of a seed before the next."""
    for seed in range(seeds):
        yield from ({"data": data, "seed": seed} for data in TASKS)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.shift.protocol_grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    asked = parser.parse_args(arguments)
    wanted = names(asked.only)
    measure(RESULTS, cells(asked.seeds), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("shift")


# -- the table


def section() -> list[str]:
    """Return the tables as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS)
    keyed = frame.set_index(["method", "data", "seed"]).sort_index()
    return [*_by_task(frame, keyed), *_by_choice(frame)]


def _by_task(frame: pd.DataFrame, keyed: pd.DataFrame) -> list[str]:
    tasks = [task for task in TASKS if task in set(frame.data)]
    heads = [*tasks, "mean over tasks", "all domains", "worst domain", "seconds"]
    others = [name for name in methods() if name != PLAIN and name in set(frame.method)]
    return [
        "## Adapting with unlabelled rows: one protocol, six tasks", "",
        "Accuracy on target rows that were not adapted to, in points above the same network trained on the source alone",
        f"(its own accuracy in the first line); {frame.seed.nunique()} seeds, about {12 * EPOCHS} steps, four settings,",
        "**chosen by held-out source rows**: nobody saw a target label. All domains, worst domain: the same for the mean",
        "and the minimum over source domains (held-out rows) and target. **Bold**: the 95 % t interval over seeds is clear",
        "of zero. Seconds: four fits. `python -m benchmarks.claims.shift.protocol_grid`.", "",
        "| method | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|", _first(keyed, tasks),
        *(_line(keyed, name, tasks) for name in others), "",
    ]  # fmt: skip


def _first(keyed: pd.DataFrame, tasks: list[str]) -> str:
    own = keyed.loc[PLAIN]
    each = [f"{own.loc[task].source.mean():.1%}" for task in tasks]
    each += [f"{own[name].mean():.1%}" for name in ("source", "mean", "worst")]
    return f"| {PLAIN} (itself) | " + " | ".join([*each, f"{own.seconds.mean():.1f}"]) + " |"


def _line(keyed: pd.DataFrame, name: str, tasks: list[str]) -> str:
    own = keyed.loc[name]
    difference = own[["source", "mean", "worst"]] - keyed.loc[PLAIN][["source", "mean", "worst"]]
    difference = difference.dropna()
    there = set(difference.index.get_level_values("data"))
    each = [told(*gain(difference.loc[task].source)) if task in there else "–" for task in tasks]
    each += [told(*gain(difference[column].groupby("seed").mean())) for column in difference]
    return f"| {name} | " + " | ".join([*each, f"{own.seconds.mean():.1f}"]) + " |"


def _by_choice(frame: pd.DataFrame) -> list[str]:
    """Return the second table: what each way of choosing settings loses against the oracle."""
    lines = [
        "### What choosing without target labels costs", "",
        "Mean accuracy on target rows over the tasks when the setting is chosen by each score (see",
        "`labelwise.shift.scores_without_labels`), and by an oracle with the labels of the rows adapted to.", "",
        "| method | " + " | ".join(WAYS) + " |", "|---" * (len(WAYS) + 1) + "|",
    ]  # fmt: skip
    means = frame.groupby("method")[list(WAYS)].mean()
    there = [name for name in methods() if name in means.index]
    rows = [f"| {name} | " + " | ".join(f"{means.loc[name, way]:.1%}" for way in WAYS) + " |" for name in there]
    return [*lines, *rows, ""]


if __name__ == "__main__":
    main()
