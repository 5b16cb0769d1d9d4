"""Adaptation at test time on ten kinds of streams, with and without the guard: the table in docs/claims/shift.md.

    python -m benchmarks.claims.shift.streams_grid [--seeds 5] [--jobs 2] [--only TEXT]

Each cell draws classes, a source and a stream of 1,000 rows, answered in batches of 50. All methods share one network,
trained on 600 source rows, and the other 200, held out. Nobody is tuned. Seeds are not those the guard was made on. Cells
already measured are kept: delete `streams_grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims.grids import Cell, gain, measure, told
from labelwise.data.synthetic import LabelledStream, labelled_stream
from labelwise.data.synthetic.streams import STREAMS
from labelwise.learner import Classifier, Train
from labelwise.shift import SHOT, TENT, FewShotTuning, NormAdapt, PriorTracker

RESULTS = Path(__file__).with_name("streams_grid.csv")
PLAIN, BATCH, FIRST_SEED = "not adapted", 50, 500
ONLINE: dict[str, Callable[[], Any]] = {
    "NormAdapt": NormAdapt, "TENT": TENT, "PriorTracker": PriorTracker,
    "NormAdapt, no guard": lambda: NormAdapt(guard=False), "TENT, no guard": lambda: TENT(guard=False),
    "PriorTracker, no guard": lambda: PriorTracker(guard=False),
}  # fmt: skip
AHEAD = ("SHOT, whole stream first", "FewShotTuning, 3 labels a class")
"""Not online: they see the stream's rows, or labels of some of them, before they answer."""


@lru_cache(maxsize=2)
def drawn(kind: str, seed: int) -> tuple[LabelledStream, Classifier]:
    """Return a stream, and the network trained on the first part of its source."""
    stream = labelled_stream(kind, random_state=FIRST_SEED + seed)
    net = Classifier(train=Train(epochs=20, batch_size=32), random_state=seed)
    return stream, net.fit(stream.X_source[:600], stream.y_source[:600])


def score(cell: Cell, name: str) -> dict[str, float]:
    """Return a method's accuracy along a stream, in the first half and in the last fifth."""
    stream, net = drawn(cell["stream"], cell["seed"])
    scored = np.ones(len(stream.y), bool)
    if name == PLAIN:
        answers = net.predict(stream.X)
    elif name in AHEAD:
        answers, scored = _ahead(name, stream, net, cell["seed"])
    else:
        model = ONLINE[name]().set_params(estimator=net).fit(stream.X_source[600:], stream.y_source[600:])
        answers = np.concatenate([model.predict(stream.X[i : i + BATCH]) for i in range(0, len(stream.X), BATCH)])
    right = (answers == stream.y)[scored]
    return {"accuracy": float(right.mean()), "last fifth": float(right[-len(right) // 5 :].mean())}


def _ahead(name: str, stream: LabelledStream, net: Classifier, seed: int) -> tuple[Any, Any]:
    """Return answers, and which rows are scored: not those whose labels were used."""
    if name == AHEAD[0]:
        answers = SHOT(estimator=net, random_state=seed).fit(stream.X, None).predict(stream.X)
        return answers, np.ones(len(answers), bool)
    few = np.full(len(stream.y), -1)
    for k in np.unique(stream.y):
        few[np.flatnonzero(stream.y == k)[:3]] = k
    return FewShotTuning(estimator=net, random_state=seed).fit(stream.X, few).predict(stream.X), few == -1


def cells(seeds: int) -> Iterator[Cell]:
    """Yield the cells, all of a seed before the next."""
    for seed in range(seeds):
        yield from ({"stream": kind, "seed": seed} for kind in STREAMS)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.shift.streams_grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    asked = parser.parse_args(arguments)
    wanted = [name for name in (PLAIN, *ONLINE, *AHEAD) if name == PLAIN or asked.only.lower() in name.lower()]
    measure(RESULTS, cells(asked.seeds), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("shift")


# -- the table


def section() -> list[str]:
    """Return the table as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS)
    keyed = frame.set_index(["method", "stream", "seed"]).sort_index()
    kinds = [kind for kind in STREAMS if (PLAIN, kind) in keyed.index.droplevel(2)]
    plain = keyed.loc[PLAIN]
    own = " | ".join(f"{plain.loc[kind].accuracy.mean():.1%}" for kind in kinds)
    lines = [
        "## Adaptation at test time on ten kinds of streams", "",
        "Accuracy along the stream in points above the same network not adapted (its own in the first line);",
        f"{frame.seed.nunique()} seeds. Worst: the least gain in any single stream. The last two lines are not online: one",
        "sees all rows of the stream before it answers, the other has three labels a class. **Bold**: the 95 % t interval",
        "over seeds is clear of zero.",
        "Seconds: mean of a stream of 1,000 rows. `python -m benchmarks.claims.shift.streams_grid`.", "",
        "| method | " + " | ".join([*kinds, "mean", "worst", "seconds"]) + " |", "|---" * (len(kinds) + 4) + "|",
        f"| {PLAIN} (itself) | {own} | {plain.accuracy.mean():.1%} | | |",
    ]  # fmt: skip
    return [*lines, *(_line(keyed, name, kinds) for name in (*ONLINE, *AHEAD) if name in keyed.index), ""]


def _line(keyed: Any, name: str, kinds: list[str]) -> str:
    difference = (keyed.loc[name].accuracy - keyed.loc[PLAIN].accuracy).dropna()
    there = difference.index.get_level_values("stream")
    each = [told(*gain(difference[there == kind])) for kind in kinds]
    mean = told(*gain(difference.groupby("seed").mean()))
    seconds = keyed.loc[name].seconds.mean()
    return f"| {name} | " + " | ".join([*each, mean, f"{100 * difference.min():+.1f}", f"{seconds:.1f}"]) + " |"


if __name__ == "__main__":
    main()
