"""All query strategies beside random sampling, on real sets: the table of labelling curves in docs/claims/active.md.

    python -m benchmarks.claims.active.grid [--jobs 2] [--only TEXT]

One classifier for all, scaled logistic regression, nobody tuned; one label of each class to start with, then ten rounds of
ten. A cell is the area under the curve of test accuracy by labels; strategies meet the same test rows and the same start.
Cells already measured are kept, so that a run that was stopped goes on where it was: delete `grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims.grids import Cell, banking, digits, gain, measure, satimage, told
from benchmarks.claims.harness import data_path
from labelwise.active import BALD, LabellingSimulation, Pool, Query, VarianceRatio
from labelwise.active.drawing import Limits, Picker
from labelwise.active.names import STRATEGIES
from labelwise.active.self_training import stratified_bootstrap
from labelwise.parts.out_of_fold import fit_codes, plain_classifier

RESULTS = Path(__file__).with_name("grid.csv")
ROWS, ROUNDS, BATCH, REPEATS, COMMITTEE = 2000, 10, 10, 5, 5
BASELINE = "random"


def spoken_digits() -> tuple[Any, Any]:
    """Return log-mel pictures of spoken digits, averaged over sixteen frames each: 160 features, ten classes."""
    file = np.load(data_path("spoken_digits", "logmel.npz"))
    S = file["S"].astype(np.float32) / 255
    return S.reshape(len(S), 40, 4, 16).mean(3).reshape(len(S), -1), file["digit"].astype(np.int64)


SETS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "digits": digits, "satimage": satimage, "banking (20)": banking, "spoken digits": spoken_digits,
}  # fmt: skip


class Committee(Query):
    """A strategy for several opinions, those of the classifier refitted on bootstraps of the labels."""

    query: Any = None

    def picker(self, pool: Pool, rows: Any, limits: Limits, rng: np.random.Generator) -> Picker:
        """Fit the committee and ask the strategy."""
        known = np.flatnonzero(pool.labelled)
        codes = pool.codes[known]
        members = []
        for _ in range(COMMITTEE):
            drawn = stratified_bootstrap(codes, rng)
            members.append(fit_codes(plain_classifier(), pool.X[known[drawn]], codes[drawn]))
        asked = Pool(pool.X, pool.codes, members)
        picker: Picker = self.query.picker(asked, rows, limits, rng)
        return picker


def strategies() -> dict[str, Callable[[], Query]]:
    """Return every strategy by name."""
    return {
        **STRATEGIES,
        "BALD (5 bootstraps)": lambda: Committee(query=BALD()),
        "variance ratio (5 bootstraps)": lambda: Committee(query=VarianceRatio()),
    }


def load(name: str) -> tuple[Any, Any]:
    """Return a fixed random part of a set."""
    X, y = SETS[name]()
    rows = np.random.default_rng(0).permutation(len(X))[:ROWS]
    codes = np.unique(y[rows], return_inverse=True)[1]
    return np.asarray(X[rows], dtype=np.float64), codes


def score(cell: Cell, strategy: str) -> list[dict[str, float]]:
    """Simulate one strategy on one set; a row for each redraw."""
    X, y = load(cell["data"])
    simulation = LabellingSimulation(
        strategies={strategy: strategies()[strategy]()}, batch=BATCH, rounds=ROUNDS, repeats=REPEATS, test_share=0.4,
        random_state=0,
    )  # fmt: skip
    found = simulation.measure(X, y)
    last = found.table[found.table["round"] == ROUNDS].set_index("repeat")["accuracy"]
    areas = found.areas()[strategy]
    return [{"repeat": r, "area": areas[r], "last": last[r]} for r in areas.index]


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.active.grid", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only strategies whose name contains this")
    asked = parser.parse_args(arguments)
    wanted = [name for name in strategies() if asked.only in name]
    measure(RESULTS, [{"data": data} for data in SETS], lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("active")


def section() -> list[str]:
    """Return the table as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS)
    wide = frame.pivot_table(index=["data", "repeat"], columns="method", values="area")
    base = wide[BASELINE]
    sets = [name for name in SETS if name in base.index.unique("data")]
    gains = {name: {data: _gain(wide, name, data) for data in sets} for name in wide.columns}
    ranked = sorted(gains, key=lambda name: -np.mean([gains[name][data][0] for data in sets]))
    seconds = frame.groupby("method").seconds.mean()
    first = " | ".join(f"{base.loc[data].mean():.1%}" for data in sets)
    lines = [
        "## Every strategy on four real sets", "",
        f"Area under the curve of test accuracy, in points above {BASELINE} (its own mean accuracy in the first line):",
        f"scaled logistic regression, one label of each class to start with, then {ROUNDS} rounds of {BATCH};",
        f"{frame['repeat'].nunique()} redraws of {ROWS} rows, 40 % to test, nobody tuned. **Bold**: the 95 % t interval",
        "over the redraws is clear of zero. Seconds: one curve on one core, with all fits, beside other work.",
        "`python -m benchmarks.claims.active.grid`.", "",
        "| strategy | " + " | ".join(sets) + " | mean | seconds |", "|---" * (len(sets) + 3) + "|",
        f"| {BASELINE} (accuracy) | {first} | {base.groupby('data').mean().mean():.1%} | {seconds[BASELINE]:.1f} |",
    ]  # fmt: skip
    for name in ranked:
        if name != BASELINE:
            cells = " | ".join(told(*gains[name][data]) for data in sets)
            mean = np.mean([gains[name][data][0] for data in sets])
            lines.append(f"| {name} | {cells} | {mean:+.1f} | {seconds[name]:.1f} |")
    return [*lines, ""]


def _gain(wide: pd.DataFrame, name: str, data: str) -> tuple[float, bool]:
    return gain((wide.loc[data, name] - wide.loc[data, BASELINE]).dropna())


if __name__ == "__main__":
    main()
