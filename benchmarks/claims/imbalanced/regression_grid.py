"""All regressors for lopsided targets beside plain training and trees on real sets: a table in docs/claims/imbalanced.md.

    python -m benchmarks.claims.imbalanced.regression_grid [--seeds 5] [--jobs 2] [--only TEXT]

Every method keeps its defaults, with the same training; nobody is tuned. Each cell draws its own rows. Cells already
measured are kept: delete `regression_grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims.grids import Cell, gain, measure, told
from benchmarks.claims.imbalanced.regression import Rows, draw
from labelwise.parts.class_counts import SHOTS
from labelwise.parts.conformal import conformal_radius, group_radius
from labelwise.parts.label_density import balancing, label_density, value_shots

RESULTS = Path(__file__).with_name("regression_grid.csv")
SETS = ("abalone", "PM2.5", "wine", "lipophilicity")
TRAIN, HELD, TEST, EPOCHS = 1000, 400, 1500, 20
PLAIN, TREES = "plain, absolute errors", "boosted trees (scikit-learn)"
READINGS = ("overall", *SHOTS, "balanced")
COVERAGE = 0.9


class Weighted:
    """A regressor of scikit-learn with rows weighted by one over the density of their target."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: Any, y: Any) -> Weighted:
        """Fit with weights."""
        self.model.fit(X, y, sample_weight=label_density(y).weights(y))
        return self

    def predict(self, X: Any) -> Any:
        """Return predictions."""
        return self.model.predict(X)


def methods() -> dict[str, Callable[[int], Any]]:
    """Return a maker of every method by its name."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    from labelwise.imbalanced import (
        CMixupRegressor,
        ConRRegressor,
        FDSRegressor,
        LDSRegressor,
        ScoreDistribution,
        SupReMixRegressor,
    )  # fmt: skip
    from labelwise.learner import Regressor, Train
    from labelwise.losses import AbsoluteError

    train = Train(epochs=EPOCHS, batch_size=64, progress=False)

    def made(cls: Any, **settings: Any) -> Callable[[int], Any]:
        return lambda seed: cls(train=train, random_state=seed, **settings)

    return {
        PLAIN: made(Regressor, criterion=AbsoluteError()),
        "plain, squared errors": made(Regressor),
        "one over frequency, not smoothed": made(LDSRegressor, sigma=0.0),
        "LDSRegressor": made(LDSRegressor),
        "LDSRegressor (square root)": made(LDSRegressor, weighting="square root"),
        "FDSRegressor": made(FDSRegressor),
        "FDSRegressor (no weights)": made(FDSRegressor, weighting="none"),
        "ConRRegressor": made(ConRRegressor),
        "ConRRegressor (no weights)": made(ConRRegressor, weighting="none"),
        "SupReMixRegressor": made(SupReMixRegressor),
        "CMixupRegressor": made(CMixupRegressor),
        "mixup of any two rows": made(CMixupRegressor, bandwidth=1e6),
        "ScoreDistribution (9 levels)": made(ScoreDistribution, levels=9),
        TREES: lambda seed: HistGradientBoostingRegressor(random_state=seed),
        f"{TREES}, weighted by density": lambda seed: Weighted(HistGradientBoostingRegressor(random_state=seed)),
    }  # fmt: skip


def score(cell: Cell, name: str) -> dict[str, float]:
    """Fit one method in one cell: errors and the coverage of 90 % intervals, by where training rows are many or few."""
    rows = draw(cell["data"], cell["seed"], TRAIN, HELD, TEST)
    model = methods()[name](cell["seed"]).fit(rows.X, rows.y)
    guess, held = model.predict(rows.X_test), model.predict(rows.X_held)
    error, shots = np.abs(guess - rows.y_test), value_shots(rows.y, rows.y_test)
    weights = {"overall": np.ones(TEST), "balanced": balancing(rows.y_test)}
    weights |= {shot: (shots == code).astype(float) for code, shot in enumerate(SHOTS)}
    found = {}
    for reading, weight in weights.items():
        if not weight.any():
            continue
        found[f"MAE {reading}"] = np.average(error, weights=weight)
        found[f"RMSE {reading}"] = np.sqrt(np.average(error**2, weights=weight))
        found[f"GM {reading}"] = np.exp(np.average(np.log(np.maximum(error, 1e-3)), weights=weight))
        for kind, inside in covered(rows, guess, held).items():
            found[f"{kind} {reading}"] = np.average(inside, weights=weight)
    return {key: float(value) for key, value in found.items()}


def covered(rows: Rows, guess: Any, held: Any) -> dict[str, Any]:
    """Return which test targets lie in split-conformal intervals: of one width, and of one a region of the prediction."""
    off, error = np.abs(held - rows.y_held), np.abs(guess - rows.y_test)
    by = group_radius(off, value_shots(rows.y, held), value_shots(rows.y, guess), COVERAGE)
    return {"covered": error <= conformal_radius(off, COVERAGE), "covered by shot": error <= by}


def cells(seeds: int) -> Iterator[Cell]:
    """Yield every cell, all of a seed before the next."""
    for seed in range(seeds):
        yield from ({"data": data, "seed": seed} for data in SETS)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.imbalanced.regression_grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    asked = parser.parse_args(arguments)
    wanted = [name for name in methods() if asked.only.lower() in name.lower()]
    measure(RESULTS, cells(asked.seeds), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("imbalanced")


def section() -> list[str]:
    """Return the tables as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS).set_index(["method", "data", "seed"]).sort_index()
    order = [name for name in methods() if name in frame.index.levels[0]]
    seeds = frame.index.get_level_values("seed").nunique()
    names = ", ".join(measured(frame))
    lines = [
        "## Lopsided real targets: every regressor on real sets", "",
        f"{names}: {TRAIN} rows to train on, {TEST} to test, {seeds} seeds that redraw the rows; one hidden",
        f"layer, {EPOCHS} epochs, defaults, nobody tuned. Errors in standard deviations of the target. *Many*, *medium*,",
        "*few*: test rows whose target lies where training rows are that frequent",
        "(`labelwise.parts.label_density.value_shots`); *overall* is the natural reading, *balanced* the mean over bins of",
        "the target. `python -m benchmarks.claims.imbalanced.regression_grid`.", "",
    ]  # fmt: skip
    lines += _gains(frame, order) + _levels(frame, order) + _by_set(frame, order) + _coverage(frame, order)
    return lines


def measured(frame: pd.DataFrame) -> list[str]:
    """Return the sets that have results."""
    return [data for data in SETS if data in frame.index.get_level_values("data")]


def _gains(frame: pd.DataFrame, order: list[str]) -> list[str]:
    """Return changes of the mean absolute error against plain training, mean over the sets."""
    lines = [
        f"How much smaller the mean absolute error is than that of {PLAIN}, in per cent of it (the error itself in",
        "the first line), mean over the sets. **Bold**: the 95 % t interval over seeds is clear of zero. Seconds: mean of a",
        "fit, beside other work.", "",
        "| method | " + " | ".join(READINGS) + " | seconds |", "|---" * (len(READINGS) + 2) + "|",
    ]  # fmt: skip
    base = frame.loc[PLAIN]
    for name in order:
        mine = frame.loc[name]
        line = [f"{base[f'MAE {reading}'].mean():.3f}" for reading in READINGS]
        if name != PLAIN:
            share = {r: 1 - mine[f"MAE {r}"] / base[f"MAE {r}"] for r in READINGS}
            line = [told(*gain(share[r].groupby("seed").mean())) for r in READINGS]
        lines.append(f"| {name} | " + " | ".join(line) + f" | {mine.seconds.mean():.1f} |")
    return [*lines, ""]


def _levels(frame: pd.DataFrame, order: list[str]) -> list[str]:
    """Return other errors as they are, mean over sets and seeds."""
    parts = [(kind, reading) for kind in ("RMSE", "GM") for reading in READINGS]
    lines = [
        "Root mean squared error and geometric mean of absolute errors (GM), mean over sets and seeds:", "",
        "| method | " + " | ".join(f"{kind} {reading}" for kind, reading in parts) + " |",
        "|---" * (len(parts) + 1) + "|",
    ]  # fmt: skip
    for name in order:
        values = " | ".join(f"{frame.loc[name][f'{kind} {reading}'].mean():.3f}" for kind, reading in parts)
        lines.append(f"| {name} | {values} |")
    return [*lines, ""]


def _by_set(frame: pd.DataFrame, order: list[str]) -> list[str]:
    sets = measured(frame)
    heads = [f"{data}, {reading}" for data in sets for reading in ("overall", "few")]
    lines = [
        "Mean absolute error by set, mean over seeds:", "",
        "| method | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|",
    ]  # fmt: skip
    for name in order:
        mine = frame.loc[name]
        values = [_mean(mine, data, f"MAE {reading}") for data in sets for reading in ("overall", "few")]
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    return [*lines, ""]


def _mean(frame: pd.DataFrame, data: str, column: str) -> str:
    known: Mapping[Any, Any] = frame.index.get_level_values("data").value_counts().to_dict()
    return f"{frame.loc[data][column].mean():.3f}" if data in known else "–"


def _coverage(frame: pd.DataFrame, order: list[str]) -> list[str]:
    kinds = {"covered": "one width", "covered by shot": "by region of the prediction"}
    heads = [f"{reading}, {told_as}" for told_as in kinds.values() for reading in ("overall", *SHOTS)]
    lines = [
        f"Share of test targets inside intervals made to hold {COVERAGE:.0%} (split conformal on {HELD} further rows), of",
        "one width, and of one width for each region where the *prediction* lies. The promise is made for all rows",
        "together; where targets are rare it need not hold, as nothing tells beforehand which rows those are.", "",
        "| method | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|",
    ]  # fmt: skip
    for name in order:
        values = [f"{frame.loc[name][f'{kind} {r}'].mean():.0%}" for kind in kinds for r in ("overall", *SHOTS)]
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    return [*lines, ""]


if __name__ == "__main__":
    main()
